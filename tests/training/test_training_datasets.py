"""Frames for training and validation by folds, whatever the official splits; what a run must not be trained on or taken for."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from eager import train_eagerly
from interruption import train_interrupted
from stat_lstm_runs import tiny, write_stores

from abaw_tf import predictions
from abaw_tf.data import AffWild2
from abaw_tf.data.folds import make_folds
from abaw_tf.training import RunError, predict, train
from abaw_tf.training.datasets import split_tables

TASKS = ("EXPR_Set", "VA_Set")
DIM = 5


@pytest.fixture
def copy(synthetic_root, tmp_path):
    """A copy of the dataset that a test may change."""
    return shutil.copytree(synthetic_root, tmp_path / "copy")


@pytest.fixture(scope="module")
def stores(synthetic_root, tmp_path_factory):
    return write_stores(AffWild2(synthetic_root), tmp_path_factory.mktemp("stores"), dim=DIM)


def move(copy, task, names=None):
    """Put validation label files among those for training."""
    for path in (copy / "annotations" / task / "Validation_Set").iterdir():
        if names is None or path.stem in names:
            path.rename(copy / "annotations" / task / "Train_Set" / path.name)


def unlabelled(copy, task, split, sentinel):
    for path in (copy / "annotations" / task / split).iterdir():
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([header, *[sentinel] * len(rows)]) + "\n")


@pytest.mark.parametrize("derivation", ["image", "image_va"])
def test_folds_need_no_official_validation_set(copy, derivation):
    before = AffWild2(copy)
    folds = make_folds(before.trials(), 3)  # of all trials, those of the test set too
    recipe = tiny(derivation)
    expected = split_tables(recipe, before, folds, 1)
    for task in TASKS:
        move(copy, task)
        (copy / "annotations" / task / "Validation_Set").rmdir()
    tables = split_tables(recipe, AffWild2(copy), folds, 1)
    trials = before.trials()
    tests = set(trials["trial"][trials["split"] == "test"])
    assert tests
    for number, (table, other) in enumerate(zip(tables, expected)):
        columns = ["trial", "frame", "expression", "valence", "arousal"]
        pd.testing.assert_frame_equal(table[columns], other[columns])
        fold = folds["fold"] == 1 if number else folds["fold"] != 1
        assert set(table["trial"]) <= set(folds["trial"][fold]) - tests
        assert len(table)


def test_with_folds_a_label_counts_although_the_tasks_are_split_differently(copy):
    """Officially, such a trial is a validation trial without an expression, or a training trial without valence."""
    both = [path.stem for path in (copy / "annotations" / "EXPR_Set" / "Validation_Set").iterdir()]
    name = next(stem for stem in both if (copy / "annotations" / "VA_Set" / "Validation_Set" / f"{stem}.txt").is_file())
    move(copy, "EXPR_Set", [name])
    dataset = AffWild2(copy)
    truth = dataset.labels(name)
    assert (truth["expression"] >= 0).any()
    assert truth["valence"].notna().any()
    trials = dataset.trials()
    folds = make_folds(trials[trials["split"] != "test"], 2)
    tables = split_tables(tiny("image_va"), dataset, folds, 0)
    found = pd.concat(tables).query("trial == @name")
    for column in ("expression", "valence", "arousal"):
        np.testing.assert_array_equal(found[column], truth[column])


def test_a_validation_split_without_labels_is_refused_before_training(copy, stores, tmp_path):
    unlabelled(copy, "EXPR_Set", "Validation_Set", "-1")
    unlabelled(copy, "VA_Set", "Validation_Set", "-5,-5")
    with pytest.raises(RunError, match=r"no frame of the validation split.*doctor"):
        train(tiny("image_va", n_features=DIM), AffWild2(copy), tmp_path / "run", stores=stores, progress=False)
    assert not (tmp_path / "run" / "history.csv").exists()


def test_an_output_without_any_label_in_training_is_not_predicted(copy, stores, tmp_path):
    unlabelled(copy, "EXPR_Set", "Train_Set", "-1")
    recipe = tiny("image_va", n_features=DIM, epochs=1)
    run = train_eagerly(recipe, AffWild2(copy), tmp_path / "run", stores=stores)
    assert run.card["untrained_outputs"] == ["expression"]
    further = predict(run, AffWild2(copy), "test", stores=stores, progress=False)
    for table in (predictions.read(run.predictions_path), further):
        assert {"valence", "arousal"} <= set(table.columns)
        assert not [name for name in table if name == "expression" or name.startswith("p_")]
        assert [note for note in table.attrs["notes"] if note.startswith("expression is not predicted")]
    assert "expression_score" not in run.card["scores"]


def test_an_interrupted_run_does_not_go_on_with_tracks_of_another_network(synthetic_root, stores, tmp_path):
    dataset, recipe = AffWild2(synthetic_root), tiny("image", n_features=DIM)
    others = write_stores(dataset, tmp_path / "others", dim=DIM, weights_hash="1" * 64)
    train_interrupted(recipe, dataset, tmp_path / "run", stores=stores)
    with pytest.raises(RunError, match="tracks differ"):
        train_eagerly(recipe, dataset, tmp_path / "run", stores=others)
    resumed = train_eagerly(recipe, dataset, tmp_path / "run", stores=stores)
    whole = train_eagerly(recipe, dataset, tmp_path / "whole", stores=stores)
    assert (resumed.card["resumed"], whole.card["resumed"]) == (2, 0)
    assert resumed.card["weights_hash"] == whole.card["weights_hash"]
    assert resumed.history_path.read_bytes() == whole.history_path.read_bytes()


def test_a_finished_run_of_one_fold_is_not_taken_for_another(synthetic_root, stores, tmp_path):
    dataset = AffWild2(synthetic_root)
    trials = dataset.trials()
    folds = make_folds(trials[trials["split"] != "test"], 2)
    recipe = tiny("image", n_features=DIM, epochs=1)
    run = train_eagerly(recipe, dataset, tmp_path / "run", folds=folds, fold=0, stores=stores)
    with pytest.raises(RunError, match=r"holds a run of fold 0.*Received: fold 1"):
        train(recipe, dataset, Path(run.folder), folds=folds, fold=1, progress=False)
    with pytest.raises(RunError, match=r"fold 0.*Received: the official split"):
        train(recipe, dataset, run.folder, progress=False)
    assert train(recipe, dataset, run.folder, folds=folds, fold=0, progress=False).card == run.card
