"""Scores against scikit-learn, audmetric, published confusion matrices and published tables."""

import doctest
import json
import time
import warnings
from pathlib import Path

import audmetric
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.metrics import confusion_matrix as sklearn_confusion

from abaw_tf import metrics

DO2020 = json.loads((Path(__file__).parent / "fixtures" / "do2020_confusions.json").read_text(encoding="utf-8"))[
    "models"
]

classes_and_missing = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(-1, 7)), hnp.arrays(np.int64, n, elements=st.integers(0, 7))
    )
)
values = st.floats(-1, 1, width=32)
series = st.integers(2, 50).flatmap(
    lambda n: st.tuples(hnp.arrays(np.float64, n, elements=values), hnp.arrays(np.float64, n, elements=values))
)


def frames_of(confusion):
    """Labels and predictions of single frames that a confusion matrix counts."""
    confusion = np.asarray(confusion)
    truth, prediction = np.indices(confusion.shape).reshape(2, -1)
    return np.repeat(truth, confusion.ravel()), np.repeat(prediction, confusion.ravel())


def test_doctests():
    result = doctest.testmod(metrics)
    assert result.attempted >= 15
    assert result.failed == 0


# --- expressions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", DO2020)
def test_published_confusion_matrices_to_the_printed_digits(model):
    printed = DO2020[model]
    truth, prediction = frames_of(printed["confusion"])
    assert len(truth) == 255_683
    np.testing.assert_array_equal(metrics.confusion_matrix(truth, prediction, 7), printed["confusion"])
    found = {
        "accuracy": metrics.accuracy(truth, prediction),
        "weighted_f1": metrics.weighted_f1(truth, prediction, 7),
        "macro_f1": metrics.macro_f1(truth, prediction, 7),
        "official": metrics.expression_score(truth, prediction, "abaw1"),
    }
    for name, value in found.items():
        assert round(value, 5) == printed[name], name
    assert metrics.expression_score(truth, prediction, "abaw2") == found["official"]
    scores = metrics.scores_from_confusion(printed["confusion"], "abaw1")
    assert (scores["accuracy"], scores["macro_f1"], scores["weighted_f1"], scores["score"]) == (
        found["accuracy"],
        found["macro_f1"],
        found["weighted_f1"],
        found["official"],
    )


@pytest.mark.parametrize("model", [name for name in DO2020 if "paper" in DO2020[name]])
def test_do2020_variant_is_the_formula_behind_the_paper_s_table(model):
    paper, do2020 = DO2020[model]["paper"], metrics.VARIANTS["do2020"]
    from_row = do2020.f1_weight * paper["weighted_f1"] + do2020.accuracy_weight * paper["accuracy"]
    assert from_row == pytest.approx(paper["score"], abs=1e-3)
    official_weights = 0.67 * paper["weighted_f1"] + 0.33 * paper["accuracy"]
    assert abs(official_weights - paper["score"]) > 3e-3
    # from single frames; the matrix of t15 has a weighted F1 of 0.515 where the paper prints 0.512
    truth, prediction = frames_of(DO2020[model]["confusion"])
    from_frames = metrics.expression_score(truth, prediction, "abaw1", variant="do2020")
    assert from_frames == pytest.approx(paper["score"], abs=5e-4 if model != "t15" else 2e-3)


def test_the_official_score_ranks_the_published_models_differently():
    confusions = np.array([model["confusion"] for model in DO2020.values()])
    rank = {
        name: [list(DO2020)[i] for i in np.argsort(-metrics.scores_from_confusion(confusions, name)["score"])]
        for name in ("abaw1", "do2020")
    }
    assert rank["do2020"][:2] == ["fusion", "t15"]
    assert rank["abaw1"][:2] == ["fusion", "t8"]
    assert rank["abaw1"].index("t15") == 4


# F1 and accuracy -> total as printed by the papers (in %, then in fractions)
DRESVYANSKIY = [(43.31, 64.29, 50.23), (32.70, 58.20, 41.10), (26.43, 52.66, 35.09), (26.27, 48.72, 33.68)]
ANTONIADIS = [
    (0.375, 0.495, 0.415),
    (0.453, 0.584, 0.496),
    (0.517, 0.640, 0.558),
    (0.532, 0.639, 0.567),
    (0.543, 0.657, 0.580),
    (0.519, 0.645, 0.561),
    (0.536, 0.654, 0.575),
    (0.555, 0.668, 0.592),
]


