"""Search for fusion weights against brute force, exact optima of small problems and scikit-learn's scores."""

import doctest
import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold

from abaw_tf.fusion import averaging, calibration, confusions, dirichlet, objectives
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.fusion.objectives import objective
from abaw_tf.fusion.weight_draws import Found, passes, refinements


def simulated(n_models=3, n_frames=600, n_classes=7, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, size=n_frames, p=np.arange(1, n_classes + 1) / np.arange(1, n_classes + 1).sum())
    logits = rng.normal(size=(n_models, n_frames, n_classes))
    for model in range(n_models):
        logits[model, np.arange(n_frames), y] += 0.6 + 0.4 * model
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(axis=2, keepdims=True), y


def official(y, predicted, n_classes=7):
    macro = sk.f1_score(y, predicted, labels=range(n_classes), average="macro", zero_division=0)
    return 0.67 * macro + 0.33 * sk.accuracy_score(y, predicted)


@pytest.mark.parametrize("module", [averaging, calibration, dirichlet, objectives])
def test_doctests(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_search_is_never_below_the_best_single_model_or_equal_weights(level):
    probabilities, y = simulated()
    search = DirichletFusion(level, n_draws=50).fit(probabilities, y)
    singles = [official(y, p.argmax(axis=1)) for p in probabilities]
    assert search.single_scores_.tolist() == singles
    assert search.equal_score_ == official(y, probabilities.mean(axis=0).argmax(axis=1))
    assert search.score_ >= max(*singles, search.equal_score_)
    assert search.score_ == official(y, search.predict(probabilities)) == search.score(probabilities, y)
    np.testing.assert_allclose(search.weights_.sum(axis=0), 1)
    assert search.weights_.shape == ((3,) if level == "model" else (3, 7))
    assert (search.n_models_, search.n_classes_, search.scores_.shape) == (3, 7, (50,))


def test_numbers_of_draws_are_the_papers_where_none_is_given():
    probabilities, y = simulated(n_models=2, n_frames=20, n_classes=3)
    assert len(DirichletFusion().fit(probabilities, y).scores_) == 1_000
    assert len(DirichletFusion("model_class").fit(probabilities, y).scores_) == 10_000


def test_without_draws_the_best_start_wins():
    probabilities, y = simulated()
    search = DirichletFusion(n_draws=0).fit(probabilities, y)
    assert search.score_ == max(*search.single_scores_, search.equal_score_)
    assert len(search.history_) == 1


def test_of_equally_good_weights_the_first_wins():
    probabilities, y = simulated(n_models=1)
    same = np.repeat(probabilities, 3, axis=0)
    search = DirichletFusion(n_draws=30).fit(same, y)
    assert search.weights_.tolist() == [1, 0, 0]
    assert search.history_ == [(-4, search.score_)]


def exact_optimum_of_two(probabilities, y):
    """Highest accuracy of w * A + (1 - w) * B over all w: decisions only change where two classes' lines cross."""
    a, b = probabilities
    slope = a - b
    crossings = [0.0, 1.0]
    for i, j in itertools.combinations(range(a.shape[1]), 2):
        with np.errstate(divide="ignore", invalid="ignore"):
            w = (b[:, j] - b[:, i]) / (slope[:, i] - slope[:, j])
        crossings.extend(w[(w > 0) & (w < 1)])
    crossings = np.sort(crossings)
    tried = np.concatenate([[0.0, 1.0], (crossings[1:] + crossings[:-1]) / 2])
    return max(sk.accuracy_score(y, (w * a + (1 - w) * b).argmax(axis=1)) for w in tried)


@pytest.mark.parametrize("seed", range(5))
def test_two_models_reach_the_exact_optimum_and_no_more(seed):
    probabilities, y = simulated(n_models=2, n_frames=40, n_classes=3, seed=seed)
    search = DirichletFusion(n_draws=5000, metric="accuracy").fit(probabilities, y)
    assert search.score_ == exact_optimum_of_two(probabilities, y)


def test_three_models_reach_the_best_of_a_grid():
    probabilities, y = simulated(n_models=3, n_frames=150)
    steps = 40
    grid = [(i / steps, j / steps, (steps - i - j) / steps) for i in range(steps + 1) for j in range(steps + 1 - i)]
    scores = [official(y, np.tensordot(w, probabilities, 1).argmax(axis=1)) for w in grid]
    search = DirichletFusion(n_draws=4000, refine=3).fit(probabilities, y)
    assert search.score_ >= max(scores)
    best = np.array(grid[int(np.argmax(scores))])
    of_best = search.score_sums(search.sums(probabilities, y, best, np.zeros(len(y), int), 1)[0])
    assert of_best == pytest.approx(max(scores), abs=0.01)  # a grid point may hit a tie, which rounding decides


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_score_of_every_draw_equals_scikit_learns(level):
    probabilities, y = simulated(n_frames=97)
    search = DirichletFusion(level, n_draws=20, seed=3).fit(probabilities, y)
    per_class = 7 if level == "model_class" else None
    (weights,) = passes(20, 3, per_class, 1.0, 3, 49)
    for drawn, score in zip(weights[4:], search.scores_, strict=True):
        drawn = drawn if level == "model_class" else drawn[:, None]
        fused = sum(w * p for w, p in zip(drawn, probabilities))
        assert official(y, fused.argmax(axis=1)) == score


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_one_hot_weights_are_the_single_models(level):
    probabilities, y = simulated()
    search = DirichletFusion(level, n_draws=0)
    for model, p in enumerate(probabilities):
        one_hot = np.eye(3)[model] if level == "model" else np.repeat(np.eye(3)[model][:, None], 7, axis=1)
        found = search.sums(probabilities, y, one_hot, np.zeros(len(y), int), 1)[0]
        np.testing.assert_array_equal(found, sk.confusion_matrix(y, p.argmax(axis=1), labels=range(7)))


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_permuting_the_models_permutes_weights_and_scores(level):
    probabilities, y = simulated()
    search = DirichletFusion(level, n_draws=200).fit(probabilities, y)
    codes = np.arange(len(y)) % 4
    expected = search.sums(probabilities, y, search.weights_, codes, 4)
    for order in map(list, itertools.permutations(range(3))):
        found = search.sums(probabilities[order], y, search.weights_[order], codes, 4)
        np.testing.assert_array_equal(found, expected)
        again = clone(search).fit(probabilities[order], y)
        assert again.single_scores_.tolist() == search.single_scores_[order].tolist()
        # The draws are others for a permuted problem; of many, the best is about as good.
        assert again.score_ == pytest.approx(search.score_, abs=0.02)


@pytest.mark.parametrize("level", ["model", "model_class"])
def test_refinement_is_never_worse_and_tries_what_it_says(level):
    probabilities, y = simulated(n_frames=300)
    scores = [DirichletFusion(level, n_draws=40, refine=rounds).fit(probabilities, y) for rounds in range(4)]
    assert [len(one.scores_) for one in scores] == [40, 140, 240, 340]
    assert all(b.score_ >= a.score_ for a, b in itertools.pairwise(scores))
    assert scores[3].score_ > scores[0].score_
    np.testing.assert_allclose(scores[3].weights_.sum(axis=0), 1)
    assert scores[3].history_[-1][1] == scores[3].score_ == max(scores[3].scores_)


@pytest.mark.parametrize("pool", ["probability", "logit"])
@pytest.mark.parametrize("level", ["model", "model_class"])
def test_folds_in_one_pass_equal_fits_without_each_fold(level, pool):
    probabilities, y = simulated()
    y[::9] = -1
    folds = np.random.default_rng(1).integers(3, size=len(y))
    search = DirichletFusion(level, n_draws=60, refine=2, pool=pool)
    fitted = search.fit_folds(probabilities, y, folds, 3)
    for fold, one in enumerate([*fitted, search]):
        alone = clone(search).fit(probabilities[:, folds != fold], y[folds != fold])
        np.testing.assert_array_equal(one.weights_, alone.weights_)
        np.testing.assert_array_equal(one.scores_, alone.scores_)
        assert (one.score_, one.equal_score_, one.history_) == (alone.score_, alone.equal_score_, alone.history_)


def test_draws_are_the_same_however_many_make_a_pass():
    few = np.concatenate(list(passes(450, 3, 5, 0.7, seed=1, cells=10**9)))
    (many,) = passes(450, 3, 5, 0.7, seed=1, cells=25)
    np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize(("n_classes", "concentration"), [(None, 1.0), (4, 1.0), (4, 0.3)])
def test_draws_have_the_distribution_they_should(n_classes, concentration):
    drawn = np.concatenate(list(passes(3000, 3, n_classes, concentration, seed=0, cells=1)))[4:]
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    # Every component of a Dirichlet distribution is Beta distributed.
    beta = stats.beta(concentration, 2 * concentration)
    for component in drawn.reshape(3000, 3, -1).transpose(1, 2, 0).reshape(-1, 3000):
        assert stats.kstest(component, beta.cdf).pvalue > 1e-3
    if n_classes:
        assert abs(np.corrcoef(drawn[:, 0, 0], drawn[:, 0, 1])[0, 1]) < 0.06


def test_refinements_gather_around_the_best_and_half_of_them_change_one_class():
    found = Found(3, 4)
    best = np.random.default_rng(0).dirichlet(np.ones(3), size=4).T
    found.add(np.stack([best]), np.array([1.0]))
    spreads = []
    for drawn in refinements(found, 3, 1000, seed=0):
        np.testing.assert_allclose(drawn.sum(axis=1), 1)
        changed = (drawn != best).any(axis=1).sum(axis=1)
        assert sorted(np.bincount(changed)[[1, 4]]) == [500, 500]
        spreads.append((drawn[changed == 4] - best).std())
    assert spreads[0] > 1.5 * spreads[1] > 2.25 * spreads[2]


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize("level", ["model", "model_class"])
def test_threads_do_not_change_what_is_found(level, monkeypatch):
    monkeypatch.setattr(confusions, "PLAIN_WORK", 0)
    probabilities, y = simulated(n_frames=3000)
    found, before = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            found.append(DirichletFusion(level, n_draws=200, refine=1).fit(probabilities, y))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(found[0].scores_, found[1].scores_)
    np.testing.assert_array_equal(found[0].weights_, found[1].weights_)


@st.composite
def problems(draw):
    n_models, n_classes = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    n_frames = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Quarters: many ties, between classes and between weights. Some classes stay without frames.
    probabilities = rng.integers(5, size=(n_models, n_frames, n_classes)) / 4
    y = rng.integers(-1, n_classes, size=n_frames)
    y[rng.integers(n_frames)] = rng.integers(n_classes)
    probabilities[:, y == -1] = np.nan
    return probabilities.astype(draw(st.sampled_from([np.float32, np.float64]))), y


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from(["model", "model_class"]), st.sampled_from(["probability", "logit"]))
def test_any_shape_with_ties_absent_classes_and_missing_rows(problem, level, pool):
    probabilities, y = problem
    n_models, _, n_classes = probabilities.shape
    search = DirichletFusion(level, n_draws=12, refine=1, pool=pool).fit(probabilities, y)
    known = y != -1
    assert search.score_ == official(y[known], search.predict(probabilities[:, known]), n_classes)
    assert search.score_ >= max(*search.single_scores_, search.equal_score_)
    assert search.weights_.shape == ((n_models,) if level == "model" else (n_models, n_classes))
    np.testing.assert_allclose(search.weights_.sum(axis=0), 1)
    fused = search.predict_proba(probabilities[:, known])
    np.testing.assert_allclose(fused.sum(axis=1), 1)
    for model, score in enumerate(search.single_scores_):
        assert score == official(y[known], probabilities[model, known].argmax(axis=1), n_classes)


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_scores_equal_scikit_learns_to_the_last_bit(n_classes, n_frames, seed):
    rng = np.random.default_rng(seed)
    y, predicted = rng.integers(n_classes, size=(2, n_frames))
    confusions = np.stack([sk.confusion_matrix(y, predicted, labels=range(n_classes))] * 3)
    every = {"labels": range(n_classes), "zero_division": 0}
    for name, expected in {
        "macro_f1": sk.f1_score(y, predicted, average="macro", **every),
        "weighted_f1": sk.f1_score(y, predicted, average="weighted", **every),
        "accuracy": sk.accuracy_score(y, predicted),
        "abaw1": official(y, predicted, n_classes),
        "abaw2": official(y, predicted, n_classes),
        "abaw3": sk.f1_score(y, predicted, average="macro", **every),
        "do2020": 0.66 * sk.f1_score(y, predicted, average="weighted", **every)
        + 0.33 * sk.accuracy_score(y, predicted),
    }.items():
        assert objective(name).scores(confusions).tolist() == [expected] * 3, name


