"""The held-out estimate against the same done by hand, and on simulated models of which the truth is known."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from abaw_tf import fusion, metrics
from abaw_tf.evaluation.statistics import resampling_weights
from abaw_tf.fusion.calibration import CalibratedFusion
from abaw_tf.fusion.continuous import CCCFusion
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.fusion.group_folds import deal_groups
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.fusion.held_out_result import BEST, EQUAL, advice, conclusion, verdict


def simulated(strengths, n_videos=12, frames=100, n_classes=7, video_noise=0.0, noise=1.0, seed=0):
    """Models whose logits are right by `strengths` (models,) or (models, classes), with errors shared by the frames of a video."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(n_videos), frames)
    y = rng.integers(n_classes, size=len(video))
    strengths = np.asarray(strengths, float)
    per_class = strengths if strengths.ndim == 2 else np.repeat(strengths[:, None], n_classes, axis=1)
    shape = (len(strengths), len(video), n_classes)
    logits = noise * rng.normal(size=shape)
    logits += video_noise * rng.normal(size=(shape[0], n_videos, n_classes))[:, video]
    logits[:, np.arange(len(y)), y] += per_class[:, y]
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=2, keepdims=True), y, np.array([f"v{i:02d}" for i in video])


def official(y, predicted):
    macro = sk.f1_score(y, predicted, labels=range(7), average="macro", zero_division=0)
    return 0.67 * macro + 0.33 * sk.accuracy_score(y, predicted)


def by_hand(probabilities, y, fold_of_frame, fusion):
    """Out-of-fold decisions of the fusion and of the best single model, by plain fits fold by fold."""
    fused, single = np.empty_like(y), np.empty_like(y)
    for fold in np.unique(fold_of_frame):
        train, test = fold_of_frame != fold, fold_of_frame == fold
        one = fusion.fit(probabilities[:, train], y[train])
        fused[test] = one.predict(probabilities[:, test])
        best = np.argmax([official(y[train], p[train].argmax(axis=1)) for p in probabilities])
        single[test] = probabilities[best, test].argmax(axis=1)
    return fused, single


@pytest.mark.parametrize("wrap", [lambda fusion: fusion, CalibratedFusion])
def test_scores_are_those_of_out_of_fold_decisions_over_all_frames(wrap):
    probabilities, y, video = simulated([1.0, 0.9, 0.8], video_noise=1.0)
    fusion = wrap(DirichletFusion("model_class", n_draws=60, refine=1))
    found = held_out(probabilities, y, video, {"MCWF": fusion}, names=["A", "B", "C"], bootstrap=20, seed=5)
    fused, single = by_hand(probabilities, y, found.folds["fold"][video].to_numpy(), fusion)
    held = found.table["held_out_score"]
    assert held["MCWF"] == official(y, fused)
    assert held[BEST] == official(y, single)
    assert held[EQUAL] == official(y, probabilities.mean(axis=0).argmax(axis=1))
    for name, p in zip("ABC", probabilities):
        assert held[name] == found.table.loc[name, "search_score"] == official(y, p.argmax(axis=1))
    whole = fusion.fit(probabilities, y)
    assert found.table.loc["MCWF", "search_score"] == whole.score_
    np.testing.assert_array_equal(found.weights["MCWF"], whole.weights_)

    # The intervals, by repeating the frames of each resample.
    scores, gains = [], []
    frames = [np.flatnonzero(video == name) for name in found.groups]
    for counts in resampling_weights(len(frames), 20, 5).astype(int):
        rows = np.concatenate([np.tile(f, n) for f, n in zip(frames, counts)])
        scores.append(official(y[rows], fused[rows]))
        gains.append(scores[-1] - official(y[rows], single[rows]))
    np.testing.assert_allclose(found.table.loc["MCWF", ["low", "high"]].tolist(), np.quantile(scores, [0.025, 0.975]))
    gain = found.gains.set_index(["fusion", "over"]).loc[("MCWF", BEST)]
    assert gain["gain"] == held["MCWF"] - held[BEST]
    np.testing.assert_allclose(gain[["low", "high"]].tolist(), np.quantile(gains, [0.025, 0.975]), atol=1e-12)