@pytest.mark.parametrize(
    ("f1", "accuracy", "total"), [*((a / 100, b / 100, c / 100) for a, b, c in DRESVYANSKIY), *ANTONIADIS]
)
def test_official_weights_are_those_behind_the_published_tables(f1, accuracy, total):
    official = metrics.VARIANTS["abaw2"]
    assert official.f1_weight * f1 + official.accuracy_weight * accuracy == pytest.approx(total, abs=1.2e-3)
    assert official.average == "macro"


@pytest.mark.filterwarnings("ignore:.*(ill-defined|No positive|single label).*")
@settings(max_examples=200, deadline=None)
@given(classes_and_missing)
def test_expression_scores_equal_scikit_learn(arrays):
    truth, prediction = arrays
    known = truth >= 0
    if not known.any():
        assert np.isnan(metrics.macro_f1(truth, prediction, 8))
        assert np.isnan(metrics.expression_score(truth, prediction, "abaw3"))
        return
    t, p = truth[known], prediction[known]
    options = {"labels": range(8), "zero_division": 0}
    np.testing.assert_array_equal(
        metrics.confusion_matrix(truth, prediction, 8), sklearn_confusion(t, p, labels=range(8))
    )
    np.testing.assert_allclose(metrics.f1_per_class(truth, prediction, 8), f1_score(t, p, average=None, **options))
    macro = f1_score(t, p, average="macro", **options)
    weighted = f1_score(t, p, average="weighted", **options)
    correct = accuracy_score(t, p)
    assert metrics.macro_f1(truth, prediction, 8) == pytest.approx(macro)
    assert metrics.weighted_f1(truth, prediction, 8) == pytest.approx(weighted)
    assert metrics.accuracy(truth, prediction) == pytest.approx(correct)
    assert metrics.expression_score(truth, prediction, "abaw3") == pytest.approx(macro)
    assert metrics.expression_score(truth, prediction, "abaw3", variant="do2020") == pytest.approx(
        0.66 * weighted + 0.33 * correct
    )
    scores = metrics.scores_from_confusion(sklearn_confusion(t, p, labels=range(8)))
    precision, recall, _, support = precision_recall_fscore_support(t, p, **options)
    np.testing.assert_allclose(scores["precision"], precision)
    np.testing.assert_allclose(scores["recall"], recall)
    np.testing.assert_allclose(scores["support"], support)


def test_classes_that_do_not_occur_count_as_zero():
    y = np.array([0, 1, 2, 3, 4, 5, 6])
    assert metrics.macro_f1(y, y, 7) == 1
    assert metrics.macro_f1(y, y, 8) == pytest.approx(7 / 8)
    assert metrics.expression_score(y, y, "abaw3") == pytest.approx(7 / 8)
    assert metrics.expression_score(y, y, "abaw2") == pytest.approx(1)
    assert metrics.expression_score([3], [3]) == pytest.approx(0.67 / 7 + 0.33)


def test_several_confusion_matrices_at_once():
    confusions = np.array([[model["confusion"] for model in DO2020.values()]] * 2)
    many = metrics.scores_from_confusion(confusions, "do2020")
    for i in range(2):
        for j in range(6):
            one = metrics.scores_from_confusion(confusions[i, j], "do2020")
            for name in one:
                np.testing.assert_array_equal(many[name][i, j], one[name])
    empty = metrics.scores_from_confusion(np.zeros((2, 7, 7)))
    assert np.isnan(empty["score"]).all()
    assert (empty["f1"] == 0).all()


def test_missing_labels_take_their_frame_out_whatever_is_predicted_there():
    truth = np.array([0, -1, 4, -1, 6], np.int8)
    for rubbish in (0, -1, 99):
        prediction = np.array([0, rubbish, 4, rubbish, 5], np.int8)
        assert metrics.accuracy(truth, prediction) == pytest.approx(2 / 3)
        assert metrics.confusion_matrix(truth, prediction, 7).sum() == 3


def test_narrow_integers_do_not_overflow():
    y = np.arange(100, dtype=np.uint8)
    np.testing.assert_array_equal(metrics.confusion_matrix(y, y, 100), np.eye(100, dtype=int))


def test_series_with_any_index_are_taken_in_order():
    truth, prediction = pd.Series([0, 1, 2], index=[2, 1, 0]), pd.Series([0, 1, 1])
    assert metrics.accuracy(truth, prediction) == pytest.approx(2 / 3)


