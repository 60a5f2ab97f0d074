"""The kernel ELM: agreement with scikit-learn's KernelRidge, weights, precision, cost, probabilities, conventions, files."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from abaw_tf.data.balance import log_class_weights
from abaw_tf.models import kernel_elm_estimator
from abaw_tf.models.kernel_elm import KernelELM
from abaw_tf.models.kernel_elm_estimator import COSTS
from abaw_tf.models.windowed_svm import WindowedSVM


def blobs(n_classes, n=240, dim=6, distance=2.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n, p=np.arange(n_classes, 0, -1) / (n_classes * (n_classes + 1) / 2))
    return rng.normal(size=(n, dim)) + distance * np.eye(max(dim, n_classes))[y, :dim], y, np.arange(n) // 10


def signs(y):
    return np.where(y[:, None] == np.unique(y), 1.0, -1.0)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
@pytest.mark.parametrize(("n_classes", "dim"), [(2, 5), (3, 5), (7, 12), (3, 300)])
@pytest.mark.parametrize("C", [1e-3, 1.0, 100.0])
def test_scores_are_those_of_kernel_ridge(kernel, n_classes, dim, C):
    X, y, _ = blobs(n_classes, dim=dim)
    new = blobs(n_classes, n=50, dim=dim, seed=1)[0]
    elm = KernelELM(C, kernel, gamma=0.02, degree=2, coef0=0.5).fit(X, y)
    ridge = KernelRidge(alpha=1 / C, kernel=kernel, gamma=0.02, degree=2, coef0=0.5).fit(X, signs(y))
    expected = ridge.predict(new)
    np.testing.assert_allclose(elm.scores(new), expected, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(elm.predict(new), np.unique(y)[expected.argmax(axis=1)])


def test_defaults_are_those_of_kernel_ridge():
    X, y, _ = blobs(3)
    for kernel in ("linear", "rbf", "poly"):
        expected = KernelRidge(alpha=1, kernel=kernel).fit(X, signs(y)).predict(X)
        np.testing.assert_allclose(KernelELM(kernel=kernel).fit(X, y).scores(X), expected, rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(4, 40),
    st.integers(1, 30),
    st.integers(2, 4),
    st.floats(-4, 2),
    st.sampled_from(["linear", "rbf", "poly"]),
    st.lists(st.floats(0.1, 10), min_size=4, max_size=4),
    st.integers(0, 99),
)
def test_weights_are_sample_weights_of_kernel_ridge(n, dim, n_classes, exponent, kernel, weights, seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, dim))
    C = 10.0**exponent
    weights = dict(enumerate(weights[:n_classes]))
    elm = KernelELM(C, kernel, class_weight=weights).fit(X, y)
    sample_weight = np.array([weights[label] for label in y])
    ridge = KernelRidge(alpha=1 / C, kernel=kernel).fit(X, signs(y), sample_weight=sample_weight)
    new = rng.normal(size=(10, dim))
    np.testing.assert_allclose(elm.scores(new), ridge.predict(new), rtol=1e-7, atol=1e-9)


def test_class_weights():
    X, y, _ = blobs(4)
    counts = np.bincount(y)

    def weights(setting):
        return KernelELM(class_weight=setting).fit(X, y).class_weight_

    np.testing.assert_array_equal(weights(None), 1)
    np.testing.assert_allclose(weights("balanced"), len(y) / (4 * counts))
    np.testing.assert_allclose(weights("balanced"), compute_class_weight("balanced", classes=np.arange(4), y=y))
    np.testing.assert_allclose(weights(2.0), log_class_weights(counts, 2.0))
    np.testing.assert_allclose(weights(2.0), WindowedSVM(r=2.0, degree=1).fit(X, y).class_weight_)
    np.testing.assert_array_equal(weights({3: 5.0}), [1, 1, 1, 5])


def test_weights_favour_the_rare_class():
    X, y, _ = blobs(3, distance=0.8)
    plain, weighted = (KernelELM(kernel="rbf", class_weight=setting).fit(X, y) for setting in (None, "balanced"))
    rare = y == 2
    assert np.mean(weighted.predict(X[rare]) == 2) > np.mean(plain.predict(X[rare]) == 2)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
@pytest.mark.parametrize(("n", "dim"), [(2200, 40), (500, 700)])  # more than one block of each kind
def test_single_precision_comes_close_to_double(kernel, n, dim):
    X, y, _ = blobs(5, n=n, dim=dim)
    double = KernelELM(100.0, kernel, class_weight="balanced", normalize=True).fit(X, y)
    single = KernelELM(100.0, kernel, class_weight="balanced", normalize=True).fit(X.astype(np.float32), y)
    scores = single.scores(X.astype(np.float32))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, double.scores(X), atol=1e-3)
    learned = [value for value in vars(single).values() if isinstance(value, np.ndarray) and value.ndim == 2]
    assert {value.dtype for value in learned} == {np.dtype(np.float32)}
    assert single.predict_proba(X).dtype == np.float64


@pytest.mark.parametrize("dim", [30, 1500])  # more than one block of features
def test_distances_are_exact_in_single_precision_whatever_the_offsets(dim):
    """Pixels, millimetres, hertz: functionals may lie far from zero, and scikit-learn's distances do not mind."""
    X, y, _ = blobs(3, n=150, dim=dim)
    X = (X + 1e3 * np.arange(dim) / dim).astype(np.float32)
    expected = KernelRidge(alpha=0.1, kernel="rbf").fit(
        X.astype(np.float64), np.where(y[:, None] == np.arange(3), 1, -1)
    )
    found = KernelELM(10.0, "rbf").fit(X, y).scores(X)
    np.testing.assert_allclose(found, expected.predict(X.astype(np.float64)), atol=2e-5)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_normalisation_is_that_of_scikit_learn(kernel):
    X, y, _ = blobs(3, dim=5)
    X = X * [1, 10, 100, 1e-3, 0] + 7  # the last feature does not vary
    pipeline = make_pipeline(StandardScaler(), Normalizer(), KernelELM(10.0, kernel, gamma=1.0)).fit(X[:200], y[:200])
    elm = KernelELM(10.0, kernel, normalize=True).fit(X[:200], y[:200])
    np.testing.assert_allclose(elm.scores(X[200:]), pipeline.steps[-1][1].scores(pipeline[:-1].transform(X[200:])))