def test_valence_and_arousal_by_the_same_protocol():
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(10), 80)
    truth = np.tanh(rng.normal(size=(10, 2))[video] * 0.5 + 0.3 * rng.normal(size=(800, 2)))
    values = truth + rng.normal(size=(3, 800, 2)) * np.array([0.2, 0.4, 0.8])[:, None, None]
    truth[::7, 0] = np.nan
    truth[:20] = np.nan
    found = held_out(values, truth, video, bootstrap=50, n_folds=4)
    fused = np.empty_like(truth)
    folds = found.folds["fold"][video.astype(str)].to_numpy()
    for fold in range(4):
        fused[folds == fold] = (
            CCCFusion()
            .fit(values[:, folds != fold], truth[folds != fold])
            .predict(values[:, folds == fold], clip=False)
        )
    expected = np.mean([metrics.ccc(truth[:, k], fused[:, k]) for k in range(2)])
    assert found.table.loc[found.fusions[0], "held_out_score"] == pytest.approx(expected, abs=1e-9)
    assert found.n_frames == 780
    assert found.metric == "mean CCC"
    assert "gains" in found.verdict


@pytest.mark.parametrize(
    "fusion", [DirichletFusion(n_draws=50, refine=1), CalibratedFusion(DirichletFusion(n_draws=50))]
)
def test_weights_and_choice_of_a_fold_do_not_know_its_frames(fusion):
    probabilities, y, video = simulated([1.0, 0.9, 0.8], video_noise=1.0, n_videos=6)
    options = {"fusion": {"F": fusion}, "n_folds": 3, "bootstrap": 0}
    before = held_out(probabilities, y, video, **options)
    folds = before.folds["fold"][video].to_numpy()
    for fold in range(3):
        rng = np.random.default_rng(fold)
        other_y = np.where(folds == fold, rng.integers(7, size=len(y)), y)
        other = probabilities.copy()
        other[:, folds == fold] = rng.dirichlet(np.ones(7), size=(3, int((folds == fold).sum())))
        after = held_out(other, other_y, video, folds=folds, **options)
        np.testing.assert_array_equal(after.fold_weights["F"][fold], before.fold_weights["F"][fold])
        assert after.chosen[fold] == before.chosen[fold]


@pytest.mark.parametrize("seed", range(3))
def test_weights_per_class_that_overfit_the_videos_are_found_out(seed):
    probabilities, y, video = simulated([1.0, 1.0, 1.0], video_noise=1.5, seed=seed)
    fusions = {
        "SWF": DirichletFusion(n_draws=300),
        "MCWF": DirichletFusion("model_class", n_draws=1500, refine=2),
    }
    found = held_out(probabilities, y, video, fusions, bootstrap=500)
    search, held = found.table["search_score"], found.table["held_out_score"]
    assert search["MCWF"] > search["SWF"]
    assert held["MCWF"] < held["SWF"] < search["SWF"]
    gain = found.gains.set_index(["fusion", "over"]).loc[("MCWF", "SWF")]
    assert gain["high"] < 0
    assert found.recommended == EQUAL
    assert "equal weights" in found.verdicts["MCWF"]
    conclusion = found.verdict.splitlines()[-1]
    assert conclusion.startswith(
        "use equal weights; MCWF has the highest score on its own search set, but held out SWF"
    )
    assert conclusion.endswith("the weights of MCWF fit its search set, not the task")


def test_a_real_gain_is_called_one():
    # Each model knows classes of its own; the third knows nothing and spoils equal weights.
    strengths = [[2.5, 2.5, 2.5, 2.5, 0, 0, 0], [0, 0, 0, 0, 2.5, 2.5, 2.5], [0] * 7]
    probabilities, y, video = simulated(strengths, n_videos=20, video_noise=0.3)
    probabilities[2] = np.roll(probabilities[2], 1, axis=0) ** 3
    found = held_out(probabilities, y, video, DirichletFusion(n_draws=300), names="ABC")
    gain = found.gains.set_index(["fusion", "over"])
    assert gain.loc[("SWF", BEST), "low"] > 0.1
    assert gain.loc[("SWF", EQUAL), "low"] > 0
    assert found.recommended == "SWF"
    points = 100 * gain.loc[("SWF", BEST), "gain"]
    assert found.verdict.startswith(f"fusing gains {points:.2f} points over the best single model, 95% interval ")
    assert "over 20 videos" in found.verdict
    assert "over equal weights" in found.verdict
    assert found.chosen == ("A",) * 5