# --- valence and arousal -------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(series)
def test_ccc_equals_audmetric(arrays):
    truth, prediction = arrays
    expected = audmetric.concordance_cc(truth, prediction)
    if np.ptp(truth) < 1e-6 and np.ptp(prediction) < 1e-6:
        return  # nearly constant: audmetric divides rounding errors
    assert metrics.ccc(truth, prediction) == pytest.approx(expected, abs=1e-9)
    assert metrics.ccc(prediction, truth) == pytest.approx(expected, abs=1e-9)
    gaps = np.insert(truth, 1, np.nan)
    assert metrics.ccc(gaps, np.insert(prediction, 1, 0.7)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(series)
def test_ccc_is_bounded_by_the_correlation(arrays):
    truth, prediction = arrays
    found = metrics.ccc(truth, prediction)
    if np.std(truth) > 1e-3 and np.std(prediction) > 1e-3:
        assert abs(found) <= abs(np.corrcoef(truth, prediction)[0, 1]) + 1e-9
        assert metrics.ccc(truth, truth) == pytest.approx(1)
        assert metrics.ccc(truth, truth + 0.5) < 1


def test_ccc_is_one_number_over_all_frames_not_a_mean_over_videos():
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.normal(-0.5, 0.05, 400), rng.normal(0.5, 0.05, 100)])
    prediction = np.where(truth < 0, -0.5, 0.5) + rng.normal(0, 0.05, 500)
    per_video = np.mean([metrics.ccc(truth[:400], prediction[:400]), metrics.ccc(truth[400:], prediction[400:])])
    assert metrics.ccc(truth, prediction) > 0.95
    assert abs(per_video) < 0.2


def test_ccc_moments_by_hand():
    truth, prediction = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 1.0, 3.0, 4.0])
    # means 2 and 2.25; sums of squares 14 and 6.75; sum of products 9
    assert metrics.ccc(truth, prediction) == pytest.approx(2 * 9 / 4 / (14 / 4 + 6.75 / 4 + 0.0625))
    assert metrics.ccc(truth, prediction, ddof=1) == pytest.approx(2 * 9 / 3 / (14 / 3 + 6.75 / 3 + 0.0625))


