"""Foreign tables read by a map of their columns."""

import json

import numpy as np
import pandas as pd
import pytest

from abaw_tf import labels, predictions
from abaw_tf.predictions import PredictionError, read_columns

NAMES = ("neutral", "angry", "disgust", "fear", "happy", "sad", "surprise")
BY_NAME = ",".join(f"p_{official}={name}" for official, name in zip(labels.EXPRESSIONS_7, NAMES))


def rows(n=4, seed=0, total=1.0):
    p = np.random.default_rng(seed).dirichlet(np.ones(7), n) * total
    return pd.DataFrame(p, columns=NAMES)


@pytest.fixture
def csv(tmp_path):
    def write(table, name="mine.csv", **options):
        path = tmp_path / name
        table.to_csv(path, index=False, **options)
        return path

    return write


@pytest.mark.parametrize("form", ["mapping", "text", "json", "yaml"])
def test_every_form_of_the_map_gives_the_same_table(csv, tmp_path, form):
    data = rows().assign(video=["b", "b", "a", "a"], idx=[0, 1, 0, 5], junk="x")
    text = f"trial=video, frame=idx, {BY_NAME}"
    mapping = dict(item.strip().split("=") for item in text.split(","))
    if form == "mapping":
        given = mapping
    elif form == "text":
        given = text
    elif form == "json":
        given = tmp_path / "map.json"
        given.write_text(json.dumps(mapping))
    else:
        given = str(tmp_path / "map.yaml")
        (tmp_path / "map.yaml").write_text("\n".join(f"{key}: {value}" for key, value in mapping.items()))
    table = read_columns(csv(data), given)
    assert table["trial"].tolist() == ["a", "a", "b", "b"]
    assert table["frame"].tolist() == [0, 5, 0, 1]
    np.testing.assert_allclose(predictions.probabilities(table), data[list(NAMES)].to_numpy()[[2, 3, 0, 1]])
    assert table.attrs["edition"] == "abaw2"
    assert table.attrs["notes"] == []


def test_class_columns_are_told_by_their_names_in_any_order(csv):
    data = (
        rows()[list(reversed(NAMES))].rename(columns={"sad": "p_Sadness", "happy": "prob_joy"}).assign(frame=range(4))
    )
    table = read_columns(csv(data, "clip7.csv"), "frame=frame")
    np.testing.assert_allclose(table["p_Happiness"], rows()["happy"])
    assert set(table["trial"]) == {"clip7"}
    assert table.attrs["notes"][0].startswith("classes told by the columns surprise, p_Sadness, prob_joy")


def test_sums_of_0_997_are_renormalised_with_a_note_and_worse_ones_refused(csv):
    data = rows(total=0.997).assign(frame=range(4))
    table = read_columns(csv(data), "frame=frame")
    np.testing.assert_allclose(predictions.probabilities(table), data[list(NAMES)] / 0.997)
    assert "4 rows of probabilities renormalised (sums 0.9970 to 0.9970)" in table.attrs["notes"]
    data.loc[2, list(NAMES)] *= 0.9
    with pytest.raises(PredictionError, match=r"mine.csv, line 4: the classes must sum to 1 .*scores=logit"):
        read_columns(csv(data), "frame=frame")


def test_percent_and_logits(csv):
    p = rows()
    percent = read_columns(csv((p * 100).assign(frame=range(4))), "frame=frame,scores=percent")
    logits = read_columns(csv((np.log(p) + 3).assign(frame=range(4))), "frame=frame", scores="logit")
    np.testing.assert_allclose(predictions.probabilities(percent), p)
    np.testing.assert_allclose(predictions.probabilities(logits), p)
    with pytest.raises(PredictionError, match="set scores=percent"):
        read_columns(csv((p * 100).assign(frame=range(4))), "frame=frame")
    with pytest.raises(PredictionError, match=r"line 2 .*are these scores=logit"):
        read_columns(csv((np.log(p)).assign(frame=range(4))), "frame=frame")


