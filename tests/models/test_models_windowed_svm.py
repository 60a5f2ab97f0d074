"""The windowed SVM: agreement with scikit-learn's SVC, class weights, probabilities, conventions, files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from abaw_tf.data.balance import log_class_weights
from abaw_tf.models.windowed_svm import WindowedSVM


def blobs(n_classes, n=240, dim=6, distance=2.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n, p=np.arange(n_classes, 0, -1) / (n_classes * (n_classes + 1) / 2))
    return rng.normal(size=(n, dim)) + distance * np.eye(dim)[y], y, np.arange(n) // 10


@pytest.mark.parametrize("kernel", ["poly", "rbf", "linear"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_margins_are_those_of_svc(n_classes, kernel):
    X, y, _ = blobs(n_classes)
    svm = WindowedSVM(kernel=kernel, coef0=0.5, r=None).fit(X, y)
    svc = SVC(C=3, kernel=kernel, degree=3, gamma=0.1, coef0=0.5, decision_function_shape="ovo").fit(X, y)
    expected = svc.decision_function(X) if n_classes > 2 else -svc.decision_function(X)[:, None]
    np.testing.assert_allclose(svm.pairwise_margins(X), expected, atol=1e-9)
    assert np.mean(svm.predict(X) == svc.predict(X)) > 0.93  # coupled probabilities against votes
    np.testing.assert_allclose(svm.predict_proba(X).sum(axis=1), 1)


def test_two_classes_are_scaled_by_the_temperature():
    X, y, _ = blobs(2)
    svm = WindowedSVM(kernel="linear").fit(X, y)
    expected = 1 / (1 + np.exp(-svm.pairwise_margins(X)[:, 0] / svm.temperature_))
    np.testing.assert_allclose(svm.predict_proba(X)[:, 0], expected)


def test_calibration_helps_on_new_groups():
    X, y, groups = blobs(4, n=400, distance=1.0)
    train = groups < 20
    calibrated = WindowedSVM(C=30, kernel="rbf", gamma=0.3).fit(X[train], y[train], groups=groups[train])
    raw = WindowedSVM(C=30, kernel="rbf", gamma=0.3, calibration_folds=0).fit(X[train], y[train])
    assert raw.temperature_ == 1
    losses = [log_loss(y[~train], svm.predict_proba(X[~train])) for svm in (calibrated, raw)]
    assert losses[0] < losses[1]


def test_class_weights_are_those_of_equation_1():
    X, y, _ = blobs(4)
    counts = np.bincount(y)
    for r in (0.47, 2.0):
        np.testing.assert_allclose(WindowedSVM(r=r, degree=1).fit(X, y).class_weight_, log_class_weights(counts, r))
    np.testing.assert_array_equal(WindowedSVM(r=None, degree=1).fit(X, y).class_weight_, 1)


def test_the_published_rule_takes_the_largest_ratio_that_leaves_happiness_alone():
    X, y, _ = blobs(6)
    svm = WindowedSVM(r="auto", degree=1).fit(X, y)
    counts = np.bincount(y)
    grid = np.arange(1, 1000) / 100
    fitting = [r for r in grid if np.log(r * counts.sum() / counts[4]) <= 1]
    assert svm.r_ == pytest.approx(fitting[-1])
    assert svm.class_weight_[4] == 1


def test_weights_change_the_machine():
    X, y, _ = blobs(3, distance=0.8)
    plain, weighted = (WindowedSVM(kernel="rbf", r=r).fit(X, y) for r in (None, 5.0))
    rare = y == 2
    assert np.mean(weighted.predict(X[rare]) == 2) > np.mean(plain.predict(X[rare]) == 2)


def test_it_lives_in_pipelines_and_grouped_searches():
    X, y, groups = blobs(3)
    pipeline = make_pipeline(StandardScaler(), WindowedSVM(calibration_folds=2))
    scores = cross_val_score(pipeline, X, y, groups=groups, cv=GroupKFold(3), scoring="f1_macro")
    assert scores.min() > 0.5
    grid = {"C": [0.1, 3.0], "gamma": ["scale", 0.1]}
    search = GridSearchCV(WindowedSVM(kernel="rbf"), grid, cv=GroupKFold(3)).fit(X, y, groups=groups)
    assert set(search.best_params_) == {"C", "gamma"}
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_classes_may_be_any_labels_and_groups_may_lack_some():
    X, y, groups = blobs(3)
    names = np.array(["anger", "fear", "joy"])[y]
    groups = np.where(y == 2, 0, 1 + groups % 3)  # one class in a single group only
    svm = WindowedSVM(degree=1).fit(X, names, groups=groups)
    assert set(svm.predict(X)) <= set(names)
    assert svm.predict_proba(X).shape == (len(X), 3)


def test_the_commonest_class_limits_the_folds():
    X = blobs(3, n=12)[0]
    y = np.arange(12) % 4  # 12 windows of 12 people, three of each class
    svm, three = (WindowedSVM(degree=1, calibration_folds=n).fit(X, y, groups=np.arange(12)) for n in (5, 3))
    assert svm.temperature_ == three.temperature_ != 1
    assert WindowedSVM(degree=1).fit(np.eye(4), np.arange(4), groups=np.arange(4)).temperature_ == 1


def test_a_saved_estimator_comes_back(tmp_path):
    X, y, _ = blobs(4)
    svm = WindowedSVM(C=2.0, r="auto", degree=1)
    y[y == 3] = 4
    svm.fit(X, y).save(tmp_path / "svm.npz")
    loaded = WindowedSVM.load(tmp_path / "svm.npz")
    np.testing.assert_array_equal(loaded.predict_proba(X), svm.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), svm.predict(X))
    assert loaded.get_params() == svm.get_params()


@pytest.mark.parametrize("dtype", [None, object, "category"])
def test_labels_of_pandas_come_back(dtype, tmp_path):
    X, y, _ = blobs(3)
    svm = WindowedSVM(degree=1).fit(X, pd.Series(np.array(["anger", "fear", "joy"])[y], dtype=dtype))
    svm.save(tmp_path / "svm.npz")
    loaded = WindowedSVM.load(tmp_path / "svm.npz")
    assert loaded.classes_.tolist() == ["anger", "fear", "joy"]
    np.testing.assert_array_equal(loaded.predict(X), svm.predict(X))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an archive", b"\x80\x04pickle"])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "svm.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"svm\.npz: not a saved WindowedSVM"):
        WindowedSVM.load(path)
    with pytest.raises(FileNotFoundError):
        WindowedSVM.load(tmp_path / "none.npz")


def test_saving_needs_a_fitted_estimator(tmp_path):
    with pytest.raises(NotFittedError):
        WindowedSVM().save(tmp_path / "svm.npz")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [({"r": -1}, "r=-1"), ({"r": "max"}, "r='max'"), ({"gamma": 0}, "gamma=0"), ({"kernel": "precomputed"}, "kernel")],
)
def test_wrong_parameters_are_refused_by_fit(parameters, word):
    X, y, _ = blobs(3)
    with pytest.raises(ValueError, match=word):
        WindowedSVM(**parameters).fit(X, y)


def test_one_class_and_other_widths_are_refused():
    X, y, _ = blobs(3)
    with pytest.raises(ValueError, match="at least two classes"):
        WindowedSVM().fit(X, np.zeros(len(X), int))
    with pytest.raises(ValueError, match="3 features"):
        WindowedSVM(degree=1).fit(X, y).predict(X[:, :3])


@pytest.mark.slow
@parametrize_with_checks([WindowedSVM(degree=1, max_iter=10_000)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
