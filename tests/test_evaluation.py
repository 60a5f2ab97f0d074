"""Scores, intervals over videos, comparison, and the label tables they are taken against."""

import json
import subprocess
import sys

import audmetric
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from abaw_tf import evaluation, predictions
from abaw_tf.data import annotations
from abaw_tf.evaluation import LabelError, compare, evaluate, label_table, read_labels
from abaw_tf.predictions import PredictionError

TRIALS = {"a": 40, "b_left": 30, "b_right": 35, "c": 60, "d": 25, "e": 50}
VIDEOS = [["a"], ["b_left", "b_right"], ["c"], ["d"], ["e"]]


def tables(seed=0, skill=0.6, trials=TRIALS, noise=0.2):
    """Labels (some missing) of the given trials, and predictions that agree with them to a degree."""
    truth, rng = np.random.default_rng(99), np.random.default_rng(seed)
    labels, predicted = [], []
    for name, n in trials.items():
        expression = np.repeat(truth.integers(0, 7, n), 5)[:n]
        va = np.clip(np.cumsum(truth.normal(0, 0.1, (n, 2)), axis=0), -1, 1)
        guess = np.where(rng.random(n) < skill, expression, rng.integers(0, 7, n))
        va_guess = np.clip(va + rng.normal(0, noise, (n, 2)), -1, 1)
        part = pd.DataFrame({"trial": name, "frame": np.arange(n), "expression": expression})
        part[["valence", "arousal"]] = va
        part.loc[truth.random(n) < 0.1, "expression"] = -1
        part.loc[truth.random(n) < 0.1, ["valence", "arousal"]] = np.nan
        labels.append(part)
        predicted.append(
            predictions.make_table(name, np.arange(n), expression=guess, valence=va_guess[:, 0], arousal=va_guess[:, 1])
        )
    return predictions.concatenate(predicted), pd.concat(labels, ignore_index=True)


def joined(table, labels):
    return labels.merge(table, on=["trial", "frame"], suffixes=("", "_p"))


def plain_scores(frames):
    """Every score from rows of truth and prediction, by other libraries."""
    known = frames[frames["expression"] >= 0]
    true, guess = known["expression"], known["expression_p"]
    f1 = {
        kind: sk.f1_score(true, guess, labels=range(7), average=kind, zero_division=0) for kind in ("macro", "weighted")
    }
    scores = {"macro_f1": f1["macro"], "weighted_f1": f1["weighted"], "accuracy": sk.accuracy_score(true, guess)}
    scores["expression_score"] = 0.67 * f1["macro"] + 0.33 * scores["accuracy"]
    va = frames.dropna(subset=["valence", "arousal"])
    for name in ("valence", "arousal"):
        scores[f"ccc_{name}"] = audmetric.concordance_cc(va[name], va[f"{name}_p"])
        scores[f"mae_{name}"] = sk.mean_absolute_error(va[name], va[f"{name}_p"])
        scores[f"rmse_{name}"] = sk.mean_squared_error(va[name], va[f"{name}_p"]) ** 0.5
    scores["valence_arousal_score"] = (scores["ccc_valence"] + scores["ccc_arousal"]) / 2
    return scores


def test_scores_are_those_of_other_libraries():
    table, labels = tables()
    found = evaluate(table, labels, bootstrap=0)
    assert found.scores == pytest.approx(plain_scores(joined(table, labels)), abs=1e-12)
    assert found.intervals == {}
    known = joined(table, labels).query("expression >= 0")
    assert found.variants["do2020"] == pytest.approx(
        0.66 * found.scores["weighted_f1"] + 0.33 * found.scores["accuracy"]
    )
    np.testing.assert_array_equal(
        found.confusion, sk.confusion_matrix(known["expression"], known["expression_p"], labels=range(7))
    )
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        known["expression"], known["expression_p"], labels=range(7), zero_division=0
    )
    np.testing.assert_allclose(found.per_class["precision"], precision)
    np.testing.assert_allclose(found.per_class["recall"], recall)
    np.testing.assert_allclose(found.per_class["f1"], f1)
    np.testing.assert_array_equal(found.per_class["support"], support)
    assert found.per_class.index[0] == "Neutral"


