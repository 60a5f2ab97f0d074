"""The prediction table: its rules, its files and the filling of missing frames."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf import labels, predictions
from abaw_tf.predictions import PredictionError

SEVEN = labels.edition("abaw2").classes


def softmax(rng, n, k=7):
    values = np.exp(rng.normal(size=(n, k)))
    return values / values.sum(axis=1, keepdims=True)


@pytest.fixture
def table():
    rng = np.random.default_rng(3)
    return predictions.make_table(
        ["b"] * 3 + ["007"] * 2,
        [2, 0, 1, 5, 3],
        time=[0.08, 0.0, 0.04, 0.2, np.nan],
        probabilities=softmax(rng, 5),
        valence=[0.1, -1, 1 / 3, 0.5, 1],
        arousal=[0, 0.25, 1e-17, -0.0, -1],
        model="test net",
        weights_hash="abc123",
        notes=["made up"],
    )


def test_rows_are_sorted_and_typed(table):
    assert table["trial"].tolist() == ["007", "007", "b", "b", "b"]
    assert table["frame"].tolist() == [3, 5, 0, 1, 2]
    assert table["frame"].dtype == np.int64
    assert table["expression"].dtype == np.int64
    assert list(table.columns) == [
        "trial", "frame", "time", *(f"p_{name}" for name in SEVEN), "expression", "valence", "arousal",
    ]  # fmt: skip
    np.testing.assert_array_equal(table["expression"], predictions.probabilities(table).argmax(axis=1))
    assert table.attrs["edition"] == "abaw2"
    assert table.attrs["classes"] == list(SEVEN)


def test_other_class_orders_are_put_in_the_official_one():
    order = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    given_order = np.eye(7)
    named = predictions.make_table("a", np.arange(7), probabilities=given_order, classes="emotiw")
    listed = predictions.make_table("a", np.arange(7), probabilities=given_order, classes=order)
    official = [1, 2, 3, 4, 0, 5, 6]
    assert named["expression"].tolist() == official
    assert listed["expression"].tolist() == official
    assert named.loc[4, "p_Neutral"] == 1


def test_eight_classes_of_the_third_edition():
    table = predictions.make_table("a", [0], probabilities=np.full((1, 8), 1 / 8), edition="abaw3")
    assert predictions.classes_of(table)[-1] == "Other"
    bare = table.copy()
    bare.attrs = {}
    assert predictions.edition_of(bare).name == "abaw3"


def test_models_that_predict_one_thing_only():
    table = predictions.make_table("a", [0, 1], valence=[0.1, 0.2], arousal=[0, 0])
    assert list(table.columns) == ["trial", "frame", "time", "valence", "arousal"]
    assert predictions.classes_of(table) == ()
    with pytest.raises(PredictionError, match=r"no class probabilities.*Received: columns trial"):
        predictions.probabilities(table)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_files_give_back_every_bit_and_the_metadata(table, tmp_path, suffix):
    path = predictions.write(table, tmp_path / "deep" / f"predictions{suffix}")
    again = predictions.read(path)
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert again.attrs == table.attrs
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=6),
    name=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8),
)
def test_csv_keeps_any_number_and_any_trial_name(tmp_path_factory, values, name):
    table = predictions.make_table(name, np.arange(len(values)), valence=values)
    path = predictions.write(table, tmp_path_factory.mktemp("csv") / "x.csv")
    pd.testing.assert_frame_equal(predictions.read(path), table, check_exact=True)


def test_trials_called_like_missing_values_or_numbers_stay(tmp_path):
    table = predictions.make_table(["NA", "null", "001", "1e5"], [0, 0, 0, 0], expression=[0, 1, 2, 3])
    assert set(predictions.read(predictions.write(table, tmp_path / "x.csv"))["trial"]) == {"NA", "null", "001", "1e5"}


def test_foreign_csv_without_metadata(tmp_path):
    path = tmp_path / "mine.csv"
    classes = ",".join(f"p_{name}" for name in reversed(SEVEN))
    path.write_text(f"frame,trial,{classes}\n1,x,0,0,0,0,0,1,0\n0,x,1,0,0,0,0,0,0\n")
    table = predictions.read(path)
    assert table["frame"].tolist() == [0, 1]
    assert table["expression"].tolist() == [6, 1]
    assert table["time"].isna().all()
    assert "no metadata" in table.attrs["notes"][0]
    assert predictions.read(path, edition="abaw1").attrs["edition"] == "abaw1"


def test_a_failed_write_leaves_the_old_file(table, tmp_path, monkeypatch):
    path = predictions.write(table, tmp_path / "x.csv")
    before = path.read_bytes()

    def broken(self, *args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(OSError, match="disk full"):
        predictions.write(table, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


BAD_TABLES = {
    "twice": (lambda t: t.assign(frame=[3, 3, 0, 1, 2]), r"row 1: this trial and frame occur twice.*trial=007, frame=3"),
    "nan": (lambda t: t.assign(p_Fear=[0, np.nan, 0, 0, 0]), r"row 1.*probability is NaN.*fill_missing"),
    "sum": (lambda t: t.assign(p_Fear=t["p_Fear"] + [0, 0, 0.3, 0, 0]), r"sum to one|must lie in \[0, 1\]"),
    "negative": (lambda t: t.assign(p_Fear=-0.5), r"row 0 \(and 4 more\).*softmax"),
    "unknown class": (lambda t: t.rename(columns={"p_Fear": "p_Feer"}), r"unknown class column 'p_Feer' \(did you mean"),
    "unknown column": (lambda t: t.rename(columns={"valence": "valance"}), r"did you mean 'valence'"),
    "class missing": (lambda t: t.drop(columns="p_Fear"), r"class column 'p_Fear' is missing; give all 7"),
    "valence": (lambda t: t.assign(valence=[0, 0, 0, 1.5, 0]), r"row 3: valence must lie in \[-1, 1\]; clip.*valence=1.5"),
    "valence nan": (lambda t: t.assign(arousal=np.nan), r"arousal is NaN"),
    "expression": (lambda t: t.assign(expression=7), r"0 \(Neutral\) to 6 \(Surprise\).*expression=7"),
    "sentinel": (lambda t: t.assign(expression=-1), r"expression must be a class index"),
    "half class": (lambda t: t.assign(expression=0.5), r"expression must be a class index"),
    "frame": (lambda t: t.assign(frame=[-1, 0, 0, 1, 2]), r"frame must be a whole number.*frame=-1"),
    "time": (lambda t: t.assign(time=-1.0), r"time must be seconds"),
    "text": (lambda t: t.assign(valence="high"), r"column 'valence' must hold numbers"),
    "no trial": (lambda t: t.drop(columns="trial"), r"column 'trial' is missing"),
    "empty name": (lambda t: t.assign(trial=""), r"the trial has no name"),
    "nothing": (lambda t: t[["trial", "frame"]], r"nothing is predicted"),
    "unsorted": (lambda t: t.iloc[::-1], r"not sorted by trial and frame"),
    "interleaved": (lambda t: t.iloc[[0, 2, 1, 3, 4]], r"not sorted"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_faults_are_named_with_row_and_remedy(table, case):
    change, message = BAD_TABLES[case]
    bad = change(table)
    with pytest.raises(PredictionError, match=message):
        predictions.validate(bad)


def test_a_good_table_passes_also_when_its_metadata_was_lost(table):
    assert predictions.validate(table) is table
    table.attrs = {}
    predictions.validate(table)


def test_sums_within_the_tolerance_pass():
    half = (np.full((1, 7), 1 / 7) * (1 + 8e-4)).astype(np.float32)
    assert len(predictions.make_table("a", [0], probabilities=half)) == 1
    with pytest.raises(PredictionError, match="divide each row by its sum"):
        predictions.make_table("a", [0], probabilities=half * 1.001)


BAD_ARRAYS = {
    "columns": (dict(probabilities=np.ones((2, 6)) / 6), r"shape \(2, 7\).*Received: shape \(2, 6\)"),
    "rows": (dict(probabilities=np.ones((3, 7)) / 7), r"Received: shape \(3, 7\)"),
    "length": (dict(valence=[0.0]), r"valence must have one value for each of the 2 rows"),
    "edition": (dict(valence=[0, 0], edition="abaw9"), r"abaw9"),
    "classes": (dict(probabilities=np.ones((2, 7)) / 7, classes="emotiv"), r"emotiv"),
    "nothing": ({}, r"nothing is predicted"),
    "trial": (dict(valence=[0, 0], trial=["a", None]), r"row 1: the trial has no name"),
    "frame": (dict(valence=[0, 0], frame=[0, 1.5]), r"row 1: frame must be a whole number"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_do_not_fit_are_refused(case):
    arguments, message = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=message):
        predictions.make_table(**{"trial": "a", "frame": [0, 1], **arguments})


BAD_FILES = {
    "text": ("trial,frame,valence\na,0,0.5\na,1,high\n", r"x.csv, line 3: column 'valence'.*Received: 'high'"),
    "empty cell": ("trial,frame,valence\na,0,\n", r"x.csv, line 2: column 'valence' must hold a number"),
    "short row": ("trial,frame,valence\na,0,0.5\na,1\n", r"x.csv, line 3: column 'valence' must hold a number"),
    "long row": ("trial,frame,valence\na,0,0.5\na,1,0,0\n", r"x.csv: not a readable CSV.*line 3"),
    "long rows": ("trial,frame,valence\na,0,0.5,1\na,1,0,0\n", r"x.csv, line 2: the row has more cells"),
    "range": ("trial,frame,valence\na,0,0.5\n\n", r"line 3"),
    "outside": ("trial,frame,valence\na,0,0.5\na,1,-5\n", r"x.csv, line 3: valence must lie in"),
    "after metadata": ('# abaw_tf {"edition": "abaw2"}\ntrial,frame,valence\na,0,0.5\na,0,0\n', r"line 4: .* twice"),
    "broken metadata": ('# abaw_tf {"edition": \ntrial,frame,valence\na,0,0.5\n', r"the metadata .* is not JSON"),
    "metadata list": ("# abaw_tf [1]\ntrial,frame,valence\na,0,0.5\n", r"must be a JSON object"),
    "edition": ('# abaw_tf {"edition": "abaw7"}\ntrial,frame,valence\na,0,0.5\n', r"no known edition.*abaw7"),
    "order": (
        '# abaw_tf {"edition": "abaw2", "classes": ["Fear"]}\ntrial,frame,valence\na,0,0\n',
        r"class order is not",
    ),
    "empty": ("", r"x.csv: not a readable CSV file"),
    "no header": ("a,0,0.5\n", r"column 'trial' is missing"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_faulty_csv_files_are_named_with_their_line(tmp_path, case):
    text, message = BAD_FILES[case]
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(PredictionError, match=message):
        predictions.read(path)


def test_other_faulty_files(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.csv: no such prediction file"):
        predictions.read(tmp_path / "absent.csv")
    with pytest.raises(PredictionError, match=r"kept in a \.parquet or \.csv file.*'\.xlsx'"):
        predictions.write(table, tmp_path / "x.xlsx")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(PredictionError, match=r"x\.parquet: not a readable Parquet file"):
        predictions.read(tmp_path / "x.parquet")
    path = predictions.write(table, tmp_path / "y.csv")
    with pytest.raises(PredictionError, match="edition abaw2 where edition abaw3 is wanted"):
        predictions.read(path, edition="abaw3")


def test_concatenate_joins_frames_and_metadata(table):
    other = predictions.make_table(
        "c", [0], probabilities=np.eye(7)[:1], valence=[0], arousal=[0], model="other net", weights_hash="abc123"
    )
    joined = predictions.concatenate([other, table])
    assert joined["trial"].tolist() == ["007", "007", "b", "b", "b", "c"]
    assert joined.attrs["model"] == "other net + test net"
    assert joined.attrs["weights_hash"] == "abc123"
    assert joined.attrs["notes"] == ["made up"]
    assert table.attrs["model"] == "test net"
    with pytest.raises(PredictionError, match="occur twice"):
        predictions.concatenate([table, table])
    with pytest.raises(PredictionError, match=r"other columns than table 0.*arousal"):
        predictions.concatenate([table, other.drop(columns="arousal")])
    third = predictions.make_table("c", [0], valence=[0], edition="abaw3")
    with pytest.raises(PredictionError, match="of another edition"):
        predictions.concatenate([table, third])
    with pytest.raises(PredictionError, match="no prediction table to join"):
        predictions.concatenate([])


class TestFillMissing:
    @pytest.fixture
    def sparse(self):
        p = np.eye(7)[[3, 1]]
        return predictions.make_table(
            "a", [2, 5], time=[1.0, 2.5], probabilities=p, valence=[0.2, -0.4], arousal=[1, 0]
        )

    def test_expression_from_before_and_valence_between(self, sparse):
        full = predictions.fill_missing(sparse, {"a": 8})
        assert full["frame"].tolist() == list(range(8))
        assert full["expression"].tolist() == [3, 3, 3, 3, 3, 1, 1, 1]
        assert full["p_Fear"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
        np.testing.assert_allclose(full["valence"], [0.2, 0.2, 0.2, 0.0, -0.2, -0.4, -0.4, -0.4], atol=1e-12)
        np.testing.assert_allclose(full["arousal"], [1, 1, 1, 2 / 3, 1 / 3, 0, 0, 0])
        np.testing.assert_allclose(full["time"], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5])
        assert "6 of 8 frames had no prediction" in full.attrs["notes"][-1]
        assert len(sparse) == 2

    def test_complete_tables_stay(self, sparse):
        full = predictions.fill_missing(sparse, {"a": 6})
        again = predictions.fill_missing(full, {"a": 6})
        pd.testing.assert_frame_equal(full, again)

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_against_a_plain_loop(self, data):
        length = data.draw(st.integers(1, 30))
        known = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1)))
        classes = data.draw(st.lists(st.integers(0, 6), min_size=len(known), max_size=len(known)))
        valence = data.draw(st.lists(st.floats(-1, 1), min_size=len(known), max_size=len(known)))
        table = predictions.make_table("t", known, expression=classes, valence=valence)
        full = predictions.fill_missing(table, {"t": length})
        for frame in range(length):
            before = [i for i, k in enumerate(known) if k <= frame]
            after = [i for i, k in enumerate(known) if k >= frame]
            assert full["expression"][frame] == classes[before[-1] if before else 0]
            if before and after and before[-1] != after[0]:
                left, right = before[-1], after[0]
                part = (frame - known[left]) / (known[right] - known[left])
                wanted = valence[left] + part * (valence[right] - valence[left])
            else:
                wanted = valence[before[-1]] if before else valence[after[0]]
            assert full["valence"][frame] == pytest.approx(wanted, abs=1e-12)

    def test_given_times(self, sparse):
        full = predictions.fill_missing(sparse, {"a": 6}, times={"a": np.arange(6) / 30})
        np.testing.assert_array_equal(full["time"], np.arange(6) / 30)
        with pytest.raises(PredictionError, match=r"each of the 6 frames. Received: shape \(5,\)"):
            predictions.fill_missing(sparse, {"a": 6}, times={"a": np.arange(5) / 30})

    def test_up_to_two_frames_beyond_the_end_are_cut(self, sparse):
        cut = predictions.fill_missing(sparse, {"a": 4})
        assert len(cut) == 4
        assert "1 predicted frames beyond" in cut.attrs["notes"][-1]
        with pytest.raises(PredictionError, match="frame 5 is predicted but the trial has 3 frames"):
            predictions.fill_missing(sparse, {"a": 3})

    def test_trials_without_any_prediction(self, sparse):
        with pytest.raises(PredictionError, match="trial b: none of its 3 frames has a prediction"):
            predictions.fill_missing(sparse, {"a": 6, "b": 3})
        full = predictions.fill_missing(sparse, {"a": 6, "b": 3}, empty="neutral")
        blank = full[full["trial"] == "b"]
        assert blank["expression"].tolist() == [0, 0, 0]
        assert blank["p_Neutral"].tolist() == [1, 1, 1]
        assert (blank[["valence", "arousal"]] == 0).all(axis=None)
        assert "called Neutral: b" in full.attrs["notes"][-1]

    def test_trials_without_a_length(self, sparse):
        with pytest.raises(PredictionError, match=r"have predictions but no length.*Received: a"):
            predictions.fill_missing(sparse, {"b": 3}, empty="neutral")
        with pytest.raises(ValueError, match="Received: 'zero'"):
            predictions.fill_missing(sparse, {"a": 6}, empty="zero")


EMOTIONS = "Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger"


def pyfeat_file(path, rows, header=f"FaceRectWidth,FaceRectHeight,FaceScore,{EMOTIONS},valence,arousal,input,frame"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


class TestPyfeat:
    def test_classes_are_mapped_and_the_larger_face_kept(self, tmp_path):
        path = pyfeat_file(
            tmp_path / "faces.csv",
            [
                "10,10,0.99,0,1,0,0,0,0,0,0.5,0.1,clip.one.mp4,0",
                "20,20,0.98,0,0,1,0,0,0,0,-0.5,0.2,clip.one.mp4,0",
                "90,90,0.50,0,0,0,0,0,0,1,-0.9,0.3,clip.one.mp4,0",
                ",,,,,,,,,,,,clip.one.mp4,2",
                "10,10,0.99,0.5,0,0,0,0,0,0.505,0.5,0.1,clip.one.mp4,4",
            ],
        )
        table = predictions.read_pyfeat(path, fps=25)
        assert table["trial"].tolist() == ["clip.one", "clip.one"]
        assert table["frame"].tolist() == [0, 4]
        assert table["time"].tolist() == [0, 0.16]
        assert [SEVEN[k] for k in table["expression"]] == ["Sadness", "Anger"]
        assert table["valence"].tolist() == [-0.5, 0.5]
        np.testing.assert_allclose(predictions.probabilities(table).sum(axis=1), 1)
        notes = " | ".join(table.attrs["notes"])
        assert "1 rows without a face" in notes
        assert "1 frames with several faces" in notes
        assert "1 rows of probabilities renormalised" in notes

    def test_older_headers_and_the_third_edition(self, tmp_path):
        names = "anger,disgust,fear,happiness,sadness,surprise,neutral"
        path = pyfeat_file(tmp_path / "v1.csv", ["0,0,0,1,0,0,0,7"], header=f"{names},frame")
        table = predictions.read_pyfeat(path, edition="abaw3")
        assert table["trial"].tolist() == ["v1"]
        assert table["p_Happiness"].tolist() == [1]
        assert table["p_Other"].tolist() == [0]
        assert "does not know Other" in table.attrs["notes"][0]
        assert "valence" not in table

    def test_contempt_is_dropped_and_the_rest_scaled(self, tmp_path):
        path = pyfeat_file(tmp_path / "c.csv", ["0,0.3,0,0.2,0,0,0,0.5,7"], header=f"{EMOTIONS},contempt,frame")
        table = predictions.read_pyfeat(path)
        np.testing.assert_allclose(table[["p_Happiness", "p_Surprise"]], [[0.6, 0.4]])
        assert "dropped, not in edition abaw2: Contempt" in table.attrs["notes"][0]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("1,1,1,9,1,0,0,0,0,0,0,0,a.mp4,0", r"line 2: the emotions must be probabilities.*sum 10\.0000"),
            ("1,1,1,-1,2,0,0,0,0,0,0,0,a.mp4,0", r"line 2: the emotions must be probabilities"),
            ("1,1,1,x,1,0,0,0,0,0,0,0,a.mp4,0", r"line 2: column 'Neutral' must hold a number.*'x'"),
            (",,,,,,,,,,,,a.mp4,0", r"no row has a face"),
            ("1,1,1,1,0,0,0,0,0,0,3,0,a.mp4,0", r"bad\.csv: .*valence must lie in \[-1, 1\]"),
            ("1,1,1,1,0,0,0,0,0,0,0,0,a.mp4,0.5", r"bad\.csv: .*frame must be a whole number"),
        ],
    )
    def test_faulty_files(self, tmp_path, row, message):
        path = pyfeat_file(tmp_path / "bad.csv", [row])
        with pytest.raises(PredictionError, match=message):
            predictions.read_pyfeat(path)

    def test_other_faults(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file or folder"):
            predictions.read_pyfeat(tmp_path / "absent")
        (tmp_path / "other.csv").write_text("a,b\n1,2\n")
        with pytest.raises(PredictionError, match=r"no py-feat CSV.*Received: 1 other"):
            predictions.read_pyfeat(tmp_path)
        with pytest.raises(PredictionError, match=r"other\.csv: not a py-feat CSV"):
            predictions.read_pyfeat(tmp_path / "other.csv")
        stamp = pyfeat_file(tmp_path / "t.csv", ["1,0,0,0,0,0,0,0,soon"], header=f"{EMOTIONS},frame,approx_time")
        with pytest.raises(PredictionError, match=r"t\.csv, line 2: approx_time must be minutes:seconds.*'soon'"):
            predictions.read_pyfeat(stamp)
        with pytest.raises(ValueError, match="fps must be a positive number"):
            predictions.read_pyfeat(stamp, fps=0)

    def test_real_files(self, realdata):
        folder = realdata / "frame_preds_pyfeat_news"
        table = predictions.read_pyfeat(folder)
        assert table["trial"].nunique() == 10
        assert len(table) == sum(len(pd.read_csv(path, usecols=["frame"])) for path in folder.glob("0*.csv"))
        raw = pd.read_csv(folder / "015.csv")
        ours = table[table["trial"] == "015"].reset_index(drop=True)
        assert ours["frame"].tolist() == list(range(0, 60, 2))
        scaled = raw["Happy"] / raw[EMOTIONS.split(",")].sum(axis=1)
        np.testing.assert_allclose(ours["p_Happiness"], scaled)
        np.testing.assert_array_equal(ours["valence"], raw["valence"])
        assert ours["time"].tolist()[-1] == 2.0
        assert not (table["expression"] == SEVEN.index("Anger")).any()
        assert any("clip_attrs.csv" in note for note in table.attrs["notes"])


def test_load_tells_the_format(table, tmp_path, realdata):
    parquet = predictions.write(table, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(predictions.load(parquet), table)
    clip = realdata / "frame_preds_pyfeat_news" / "001.csv"
    assert predictions.load(clip).attrs["model"] == "py-feat"
    assert predictions.load(clip.parent)["trial"].nunique() == 10
    full = predictions.fill_missing(table, {"b": 3, "007": 6})
    for task, column in (("expression", "expression"), ("valence_arousal", "arousal")):
        predictions.write_submission(full, tmp_path / task, task)
        assert column in predictions.load(tmp_path / task)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match=r"neither py-feat .csv files nor"):
        predictions.load(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        predictions.load(tmp_path / "absent")
    with pytest.raises(ValueError, match="format must be one of auto, table, pyfeat, submission"):
        predictions.load(parquet, format="excel")


def test_metadata_line_of_a_csv_is_plain_json(table, tmp_path):
    first = predictions.write(table, tmp_path / "x.csv").read_text().splitlines()[0]
    assert json.loads(first.removeprefix("# abaw_tf "))["model"] == "test net"
