"""tools/search_fusion.py as its users call it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from abaw_tf import evaluation, predictions
from abaw_tf.cli import run_tool
from abaw_tf.fusion.search import FusionSearch
from abaw_tf.fusion.tables import fuse_tables

TRIALS, FRAMES = 8, 40
NAMES = ("neutral", "angry", "disgust", "fear", "happy", "sad", "surprise")


@pytest.fixture
def tool(project, monkeypatch, capsys):
    """Call the tool in this process: exit status, standard output, standard error."""
    monkeypatch.syspath_prepend(str(project / "tools"))
    import search_fusion

    def call(*arguments):
        status = run_tool(lambda: search_fusion.main([str(argument) for argument in arguments]))
        return status, *capsys.readouterr()

    return call


def truth_of(split, seed):
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "trial": f"{split}{trial}",
                "frame": range(FRAMES),
                "expression": rng.integers(0, 7, FRAMES),
                "valence": rng.uniform(-1, 1, FRAMES),
                "arousal": rng.uniform(-1, 1, FRAMES),
            }
        )
        for trial in range(TRIALS)
    ]
    return pd.concat(parts, ignore_index=True)


def model(truth, skill, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(truth), 7))
    logits[np.arange(len(truth)), truth["expression"]] += skill
    p = np.exp(logits)
    va = np.clip(0.5 * skill * truth[["valence", "arousal"]] + rng.normal(0, 0.2, (len(truth), 2)), -1, 1).to_numpy()
    return predictions.make_table(
        truth["trial"].to_numpy(),
        truth["frame"].to_numpy(),
        time=truth["frame"].to_numpy() / 25,
        probabilities=p / p.sum(axis=1, keepdims=True),
        valence=va[:, 0],
        arousal=va[:, 1],
    )


@pytest.fixture
def files(tmp_path):
    """Labels, two models' predictions of validation and test."""
    for split, seed in (("val", 0), ("test", 1)):
        truth = truth_of(split, seed)
        truth.to_csv(tmp_path / f"{split}.csv", index=False)
        predictions.write(model(truth, 1.0, seed + 10), tmp_path / f"{split}_net.parquet")
        predictions.write(model(truth, 0.7, seed + 20), tmp_path / f"{split}_svm.csv")
    return tmp_path


def search(files, *more):
    inputs = (f"net={files / 'val_net.parquet'}", f"svm={files / 'val_svm.csv'}")
    return (*inputs, "--labels", files / "val.csv", "--out", files / "w.json", "--draws", 50, *more)


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_search_and_apply_fuse_alike(files, tool, level):
    status, out, _ = tool(*search(files, "--level", level, "--no-held-out", "--fused", files / "searched.parquet"))
    assert status == 0
    assert "expression\nabaw2 on 320 frames of 8 videos" in out
    tables = (f"svm={files / 'val_svm.csv'}", f"net={files / 'val_net.parquet'}")
    status, out, _ = tool(*tables, "--apply", files / "w.json", "--out", files / "applied.csv")
    assert status == 0
    assert "fused 2 models, 320 frames of 8 trials" in out
    searched, applied = predictions.read(files / "searched.parquet"), predictions.read(files / "applied.csv")
    pd.testing.assert_frame_equal(searched, applied, check_exact=True)
    stored = json.loads((files / "w.json").read_text())
    labels = evaluation.read_labels(files / "val.csv")
    scores = evaluation.evaluate(applied, labels, bootstrap=0).scores
    assert stored["expression"]["found"]["score"] == pytest.approx(scores["expression_score"], abs=1e-12)
    assert stored["valence_arousal"]["found"]["score"] == pytest.approx(scores["valence_arousal_score"], abs=1e-9)


def test_new_predictions_are_matched_by_position_and_written_as_submissions(files, tool):
    tool(*search(files, "--no-held-out", "--task", "expression"))
    new = (files / "test_net.parquet", files / "test_svm.csv")
    status, out, _ = tool(*new, "--apply", files / "w.json", "--out", files / "submission", "--task", "expression")
    assert status == 0
    assert "note: models matched with the weights by position: net <- test_net, svm <- test_svm" in out
    stored = json.loads((files / "w.json").read_text())["expression"]["weights"]
    fused = fuse_tables(dict(zip(stored, map(predictions.load, new))), stored, task="expression")
    back = predictions.read_submission(files / "submission", "expression")
    np.testing.assert_array_equal(back["expression"], fused["expression"])
    assert not predictions.validate_submission(files / "submission", "expression")