def test_frames_from_one_image_names_times_or_rows(csv):
    p = rows()
    one = read_columns(csv(p.assign(n=[1, 2, 3, 9])), "frame=n,index_base=1,fps=25")
    assert one["frame"].tolist() == [0, 1, 2, 8]
    np.testing.assert_allclose(one["time"], np.array([0, 1, 2, 8]) / 25)
    images = read_columns(
        csv(p.assign(file=["v1/00012.jpg", "v1/00013.jpg", "x/v2/00001.png", "v2/2.png"])), "image=file"
    )
    assert list(zip(images["trial"], images["frame"])) == [("v1", 11), ("v1", 12), ("v2", 0), ("v2", 1)]
    times = read_columns(csv(p.assign(t=[0, 0.0401, 0.0799, 0.2])), {"time": "t", "fps": 25})
    assert times["frame"].tolist() == [0, 1, 2, 5]
    assert times["time"].tolist() == [0, 0.0401, 0.0799, 0.2]
    counted = read_columns(csv(p.assign(video=["b", "a", "b", "a"])), "trial=video")
    assert list(zip(counted["trial"], counted["frame"])) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert "rows of each trial are numbered" in counted.attrs["notes"][-1]


def test_decisions_as_numbers_of_another_order_or_as_names(csv):
    data = pd.DataFrame({"frame": range(3), "label": [3, 6, 0]})
    table = read_columns(csv(data), "frame=frame,expression=label,order=fer2013")
    assert [labels.EXPRESSIONS_7[k] for k in table["expression"]] == ["Happiness", "Neutral", "Anger"]
    named = read_columns(csv(data.assign(label=["joy", "neutral", "angry"])), "frame=frame,expression=label")
    assert named["expression"].tolist() == table["expression"].tolist()
    with pytest.raises(PredictionError, match=r"line 3: not a class of edition abaw2"):
        read_columns(csv(data.assign(label=["joy", "bored", "angry"])), "frame=frame,expression=label")
    with pytest.raises(PredictionError, match=r"line 3: expression must be a class number 0 to 6"):
        read_columns(csv(data.assign(label=[1, 7, 2])), "frame=frame,expression=label")


def test_eight_classes_and_contempt(csv):
    p = np.random.default_rng(1).dirichlet(np.ones(8), 4)
    eight = pd.DataFrame(p, columns=[*NAMES, "other"]).assign(frame=range(4))
    assert read_columns(csv(eight), "frame=frame").attrs["edition"] == "abaw3"
    seven = read_columns(csv(rows().assign(frame=range(4))), "frame=frame", edition="abaw3")
    assert (seven["p_Other"] == 0).all()
    contempt = eight.rename(columns={"other": "contempt"})
    table = read_columns(csv(contempt), "frame=frame")
    np.testing.assert_allclose(predictions.probabilities(table), p[:, :7] / p[:, :7].sum(axis=1, keepdims=True))
    assert any("dropped, not in edition abaw2: Contempt" in note for note in table.attrs["notes"])
    with pytest.raises(PredictionError, match="no column for the class Fear"):
        read_columns(csv(rows().drop(columns="fear").assign(frame=range(4))), "frame=frame")