def test_equal_weights_that_do_as_well_are_preferred():
    probabilities, y, video = simulated([1.0, 1.0, 1.0], n_videos=20)
    found = held_out(probabilities, y, video, DirichletFusion(n_draws=200))
    assert found.recommended == EQUAL
    assert "equal weights do as well" in found.verdict
    assert found.verdict.endswith("prefer them")


def test_equal_weights_that_clearly_beat_a_useful_fusion_are_preferred():
    # Both beat the single model; equal weights by more, but with an interval that reaches below zero.
    gains = {
        ("SWF", BEST): (0.02, 0.01, 0.03),
        ("SWF", EQUAL): (-0.03, -0.05, -0.01),
        (EQUAL, BEST): (0.05, -0.01, 0.09),
    }
    assert advice("SWF", gains, "A") == EQUAL
    sentence = verdict("SWF", gains, "A", 0.04, 40, "videos")
    assert sentence.endswith("equal weights do better (the search gains -3.00 over them): prefer them")


def test_without_intervals_nothing_is_called_noise():
    table = pd.DataFrame({"search_score": [0.6, 0.7], "held_out_score": [0.59, 0.55]}, ["SWF", "MCWF"])
    gains = {("MCWF", "SWF"): (-0.04, np.nan, np.nan)}
    assert conclusion(("SWF", "MCWF"), table, gains, "A").endswith(": whether that is chance was not examined")


def test_no_gain_is_claimed_where_there_is_none():
    # Two of three models know nothing: the best that fusing can do is leave them out.
    held, seemed, claimed = [], [], 0
    for seed in range(10):
        probabilities, y, video = simulated([1.5, 0.0, 0.0], video_noise=0.5, frames=60, seed=seed)
        found = held_out(probabilities, y, video, DirichletFusion(n_draws=200), bootstrap=200, names="ABC")
        gain = found.gains.set_index(["fusion", "over"]).loc[("SWF", BEST)]
        held.append(gain["gain"])
        seemed.append(found.table.loc["SWF", "search_score"] - found.table.loc["A", "search_score"])
        claimed += gain["low"] > 0
        if gain["low"] <= 0:
            assert found.recommended == "A"
            assert found.verdict.endswith("use A")
    assert claimed <= 1
    assert min(seemed) >= 0
    assert np.mean(seemed) > 0.003  # what reporting the score of the search set would claim
    assert -0.01 < np.mean(held) < 0.003


@pytest.mark.slow
@pytest.mark.parametrize("level", ["model", "model_class"])
def test_the_estimate_is_right_on_average_where_the_search_set_is_not(level):
    seemed, held, true, inside = [], [], [], []
    for seed in range(40):
        strengths = [1.5, 1.2, 1.0]
        probabilities, y, video = simulated(strengths, frames=60, video_noise=1.0, seed=seed)
        fusion = DirichletFusion(level, n_draws=500)
        found = held_out(probabilities, y, video, {"fusion": fusion}, bootstrap=200, names="ABC")
        # The truth: the weights of all frames and the best model of all frames, on many more videos of the same kind.
        more, y, _ = simulated(strengths, n_videos=400, frames=30, video_noise=1.0, seed=1000 + seed)
        score = lambda weights: float(fusion.score_sums(fusion.sums(more, y, weights, np.zeros(len(y), int), 1)[0]))  # noqa: B023, E731
        best = int(found.table["search_score"][["A", "B", "C"]].argmax())
        true.append(score(found.weights["fusion"]) - score(np.eye(3)[best]))
        seemed.append(found.table["search_score"]["fusion"] - found.table["search_score"].iloc[best])
        gain = found.gains.set_index(["fusion", "over"]).loc[("fusion", BEST)]
        held.append(gain["gain"])
        inside.append(gain["low"] <= true[-1] <= gain["high"])
    assert np.mean(held) == pytest.approx(np.mean(true), abs=0.015)
    assert np.mean(seemed) > np.mean(true) + 0.01
    assert np.mean(inside) > 0.6