def test_both_tasks_become_two_folders_of_submissions(files, tool):
    tool(*search(files, "--method", "average", "--no-held-out"))
    new = (files / "test_net.parquet", files / "test_svm.csv")
    assert tool(*new, "--apply", files / "w.json", "--out", files / "sub")[0] == 0
    assert {path.name for path in (files / "sub").iterdir()} == {"expression", "valence_arousal"}
    assert predictions.validate_submission(files / "sub" / "valence_arousal", "valence_arousal") == []


def test_plain_tables_submissions_and_detectors_are_fused_together(files, tool, realdata):
    detector = files / "detector"
    detector.mkdir()
    for clip in ("001", "003", "011"):
        shutil.copy(realdata / "frame_preds_pyfeat_news" / f"{clip}.csv", detector)
    real = predictions.load(detector)
    rng = np.random.default_rng(0)
    keys = real[["trial", "frame"]]
    truth = keys.assign(expression=np.where(rng.random(len(keys)) < 0.6, real["expression"], 3))
    truth.to_csv(files / "truth.csv", index=False)
    p = rng.dirichlet(np.ones(7), len(keys)) * 0.997
    plain = pd.DataFrame(p, columns=NAMES).assign(clip=keys["trial"], number=keys["frame"] + 1)
    plain.to_csv(files / "plain.csv", index=False)
    decided = predictions.make_table(keys["trial"], keys["frame"], expression=rng.integers(0, 7, len(keys)))
    full = predictions.fill_missing(decided, {t: int(g["frame"].max()) + 1 for t, g in decided.groupby("trial")})
    predictions.write_submission(full, files / "votes", "expression")
    column_map = "trial=clip,frame=number,index_base=1"
    inputs = (detector, files / "plain.csv", files / "votes", "--columns", f"plain:{column_map}")
    common = ("--labels", files / "truth.csv", "--out", files / "w.json", "--draws", 30, "--no-held-out")
    status, _, error = tool(*inputs, *common)
    assert status == 2
    assert "detector: " in error
    assert "frames lacking" in error
    status, out, _ = tool(*inputs, *common, "--missing", "drop")
    assert status == 0
    assert f"on {len(keys):,} frames of 3 videos" in out
    assert "rows of probabilities renormalised (sums 0.9970 to 0.9970)" in out
    assert "votes: class decisions without probabilities" in out
    status, out, _ = tool(*inputs, *common, "--reference", "detector")
    assert status == 0
    assert f"on {len(keys):,} frames of 3 videos" in out
    unnamed = (detector, files / "plain.csv", "--columns", column_map, "--method", "average")
    assert tool(*unnamed, *common)[0] == 0


def test_frame_rates_that_differ_are_matched_by_time(files, tool):
    net = predictions.read(files / "val_net.parquet")
    fifth = net[net["frame"] % 5 == 0].copy()
    fifth["frame"] //= 5
    predictions.write(fifth, files / "slow.parquet")
    inputs = (files / "val_svm.csv", files / "slow.parquet", "--labels", files / "val.csv", "--out", files / "w.json")
    assert tool(*inputs, "--no-held-out", "--draws", 20)[0] == 2
    status, out, _ = tool(*inputs, "--no-held-out", "--draws", 20, "--align", "time", "--fused", files / "f.parquet")
    assert status == 0
    assert "slow: matched with the frames of val_svm by time, at most 0.1600 s apart" in out
    assert len(predictions.read(files / "f.parquet")) == TRIALS * FRAMES


def test_times_can_be_given_as_frame_rates(files, tool):
    net = predictions.read(files / "val_net.parquet")
    slow = net[net["frame"] % 5 == 0].copy()
    slow["frame"] //= 5
    predictions.write_submission(slow, files / "slow", "expression")
    inputs = (files / "val_svm.csv", files / "slow", "--labels", files / "val.csv", "--out", files / "w.json")
    more = ("--no-held-out", "--draws", 20, "--align", "time", "--task", "expression")
    status, _, error = tool(*inputs, *more)
    assert status == 2
    assert "slow: matching by time needs the time of every frame; give its frame rate" in error
    for rate in ("5", "slow:5"):
        status, out, _ = tool(*inputs, *more, "--fps", rate)
        assert status == 0
        assert "slow: times from the frame numbers, 5 frames per second" in out
    assert "must be a positive number" in tool(*inputs, *more, "--fps", "fast")[2]