def test_valence_and_arousal_from_a_semicolon_table_and_from_parquet(csv, tmp_path):
    data = pd.DataFrame({"id": [7, 7], "n": [0, 1], "V": [0.5, -1], "A": [0, 0.25]})
    text = "trial=id,frame=n,valence=V,arousal=A"
    plain = read_columns(csv(data, sep=";"), text)
    data.to_parquet(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(plain, read_columns(tmp_path / "p.parquet", text))
    assert plain["trial"].tolist() == ["7", "7"]
    with pytest.raises(PredictionError, match=r"line 3: valence must lie in \[-1, 1\].*V=-1.2"):
        read_columns(csv(data.assign(V=[0.5, -1.2])), text)


def test_rows_without_a_prediction_are_left_out_and_half_empty_ones_refused(csv):
    data = rows().assign(frame=range(4))
    data.loc[1, list(NAMES)] = np.nan
    table = read_columns(csv(data), "frame=frame")
    assert table["frame"].tolist() == [0, 2, 3]
    assert "1 rows without a prediction left out" in table.attrs["notes"]
    data.loc[2, "fear"] = np.nan
    with pytest.raises(PredictionError, match=r"line 4: column 'fear' is empty"):
        read_columns(csv(data), "frame=frame")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame=fram", r"no column for frame. Did you mean 'frame'"),
        ("fram=frame", r"unknown key.*Did you mean 'frame'"),
        ("frame=frame,p_Neutrl=neutral", r"Did you mean 'p_Neutral'"),
        ("frame=frame,scores=logits", r"scores must be one of .*Did you mean 'logit'"),
        ("frame=frame,index_base=2", r"index_base is the number of the first frame"),
        ("frame=frame,fps=0", r"fps must be a positive number"),
        ("frame", r"a column map is written"),
        ("frame=frame,frame=neutral", r"gives frame twice"),
        ("frame=frame,p_joy=happy,Happiness=sad", r"the class Happiness is given twice"),
        ("frame=neutral", r"line 2 .*: frame must be a whole number"),
        ("frame=frame,order=ekman", r"class order must be one of"),
    ],
)
def test_mistakes_in_the_map_are_told_with_the_closest_name(csv, text, message):
    with pytest.raises(ValueError, match=message):
        read_columns(csv(rows().assign(frame=range(4))), text)


def test_mistakes_in_the_file_are_told_with_their_line(csv, tmp_path):
    data = rows().assign(frame=[0, 1, 1, 2])
    with pytest.raises(PredictionError, match=r"mine.csv, line 4: this trial and frame occur twice.*frame=1"):
        read_columns(csv(data), "frame=frame")
    data = rows().assign(frame=range(4)).astype({"sad": object})
    data.loc[3, "sad"] = "much"
    with pytest.raises(PredictionError, match=r"line 5: column 'sad' must hold numbers.*sad=much"):
        read_columns(csv(data), "frame=frame")
    with pytest.raises(PredictionError, match="nothing is predicted"):
        read_columns(csv(pd.DataFrame({"frame": [0, 1], "x": [1, 2]})), "frame=frame")
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "no.csv", "frame=frame")
    with pytest.raises(PredictionError, match=r"suffix '\.xlsx'"):
        read_columns(tmp_path / "no.xlsx", "frame=frame")


def test_load_takes_a_map(csv):
    path = csv(rows().assign(frame=range(4)))
    pd.testing.assert_frame_equal(
        predictions.load(path, columns="frame=frame"), read_columns(path, "frame=frame"), check_exact=True
    )
    with pytest.raises(ValueError, match="format='pyfeat'"):
        predictions.load(path, format="pyfeat", columns="frame=frame")


@pytest.mark.parametrize("key", ["video", "clip"])
def test_a_table_that_load_does_not_know_asks_for_a_map(csv, tmp_path, key):
    data = rows().assign(frame=range(4), **{key: "a"})
    with pytest.raises(PredictionError, match=r"mine.csv: neither a prediction table .* --columns"):
        predictions.load(csv(data))
    data.to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(PredictionError, match=r"mine.parquet: neither a prediction table"):
        predictions.load(tmp_path / "mine.parquet")


def test_a_table_without_metadata_may_sum_to_0_997(tmp_path):
    p = np.random.default_rng(0).dirichlet(np.ones(7), 3) * np.array([[1.0], [0.997], [1.0]])
    data = pd.DataFrame(p, columns=[f"p_{name}" for name in labels.EXPRESSIONS_7])
    data.insert(0, "frame", range(3))
    data.insert(0, "trial", "a")
    data.to_csv(tmp_path / "t.csv", index=False)
    table = predictions.read(tmp_path / "t.csv")
    np.testing.assert_array_equal(predictions.probabilities(table)[[0, 2]], p[[0, 2]])
    np.testing.assert_allclose(predictions.probabilities(table)[1].sum(), 1)
    assert "1 rows of probabilities renormalised (sums 0.9970 to 0.9970)" in table.attrs["notes"]
    data.iloc[1, 2:] *= 0.9
    data.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(PredictionError, match="line 3: probabilities must sum to one"):
        predictions.read(tmp_path / "t.csv")


