"""Fused tables against arithmetic by hand."""

import numpy as np
import pandas as pd
import pytest

from abaw_tf import predictions
from abaw_tf.fusion.tables import fuse_tables
from abaw_tf.predictions import PredictionError


def table(frames, seed=0, va=True, trial="a", **options):
    rng = np.random.default_rng(seed)
    values = {"valence": rng.uniform(-1, 1, len(frames)), "arousal": rng.uniform(-1, 1, len(frames))} if va else {}
    p = rng.dirichlet(np.ones(7), len(frames))
    return predictions.make_table(trial, frames, probabilities=p, **values, **options)


@pytest.fixture
def pair():
    return {"A": table(range(50)), "B": table(range(50), seed=1)}


def arrays(tables):
    p = np.stack([predictions.probabilities(t) for t in tables.values()])
    return p, np.stack([t[["valence", "arousal"]].to_numpy() for t in tables.values()])


def test_equal_weights_are_the_plain_mean_of_both_tasks(pair):
    fused = fuse_tables(pair)
    p, va = arrays(pair)
    np.testing.assert_allclose(predictions.probabilities(fused), p.mean(axis=0))
    np.testing.assert_array_equal(fused["expression"], p.mean(axis=0).argmax(axis=1))
    np.testing.assert_allclose(fused[["valence", "arousal"]], va.mean(axis=0))
    assert fused.attrs["model"] == "fusion of A, B"
    assert fused.attrs["edition"] == "abaw2"
    predictions.validate(fused)


def test_weights_per_class_and_per_output(pair):
    p, va = arrays(pair)
    rng = np.random.default_rng(3)
    w7, w2 = rng.dirichlet([1, 1], 7).T, rng.dirichlet([1, 1], 2).T
    fused = fuse_tables(pair, {"expression": w7, "valence_arousal": w2})
    scores = np.einsum("mfk,mk->fk", p, w7)
    np.testing.assert_allclose(predictions.probabilities(fused), scores / scores.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(fused[["valence", "arousal"]], np.einsum("mfk,mk->fk", va, w2))
    only = fuse_tables(pair, w7)
    assert "valence" not in only
    assert only.attrs["notes"] == ["valence_arousal is not fused: the weights are for expression"]
    np.testing.assert_array_equal(only["expression"], fused["expression"])


def test_one_set_of_weights_for_both_tasks_is_noted(pair):
    told = "expression and valence_arousal are fused with the same weights; task=... fuses one of them"
    assert told in fuse_tables(pair, [0.9, 0.1]).attrs["notes"]
    assert told in fuse_tables(pair, {"A": 0.9, "B": 0.1}).attrs["notes"]
    for weights in (None, {"expression": [0.9, 0.1], "valence_arousal": [0.9, 0.1]}):
        assert told not in fuse_tables(pair, weights).attrs["notes"]
    assert told not in fuse_tables(pair, [0.9, 0.1], task="expression").attrs["notes"]


def test_weights_by_name_hold_in_any_order(pair):
    plain = fuse_tables(pair, [0.8, 0.2])
    named = fuse_tables({"B": pair["B"], "A": pair["A"]}, {"A": 0.8, "B": 0.2})
    np.testing.assert_allclose(plain[["p_Fear", "valence"]], named[["p_Fear", "valence"]])
    with pytest.raises(ValueError, match=r"every model once: A, B\. Received: A, C"):
        fuse_tables(pair, {"A": 1, "C": 2})


def test_one_hot_weights_reproduce_a_single_model(pair):
    fused = fuse_tables(pair, [0, 1])
    pd.testing.assert_frame_equal(fused, pair["B"], check_exact=False, rtol=1e-15)
    np.testing.assert_array_equal(fused["expression"], pair["B"]["expression"])


def test_logit_pool_is_the_geometric_mean(pair):
    p, _ = arrays(pair)
    geometric = np.sqrt(p[0] * p[1])
    fused = fuse_tables(pair, pool="logit", task="expression")
    np.testing.assert_allclose(
        predictions.probabilities(fused), geometric / geometric.sum(axis=1, keepdims=True), rtol=1e-6
    )


def test_majority_votes_on_classes_and_averages_numbers():
    tables = {name: table(range(40), seed) for seed, name in enumerate("ABC")}
    p, va = arrays(tables)
    fused = fuse_tables(tables, method="majority")
    votes = np.array([np.bincount(row, minlength=7) for row in p.argmax(axis=2).T])
    clear = votes.max(axis=1) >= 2
    assert clear.any()
    np.testing.assert_array_equal(fused["expression"][clear], votes.argmax(axis=1)[clear])
    np.testing.assert_allclose(fused[["valence", "arousal"]], va.mean(axis=0))
    assert "no vote on numbers" in fused.attrs["notes"][0]
    assert fused.attrs["model"] == "majority of A, B, C"


def test_decisions_fuse_as_a_weighted_vote():
    decided = [predictions.make_table("a", range(3), expression=e) for e in ([0, 1, 2], [0, 3, 3], [4, 3, 2])]
    fused = fuse_tables(dict(zip("ABC", decided)), [0.4, 0.35, 0.25])
    assert fused["expression"].tolist() == [0, 3, 2]


def test_notes_and_policies_travel_with_the_fused_table(pair):
    short = pair["B"].iloc[:-4].copy()
    short.attrs = {**pair["B"].attrs, "notes": ["renormalised"]}
    fused = fuse_tables({"A": pair["A"], "B": short}, missing="mean")
    assert len(fused) == 50
    p, _ = arrays(pair)
    np.testing.assert_allclose(predictions.probabilities(fused)[-4:], p[0, -4:])
    assert fused.attrs["notes"][0].startswith("B: 4 of 50 frames lacking")
    assert fused.attrs["notes"][1] == "B: renormalised"
    with pytest.raises(PredictionError, match="B: 4 of 50 frames lacking"):
        fuse_tables({"A": pair["A"], "B": short})


@pytest.mark.parametrize("weights", [[1.0], [0.2, 0.3, 0.5], np.ones((2, 5)), {"expression": np.ones((2, 2))}])
def test_weights_of_another_shape_are_refused(pair, weights):
    with pytest.raises(ValueError, match=r"shape \(2,\), or \(2, 7\) for expression or \(2, 2\) for valence_arousal"):
        fuse_tables(pair, weights)


def test_weights_for_a_task_that_is_not_predicted_are_refused():
    with pytest.raises(PredictionError, match="weights for valence_arousal"):
        fuse_tables({"A": table(range(3), va=False)}, {"valence_arousal": [1.0]})
    with pytest.raises(ValueError, match="method must be 'average' or 'majority'"):
        fuse_tables({"A": table(range(3))}, method="mayority")


def test_real_detector_fuses_with_another_model(realdata):
    real = predictions.load(realdata / "frame_preds_pyfeat_news" / "001.csv")
    frames = np.arange(0, int(real["frame"].max()) + 1)
    other = table(frames, seed=5, trial=real["trial"].iloc[0])
    fused = fuse_tables({"py-feat": real, "other": other}, [0.7, 0.3], missing="drop")
    assert len(fused) == len(real) < len(other)
    both = other.set_index("frame").loc[real["frame"]]
    np.testing.assert_allclose(fused["p_Fear"], 0.7 * real["p_Fear"] + 0.3 * both["p_Fear"].to_numpy(), rtol=1e-12)
    np.testing.assert_allclose(fused["arousal"], 0.7 * real["arousal"] + 0.3 * both["arousal"].to_numpy(), rtol=1e-12)
    assert any(note.startswith("py-feat: ") and "renormalised" in note for note in fused.attrs["notes"])