def test_linear_scores_are_the_products_with_coef():
    X, y, _ = blobs(3)
    elm = KernelELM().fit(X, y)
    assert elm.coef_.shape == (3, 6)
    np.testing.assert_allclose(elm.decision_function(X), X @ elm.coef_.T)
    assert not hasattr(elm, "dual_coef_")
    elm.set_params(kernel="rbf").fit(X, y)
    assert elm.dual_coef_.shape == (240, 3)
    assert not hasattr(elm, "coef_")


def test_probabilities_are_the_softmax_of_the_scores():
    X, y, groups = blobs(4)
    elm = KernelELM().fit(X, y)
    assert elm.temperature_ == 1
    np.testing.assert_allclose(elm.predict_proba(X), softmax(elm.scores(X), axis=1))
    elm = KernelELM().fit(X, y, groups=groups)
    np.testing.assert_allclose(elm.predict_proba(X), softmax(elm.scores(X) / elm.temperature_, axis=1))


def test_two_classes_have_one_score_and_a_logistic_probability():
    X, y, groups = blobs(2)
    elm = KernelELM().fit(X, np.array(["no", "yes"])[y], groups=groups)
    d = elm.decision_function(X)
    assert d.shape == (len(X),)
    np.testing.assert_array_equal(elm.predict(X) == "yes", d > 0)
    np.testing.assert_allclose(elm.predict_proba(X)[:, 1], expit(2 * d / elm.temperature_))


def test_the_temperature_minimises_the_log_loss_of_held_out_groups():
    X, y, groups = blobs(4, distance=1.0)
    elm = KernelELM(kernel="rbf", random_state=3).fit(X, y, groups=groups)
    scores = np.zeros((len(X), 4))
    for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=3).split(X, y, groups):
        scores[test] = KernelELM(kernel="rbf").fit(X[train], y[train]).scores(X[test])
    losses = [log_loss(y, softmax(scores / (elm.temperature_ * factor), axis=1)) for factor in (0.95, 1, 1.05)]
    assert np.argmin(losses) == 1


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_cost_has_the_best_macro_f1_on_held_out_groups(kernel):
    X, y, groups = blobs(5, distance=1.0, dim=4)
    elm = KernelELM("auto", kernel, normalize=True, random_state=1).fit(X, y, groups=groups)
    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=1).split(X, y, groups))
    scores = []
    for C in COSTS:
        decided = np.zeros_like(y)
        for train, test in folds:
            decided[test] = KernelELM(C, kernel, normalize=True).fit(X[train], y[train]).predict(X[test])
        scores.append(f1_score(y, decided, average="macro"))
    assert COSTS[np.argmax(scores)] == elm.C_
    assert len(set(scores)) > 1
    fixed = KernelELM(elm.C_, kernel, normalize=True, random_state=1).fit(X, y, groups=groups)
    np.testing.assert_array_equal(elm.predict_proba(X), fixed.predict_proba(X))


