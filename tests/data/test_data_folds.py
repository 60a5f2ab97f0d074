"""Folds: nobody on both sides, about equal, the same every time, and on disk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf.data import folds


def table(trials, frames=None, split=None):
    frames = [100] * len(trials) if frames is None else frames
    columns = {"trial": trials, "n_frames": frames}
    return pd.DataFrame(columns if split is None else {**columns, "split": split})


@pytest.mark.parametrize(
    ("trial", "video", "subject"),
    [
        ("10-60-1280x720_right", "10-60-1280x720", "right"),
        ("video49_left", "video49", "left"),
        ("video45_1", "video45_1", ""),
        ("video86_1_left", "video86_1", "left"),
        ("leftovers_lefty", "leftovers_lefty", ""),
        ("_left", "_left", ""),
        ("a_left_right", "a_left", "right"),
    ],
)
def test_video_and_subject_of_a_trial(trial, video, subject):
    assert folds.video_of(trial) == video
    assert folds.subject_of(trial) == subject


NAMES = st.sets(st.sampled_from([f"v{i}{end}" for i in range(12) for end in ("", "_left", "_right", "_1")]), min_size=1)


@settings(deadline=None)
@given(NAMES, st.integers(2, 5), st.sampled_from([None, 0, 7]), st.randoms())
def test_folds_are_safe_complete_balanced_and_deterministic(names, n_folds, seed, random):
    names = sorted(names)
    frames = [random.randint(0, 1000) for _ in names]
    videos = {folds.video_of(name) for name in names}
    if len(videos) < n_folds:
        with pytest.raises(ValueError, match="use fewer folds"):
            folds.make_folds(table(names, frames), n_folds, seed)
        return
    made = folds.make_folds(table(names, frames), n_folds, seed)
    assert made["trial"].tolist() == names
    assert made.groupby("video")["fold"].nunique().max() == 1
    assert (made["video"] == made["trial"].map(folds.video_of)).all()
    assert set(made["fold"]) == set(range(n_folds))
    loads = made.groupby("fold")["n_frames"].sum()
    assert loads.max() - loads.min() <= made.groupby("video")["n_frames"].sum().max()
    order = list(range(len(names)))
    random.shuffle(order)
    again = folds.make_folds(table([names[i] for i in order], [frames[i] for i in order]), n_folds, seed)
    pd.testing.assert_frame_equal(made, again)


def test_a_seed_draws_other_folds():
    trials = table([f"v{i}" for i in range(30)])
    first, second = (folds.make_folds(trials, 3, seed)["fold"].tolist() for seed in (0, 1))
    assert first != second
    assert np.bincount(first).tolist() == np.bincount(second).tolist() == [10, 10, 10]


def test_official_validation_is_fold_zero():
    made = folds.make_folds(
        table(
            ["a", "b", "c_left", "c_right", "d", "e", "t"],
            split=["train", "train", "train", "validation", "validation", "train", "test"],
        ),
        4,
        official=True,
    ).set_index("trial")["fold"]
    assert made[["c_right", "d"]].tolist() == [0, 0]
    assert sorted(made[["a", "b", "e"]]) == [1, 2, 3]
    assert set(made.index) == {"a", "b", "c_right", "d", "e"}  # c_left is of a validation video, t is no training trial


def test_round_trip(tmp_path):
    made = folds.make_folds(table(["a_left", "a_right", "ü, b", "c"], [3, 4, 5, 6]), 2)
    folds.write_folds(made, tmp_path / "folds.csv")
    pd.testing.assert_frame_equal(folds.read_folds(tmp_path / "folds.csv"), made)
    assert [path.name for path in tmp_path.iterdir()] == ["folds.csv"]


HEADER = "trial,video,n_frames,fold\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trial,fold\na,0\n", r"folds\.csv, line 1: the header must be trial,video,n_frames,fold"),
        ("", r"line 1: the header"),
        (HEADER + "a,a,3,0\nb,b,3\n", "line 3: a row must be"),
        (HEADER + "a,a,3,first\n", r"line 2: .*whole numbers. Received: \['a', 'a', '3', 'first'\]"),
        (HEADER + "a,a,3,-1\n", "line 2: .*not be negative"),
        (HEADER + "a,a,3,0\na,a,3,0\n", "line 3: the trial occurs twice"),
        (HEADER + "a_left,a,3,0\nb,b,1,1\na_right,a,3,1\n", "line 4: another trial of this video is in fold 0"),
        (HEADER + "a_left,x,3,0\na_right,y,3,1\n", "line 3: another trial of this video"),
    ],
)
def test_faulty_files(tmp_path, text, message):
    (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        folds.read_folds(tmp_path / "folds.csv")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: folds.make_folds(table(["a", "a", "b"]), 2), "'a' more than once"),
        (lambda: folds.make_folds(table(["a", "b"]), 1), "n_folds=1"),
        (lambda: folds.make_folds(table(["a_left", "a_right"]), 2), "Received: 1 videos"),
        (lambda: folds.make_folds(pd.DataFrame({"trial": ["a"]}), 2), "needs the columns"),
        (lambda: folds.make_folds(table(["a", "b"], split=["train", "train"]), 2, official=True), "validation split"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