def test_the_estimate_is_printed_and_kept(files, tool):
    status, out, _ = tool(*search(files, "--folds", 4, "--bootstrap", 50, "--task", "expression"))
    assert status == 0
    stored = json.loads((files / "w.json").read_text())["expression"]
    assert "held out" in out
    assert stored["held_out"]["verdict"] in out
    assert stored["held_out"]["groups"] == TRIALS
    again = files / "again.json"
    first = (files / "w.json").read_text()
    tool(*search(files, "--folds", 4, "--bootstrap", 50, "--task", "expression", "--out", again))
    assert again.read_text() == first


@pytest.mark.parametrize("more", [("--bootstrap", 50), ("--no-held-out", "--method", "majority")])
def test_the_report_is_one_page(files, tool, more):
    status, out, _ = tool(*search(files, *more, "--report", files / "report"))
    assert status == 0
    (page,) = (files / "report").iterdir()
    assert str(page) in out
    text = page.read_text(encoding="utf-8")
    assert "Valence and arousal" in text
    assert ("Held out" in text) == ("--no-held-out" not in more)


def test_one_video_has_no_estimate_but_weights(files, tool):
    table = pd.read_csv(files / "val.csv")
    table[table["trial"] == "val0"].to_csv(files / "val.csv", index=False)
    status, out, error = tool(*search(files))
    assert (status, "wrote" in out) == (2, True)
    assert "equal weights" in out
    assert "at least two videos" in error
    assert json.loads((files / "w.json").read_text())["expression"]["found"]["videos"] == 1


def test_what_was_searched_is_kept_when_the_estimate_fails(files, tool, monkeypatch):
    def fail(*_, **__):
        raise ValueError("too few videos")

    monkeypatch.setattr(FusionSearch, "estimate", fail)
    status, _, error = tool(*search(files))
    assert status == 2
    assert "too few videos" in error
    assert json.loads((files / "w.json").read_text())["models"] == ["net", "svm"]


def test_wrong_use_is_told_in_one_line(files, tool):
    weights = files / "w.json"
    tool(*search(files, "--method", "average", "--no-held-out"))
    net, svm = files / "val_net.parquet", files / "val_svm.csv"
    labels = ("--labels", files / "val.csv", "--out", files / "x.json")
    cases = {
        "nowhere.parquet: no such file": (net, files / "nowhere.parquet", *labels),
        "no such file; give the weights": (net, svm, "--apply", files / "no.json", "--out", files / "f.csv"),
        "give as many tables. Received: 1 (val_net)": (net, "--apply", weights, "--out", files / "f.csv"),
        "metric must be one of": (net, svm, *labels, "--metric", "macro_f2"),
        "two models are called 'a'": (f"a={net}", f"a={svm}", *labels),
        "weights are written as .json": (net, svm, "--labels", files / "val.csv", "--out", files / "w.parquet"),
        "written as .parquet or .csv": (net, svm, "--apply", weights, "--out", files / "f.json"),
        "two models or more": (net, *labels),
        "Did you mean 'val_svm'": (net, svm, *labels, "--columns", "val_svn:map.yaml"),
        "reference must be 'val_net' or 'val_svm'": (net, svm, *labels, "--reference", "net"),
        "is for valence and arousal": (net, svm, *labels, "--method", "optimum", "--task", "expression"),
        "fused table is written as .parquet": (net, svm, *labels, "--fused", files / "f.xlsx"),
        "tolerance is a number of seconds": (net, svm, *labels, "--tolerance", 0.1),
        "is a file, not a folder": (net, svm, "--labels", files / "val.csv", "--out", svm / "x.json"),
        "it is a folder": (net, svm, "--labels", files / "val.csv", "--out", files / "folder.json"),
        f"{net} is a file": (net, svm, *labels, "--report", net / "report"),
    }
    (files / "folder.json").mkdir()
    for message, arguments in cases.items():
        status, _, error = tool(*arguments)
        assert (status, message in error) == (2, True), (message, error)
        assert error.strip().splitlines()[-1].startswith("error: ")
    assert not (files / "x.json").exists()


def test_labels_and_apply_exclude_each_other(files, tool):
    for more in ((), ("--labels", files / "val.csv", "--apply", files / "w.json")):
        with pytest.raises(SystemExit) as caught:
            tool(files / "val_net.parquet", "--out", files / "x.json", *more)
        assert caught.value.code == 2
    with pytest.raises(SystemExit):
        tool(*search(files, "--folds", 1))