def of_low_rank(noise, n=400, dim=2048, rank=20):
    """Windows in float32 that lie near a plane: their kernel matrix has hardly more than `rank` eigenvalues."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 7, n)
    hidden = rng.normal(size=(n, rank)) + 2 * np.eye(7, rank)[y]
    X = 10 * hidden @ rng.normal(size=(rank, dim)) + noise * rng.normal(size=(n, dim))
    return X.astype(np.float32), y, np.arange(n) // 10


def solved(X, y, C):
    try:
        return KernelELM(C).fit(X, y)
    except ValueError:
        return None


def test_a_cost_that_cannot_be_solved_in_some_fold_is_not_chosen():
    X, y, groups = of_low_rank(0.05)
    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(X, y, groups))
    scores = {}
    for C in COSTS:
        machines = [solved(X[train], y[train], C) for train, _ in folds]
        if None not in machines:
            decided = np.zeros_like(y)
            for machine, (_, test) in zip(machines, folds):
                decided[test] = machine.predict(X[test])
            scores[C] = f1_score(y, decided, average="macro")
    assert 0 < len(scores) < len(COSTS)
    for together in (groups, None):
        elm = KernelELM("auto").fit(X, y, groups=together)
        assert solved(X, y, elm.C_) is not None
        assert elm.score(X, y) > 0.5
    elm = KernelELM("auto").fit(X, y, groups=groups)
    assert max(scores, key=scores.get) == elm.C_
    fixed = KernelELM(elm.C_).fit(X, y, groups=groups)
    np.testing.assert_array_equal(elm.predict_proba(X), fixed.predict_proba(X))


def test_a_search_without_any_cost_that_can_be_solved_names_the_remedies():
    X, y, groups = of_low_rank(1e-3)
    X *= 1e4
    rule = r"none of the costs.*float32.*normalize=True.*float64 features.*Received: C=\"auto\", of 0\.0001, .*, 100$"
    with pytest.raises(ValueError, match=rule):
        KernelELM("auto").fit(X, y, groups=groups)


def without(monkeypatch, cannot):
    """Let the solver fail for those costs, of equations over so many samples, for which `cannot(cost, n)`."""
    solutions = kernel_elm_estimator.solutions

    def some_solutions(equations, costs):
        found = solutions(equations, costs)
        found[[cannot(cost, len(equations.matrix)) for cost in costs]] = np.nan
        return found

    monkeypatch.setattr(kernel_elm_estimator, "solutions", some_solutions)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_a_cost_that_only_the_folds_can_solve_gives_way_to_the_next_smaller_one(kernel, monkeypatch):
    X, y, groups = blobs(5, distance=1.0, dim=300)
    usual = KernelELM("auto", kernel, normalize=True).fit(X, y, groups=groups)
    place = COSTS.index(usual.C_)
    assert place > 1
    smaller = KernelELM(COSTS[place - 2], kernel, normalize=True).fit(X, y, groups=groups)
    # One of the two below is no longer a candidate, for one fold cannot solve it.
    sizes = [len(train) for train, _ in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(X, y, groups)]
    refused = {(usual.C_, len(X)), (COSTS[place - 1], sizes[-1])}
    without(monkeypatch, lambda cost, n: (cost, n) in refused)
    with pytest.warns(UserWarning, match=rf"C={usual.C_:g}.*all windows in float64.*C={smaller.C_:g}"):
        elm = KernelELM("auto", kernel, normalize=True).fit(X, y, groups=groups)
    assert (elm.C_, elm.temperature_) == (smaller.C_, smaller.temperature_)
    np.testing.assert_array_equal(elm.predict_proba(X), smaller.predict_proba(X))
    assert vars(elm).keys() == vars(smaller).keys()


def test_costs_that_only_the_folds_can_solve_are_refused(monkeypatch):
    X, y, groups = blobs(3, dim=300)
    without(monkeypatch, lambda cost, n: n == len(X))
    with pytest.raises(ValueError, match=r"none of the costs.*float64"):
        KernelELM("auto").fit(X, y, groups=groups)


@pytest.mark.parametrize("C", [1.0, "auto"])
def test_a_cost_is_searched_with_as_many_folds_as_the_commonest_class_allows(C):
    X = blobs(3, n=12)[0]
    y = np.arange(12) % 4  # 12 windows of 12 people, three of each class
    elm = KernelELM(C, folds=5).fit(X, y, groups=np.arange(12))
    three = KernelELM(C, folds=3).fit(X, y, groups=np.arange(12))
    assert (elm.C_, elm.temperature_) == (three.C_, three.temperature_)
    assert elm.temperature_ != 1


def test_classes_of_one_window_each_leave_no_folds():
    X = np.eye(4)
    assert KernelELM().fit(X, np.arange(4), groups=np.arange(4)).temperature_ == 1
    with pytest.raises(ValueError, match=r"needs two folds.*4 windows, 4 groups"):
        KernelELM("auto").fit(X, np.arange(4), groups=np.arange(4))


def test_it_lives_in_pipelines_and_grouped_searches():
    X, y, groups = blobs(3)
    pipeline = make_pipeline(StandardScaler(), KernelELM(kernel="rbf"))
    assert cross_val_score(pipeline, X, y, groups=groups, cv=GroupKFold(3), scoring="f1_macro").min() > 0.5
    grid = {"C": np.logspace(-4, 2, 4), "kernel": ["linear", "rbf"]}
    search = GridSearchCV(KernelELM(normalize=True), grid, cv=GroupKFold(3)).fit(X, y, groups=groups)
    assert set(search.best_params_) == {"C", "kernel"}
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_classes_may_be_any_labels_and_groups_may_lack_some():
    X, y, groups = blobs(3)
    names = np.array(["anger", "fear", "joy"])[y]
    groups = np.where(y == 2, 0, 1 + groups % 3)  # one class in a single group only
    elm = KernelELM("auto", class_weight={"joy": 3.0}).fit(X, names, groups=groups)
    assert set(elm.predict(X)) == set(names)
    assert elm.predict_proba(X).shape == (len(X), 3)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_saved_estimator_comes_back(kernel, normalize, tmp_path):
    X, y, groups = blobs(4)
    parameters = {"class_weight": {np.int64(3): 2.0, 0: 1}, "normalize": normalize}
    elm = KernelELM(np.float64(2), kernel, **parameters).fit(X.astype(np.float32), y, groups=groups)
    elm.save(tmp_path / "elm.npz")
    loaded = KernelELM.load(tmp_path / "elm.npz")
    np.testing.assert_array_equal(loaded.predict_proba(X), elm.predict_proba(X))
    assert loaded.get_params() == elm.get_params()
    assert vars(loaded).keys() == vars(elm).keys()


@pytest.mark.parametrize("dtype", [None, object, "category"])
def test_labels_of_pandas_come_back(dtype, tmp_path):
    X, y, _ = blobs(3)
    elm = KernelELM().fit(X, pd.Series(np.array(["anger", "fear", "joy"])[y], dtype=dtype))
    elm.save(tmp_path / "elm.npz")
    loaded = KernelELM.load(tmp_path / "elm.npz")
    assert loaded.classes_.tolist() == ["anger", "fear", "joy"]
    np.testing.assert_array_equal(loaded.predict(X), elm.predict(X))


def test_what_a_file_cannot_hold_is_refused_before_it_is_written(tmp_path):
    X, y, _ = blobs(2)
    elm = KernelELM().fit(X, y)
    elm.save(tmp_path / "elm.npz")
    before = (tmp_path / "elm.npz").read_bytes()
    elm.classes_ = np.array([Fraction(1, 2), Fraction(1, 3)])
    with pytest.raises(TypeError, match=r"numbers and text.*Received: classes_=.*Fraction\(1, 2\)"):
        elm.save(tmp_path / "elm.npz")
    elm.classes_, elm.random_state = np.arange(2), np.random.RandomState(0)
    with pytest.raises(TypeError, match="RandomState"):
        elm.save(tmp_path / "elm.npz")
    assert (tmp_path / "elm.npz").read_bytes() == before


def test_a_file_of_another_estimator_is_refused(tmp_path):
    X, y, _ = blobs(3)
    WindowedSVM(degree=1).fit(X, y).save(tmp_path / "svm.npz")
    with pytest.raises(ValueError, match=r"svm\.npz: not a saved KernelELM"):
        KernelELM.load(tmp_path / "svm.npz")
    KernelELM().fit(X, y).save(tmp_path / "elm.npz")
    content = dict(np.load(tmp_path / "elm.npz"))
    del content["temperature_"]
    np.savez(tmp_path / "elm.npz", **content)
    with pytest.raises(ValueError, match=r"elm\.npz: not a saved KernelELM.*temperature_"):
        KernelELM.load(tmp_path / "elm.npz")
    (tmp_path / "elm.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ValueError, match=r"elm\.npz: not a saved KernelELM"):
        KernelELM.load(tmp_path / "elm.npz")
    with pytest.raises(NotFittedError):
        KernelELM().save(tmp_path / "new.npz")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"C": 0}, "C=0"),
        ({"C": "best"}, "C='best'"),
        ({"C": np.nan}, "C=nan"),
        ({"C": np.inf}, "C=inf"),
        ({"gamma": -1.0}, "gamma=-1.0"),
        ({"gamma": "scale"}, "gamma='scale'"),
        ({"degree": 0}, "degree=0"),
        ({"kernel": "poly", "degree": 2.5}, r"whole number.*Received: degree=2\.5"),
        ({"kernel": "poly", "degree": 0.5}, r"whole number.*Received: degree=0\.5"),
        ({"kernel": "poly", "degree": -1}, "degree=-1"),
        ({"coef0": -1.0}, r"coef0=-1\.0"),
        ({"folds": 2.5}, r"folds=2\.5"),
        ({"folds": -1}, "folds=-1"),
        ({"kernel": "sigmoid"}, "kernel='sigmoid'"),
        ({"kernel": None}, "kernel=None"),
        ({"class_weight": "log"}, "class_weight='log'"),
        ({"class_weight": 0.0}, r"Received: 0\.0"),
        ({"class_weight": {0: 0.0}}, "positive"),
        ({"class_weight": {0: -1}}, "positive"),
    ],
)
def test_wrong_parameters_are_refused_by_fit(parameters, word):
    X, y, _ = blobs(3)
    with pytest.raises(ValueError, match=word):
        KernelELM(**parameters).fit(X, y)


def test_a_whole_degree_may_be_a_float_and_other_kernels_ignore_it():
    X, y, _ = blobs(3)
    whole, float_ = (KernelELM(kernel="poly", degree=degree).fit(X, y) for degree in (2, np.float64(2)))
    np.testing.assert_allclose(float_.scores(X), whole.scores(X), rtol=1e-9)
    assert KernelELM(kernel="rbf", degree=2.5).fit(X, y).score(X, y) > 0.5


def test_bad_arrays_are_refused():
    X, y, _ = blobs(3)
    with pytest.raises(ValueError, match="at least two classes"):
        KernelELM().fit(X, np.zeros(len(X), int))
    with pytest.raises(ValueError, match="3 features"):
        KernelELM().fit(X, y).predict(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        KernelELM().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match=r"C=\"auto\" needs two folds.*240 windows, 1 groups"):
        KernelELM("auto").fit(X, y, groups=np.zeros(len(X)))


@pytest.mark.parametrize("kernel", ["linear", "poly"])
def test_a_matrix_that_single_precision_cannot_hold_is_refused_with_remedies(kernel):
    X, y, _ = blobs(3, n=60, dim=80)
    X[:, 1] = X[:, 0]
    X = (1e3 * X).astype(np.float32)
    with pytest.raises(ValueError, match=r"float32.*smaller C.*normalize=True.*float64 features.*Received: C=1e\+06"):
        KernelELM(1e6, kernel).fit(np.tile(X, (3, 1)), np.tile(y, 3))
    assert KernelELM(1e6, kernel, normalize=True).fit(X.astype(np.float64), y).score(X, y) > 0.9


def test_fitting_changes_neither_the_features_nor_later_fits():
    X, y, groups = blobs(3)
    X = X.astype(np.float32)
    before = X.copy()
    for kernel in ("linear", "rbf", "poly"):
        elm = KernelELM("auto", kernel, class_weight=1.0, normalize=True).fit(X, y, groups=groups)
        again = clone(elm).fit(X, y, groups=groups)
        np.testing.assert_array_equal(elm.predict_proba(X), again.predict_proba(X))
        np.testing.assert_array_equal(X, before)


class Scored(KernelELM):
    """With scikit-learn's checks of the accuracy, which `KernelELM` itself is excused from for the sake of one of them."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = False
        return tags


NO_INTERCEPT = {"check_class_weight_classifiers": "without an intercept no class weight makes every answer one class"}


@pytest.mark.slow
@parametrize_with_checks([KernelELM(), KernelELM("auto", "rbf", normalize=True, class_weight=1.0)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [Scored(), Scored(kernel="rbf"), Scored(kernel="poly")],
    expected_failed_checks=lambda elm: {} if elm.kernel == "poly" else NO_INTERCEPT,
)
def test_scikit_learns_own_checks_of_the_accuracy(estimator, check):
    check(estimator)
