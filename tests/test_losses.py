"""Masked losses: values against NumPy and scikit-learn, gradients, training with several partly labelled outputs."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import log_loss, mean_squared_error

from abaw_tf import losses, metrics

NAN = float("nan")
ALL = [
    losses.ConcordanceLoss("time", dimensions=2, name="a"),
    losses.MaskedMeanSquaredError(),
    losses.MaskedSparseCategoricalCrossentropy(from_logits=True),
    losses.MaskedCategoricalCrossentropy(name="votes"),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def policy():
    """Set a global dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def gradient(loss, y_true, y_pred, sample_weight=None):
    """Loss and gradient with respect to the prediction (TensorFlow backend)."""
    tf = pytest.importorskip("tensorflow")
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred, sample_weight)
    return float(value), tape.gradient(value, y_pred).numpy()


def correlated(rng, *shape):
    truth = rng.uniform(-1, 1, shape).astype("float32")
    return truth, (0.5 * truth + 0.2 + 0.3 * rng.normal(size=shape)).astype("float32")


# --- concordance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(50,), (50, 1), (10, 5), (10, 5, 1)])
def test_concordance_over_the_batch_is_that_of_all_elements(rng, shape):
    truth, prediction = correlated(rng, *shape)
    expected = 1 - metrics.ccc(truth.ravel(), prediction.ravel())
    assert float(losses.ConcordanceLoss()(truth, prediction)) == pytest.approx(expected, abs=1e-6)
    assert float(losses.ConcordanceLoss()(truth, truth)) == pytest.approx(0, abs=1e-6)


def test_concordance_takes_truth_without_the_last_axis(rng):
    truth, prediction = correlated(rng, 6, 8)
    expected = 1 - metrics.ccc(truth.ravel(), prediction.ravel())
    assert float(losses.ConcordanceLoss()(truth, prediction[..., None])) == pytest.approx(expected, abs=1e-6)
    assert float(losses.ConcordanceLoss()(truth[0], prediction[0][:, None])) == pytest.approx(
        1 - metrics.ccc(truth[0], prediction[0]), abs=1e-6
    )


@pytest.mark.parametrize("last", [(), (1,)])
def test_concordance_over_time_is_the_mean_over_windows(rng, last):
    truth, prediction = correlated(rng, 4, 9)
    truth[0, 3:6] = NAN
    truth[2] = NAN  # nothing labelled
    truth[3, 1:] = NAN  # one frame labelled: no CCC
    expected = np.mean([1 - metrics.ccc(truth[i], prediction[i]) for i in (0, 1)])
    loss = losses.ConcordanceLoss(axis="time")
    assert float(loss(truth.reshape(4, 9, *last), prediction.reshape(4, 9, *last))) == pytest.approx(expected, abs=1e-6)


def test_concordance_of_two_dimensions_is_one_minus_the_challenge_score(rng):
    truth, prediction = correlated(rng, 8, 6, 2)
    truth[0, :, 1] = NAN
    flat_true, flat_pred = truth.reshape(-1, 2), prediction.reshape(-1, 2)
    score = metrics.valence_arousal_score(flat_true[:, 0], flat_pred[:, 0], flat_true[:, 1], flat_pred[:, 1])
    loss = losses.ConcordanceLoss(dimensions=2)
    assert float(loss(truth, prediction)) == pytest.approx(1 - score, abs=1e-6)
    assert float(loss(flat_true, flat_pred)) == pytest.approx(1 - score, abs=1e-6)


def test_weights_of_zero_and_missing_truth_leave_frames_out(rng):
    truth, prediction = correlated(rng, 40)
    keep = np.arange(40) % 3 > 0
    expected = 1 - metrics.ccc(truth[keep], prediction[keep])
    loss = losses.ConcordanceLoss()
    assert float(loss(truth, prediction, keep.astype("float32"))) == pytest.approx(expected, abs=1e-6)
    assert float(loss(truth, prediction, keep)) == pytest.approx(expected, abs=1e-6)
    missing = np.where(keep, truth, NAN)
    assert float(loss(missing, prediction)) == pytest.approx(expected, abs=1e-6)
    assert float(loss(missing, np.where(keep, prediction, NAN))) == pytest.approx(expected, abs=1e-6)