def test_a_loss_is_called_one():
    # Class-wise weights fitted to two videos, of which the other ones know nothing.
    probabilities, y, video = simulated([2.0, 0.5], n_videos=12, video_noise=2.0, seed=3)
    fusion = DirichletFusion("model_class", n_draws=3000, refine=3)
    found = held_out(probabilities, y, video, fusion, n_folds=12, names="AB")
    gain = found.gains.set_index(["fusion", "over"]).loc[("MCWF", BEST)]
    assert found.table.loc["MCWF", "search_score"] > found.table.loc["A", "search_score"]
    assert gain["gain"] < 0
    word = "fusing loses" if gain["high"] < 0 else "the loss of"
    assert found.verdict.startswith(word)
    assert found.recommended == "A"


def test_folds_hold_whole_groups_alike_in_frames_and_classes():
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 400, size=60)
    codes = np.repeat(np.arange(60), sizes)
    common = rng.integers(7, size=60)
    strata = np.where(rng.random(len(codes)) < 0.7, common[codes], rng.integers(7, size=len(codes)))
    fold_of = deal_groups(codes, strata, 5)
    frames = np.bincount(fold_of[codes])
    assert frames.min() > 0.9 * frames.max()
    counts = np.zeros((5, 7))
    np.add.at(counts, (fold_of[codes], strata), 1)
    shares = counts / counts.sum(axis=0)
    arbitrary = np.zeros((5, 7))
    np.add.at(arbitrary, ((np.arange(60) % 5)[codes], strata), 1)
    assert shares.std() < (arbitrary / arbitrary.sum(axis=0)).std() / 2
    order = rng.permutation(len(codes))
    np.testing.assert_array_equal(deal_groups(codes[order], strata[order], 5), fold_of)


@pytest.mark.parametrize("n_groups", [2, 3, 5, 6])
def test_no_fold_is_empty_and_few_groups_make_few_folds(n_groups):
    codes = np.repeat(np.arange(n_groups), [500, *[3] * (n_groups - 1)])
    fold_of = deal_groups(codes, np.zeros(len(codes), int), 5)
    assert sorted(set(fold_of)) == list(range(min(5, n_groups)))


def test_unlabelled_frames_and_what_is_missing_there_do_not_matter():
    probabilities, y, video = simulated([1.0, 0.8, 0.8], n_videos=8, frames=50)
    fusion = DirichletFusion(n_draws=30)
    expected = held_out(probabilities, y, video, fusion, bootstrap=20)
    padded = np.concatenate([probabilities, np.full((3, 70, 7), np.nan)], axis=1)
    groups = np.concatenate([video, np.repeat(["v01", "other"], 35)])
    found = held_out(padded, np.concatenate([y, np.full(70, -1)]), groups, fusion, bootstrap=20)
    assert found.table.equals(expected.table)
    assert found.groups == expected.groups


def test_few_videos_are_called_rough_and_no_bootstrap_leaves_chance_open():
    probabilities, y, video = simulated([1.0, 0.8, 0.8], n_videos=4)
    few = held_out(probabilities, y, video, DirichletFusion(n_draws=30), bootstrap=50, unit="actors")
    assert len(few.chosen) == 4
    assert "over 4 actors, so few that this is rough" in few.verdict
    none = held_out(probabilities, y, video, DirichletFusion(n_draws=30), bootstrap=0)
    assert none.verdict.endswith("whether that is chance was not examined")
    assert none.table["low"].isna().all()
    assert none.recommended is None