def test_ccc_far_from_zero_keeps_its_digits():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=1000)
    prediction = truth + rng.normal(size=1000)
    assert metrics.ccc(truth + 1e7, prediction + 1e7) == pytest.approx(metrics.ccc(truth, prediction), abs=1e-7)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ([0.1] * 3, [0.1] * 3, np.nan),  # constant and equal: undefined
        ([0.1] * 3, [0.2] * 3, 0.0),
        ([0.1] * 3, [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2, 0.3], [0.2] * 3, 0.0),
        ([0.1], [0.3], np.nan),
        ([0.1, np.nan], [0.3, 0.1], np.nan),
        ([np.nan] * 3, [0.0] * 3, np.nan),
        ([np.nan] * 3, [np.nan] * 3, np.nan),
        ([], [], np.nan),
        ([0, 1], [0, 1], 1.0),
        ([0, 1], [1, 0], -1.0),
    ],
)
def test_degenerate_ccc(truth, prediction, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(metrics.ccc(truth, prediction), expected, atol=1e-15)


def test_real_raters_against_the_objective_truth(realdata):
    """Ten raters of a green intensity (multi-rater annotations, task A): the figures of the material's description."""
    folder = realdata / "multirater_green_TaskA"
    truth = np.genfromtxt(folder / "objective_truth" / "TaskA_normalized_10hz.csv", delimiter=",", skip_header=1)[:, 1]
    raters = [
        np.genfromtxt(folder / "annotations_10hz" / f"TaskA_ann{i}.csv", delimiter=",", skip_header=1)[:, 1]
        for i in range(1, 11)
    ]
    n = min(map(len, [truth, *raters]))
    single = [metrics.ccc(truth[:n], rater[:n]) for rater in raters]
    assert len(single) == 10
    assert round(min(single), 3) == 0.410
    assert round(max(single), 3) == 0.704
    mean = np.mean([rater[:n] for rater in raters], axis=0)
    assert metrics.ccc(truth[:n], mean) == pytest.approx(0.639372, abs=1e-6)


def test_valence_arousal_score_masks_each_dimension_by_its_own_labels():
    v, a = np.array([0.1, 0.5, np.nan, -0.3]), np.array([np.nan, 0.2, 0.4, 0.9])
    pv, pa = np.array([0.2, 0.4, 0.9, -0.1]), np.array([0.0, 0.1, 0.5, 0.4])
    expected = (audmetric.concordance_cc(v[[0, 1, 3]], pv[[0, 1, 3]]) + audmetric.concordance_cc(a[1:], pa[1:])) / 2
    assert metrics.valence_arousal_score(v, pv, a, pa) == pytest.approx(expected)
    assert np.isnan(metrics.valence_arousal_score(v, pv, a * np.nan, pa))


# --- speed and bad input -------------------------------------------------------------------------------------------------


def test_a_million_frames_take_well_under_a_second():
    rng = np.random.default_rng(0)
    n = 1_000_000
    truth, prediction = rng.integers(-1, 7, n), rng.integers(0, 7, n)
    v, a, pv, pa = rng.uniform(-1, 1, (4, n))
    seconds = []
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        metrics.expression_score(truth, prediction)
        metrics.valence_arousal_score(v, pv, a, pa)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.8


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 1], [0], r"equal length.*y_true\.shape=\(2,\), y_pred\.shape=\(1,\)"),
        ([[0, 1]], [[0, 1]], r"one-dimensional.*y_true\.shape=\(1, 2\)"),
        (0, 0, r"y_true\.shape=\(\)"),
        ([0.0, 1.0], [0, 1], r"y_true must hold integer classes.*dtype=float64"),
        ([0, 1], [0.9, 0.1], r"y_pred must hold integer classes.*argmax"),
        ([True, False], [0, 1], r"y_true.*dtype=bool"),
        (["Anger"], [0], "y_true must hold integer classes"),
        ([0, 7], [0, 1], r"y_true must be 0…6 .*Received: 7 at index 1 \(1 such frames\)"),
        ([-1, -5], [0, 1], r"-1 marks a missing label\)\. Received: -5 at index 1"),
        ([-1, 0, 1], [0, 0, 9], r"y_pred must be 0…6 .*Received: 9 at index 2"),
        ([0, 1], [0, -1], r"fill_missing.*Received: -1 at index 1"),
    ],
)
def test_wrong_classes_are_refused(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        metrics.expression_score(truth, prediction)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0.0, 1.0], [0.0], "equal length"),
        (np.zeros((3, 2)), np.zeros((3, 2)), r"one-dimensional.*y_true\.shape=\(3, 2\)"),
        ([0.0, 1.0], [np.nan, 1.0], r"y_pred must be finite.*Received: nan at index 0 \(1 such frames\)"),
        ([0.0, 1.0], [0.0, np.inf], "Received: inf at index 1"),
        ([0.0, -np.inf], [0.0, 1.0], "y_true must be finite.*Received: -inf at index 1"),
        (["a", "b"], [0.0, 1.0], "y_true must be real numbers"),
        ([1j, 0], [0.0, 1.0], "y_true must be real numbers"),
    ],
)
def test_wrong_values_are_refused(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        metrics.ccc(truth, prediction)


def test_sentinels_left_in_valence_or_arousal_are_refused():
    good = [0.0, 0.5, 0.2]
    with pytest.raises(ValueError, match=r"arousal_true must lie in \[-1, 1\].*Received: -5 at index 2"):
        metrics.valence_arousal_score(good, good, [0.1, 0.2, -5.0], good)
    with pytest.raises(ValueError, match=r"valence_true .*Received: 1\.5 at index 0"):
        metrics.valence_arousal_score([1.5, 0, 0], good, good, good)


@pytest.mark.parametrize(
    ("confusion", "variant", "message"),
    [
        (np.ones((7, 8)), "abaw2", r"as many rows as columns\. Received: shape=\(7, 8\)"),
        (np.ones(7), "abaw2", r"shape=\(7,\)"),
        (-np.ones((2, 2)), "abaw2", "holds counts"),
        (np.full((2, 2), np.nan), "abaw2", "holds counts"),
        (np.ones((2, 2)), "do2021", "Did you mean 'do2020'.*Received: 'do2021'"),
    ],
)
def test_wrong_confusions_are_refused(confusion, variant, message):
    with pytest.raises(ValueError, match=message):
        metrics.scores_from_confusion(confusion, variant)


def test_unknown_edition_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'abaw2'"):
        metrics.expression_score([0], [0], "abaww2")
