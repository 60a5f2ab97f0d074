"""What the studies' tables are made of: scores of fixed decisions, held-out decisions, restlessness over time."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from abaw_tf.fusion.calibration import CalibratedFusion
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.studies import held_out_rows
from abaw_tf.studies.scoring import gain, group_confusions, scored
from abaw_tf.studies.stability import mean_entropy, switches_per_second


@pytest.fixture(scope="module")
def votes():
    """Two models of 400 frames in 8 groups, three classes, some frames without a label."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 400)
    p = rng.dirichlet(np.ones(3), (2, 400)) + np.eye(3)[y] * np.array([0.3, 0.5])[:, None, None]
    y[rng.random(400) < 0.1] = -1
    return p / p.sum(axis=2, keepdims=True), y, np.array([f"g{k // 50}" for k in range(400)])


class TestScoring:
    def test_scores_are_scikit_learns(self, votes):
        p, y, groups = votes
        decisions, known = p[0].argmax(axis=1), y >= 0
        confusions = group_confusions(y, decisions, groups, 3)
        assert confusions.shape == (8, 3, 3)
        assert confusions.sum() == known.sum()
        found = scored(confusions, "macro_f1", 200, 0)
        assert found["score"] == pytest.approx(f1_score(y[known], decisions[known], average="macro"), abs=1e-12)
        assert found["accuracy"] == pytest.approx(accuracy_score(y[known], decisions[known]), abs=1e-12)
        assert found["low"] < found["score"] < found["high"]
        assert np.isnan(scored(confusions, "macro_f1", 0, 0)["low"])

    def test_gains_are_paired(self, votes):
        p, y, groups = votes
        one, two = (group_confusions(y, model.argmax(axis=1), groups, 3) for model in p)
        difference = gain(two, one, "accuracy", 500, 0)
        known = y >= 0
        expected = accuracy_score(y[known], p[1].argmax(1)[known]) - accuracy_score(y[known], p[0].argmax(1)[known])
        assert difference["gain"] == pytest.approx(expected, abs=1e-12)
        assert difference["gain_low"] < expected < difference["gain_high"]
        assert gain(one, one, "accuracy", 500, 0) == {"gain": 0, "gain_low": 0, "gain_high": 0}


class TestRows:
    @pytest.mark.parametrize("pool", ["probability", "logit"])
    @pytest.mark.parametrize("level", ["model", "model_class"])
    def test_rows_agree_with_the_held_out_estimate(self, votes, level, pool):
        p, y, groups = votes
        fusions = {"fusion": DirichletFusion(level, n_draws=50, metric="macro_f1", pool=pool)}
        found = held_out(p, y, groups, fusions, n_folds=4, bootstrap=100, names=["a", "b"])
        options = {"metric": "macro_f1", "bootstrap": 100, "seed": 0}
        inside = held_out_rows.chosen_inside(found, p, groups)
        best = group_confusions(y, inside, groups, 3)
        row = held_out_rows.fusion_rows(found, fusions, p, y, groups, best, **options)["fusion"]
        expected = found.table.loc["fusion"]
        assert row["search_set"] == expected["search_score"]
        for key, name in (("held_out", "held_out_score"), ("low", "low"), ("high", "high")):
            assert row[key] == pytest.approx(expected[name], abs=1e-12)
        gained = found.gains.set_index(["fusion", "over"]).loc[("fusion", "best single (chosen inside)")]
        for key, name in (("gain", "gain"), ("gain_low", "low"), ("gain_high", "high")):
            assert row[key] == pytest.approx(gained[name], abs=1e-12)
        single = found.table.loc["best single (chosen inside)", "held_out_score"]
        assert held_out_rows.row(best, best, **options)["held_out"] == pytest.approx(single, abs=1e-12)
        assert "gain" not in held_out_rows.row(best, best, **options)

    def test_calibrated_fusions_are_fitted_again(self, votes):
        p, y, groups = votes
        fusions = {"fusion": CalibratedFusion(DirichletFusion(n_draws=20, metric="accuracy"))}
        found = held_out(p, y, groups, fusions, n_folds=4, bootstrap=0, names=["a", "b"])
        decisions = held_out_rows.held_out_decisions(found, "fusion", fusions["fusion"], p, y, groups)
        known = y >= 0
        score = accuracy_score(y[known], decisions[known])
        assert score == pytest.approx(found.table.loc["fusion", "held_out_score"], abs=1e-12)

    def test_groups_without_a_label_are_not_decided(self, votes):
        p, y, groups = votes
        y = np.where(groups == "g2", -1, y)
        fusions = {"fusion": DirichletFusion(n_draws=20)}
        found = held_out(p, y, groups, fusions, n_folds=3, bootstrap=0, names=["a", "b"])
        decisions = held_out_rows.held_out_decisions(found, "fusion", fusions["fusion"], p, y, groups)
        assert ((decisions == -1) == (groups == "g2")).all()


class TestStability:
    def test_switches_per_second(self):
        trial = np.array(["a"] * 5 + ["b"] * 3)
        time = np.array([0, 0.5, 1.0, 1.5, 2.0, 0, 0.5, 1.0])
        decisions = np.array([0, 0, 1, 1, 0, 2, 2, 2])
        # Two changes in two seconds of a, none in one second of b; from a to b is no change.
        assert switches_per_second(trial, time, decisions) == pytest.approx(2 / 3)

    def test_a_gap_is_neither_change_nor_time(self):
        time = np.array([0, 0.1, 0.2, 5.0, 5.1])
        assert switches_per_second(np.array(["a"] * 5), time, [0, 0, 0, 1, 2]) == pytest.approx(1 / 0.3)
        assert np.isnan(switches_per_second(np.array(["a"]), [0.0], [1]))

    def test_entropy(self):
        assert mean_entropy([[0.25] * 4]) == 2
        assert mean_entropy([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]) == 0.5