def test_real_detector_by_a_map_equals_its_own_reader(realdata):
    path = realdata / "frame_preds_pyfeat_news" / "002.csv"
    own = predictions.read_pyfeat(path)
    mapped = read_columns(path, "trial=input,frame=frame,valence=valence,arousal=arousal")
    both = mapped.merge(own, on="frame", suffixes=("", "_own"))
    assert len(both) == len(own)
    np.testing.assert_allclose(both["p_Fear"], both["p_Fear_own"], rtol=1e-12)
    np.testing.assert_array_equal(both["arousal"], both["arousal_own"])


def test_blanks_after_the_commas_of_the_header_do_not_matter(tmp_path):
    path = tmp_path / "mine.csv"
    lines = [", ".join(("video", "idx", *NAMES)), ", ".join(("a", "3", "0.4", *["0.1"] * 6))]
    path.write_text("\n".join(lines) + "\n")
    found = read_columns(path, f"trial=video,frame=idx,{BY_NAME}")
    assert found[["trial", "frame", "expression"]].values.tolist() == [["a", 3, 0]]
    assert read_columns(path, "trial=video,frame=idx")["p_Neutral"].tolist() == pytest.approx([0.4])


def test_the_index_of_a_parquet_file_is_a_column_like_others(tmp_path):
    path = tmp_path / "mine.parquet"
    rows().assign(video="a", idx=[4, 5, 6, 7]).set_index(["video", "idx"]).to_parquet(path)
    assert read_columns(path, f"trial=video,frame=idx,{BY_NAME}")["frame"].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("header", "row", "map_", "message"),
    [
        ("f,v,a", "99999999999,0,0", "frame=f,valence=v,arousal=a", "line 3: a frame number must be below 2147483648"),
        ("f,v,a", "inf,0,0", "frame=f,valence=v,arousal=a", "line 3: a frame number must be below 2147483648"),
        (
            "i,v,a",
            "99999999999.jpg,0,0",
            "image=i,valence=v,arousal=a",
            "line 3: the image must be named by its number",
        ),
        ("t,v,a", "-1,0,0", "time=t,fps=25,valence=v,arousal=a", "line 3: the time must be seconds from 0 on"),
        ("t,v,a", "inf,0,0", "time=t,valence=v,arousal=a", "line 3: the time must be seconds from 0 on"),
        ("t,v,a", "1e12,0,0", "time=t,fps=25,valence=v,arousal=a", "line 3: the time must be in seconds"),
    ],
)
def test_impossible_frames_and_times_are_told_with_their_line(tmp_path, header, row, map_, message):
    path = tmp_path / "mine.csv"
    good = "1.jpg,0,0" if header.startswith("i") else "0,0,0"
    path.write_text(f"{header}\n{good}\n{row}\n")
    with pytest.raises(PredictionError, match=message):
        read_columns(path, map_)


def test_a_row_of_a_class_that_the_edition_does_not_know_is_told_with_its_line(csv):
    data = rows(3).assign(other=0.0)
    data.iloc[1] = [0.0] * 7 + [1.0]
    with pytest.raises(PredictionError, match=r"line 3: only Other, which edition abaw2 .* take edition abaw3"):
        read_columns(csv(data), f"{BY_NAME},p_Other=other", "abaw2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"trial: video\norder: 3\n", r"map.yaml: order is the name of a class order"),
        (b"trial: video\nframe:\n", r"map.yaml: frame has no value"),
        (b"trial: Zo\xeb\n", r"map.yaml: not a readable YAML file in UTF-8"),
    ],
)
def test_faults_of_a_map_file_are_told_with_its_name(csv, tmp_path, text, message):
    path = tmp_path / "map.yaml"
    path.write_bytes(text)
    with pytest.raises(PredictionError, match=message):
        read_columns(csv(rows().assign(video="a", idx=range(4))), path)