def test_concordance_weights_count_as_repetitions(rng):
    truth, prediction = correlated(rng, 30)
    times = rng.integers(0, 4, 30)
    expected = 1 - metrics.ccc(np.repeat(truth, times), np.repeat(prediction, times))
    assert float(losses.ConcordanceLoss()(truth, prediction, times)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("axis", ["batch", "time"])
def test_concordance_gradient_is_that_of_finite_differences_and_zero_where_masked(rng, axis):
    truth, prediction = correlated(rng, 3, 7)
    truth[1, 2] = NAN
    loss = losses.ConcordanceLoss(axis)
    value, slope = gradient(loss, truth, prediction)
    assert slope[1, 2] == 0
    rows = range(3)

    def exact(p):
        if axis == "batch":
            return 1 - metrics.ccc(truth.ravel(), p.ravel())
        return np.mean([1 - metrics.ccc(truth[i], p[i]) for i in rows])

    assert value == pytest.approx(exact(prediction), abs=1e-6)
    for index in [(0, 0), (1, 1), (2, 6)]:
        step = np.zeros((3, 7))
        step[index] = 1e-4
        expected = (exact(prediction + step) - exact(prediction - step)) / 2e-4
        assert slope[index] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ([NAN] * 4, [0.1, 0.2, 0.3, 0.4], 0.0),
        ([0.1, NAN, NAN, NAN], [0.1, 0.2, 0.3, 0.4], 0.0),
        ([0.3] * 4, [0.1, 0.2, 0.3, 0.4], 1.0),
        ([0.3] * 4, [0.3] * 4, 1.0),
        ([0.1, 0.2, 0.3, 0.4], [0.3] * 4, 1.0),
    ],
)
def test_degenerate_concordance_is_finite_and_so_is_its_gradient(truth, prediction, expected):
    value, slope = gradient(losses.ConcordanceLoss(), np.float32(truth), np.float32(prediction))
    assert value == pytest.approx(expected, abs=1e-5)
    assert np.isfinite(slope).all()


