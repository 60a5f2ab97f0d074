"""Fusion of ten people's continuous ratings of one video against the objective truth."""

import shutil

import audmetric
import numpy as np
import pytest

from abaw_tf.fusion.continuous import CCCFusion
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.studies import raters
from abaw_tf.studies.rater_files import read_ratings


@pytest.fixture(scope="module")
def result(realdata):
    return raters.run(realdata, draws=500, bootstrap=200)


def test_ratings_are_read_as_published(realdata):
    material = read_ratings(realdata / raters.FOLDER)
    assert material.ratings.shape == (10, 2664)
    ccc = [audmetric.concordance_cc(material.truth, rating) for rating in material.ratings]
    assert (round(min(ccc), 3), round(max(ccc), 3)) == (0.410, 0.704)
    assert audmetric.concordance_cc(material.truth, material.ratings.mean(axis=0)) == pytest.approx(0.639372, abs=5e-7)
    np.testing.assert_allclose(material.published["simple_average"], material.ratings.mean(axis=0), atol=1e-3)


def test_consensus_without_labels(result):
    held_out = result.table["held_out"]
    assert held_out["plain mean"] == pytest.approx(0.639372, abs=5e-7)
    assert held_out["published simple_average"] == pytest.approx(0.639372, abs=5e-7)
    assert held_out["median"] == pytest.approx(0.620851, abs=5e-7)
    assert held_out["EWE"] == pytest.approx(0.637072, abs=5e-7)
    assert held_out["CCC-centering"] == pytest.approx(0.638235, abs=5e-7)
    assert result.table.loc["plain mean", ["search_set", "gain"]].isna().all()


def test_fitted_fusions_lose_on_frames_they_have_not_seen(result):
    table = result.table
    assert table.loc["optimal weights", "search_set"] == pytest.approx(0.740881, abs=5e-7)
    assert table.loc["optimal weights", "search_set"] > table.loc["searched weights", "search_set"]
    assert table.loc["searched weights", "search_set"] > table.loc["best rater", "search_set"]
    for name in ("searched weights", "optimal weights", "plain mean, best lag", "optimal weights, best lag"):
        assert table.loc[name, "held_out"] < table.loc[name, "search_set"]
    assert table.loc["published eval_dep", "search_set"] == pytest.approx(0.769959, abs=5e-7)
    assert table.loc["published distort", "search_set"] == pytest.approx(0.818308, abs=5e-7)


def test_intervals_hold_the_figures(result):
    table = result.table.dropna(subset="low")
    assert ((table["low"] < table["held_out"]) & (table["held_out"] < table["high"])).all()
    gains = table.dropna(subset="gain").drop(index="published simple_average")
    assert ((gains["gain_low"] < gains["gain"]) & (gains["gain"] < gains["gain_high"])).all()
    np.testing.assert_allclose(gains["gain"], gains["held_out"] - table.loc["plain mean", "held_out"])


def test_without_a_gap_it_is_the_held_out_estimate_by_groups(realdata, monkeypatch):
    material = read_ratings(realdata / raters.FOLDER)
    ratings, truth, n = material.ratings, material.truth, len(material.truth)
    fusions = {"searched weights": CCCFusion("search", n_draws=200), "optimal weights": CCCFusion()}
    estimate = held_out(
        ratings[..., None],
        truth[:, None],
        np.arange(n) * raters.N_BLOCKS // n,
        fusions,
        folds=np.arange(n) * raters.N_FOLDS // n,
        bootstrap=0,
    )
    monkeypatch.setattr(raters, "GAP", 0)
    for name, fusion in fusions.items():
        fused = raters.held_out_in_time(
            lambda r, t, fusion=fusion: fusion.fit(r[..., None], t[:, None]).predict(r[..., None])[:, 0], ratings, truth
        )
        expected = estimate.table.loc[name, "held_out_score"]
        assert audmetric.concordance_cc(truth, fused) == pytest.approx(expected, abs=1e-9)


def test_study_can_be_shown(result, tmp_path):
    assert len(result.figure.axes) == 2
    assert all(path.stat().st_size for path in result.write(tmp_path))
    assert "0.6394" in result.to_markdown()
    gain = result.table.loc["optimal weights", "held_out"] - result.table.loc["best rater", "held_out"]
    assert f"optimal weights against best rater, held out: {gain:+.4f}, 95 % interval" in result.format()


def test_without_resamples_there_are_no_intervals(realdata):
    table = raters.run(realdata, draws=10, bootstrap=0).table
    assert table[["low", "high", "gain_low", "gain_high"]].isna().all(axis=None)
    assert table.loc["plain mean", "held_out"] == pytest.approx(0.639372, abs=5e-7)


def test_held_out_method_never_sees_its_block_or_its_neighbourhood():
    truth = np.arange(2664.0)
    seen = []

    def method(ratings, truth):
        seen.append(~np.isnan(truth))
        return np.full(truth.shape, float(len(seen)))

    fused = raters.held_out_in_time(method, np.zeros((2, 2664)), truth)
    assert len(seen) == raters.N_FOLDS
    for fold, frames in enumerate(seen, start=1):
        distance = np.abs(np.flatnonzero(frames)[:, None] - np.flatnonzero(fused == fold)).min()
        assert distance > raters.GAP * raters.RATE
        assert frames.sum() > 1900
    assert (np.diff(fused) >= 0).all()


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (lambda path: path.unlink(), FileNotFoundError, "TaskA_ann3.csv: no such file; take it from"),
        (lambda path: path.write_text(""), ValueError, "TaskA_ann3.csv: not a readable CSV"),
        (
            lambda path: path.write_text("Time(sec),Data\n0.0,0.5\n0.1,high\n"),
            ValueError,
            "line 3.*Received: 0.1, high",
        ),
        (
            lambda path: path.write_text("Time(sec),Data\n0.0,0.5\n0.2,0.5\n"),
            ValueError,
            "line 3: the time must be 0.1 s",
        ),
        (lambda path: path.write_text("Data\n0.5\n"), ValueError, "two columns"),
    ],
)
def test_faults_name_the_file(realdata, tmp_path, fault, error, message):
    folder = shutil.copytree(realdata / raters.FOLDER, tmp_path / "copy", copy_function=shutil.copyfile)
    fault(folder / "annotations_10hz" / "TaskA_ann3.csv")
    with pytest.raises(error, match=message):
        read_ratings(folder)
