"""Streaming metrics give over uneven batches what the NumPy metrics give over all frames."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from abaw_tf import keras_metrics, metrics

NAN = float("nan")
DO2020 = json.loads((Path(__file__).parent / "fixtures" / "do2020_confusions.json").read_text(encoding="utf-8"))[
    "models"
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def stream(metric, y_true, y_pred, weights=None, sizes=(1, 7, 32, 100)):
    """Update over batches of uneven sizes."""
    start, turn = 0, 0
    while start < len(y_true):
        part = slice(start, start + sizes[turn % len(sizes)])
        metric.update_state(y_true[part], y_pred[part], None if weights is None else weights[part])
        start, turn = part.stop, turn + 1
    return float(metric.result())


def continuous(rng, n):
    """Slow drift with gaps, as the frames of successive videos have it."""
    truth = 0.5 * np.sin(np.linspace(0, 9, n)) + 0.2 + rng.normal(0, 0.1, n)
    prediction = 0.6 * truth + 0.1 + rng.normal(0, 0.2, n)
    truth[rng.random(n) < 0.1] = NAN
    return truth.astype("float32"), prediction.astype("float32")


def categorical(rng, n, k):
    truth = rng.integers(-1, k - 1, n)  # one class never occurs
    p = rng.dirichlet(np.full(k, 0.3), n) + 0.5 * (truth[:, None] == np.arange(k))
    return truth, p.astype("float32")


@pytest.mark.parametrize("last", [(), (1,)])
def test_concordance_over_batches_is_concordance_over_everything(rng, last):
    truth, prediction = continuous(rng, 3000)
    expected = metrics.ccc(truth, prediction)
    metric = keras_metrics.ConcordanceCorrelation()
    assert stream(metric, truth.reshape(-1, *last), prediction.reshape(-1, *last)) == pytest.approx(expected, abs=1e-6)
    windows = keras_metrics.ConcordanceCorrelation()
    assert stream(windows, truth.reshape(-1, 6, *last), prediction.reshape(-1, 6, *last)) == pytest.approx(
        expected, abs=1e-6
    )
    batch_averaged = np.nanmean([metrics.ccc(truth[i : i + 30], prediction[i : i + 30]) for i in range(0, 3000, 30)])
    assert abs(batch_averaged - expected) > 0.05


def test_weights_are_a_mask(rng):
    truth, prediction = continuous(rng, 500)
    weights = rng.choice([0.0, 0.3, 5.0], 500).astype("float32")
    kept = weights > 0
    prediction[~kept] = NAN
    assert stream(keras_metrics.ConcordanceCorrelation(), truth, prediction, weights) == pytest.approx(
        metrics.ccc(truth[kept], prediction[kept]), abs=1e-6
    )
    classes, p = categorical(rng, 500, 7)
    assert stream(keras_metrics.ExpressionScore(), classes, p, weights) == pytest.approx(
        metrics.expression_score(classes[kept], p[kept].argmax(1)), abs=1e-6
    )


def test_two_dimensions_give_the_challenge_score(rng):
    (v, pv), (a, pa) = continuous(rng, 700), continuous(rng, 700)
    metric = keras_metrics.ConcordanceCorrelation(dimensions=2, name="va")
    found = stream(metric, np.stack([v, a], 1), np.stack([pv, pa], 1))
    assert found == pytest.approx(metrics.valence_arousal_score(v, pv, a, pa), abs=1e-6)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 0.5), (0.5, 0.05)])
def test_a_million_frames_in_small_batches(rng, offset, scale):
    """Float32 sums must not drift: 15,625 batches of 64, values far from zero with a small spread among them."""
    tf = pytest.importorskip("tensorflow")
    n, size = 1_000_000, 64
    truth = (offset + scale * np.sin(np.linspace(0, 50, n)) + scale * 0.2 * rng.normal(size=n)).astype("float32")
    prediction = (offset + 0.7 * (truth - offset) + 0.3 * scale * rng.normal(size=n)).astype("float32")
    metric = keras_metrics.ConcordanceCorrelation()

    @tf.function
    def consume(t, p):
        for i in tf.range(n // size):
            metric.update_state(t[i], p[i])

    consume(truth.reshape(-1, size), prediction.reshape(-1, size))
    assert float(metric.sums[0, 0]) == n
    assert float(metric.result()) == pytest.approx(metrics.ccc(truth, prediction), abs=1e-4)


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [([0.3] * 9, [0.3] * 9), ([NAN] * 9, [0.1] * 9), ([0.3] * 9, [0.1] * 9), ([0.3] * 9, list(np.linspace(0, 1, 9)))],
)
def test_undefined_or_zero_concordance_is_zero(truth, prediction):
    metric = keras_metrics.ConcordanceCorrelation()
    assert float(metric.result()) == 0
    assert stream(metric, np.float32(truth), np.float32(prediction)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (keras_metrics.MacroF1(7), lambda t, p: metrics.macro_f1(t, p, 7)),
        (
            keras_metrics.MacroRecall(7),
            lambda t, p: metrics.scores_from_confusion(metrics.confusion_matrix(t, p, 7))["recall"].mean(),
        ),
        (keras_metrics.ExpressionScore("abaw1"), lambda t, p: metrics.expression_score(t, p, "abaw1")),
        (keras_metrics.ExpressionScore(), lambda t, p: metrics.expression_score(t, p, "abaw2")),
        (
            keras_metrics.ExpressionScore("abaw2", "do2020"),
            lambda t, p: metrics.expression_score(t, p, "abaw2", variant="do2020"),
        ),
        (keras_metrics.ExpressionScore("abaw3"), lambda t, p: metrics.expression_score(t, p, "abaw3")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_expression_metrics_over_batches(rng, metric, reference):
    truth, p = categorical(rng, 900, metric.n_classes)
    assert float(metric.result()) == 0
    assert stream(metric, truth, p) == pytest.approx(reference(truth, p.argmax(1)), abs=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0
    windows = truth.reshape(-1, 9, 1), np.log(p).reshape(-1, 9, metric.n_classes)  # logits will do
    assert stream(metric, *windows) == pytest.approx(reference(truth, p.argmax(1)), abs=1e-6)


@pytest.mark.parametrize("model", DO2020)
def test_published_confusion_matrices(model):
    confusion = np.array(DO2020[model]["confusion"])
    metric = keras_metrics.ExpressionScore("abaw1")
    metric.confusion.assign(confusion.astype("float32"))
    assert round(float(metric.result()), 5) == DO2020[model]["official"]


def test_what_numpy_refuses_makes_the_metric_nan():
    p = np.eye(7, dtype="float32")[:3]
    for truth, prediction in [([0, 7, 1], p), ([0, -5, 1], p), ([0, 1, 2], np.where(p == p[1], NAN, p))]:
        metric = keras_metrics.MacroF1(7)
        metric.update_state(np.array(truth), prediction)
        assert np.isnan(float(metric.result()))
        metric.reset_state()
        metric.update_state(np.array([0, 1, 2]), p)
        assert float(metric.result()) == pytest.approx(3 / 7)
    ccc = keras_metrics.ConcordanceCorrelation()
    ccc.update_state(np.float32([0.1, 0.2, 0.3]), np.float32([0.1, NAN, 0.3]))
    assert np.isnan(float(ccc.result()))


@pytest.mark.parametrize(
    ("make", "truth", "prediction", "message"),
    [
        (
            lambda: keras_metrics.MacroF1(7),
            (4,),
            (4, 8),
            r"must have 7 classes on its last axis\. Received: shape=\(4, 8\)",
        ),
        (lambda: keras_metrics.MacroF1(7), (4,), (4,), "must have 7 classes"),
        (lambda: keras_metrics.MacroF1(7), (5,), (4, 7), "same shape"),
        (keras_metrics.ConcordanceCorrelation, (4, 2), (4, 2), "need dimensions=2"),
        (keras_metrics.ConcordanceCorrelation, (5,), (4, 1), "same shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(make, truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        make().update_state(np.zeros(truth, "float32"), np.zeros(prediction, "float32"))


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="edition must be one of"):
        keras_metrics.ExpressionScore("abaw9")
    with pytest.raises(ValueError, match="Did you mean 'do2020'"):
        keras_metrics.ExpressionScore(variant="do2002")
    with pytest.raises(ValueError, match="dimensions must be a positive integer"):
        keras_metrics.ConcordanceCorrelation(dimensions=0)


@pytest.mark.parametrize(
    "metric",
    [
        keras_metrics.ConcordanceCorrelation(2, name="va"),
        keras_metrics.MacroF1(8),
        keras_metrics.MacroRecall(7, name="uar"),
        keras_metrics.ExpressionScore("abaw3", "do2020"),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_metrics_are_serialised_with_their_options(metric):
    config = json.loads(json.dumps(keras.metrics.serialize(metric)))
    assert config["registered_name"] == f"abaw_tf>{type(metric).__name__}"
    assert keras.metrics.deserialize(config).get_config() == metric.get_config()


def model_that_passes_through(run_eagerly=False, jit_compile=False):
    inputs = {"p": keras.Input((7,), name="p"), "v": keras.Input((1,), name="v")}
    outputs = {
        "expression": keras.layers.Activation("linear", name="expression")(inputs["p"]),
        "valence": keras.layers.Activation("linear", name="valence")(inputs["v"]),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        loss={"expression": None, "valence": "mse"},
        weighted_metrics={
            "expression": [keras_metrics.MacroF1(7), keras_metrics.ExpressionScore("abaw2")],
            "valence": [keras_metrics.ConcordanceCorrelation()],
        },
        run_eagerly=run_eagerly,
        jit_compile=jit_compile,
    )
    return model


@pytest.mark.parametrize("mode", [{}, {"run_eagerly": True}, {"jit_compile": True}], ids=str)
def test_inside_evaluate_with_uneven_batches_and_masks(rng, mode):
    truth, p = categorical(rng, 330, 7)
    v, pv = continuous(rng, 330)
    known = {"expression": truth >= 0, "valence": ~np.isnan(v) & (rng.random(330) < 0.7)}
    found = model_that_passes_through(**mode).evaluate(
        {"p": p, "v": pv},
        {"expression": truth, "valence": np.nan_to_num(v)},
        sample_weight={name: mask.astype("float32") for name, mask in known.items()},
        batch_size=32,  # the last batch has 10 frames
        verbose=0,
        return_dict=True,
    )
    kept = known["valence"]
    assert found["valence_ccc"] == pytest.approx(metrics.ccc(v[kept], pv[kept]), abs=1e-5)
    assert found["expression_macro_f1"] == pytest.approx(metrics.macro_f1(truth, p.argmax(1), 7), abs=1e-6)
    assert found["expression_expression_score"] == pytest.approx(metrics.expression_score(truth, p.argmax(1)), abs=1e-6)


REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from abaw_tf import keras_metrics, losses, metrics
rng = np.random.default_rng(0)
v = rng.uniform(-1, 1, 90).astype("float32"); p = (0.5 * v + 0.1 + 0.2 * rng.normal(size=90)).astype("float32")
v[::7] = np.nan
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    x = keras.Input((1,)); model = keras.Model(x, keras.layers.Activation("linear")(x))
    model.compile(loss=losses.MaskedMeanSquaredError(), metrics=[keras_metrics.ConcordanceCorrelation()])
data = tf.data.Dataset.from_tensor_slices((p[:, None], v[:, None])).batch(20)
found = model.evaluate(data, verbose=0, return_dict=True)
known = ~np.isnan(v)
assert abs(found["ccc"] - metrics.ccc(v, p)) < 1e-5, (found, metrics.ccc(v, p))
assert abs(found["loss"] - np.mean((v - p)[known] ** 2)) < 2e-3, (found, np.mean((v - p)[known] ** 2))
print("equal on", model.distribute_strategy.num_replicas_in_sync)
"""


@pytest.mark.slow
def test_two_replicas_give_the_same_number():
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "equal on 2" in done.stdout