def test_one_model_is_itself():
    probabilities, y, video = simulated([1.0], n_videos=4, n_classes=7)
    found = held_out(probabilities, y, video, DirichletFusion("model_class", n_draws=3), names=["A"])
    assert found.table["held_out_score"].nunique() == 1
    assert found.recommended == "A"
    assert (found.gains[["gain", "low", "high"]] == 0).all(axis=None)


def test_any_metric_by_name_and_several_fusions_in_one_table():
    probabilities, y, video = simulated([1.0, 0.8, 0.8], n_videos=6, frames=40)
    kappa = "sklearn.metrics:cohen_kappa_score"
    fusions = {
        "SWF": DirichletFusion(n_draws=20, metric=kappa),
        "of logits": DirichletFusion(n_draws=20, metric=kappa, pool="logit"),
        "calibrated": CalibratedFusion(DirichletFusion("model_class", n_draws=20, metric=kappa)),
    }
    found = held_out(probabilities, y, video, fusions, bootstrap=30, n_folds=3)
    assert found.metric == kappa
    assert found.table.loc["model 1", "search_score"] == pytest.approx(
        sk.cohen_kappa_score(y, probabilities[0].argmax(axis=1))
    )
    assert list(found.table.index) == ["model 1", "model 2", "model 3", BEST, EQUAL, *fusions]
    assert {(row.fusion, row.over) for row in found.gains.itertuples()} >= {("calibrated", "SWF"), ("of logits", "SWF")}
    assert [line.split(":")[0] for line in found.verdict.splitlines()[:-1]] == list(fusions)
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert stored["recommended"] == found.recommended
    assert np.shape(stored["weights"]["calibrated"]) == (3, 7)
    assert np.shape(stored["fold_weights"]["SWF"]) == (3, 3)
    text = found.format()
    assert f"{found.table.loc['SWF', 'held_out_score']:.4f}" in text
    assert found.verdict in text


def test_the_package_offers_the_function_whatever_was_imported_before():
    assert fusion.held_out is held_out


def test_blocks_of_time_as_folds():
    probabilities, y, _ = simulated([1.0, 0.8, 0.8], n_videos=1, frames=400)
    blocks = np.arange(400) // 50
    found = held_out(probabilities, y, blocks, DirichletFusion(n_draws=20), folds=blocks // 4, bootstrap=20)
    assert found.folds["fold"].tolist() == [0] * 4 + [1] * 4
    assert found.folds["frames"].tolist() == [50] * 8
    with pytest.raises(ValueError, match=r"no group may lie in two folds.*Received: '0' in folds"):
        held_out(probabilities, y, blocks, DirichletFusion(n_draws=20), folds=np.arange(400) // 20)
    with pytest.raises(ValueError, match="in at least two"):
        held_out(probabilities, y, blocks, DirichletFusion(n_draws=20), folds=np.zeros(400))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": np.zeros(400)}, "at least two videos"),
        ({"groups": np.zeros(3)}, "the group of each of the 400 frames"),
        ({"truth": np.zeros(3, int)}, "predictions must have shape"),
        ({"n_folds": 1}, "n_folds must be a whole number, 2 or more"),
        ({"n_folds": 2.5}, "n_folds must be a whole number, 2 or more"),
        ({"bootstrap": -1}, "bootstrap must be a whole number, not negative"),
        ({"bootstrap": 1.5}, "bootstrap must be a whole number, not negative"),
        ({"names": ["A"]}, "as many as models"),
        ({"names": ["A", "SWF", "C"]}, "call the model otherwise .* 'SWF' more than once"),
        ({"fusion": {}}, "at least one fusion"),
        (
            {"fusion": {"a": DirichletFusion(), "b": DirichletFusion(metric="accuracy")}},
            r"same score. Received: abaw2, accuracy",
        ),
    ],
)
def test_bad_input_is_refused(changes, message):
    probabilities, y, video = simulated([1.0, 0.8, 0.8], n_videos=4)
    arguments = {"predictions": probabilities, "truth": y, "groups": video, "fusion": DirichletFusion(n_draws=5)}
    with pytest.raises(ValueError, match=message):
        held_out(**arguments | changes)
