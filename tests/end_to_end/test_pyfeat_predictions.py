"""Real predictions of a foreign detector (py-feat on ten news clips) through tables, files, submissions and scores.

There are no labels for these clips. What can be scored is how far the detector agrees with itself from one analysed frame to the
next: a real, imperfect pair of prediction tables.
"""

import numpy as np
import pandas as pd
import pytest

from abaw_tf import evaluation, predictions


@pytest.fixture(scope="module")
def table(realdata):
    return predictions.read_pyfeat(realdata / "frame_preds_pyfeat_news")


def test_import(table):
    assert table["trial"].nunique() == 10
    assert len(table) == 213
    assert (table["frame"] % 2 == 0).all()
    np.testing.assert_allclose(predictions.probabilities(table).sum(axis=1), 1, atol=1e-12)
    counts = pd.Series([predictions.classes_of(table)[k] for k in table["expression"]]).value_counts()
    assert "Anger" not in counts
    assert counts.idxmax() == "Happiness"
    # Good news (001 ... 005) is told with a pleased face, bad news (011 ... 015) is not.
    valence = table.groupby("trial")["valence"].mean()
    assert valence.loc["001":"005"].min() > valence.loc["011":"015"].max()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_files_keep_every_bit(table, tmp_path, suffix):
    again = predictions.read(predictions.write(table, tmp_path / f"news{suffix}"))
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert again.attrs == table.attrs


def test_submission_for_every_frame(table, tmp_path):
    lengths = {trial: int(frames.max()) + 2 for trial, frames in table.groupby("trial")["frame"]}
    with pytest.raises(predictions.PredictionError, match="frame 1 has none; fill it"):
        predictions.write_submission(table, tmp_path / "early", "expression", lengths=lengths)
    full = predictions.fill_missing(table, lengths)
    assert len(full) == sum(lengths.values()) == 426
    for task in ("expression", "valence_arousal"):
        predictions.write_submission(full, tmp_path / task, task, lengths=lengths)
        assert predictions.validate_submission(tmp_path / task, task, "abaw2", lengths) == []
        again = predictions.read_submission(tmp_path / task, task)
        assert len(again) == 426
    np.testing.assert_allclose(again["valence"], full["valence"], atol=5.01e-4)
    known = full.merge(table, on=["trial", "frame"], suffixes=("", "_raw"))
    np.testing.assert_array_equal(known["valence"], known["valence_raw"])


def test_agreement_of_neighbouring_frames(table, record_property):
    """Every second analysed frame as prediction of the one after it."""
    position = table.groupby("trial").cumcount()
    even, odd = (table[position % 2 == k].copy() for k in (0, 1))
    for part in (even, odd):
        part["frame"] = part["frame"] // 4
        part.attrs = table.attrs
    truth = odd.reset_index(drop=True)
    found = evaluation.evaluate(even.reset_index(drop=True), truth, bootstrap=500)
    for name, value in found.scores.items():
        record_property(name, value)
    print(found.format())
    merged = truth.merge(even, on=["trial", "frame"], suffixes=("", "_even"))
    assert found.coverage.loc["expression", "scored"] == len(merged)
    assert found.scores["accuracy"] == pytest.approx(np.mean(merged["expression"] == merged["expression_even"]))
    low, high = found.intervals["accuracy"]
    assert low < found.scores["accuracy"] <= high
    # A detector that agreed with itself no better than chance, or perfectly, would mean that frames are mixed up.
    assert 0.7 < found.scores["accuracy"] < 1
    assert 0.9 < found.scores["ccc_valence"] < 1
    assert found.scores["ccc_valence"] > found.scores["ccc_arousal"] > 0.5
    assert "no labelled frame of Anger" in found.format()
    # Frames mixed up on purpose are found out.
    shuffled = even.assign(valence=np.random.default_rng(0).permutation(even["valence"].to_numpy())).reset_index(
        drop=True
    )
    shuffled.attrs = table.attrs
    compared = evaluation.compare(shuffled, even.reset_index(drop=True), truth, bootstrap=500, names=("mixed", "real"))
    assert compared.table.loc["ccc_valence", "low"] > 0