def test_half_precision_predictions_are_computed_in_float32(rng):
    truth, prediction = correlated(rng, 5000)
    half = ops.cast(1000 * prediction, "float16")  # squares and sums overflow float16
    expected = 1 - metrics.ccc(1000.0 * truth, np.asarray(half, np.float64))
    value = losses.ConcordanceLoss()(1000 * truth, half)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "shapes", "message"),
    [
        ({}, ((8, 2), (8, 2)), r"need dimensions=2\. Received: shape=\(8, 2\)"),
        ({}, ((8, 5, 3), (8, 5, 3)), r"with dimensions=1 the prediction must have shape"),
        ({"dimensions": 2}, ((8, 3), (8, 3)), r"\(n, 2\) or \(n, t, 2\)"),
        ({"axis": "time"}, ((8, 1), (8, 1)), "windows of more than one frame"),
        ({"axis": "time"}, ((8,), (8,)), "windows of more than one frame"),
        ({"axis": "time", "dimensions": 2}, ((8, 2), (8, 2)), "windows of more than one frame"),
        ({}, ((8,), (9,)), r"same shape\. Received: truth \(8,\), prediction \(9,\)"),
        ({}, ((8, 1, 1), (8,)), r"same shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, shapes, message):
    with pytest.raises(ValueError, match=message):
        losses.ConcordanceLoss(**arguments)(np.zeros(shapes[0], "float32"), np.zeros(shapes[1], "float32"))


def test_options_and_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"axis must be 'batch' or 'time'.*Received: axis='video'"):
        losses.ConcordanceLoss("video")
    with pytest.raises(ValueError, match="dimensions must be a positive integer"):
        losses.ConcordanceLoss(dimensions=0)
    with pytest.raises(ValueError, match=r"one value per element or per sample.*\(3,\) for values of shape \(4, 5\)"):
        losses.ConcordanceLoss()(np.zeros((4, 5)), np.zeros((4, 5)), np.ones(3))


# --- squared error and cross-entropy -------------------------------------------------------------------------------------


def test_squared_error_divides_by_what_is_labelled(rng):
    truth, prediction = correlated(rng, 20, 2)
    assert float(losses.MaskedMeanSquaredError()(truth, prediction)) == pytest.approx(
        mean_squared_error(truth, prediction), rel=1e-5
    )
    truth[:15, 0] = NAN
    known = ~np.isnan(truth)
    expected = np.mean((truth - prediction)[known] ** 2)
    value, slope = gradient(losses.MaskedMeanSquaredError(), truth, prediction)
    assert value == pytest.approx(expected, rel=1e-5)
    assert (slope[~known] == 0).all()
    assert (slope[known] != 0).all()


def test_class_weights_multiply_as_in_keras(rng):
    truth, prediction = correlated(rng, 12, 3)
    weights = rng.uniform(0.5, 2, 12).astype("float32")
    ours = losses.MaskedMeanSquaredError()(truth, prediction, weights)
    assert float(ours) == pytest.approx(float(keras.losses.MeanSquaredError()(truth, prediction, weights)), rel=1e-5)

    classes, p = rng.integers(0, 7, 12), rng.dirichlet(np.ones(7), 12).astype("float32")
    ours = losses.MaskedSparseCategoricalCrossentropy()(classes, p, weights)
    theirs = keras.losses.SparseCategoricalCrossentropy()(classes, p, weights)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("shape", [(30,), (5, 6)])
@pytest.mark.parametrize("last", [(), (1,)])
def test_sparse_cross_entropy_is_that_of_the_labelled_frames(rng, shape, last):
    logits = rng.normal(size=(*shape, 7))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    y = rng.integers(-1, 7, shape)
    keep = rng.integers(0, 2, shape).astype(bool)
    counted = keep & (y >= 0)
    expected = log_loss(y[counted], p[counted], labels=range(7))
    for from_logits, prediction in ((False, p), (True, logits)):
        loss = losses.MaskedSparseCategoricalCrossentropy(from_logits)
        prediction = np.where(keep[..., None], prediction, NAN).astype("float32")  # what a padded frame may hold
        for truth in (y, np.where(y < 0, NAN, y).astype("float32")):
            value, slope = gradient(loss, truth.reshape(*shape, *last), prediction, keep)
            assert value == pytest.approx(expected, rel=1e-4)
            assert (slope[~counted] == 0).all()
            assert np.isfinite(slope).all()


def test_labels_of_another_edition_make_the_loss_nan():
    p = np.full((3, 7), 1 / 7, "float32")
    loss = losses.MaskedSparseCategoricalCrossentropy()
    assert np.isnan(float(loss(np.array([0, 7, 1]), p)))
    assert float(loss(np.array([0, 7, 1]), p, np.array([1.0, 0.0, 1.0]))) == pytest.approx(np.log(7), rel=1e-5)


def test_soft_cross_entropy_is_that_of_the_labelled_frames(rng):
    y, p = rng.dirichlet(np.ones(7), 20).astype("float32"), rng.dirichlet(np.ones(7), 20).astype("float32")
    y[3:9] = NAN
    known = ~np.isnan(y[:, 0])
    expected = -(y[known] * np.log(p[known])).sum(-1).mean()
    value, slope = gradient(losses.MaskedCategoricalCrossentropy(), y, p)
    assert value == pytest.approx(expected, rel=1e-4)
    assert (slope[~known] == 0).all()
    value, slope = gradient(losses.MaskedCategoricalCrossentropy(from_logits=True), y, np.log(p))
    assert value == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred"),
    [
        (losses.MaskedMeanSquaredError(), np.full((4, 2), NAN, "float32"), np.ones((4, 2), "float32")),
        (losses.MaskedSparseCategoricalCrossentropy(), np.full(4, -1), np.full((4, 7), 1 / 7, "float32")),
        (losses.MaskedCategoricalCrossentropy(), np.full((4, 7), NAN, "float32"), np.full((4, 7), 1 / 7, "float32")),
    ],
)
def test_nothing_labelled_is_no_loss_and_no_gradient(loss, y_true, y_pred):
    value, slope = gradient(loss, y_true, y_pred)
    assert value == 0
    assert (slope == 0).all()