def without_weights(y_true, y_pred):
    return sk.cohen_kappa_score(y_true, y_pred)


@pytest.mark.parametrize("metric", ["sklearn.metrics:cohen_kappa_score", sk.cohen_kappa_score, without_weights])
def test_any_function_of_true_and_predicted_classes_is_maximised(metric):
    probabilities, y = simulated(n_frames=80)
    search = DirichletFusion(n_draws=30, metric=metric).fit(probabilities, y)
    assert search.score_ == pytest.approx(sk.cohen_kappa_score(y, search.predict(probabilities)), abs=1e-12)
    assert search.score_ == max(*search.scores_, *search.single_scores_, search.equal_score_)


def test_scores_that_are_not_numbers_never_win():
    def first_class_recall(y_true, y_pred):
        return np.nan if (y_pred == 0).all() else np.mean(y_pred == y_true)

    probabilities = np.array([[[0.9, 0.1, 0], [0.9, 0.1, 0]], [[0.4, 0.6, 0], [0.6, 0.4, 0]]])
    search = DirichletFusion(n_draws=20, metric=first_class_recall).fit(probabilities, [1, 0])
    assert np.isnan(search.single_scores_[0])
    assert (search.score_, search.weights_.tolist()) == (1.0, [0, 1])
    with pytest.raises(ValueError, match="of no weights is a finite number"):
        DirichletFusion(n_draws=5, metric=lambda y_true, y_pred: np.nan).fit(probabilities, [1, 0])