def test_per_trial_scores():
    table, labels = tables()
    found = evaluate(table, labels, bootstrap=0).per_trial.set_index("trial")
    assert list(found.index) == sorted(TRIALS)
    for name in TRIALS:
        rows = joined(table, labels).query("trial == @name")
        wanted = plain_scores(rows)
        for column in ("accuracy", "macro_f1", "ccc_valence", "ccc_arousal", "mae_valence"):
            assert found.loc[name, column] == pytest.approx(wanted[column], abs=1e-12), (name, column)
        assert found.loc[name, "frames_expression"] == (rows["expression"] >= 0).sum()


def test_intervals_are_those_of_resampling_the_frames_of_whole_videos():
    table, labels = tables()
    found = evaluate(table, labels, bootstrap=120, seed=5)
    frames = joined(table, labels)
    by_video = [frames[frames["trial"].isin(names)] for names in VIDEOS]
    drawn = np.random.default_rng(5).multinomial(5, np.full(5, 0.2), size=120)
    resampled = [
        plain_scores(pd.concat([video for video, times in zip(by_video, row) for _ in range(times)])) for row in drawn
    ]
    for name in found.scores:
        low, high = np.quantile([scores[name] for scores in resampled], [0.025, 0.975])
        assert found.intervals[name] == pytest.approx((low, high), abs=1e-9), name
        assert low < found.scores[name] < high or name == "macro_f1"
    assert found.coverage.loc["expression", "videos"] == 5
    assert found.coverage.loc["expression", "trials"] == 6
    assert evaluate(table, labels, bootstrap=120, seed=5).intervals == found.intervals
    assert evaluate(table, labels, bootstrap=120, seed=6).intervals != found.intervals


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Videos drawn from a known population of per-video accuracies: the 95 % interval must hold its mean about that often."""
    rng = np.random.default_rng(11)
    hits = 0
    for repetition in range(120):
        skill = np.repeat(rng.choice([0.3, 0.5, 0.7, 0.9], size=40), 50)
        trial, frame = np.repeat([f"v{k:02d}" for k in range(40)], 50), np.tile(np.arange(50), 40)
        table = predictions.make_table(trial, frame, expression=(rng.random(2000) < skill).astype(int))
        labels = pd.DataFrame({"trial": trial, "frame": frame, "expression": 1})
        found = evaluate(table, labels, bootstrap=400, seed=repetition)
        low, high = found.intervals["accuracy"]
        hits += low <= 0.6 <= high
    assert 105 <= hits <= 119


def test_one_video_gives_no_interval():
    table, labels = tables(trials={"b_left": 40, "b_right": 40})
    found = evaluate(table, labels)
    assert found.intervals == {}
    assert any("no interval can be given" in note for note in found.notes)
    assert "no interval can be given" in found.format()
    assert found.per_class["f1_low"].isna().all()
    verdict = compare(table, tables(seed=1, trials={"b_left": 40, "b_right": 40})[0], labels).verdicts[0]
    assert "cannot be told from one video" in verdict


def test_few_videos_are_called_rough():
    table, labels = tables()
    assert any("only 5 videos; the intervals are rough" in note for note in evaluate(table, labels, bootstrap=20).notes)


def test_missing_predictions_are_an_error_unless_dropped():
    table, labels = tables()
    rare = table.drop(index=table.index[[3, 4, 50]])
    lost = labels[labels["trial"].isin(["a"]) & labels["frame"].isin([3, 4])]
    with pytest.raises(
        PredictionError, match=r"expression: \d of 2\d\d labelled frames, in \d trial\(s\).*fill_missing.*drop"
    ):
        evaluate(rare, labels)
    found = evaluate(rare, labels, missing="drop", bootstrap=0)
    assert found.scores == pytest.approx(plain_scores(joined(rare, labels)), abs=1e-12)
    assert found.coverage.loc["expression", "missing"] >= (lost["expression"] >= 0).sum()
    assert any("were left out: not comparable" in note for note in found.notes)
    with pytest.raises(PredictionError, match=r"check that trial names and split are the same"):
        evaluate(rare.assign(trial="other" + rare["trial"]), labels, missing="drop")
    with pytest.raises(ValueError, match="Received: 'ignore'"):
        evaluate(rare, labels, missing="ignore")


def test_frames_and_trials_without_labels_do_not_count():
    table, labels = tables()
    more = predictions.concatenate(
        [table, predictions.make_table("zz", [0, 1], expression=[0, 0], valence=[0, 0], arousal=[0, 0])]
    )
    shuffled = labels.sample(frac=1, random_state=0)
    assert evaluate(more, shuffled, bootstrap=50).scores == pytest.approx(evaluate(table, labels, bootstrap=50).scores)
    for name, span in evaluate(table, labels, bootstrap=50).intervals.items():
        assert evaluate(more, shuffled, bootstrap=50).intervals[name] == pytest.approx(span)


def test_one_task_only():
    table, labels = tables()
    found = evaluate(table.drop(columns=["valence"]), labels, bootstrap=10)
    assert set(found.scores) == {"expression_score", "macro_f1", "weighted_f1", "accuracy"}
    found = evaluate(table, labels.drop(columns="expression"), bootstrap=10)
    assert "expression_score" not in found.scores
    assert found.confusion is None
    assert found.per_class is None
    with pytest.raises(
        PredictionError, match=r"nothing to score.*predictions of valence_arousal, labels of expression"
    ):
        evaluate(table.drop(columns="expression"), labels.assign(valence=np.nan))


def test_expression_videos_without_valence_do_not_thin_its_resamples():
    table, labels = tables()
    labels.loc[labels["trial"].isin(["d", "e"]), ["valence", "arousal"]] = np.nan
    found = evaluate(table, labels, bootstrap=200, seed=1)
    alone = evaluate(table, labels[labels["trial"].isin(["a", "b_left", "b_right", "c"])], bootstrap=200, seed=1)
    assert found.coverage.loc["valence_arousal", "videos"] == 3
    assert found.intervals["ccc_valence"] == alone.intervals["ccc_valence"]


def test_classes_of_few_videos_are_told():
    table, labels = tables(trials={f"v{k:02d}": 30 for k in range(12)})
    labels["expression"] = np.where(labels["trial"].isin(["v00", "v01"]) & (labels["frame"] < 9), 3, 0)
    notes = evaluate(table, labels, bootstrap=20).notes
    assert any("classes of few videos: Fear (2);" in note for note in notes)
    assert not any("few videos" in note for note in evaluate(table, labels, bootstrap=0).notes)


def test_variants_and_editions():
    table, labels = tables()
    found = evaluate(table, labels, variant="do2020", bootstrap=0)
    assert found.scores["expression_score"] == pytest.approx(
        0.66 * found.scores["weighted_f1"] + 0.33 * found.scores["accuracy"]
    )
    assert any("is the variant do2020" in note for note in found.notes)
    assert "do2020" not in found.variants
    eight = predictions.make_table("a", np.arange(40), expression=np.arange(40) % 8, edition="abaw3")
    truth = pd.DataFrame({"trial": "a", "frame": np.arange(40), "expression": (np.arange(40) // 2) % 8})
    found = evaluate(eight, truth, bootstrap=0)
    assert found.scores["expression_score"] == found.scores["macro_f1"]
    assert found.confusion.shape == (8, 8)
    with pytest.raises(PredictionError, match=r"of edition abaw3 \(8 classes\).*Received: 'abaw2'"):
        evaluate(eight, truth.assign(expression=0), edition="abaw2")
    with pytest.raises(ValueError, match="do2021"):
        evaluate(table, labels, variant="do2021")
    with pytest.raises(ValueError, match="bootstrap must be a number of resamples"):
        evaluate(table, labels, bootstrap=-1)


def test_absent_classes_and_constant_predictions_are_told():
    truth = pd.DataFrame({"trial": ["a"] * 4 + ["b"] * 4, "frame": [0, 1, 2, 3] * 2, "expression": [0, 1] * 4})
    truth = truth.assign(valence=0.25, arousal=[0, 0.5] * 4)
    table = predictions.make_table(
        truth["trial"].to_numpy(),
        truth["frame"].to_numpy(),
        expression=[0, 1] * 4,
        valence=[0.25] * 8,
        arousal=[0.1] * 8,
    )
    found = evaluate(table, truth, bootstrap=50)
    assert found.scores["macro_f1"] == pytest.approx(2 / 7)
    assert np.isnan(found.scores["ccc_valence"])
    assert found.scores["ccc_arousal"] == pytest.approx(0, abs=1e-12)
    assert any("no labelled frame of Disgust, Fear" in note for note in found.notes)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["scores"]["ccc_valence"] is None
    assert "CCC valence" in found.format()


def test_a_second_detector_can_be_the_labels():
    one, _ = tables(seed=1)
    two, _ = tables(seed=2)
    found = evaluate(one, two, bootstrap=0)
    back = evaluate(two, one, bootstrap=0)
    assert found.scores["accuracy"] == pytest.approx(back.scores["accuracy"])
    assert found.scores["ccc_valence"] == pytest.approx(back.scores["ccc_valence"])


class TestCompare:
    def test_a_better_model_is_called_better(self):
        names = {f"v{k:02d}": 60 for k in range(30)}
        weak, labels = tables(seed=1, skill=0.5, trials=names, noise=0.4)
        strong, _ = tables(seed=2, skill=0.7, trials=names, noise=0.1)
        found = compare(weak, strong, labels, bootstrap=300, names=("weak", "strong"))
        assert found.table.loc["expression_score", "low"] > 0
        assert all("strong is better than weak" in verdict for verdict in found.verdicts)
        assert "over 30 videos" in found.verdicts[0]
        back = compare(strong, weak, labels, bootstrap=300, names=("strong", "weak"))
        assert all("strong is better than weak" in verdict for verdict in back.verdicts)
        np.testing.assert_allclose(back.table["difference"], -found.table["difference"], atol=1e-12)
        assert found.table.loc["mae_valence", "difference"] < 0
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["names"] == ["weak", "strong"]

    def test_equal_skill_is_not_called_different(self):
        names = {f"v{k:02d}": 60 for k in range(30)}
        claims = 0
        for seed in range(8):
            a, labels = tables(seed=10 + seed, trials=names)
            b, _ = tables(seed=50 + seed, trials=names)
            claims += "no difference can be claimed" not in compare(a, b, labels, bootstrap=200).verdicts[0]
        assert claims <= 2

    def test_pairing_matters(self):
        """Videos differ a lot, the models by a constant: unpaired intervals overlap, the paired one excludes zero."""
        rng = np.random.default_rng(0)
        parts = {"a": [], "b": []}
        labels = []
        for k in range(20):
            right = rng.permutation(100) < 30 + 3 * k
            more = right | (rng.permutation(100) < 8)
            labels.append(pd.DataFrame({"trial": f"v{k:02d}", "frame": np.arange(100), "expression": 1}))
            for key, good in (("a", right), ("b", more)):
                parts[key].append(predictions.make_table(f"v{k:02d}", np.arange(100), expression=good.astype(int)))
        a, b, labels = predictions.concatenate(parts["a"]), predictions.concatenate(parts["b"]), pd.concat(labels)
        paired = compare(a, b, labels, bootstrap=500).table.loc["accuracy"]
        alone = [evaluate(table, labels, bootstrap=500).intervals["accuracy"] for table in (a, b)]
        assert alone[1][0] < alone[0][1]
        assert paired["low"] > 0

    def test_the_same_table_twice(self):
        table, labels = tables()
        found = compare(table, table, labels, bootstrap=50)
        assert all("the two score the same" in verdict for verdict in found.verdicts)
        assert (found.table["difference"] == 0).all()
        assert "against" in found.format()

    def test_frames_of_both(self):
        table, labels = tables()
        fewer = table.drop(index=table.index[:20])
        with pytest.raises(PredictionError, match="have no prediction"):
            compare(table, fewer, labels)
        found = compare(table, fewer, labels, missing="drop", bootstrap=20)
        assert (
            found.frames["expression"] == evaluate(fewer, labels, missing="drop").coverage.loc["expression", "scored"]
        )
        assert "not both tables predict" in found.notes[0]
        with pytest.raises(PredictionError, match="predict different tasks"):
            compare(table.drop(columns="expression"), table.drop(columns="valence"), labels)
        assert "was not examined" in compare(table, tables(seed=9)[0], labels, bootstrap=0).verdicts[0]


class FakeDataset:
    """Two tasks with different splits, as in Aff-Wild2."""

    def trials(self):
        rows = [
            ("a", "validation", "validation"),
            ("b", "validation", "train"),
            ("c", "train", "validation"),
            ("d", "test", None),
        ]
        return pd.DataFrame(rows, columns=["trial", "split_expression", "split_valence_arousal"])

    def labels(self, trial):
        missing = trial == "d"
        index = pd.RangeIndex(3, name="frame")
        columns = {"expression": [-1 if missing else ord(trial) - 97] * 3}
        columns |= {name: np.full(3, np.nan if missing else 0.5, np.float32) for name in ("valence", "arousal")}
        return pd.DataFrame(columns, index=index)


class TestLabelTable:
    def test_each_task_has_its_own_split(self):
        table = label_table(FakeDataset(), "validation")
        assert table["trial"].unique().tolist() == ["a", "b", "c"]
        assert table.groupby("trial")["expression"].max().to_dict() == {"a": 0, "b": 1, "c": -1}
        assert table.groupby("trial")["valence"].count().to_dict() == {"a": 3, "b": 0, "c": 3}
        assert table["frame"].tolist() == [0, 1, 2] * 3
        one = label_table(FakeDataset(), "validation", "expression")
        assert list(one.columns) == ["trial", "frame", "expression"]
        assert one["trial"].unique().tolist() == ["a", "b"]
        assert len(label_table(FakeDataset())) == 12

    def test_faults(self):
        with pytest.raises(LabelError, match="have no labels"):
            label_table(FakeDataset(), "test")
        with pytest.raises(LabelError, match="no trial is in the split"):
            label_table(FakeDataset(), "test", "valence_arousal")
        with pytest.raises(ValueError, match=r"split must be one of.*'val'"):
            label_table(FakeDataset(), "val")
        with pytest.raises(ValueError, match=r"task must be one of.*'va'"):
            label_table(FakeDataset(), "validation", "va")

    def test_annotation_folders_and_tables_hold_the_same(self, tmp_path):
        expression = {"a": [0, -1, 6], "b_right": [3, 3]}
        va = {"a": [[0.5, -0.5], [np.nan, np.nan], [1, -1]]}
        (tmp_path / "expr").mkdir()
        (tmp_path / "va").mkdir()
        for name, values in expression.items():
            annotations.write_expression(tmp_path / "expr" / f"{name}.txt", np.array(values), "abaw2")
        annotations.write_valence_arousal(tmp_path / "va" / "a.txt", np.array(va["a"], np.float32), "abaw2")
        table = read_labels(tmp_path / "expr")
        assert table["expression"].tolist() == [0, -1, 6, 3, 3]
        assert table["trial"].tolist() == ["a"] * 3 + ["b_right"] * 2
        both = table.merge(read_labels(tmp_path / "va"), on=["trial", "frame"], how="left")
        both.to_parquet(tmp_path / "both.parquet")
        both.to_csv(tmp_path / "both.csv", index=False)
        for suffix in ("parquet", "csv"):
            again = read_labels(tmp_path / f"both.{suffix}")
            assert again["expression"].tolist() == [0, -1, 6, 3, 3]
            np.testing.assert_array_equal(again["valence"], [0.5, np.nan, 1, np.nan, np.nan])
        assert list(read_labels(tmp_path / "both.csv", task="expression").columns) == ["trial", "frame", "expression"]
        with pytest.raises(LabelError, match="no labels of valence_arousal"):
            read_labels(tmp_path / "expr", task="valence_arousal")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("trial,frame,expression\na,0,7\n", r"line 2: expression must be 0 to 6 \(edition abaw2\)"),
            ("trial,frame,expression\na,0,1\na,0,2\n", r"line 3: this frame is labelled twice"),
            ("trial,frame,expression\na,0,1.5\n", r"line 2: expression must be a whole number"),
            ("trial,frame,expression\na,0,happy\n", r"line 2: expression must be a number.*happy"),
            ("trial,frame,expression\na,-1,0\n", r"line 2: frames are numbered from 0"),
            ("trial,frame,valence,arousal\na,0,0,0\na,1,-5,-5\n", r"line 3: valence must lie in \[-1, 1\], or be NaN"),
            ("trial,frame,valence\na,0,0\n", r"no labels; a label table has"),
            ("trial,expression\na,0\n", r"column 'frame' is missing"),
            ("", r"not a readable CSV"),
        ],
    )
    def test_faulty_tables(self, tmp_path, text, message):
        path = tmp_path / "labels.csv"
        path.write_text(text)
        with pytest.raises(LabelError, match=message):
            read_labels(path)

    def test_other_faults(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file or folder"):
            read_labels(tmp_path / "absent")
        (tmp_path / "x.xlsx").write_text("")
        with pytest.raises(LabelError, match=r"Received: suffix '\.xlsx'"):
            read_labels(tmp_path / "x.xlsx")
        (tmp_path / "text").mkdir()
        (tmp_path / "text" / "a.txt").write_text("Neutral,Anger\n0\n")
        with pytest.raises(ValueError, match=r"a\.txt, line 1"):
            read_labels(tmp_path / "text")


def test_nothing_loads_tensorflow():
    code = (
        "import sys, abaw_tf.evaluation, abaw_tf.predictions, abaw_tf.plots, abaw_tf.report\n"
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_reached_from_the_package():
    import abaw_tf

    assert abaw_tf.evaluation is evaluation
    assert set(evaluation.__all__) <= set(dir(evaluation))