# --- in Keras ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_losses_are_serialised_with_their_options(loss):
    config = json.loads(json.dumps(keras.losses.serialize(loss)))
    assert config["registered_name"] == f"abaw_tf>{type(loss).__name__}"
    again = keras.losses.deserialize(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def two_headed_model():
    x = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="relu")(x)
    return keras.Model(
        x,
        {
            "expression": keras.layers.Dense(7, activation="softmax", dtype="float32", name="expression")(hidden),
            "valence": keras.layers.Dense(1, activation="tanh", dtype="float32", name="valence")(hidden),
            "arousal": keras.layers.Dense(1, activation="tanh", name="arousal")(hidden),
        },
    )


@pytest.mark.parametrize("name", [pytest.param("float32", marks=pytest.mark.slow), "mixed_float16"])
def test_training_with_partly_labelled_outputs(rng, policy, tmp_path, name):
    """Every label is missing somewhere; the loss stays finite and falls, and the compiled model comes back from disk."""
    policy(name)
    keras.utils.set_random_seed(0)
    n = 64
    x = rng.normal(size=(n, 6)).astype("float32")
    y = {
        "expression": np.where(rng.random(n) < 0.4, -1, (x[:, 0] > 0) * 3),
        "valence": np.where(rng.random(n) < 0.4, NAN, np.tanh(x[:, 1])).astype("float32"),
        "arousal": np.where(rng.random(n) < 0.4, NAN, np.tanh(x[:, 2])).astype("float32")[:, None],
    }
    weights = {key: (rng.random(n) < 0.8).astype("float32") for key in y}
    y["valence"][:16] = NAN  # a whole batch without valence
    model = two_headed_model()
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss={
            "expression": losses.MaskedSparseCategoricalCrossentropy(),
            "valence": losses.ConcordanceLoss(),
            "arousal": losses.MaskedMeanSquaredError(),
        },
        loss_weights={"expression": 1.0, "valence": 0.5, "arousal": 0.5},
        jit_compile=name == "float32",  # once compiled by XLA, once not
    )
    history = model.fit(x, y, sample_weight=weights, batch_size=16, epochs=12, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["valence_loss"][-1] < history["valence_loss"][0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    after = again.evaluate(x, y, sample_weight=weights, batch_size=n, verbose=0, return_dict=True)
    expected = again.predict(x, batch_size=n, verbose=0)
    counted = (weights["arousal"] > 0) & ~np.isnan(y["arousal"][:, 0])
    assert after["arousal_loss"] == pytest.approx(np.mean((y["arousal"] - expected["arousal"])[counted] ** 2), rel=1e-3)
    counted = (weights["valence"] > 0) & ~np.isnan(y["valence"])
    assert after["valence_loss"] == pytest.approx(
        1 - metrics.ccc(y["valence"][counted], expected["valence"][counted, 0]), rel=1e-3
    )


def test_the_mask_of_padded_windows_is_respected(rng):
    truth, prediction = correlated(rng, 4, 6)
    x = prediction[..., None].copy()
    x[:, 4:] = 0
    inputs = keras.Input((6, 1))
    model = keras.Model(inputs, keras.layers.Masking(0.0)(inputs))
    model.compile(loss=losses.ConcordanceLoss(), optimizer="sgd", jit_compile=False)
    value = model.evaluate(x, truth, batch_size=4, verbose=0)
    assert value == pytest.approx(1 - metrics.ccc(truth[:, :4].ravel(), prediction[:, :4].ravel()), abs=1e-5)