def test_unlabelled_frames_do_not_count():
    probabilities, y = simulated()
    padded = np.concatenate([probabilities, np.full_like(probabilities[:, :50], np.nan)], axis=1)
    with_missing = DirichletFusion(n_draws=20).fit(padded, np.concatenate([y, np.full(50, -1)]))
    np.testing.assert_array_equal(with_missing.scores_, DirichletFusion(n_draws=20).fit(probabilities, y).scores_)


def test_logits_are_pooled_as_geometric_means():
    probabilities, y = simulated()
    search = DirichletFusion("model_class", n_draws=30, pool="logit").fit(probabilities, y)
    expected = np.prod(probabilities ** search.weights_[:, None], axis=0)
    np.testing.assert_allclose(search.predict_proba(probabilities), expected / expected.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(search.predict(probabilities), expected.argmax(axis=1))


def test_parameters_survive_cloning_and_progress_counts_the_draws():
    probabilities, y = simulated(n_frames=50)
    search = DirichletFusion("model_class", n_draws=30, concentration=0.5, metric="abaw3", refine=1, seed=4)
    assert clone(search).get_params() == search.get_params()
    steps = []
    search.fit(probabilities, y, progress=steps.append)
    assert sum(steps) == 3 + 1 + 30 + 100
    np.testing.assert_array_equal(clone(search).fit(probabilities, y).weights_, search.weights_)


def test_grid_search_of_scikit_learn_with_groups():
    probabilities, y = simulated()
    X = probabilities.transpose(1, 0, 2).reshape(len(y), -1)
    videos = np.arange(len(y)) // 60
    fusion = DirichletFusion(n_draws=50, n_models=3)
    search = GridSearchCV(fusion, {"level": ["model", "model_class"]}, cv=GroupKFold(4)).fit(X, y, groups=videos)
    expected = {}
    for level in ("model", "model_class"):
        scores = []
        for train, test in GroupKFold(4).split(X, y, videos):
            one = DirichletFusion(level, n_draws=50).fit(probabilities[:, train], y[train])
            scores.append(official(y[test], one.predict(probabilities[:, test])))
        expected[level] = np.mean(scores)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], list(expected.values()))
    assert search.best_params_["level"] == max(expected, key=expected.get)
    np.testing.assert_array_equal(search.predict(X), search.best_estimator_.predict(probabilities))
    assert search.predict_proba(X).shape == (len(y), 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": "models"}, r"level must be one of .* Did you mean 'model'\? Received"),
        ({"n_draws": -1}, "n_draws must be a whole number"),
        ({"n_draws": 2.5}, "n_draws must be a whole number"),
        ({"refine": None}, "refine must be a whole number"),
        ({"concentration": 0}, "concentration must be positive"),
        ({"pool": "logits"}, "pool must be one of"),
        ({"metric": "macro_f"}, "Did you mean 'macro_f1'"),
        ({"metric": 3}, "metric must be a name or a function"),
        ({"metric": "sklearn.metrics:nothing"}, "cannot be imported"),
        ({"metric": "sklearn:__version__"}, "must be a function"),
        ({"n_models": 2}, "with n_models=2"),
        ({"n_models": 0}, "n_models must be a whole number"),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DirichletFusion(**changes).fit(*simulated())


def test_bad_input_names_what_is_wrong_and_where():
    probabilities, y = simulated()
    fitted = DirichletFusion(n_draws=5).fit(probabilities, y)
    bad = probabilities.copy()
    bad[1, 7, 0] = np.nan
    with pytest.raises(ValueError, match=r"`missing` policy of fusion.align.* of model 1 at frame 7 \(1 such"):
        DirichletFusion().fit(bad, y)
    with pytest.raises(ValueError, match="of model 1 at frame 7"):
        fitted.predict_proba(bad)
    with pytest.raises(ValueError, match="of model 1 at frame 7"):
        fitted.predict(bad)
    with pytest.raises(ValueError, match="softmax"):
        DirichletFusion().fit(np.log(probabilities), y)
    with pytest.raises(ValueError, match="all -1"):
        DirichletFusion().fit(probabilities, np.full(len(y), -1))
    with pytest.raises(ValueError, match=r"one of the 7 classes.*Received: 9 at frame 0"):
        DirichletFusion().fit(probabilities, np.where(np.arange(len(y)) == 0, 9, y))
    with pytest.raises(ValueError, match="one integer class per frame"):
        DirichletFusion().fit(probabilities, y.astype(float))
    with pytest.raises(ValueError, match="600 frames"):
        DirichletFusion().fit(probabilities[:, 1:], y)
    with pytest.raises(ValueError, match="fitted to 3 models and 7 classes"):
        fitted.predict(probabilities[:2])
