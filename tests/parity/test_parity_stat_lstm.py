"""The networks of Do et al. (2020) against the same graphs under tf-keras, which wrote their weights as Keras 2 did.

Slow, all of it: the process of the originals imports TensorFlow anew. Quick tests of how such files are read, with files written by
hand, are `tests/backbones/test_backbones_do2020_weights.py`.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from abaw_tf.backbones.do2020_file import read_do2020_file
from abaw_tf.backbones.do2020_weights import load_do2020_weights
from abaw_tf.backbones.vggface2 import build_vggface2_resnet50
from abaw_tf.models.stat_lstm import build_stat_lstm, rewire

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("stat_lstm_reference.py")

# Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise are the columns of the reference; Neutral, Angry, … ours.
TO_OFFICIAL = [4, 0, 1, 2, 3, 5, 6]

# The published graph at a size of some 100,000 parameters; ours and the reference's words for it.
SMALL = {
    "blocks": [1, 2, 1, 1],
    "width": 4,
    "side": 64,
    "block": 5,
    "lstm": 6,
    "hidden": {"class": [16], "aro": [14, 12], "val": [14, 12], "aroval": [14, 12]},
}
OURS = {
    "blocks": (1, 2, 1, 1),
    "width": 4,
    "image_size": 64,
    "block": 5,
    "lstm_units": 6,
    "expression_units": (16,),
    "regression_units": (14, 12),
}


def run_references(out, jobs):
    """Let one process write {name: options}; {name: (weights, arrays of the reference)}. Skip where tf-keras is not installed."""
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("tf_keras is not installed: pip install 'abaw_tf[vggface]'")
    folders = {f"job{i}": options for i, options in enumerate(jobs.values())}
    command = [sys.executable, str(SCRIPT), str(out), json.dumps(folders)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return {
        name: (out / folder / "weights.h5", dict(np.load(out / folder / "reference.npz")))
        for name, folder in zip(jobs, folders)
    }


TOLERANCE = 1e-5  # one axis left in EmotiW's order moves the small networks' outputs by more than ten times as much


def assert_outputs_equal(outputs, reference, record_property):
    """All outputs of our network, classes in official order, against the reference's in EmotiW's order."""
    largest = {}
    for name, received in outputs.items():
        expected = reference[name][..., TO_OFFICIAL] if name in ("expression", "probabilities") else reference[name]
        assert received.shape == expected.shape
        largest[name] = float(np.abs(np.asarray(received) - expected).max())
        # Whatever the size of the features; the other outputs are of the order of one.
        assert largest[name] <= TOLERANCE * max(1.0, np.abs(expected).max()), (name, largest[name])
    record_property("largest_differences", largest)
    print("largest differences", largest, "parameters", int(reference["parameters"]))


def assert_alive(reference):
    """The comparison says something: no output is saturated or nearly zero, and any two classes differ in some frame."""
    for name in ("expression", "probabilities"):
        if name in reference:
            assert reference[name].max() < 0.9
            gaps = np.abs(reference[name][:, :, None] - reference[name][:, None]).max(axis=0)
            assert gaps[~np.eye(7, dtype=bool)].min() > 1e-3
    for name in ("arousal", "valence", "va_vector"):
        if name in reference:
            assert 1e-3 < np.abs(reference[name]).max() < 0.99


def block_outputs(model, frames):
    if "image" in model.input:
        return model.predict_on_batch({"image": frames})
    return model.predict_on_batch({"frames": frames[None]})


VARIANTS = {
    "image_va": ("image_va", {"whole_model": True}, {}),
    "one wide layer (t12)": (
        "image_va",
        {"hidden": {"class": [18], "aro": [18], "val": [18], "aroval": [18]}},
        {"expression_units": (18,), "regression_units": (18,)},
    ),
    "frames_va": ("frames_va", {"whole_model": True}, {}),
    "mean of the features": ("frames_va", {"statistics_of_features": True}, {"stat": "v1"}),
    "lstm_va": ("lstm_va", {}, {}),
    "numbered names in a whole model": (
        "lstm_va",
        {"automatic_names": True, "whole_model": True, "keras_version": "2.2.4"},
        {},
    ),
    "hard sigmoid in a whole model": (
        "lstm_va",
        {"recurrent_activation": "hard_sigmoid", "whole_model": True},
        {"recurrent_activation": "hard_sigmoid_keras2"},
    ),
}

UNDECLARED = {"network": "lstm_va", "recurrent_activation": "hard_sigmoid", "keras_version": "2.2.4-tf"}


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """All small networks, written in one process."""
    jobs = {variant: {"network": network, **SMALL, **theirs} for variant, (network, theirs, _) in VARIANTS.items()}
    jobs |= {"base": {"network": "base", "whole_model": True, **SMALL}, "undeclared": {**SMALL, **UNDECLARED}}
    return run_references(tmp_path_factory.mktemp("small"), jobs)


def test_face_model(references, record_property):
    path, reference = references["base"]
    options = {"input_shape": (64, 64, 3), "blocks": OURS["blocks"], "width": OURS["width"], "preprocessing": 2}
    for top, output in ((True, "probabilities"), (False, "features")):
        model = build_vggface2_resnet50("weidi_xie", include_top=top, **options)
        load_do2020_weights(model, path)
        assert model.count_params() == reference["parameters"] - (0 if top else 7 * 128)
        assert_outputs_equal({output: model.predict_on_batch(reference["frames"])}, reference, record_property)
    assert_alive(reference)


@pytest.mark.parametrize("variant", VARIANTS)
def test_network(variant, references, record_property):
    (network, _, ours), (path, reference) = VARIANTS[variant], references[variant]
    model = build_stat_lstm(network, **{**OURS, **ours})
    assert model.count_params() == reference["parameters"]
    load_do2020_weights(model, path)
    assert_alive(reference)
    assert_outputs_equal(block_outputs(model, reference["frames"]), reference, record_property)


def test_chunks(references, record_property):
    """The wiring that runs the base once per frame gives the original's outputs, too."""
    path, reference = references["lstm_va"]
    model = build_stat_lstm("lstm_va", **OURS)
    load_do2020_weights(model, path)
    chunk = rewire(model, "chunk", n_frames=1).predict_on_batch({"frames": reference["frames"][None]})
    assert_outputs_equal({name: values[:, 0] for name, values in chunk.items()}, reference, record_property)


def test_the_gates_matter(references):
    """A hard-sigmoid network whose file does not say so: refused until told, and wrong when told wrongly."""
    path, reference = references["undeclared"]
    model = build_stat_lstm("lstm_va", **OURS)
    with pytest.raises(ValueError, match="does not tell what the gates"):
        load_do2020_weights(model, path)
    load_do2020_weights(model, path, recurrent_activation="sigmoid")
    outputs = block_outputs(model, reference["frames"])
    assert np.abs(outputs["arousal"] - reference["arousal"]).max() > 1e-4
    model = build_stat_lstm("lstm_va", recurrent_activation="hard_sigmoid_keras2", **OURS)
    load_do2020_weights(model, path, recurrent_activation="hard_sigmoid_keras2")
    outputs = block_outputs(model, reference["frames"])
    assert np.abs(outputs["arousal"] - reference["arousal"]).max() < 1e-5


# The two whose files differ most, and which between them hold every layer. The other graphs are among VARIANTS, and the
# parameters of all published files in tests/models/test_models_stat_lstm.py.
PUBLISHED = {"base": 27_771_840, "lstm_va": 81_459_150}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """At the size of the published files (of up to 550 MB), stored as they are: whole models. Blocks are shorter, which no weight sees."""
    out = tmp_path_factory.mktemp("published")
    whole = {"whole_model": True, "block": SMALL["block"]}
    yield run_references(out, {name: {"network": name, **whole} for name in PUBLISHED})
    shutil.rmtree(out)


@pytest.mark.study  # for CI the small networks say enough: the files differ in their shapes alone
@pytest.mark.parametrize("network", PUBLISHED)
def test_published_size(network, published, record_property):
    parameters, (path, reference) = PUBLISHED[network], published[network]
    assert reference["parameters"] == parameters
    assert_alive(reference)
    file = read_do2020_file(path)
    assert file.network == network
    if network == "base":
        model = build_vggface2_resnet50("weidi_xie", include_top=True, preprocessing=2)
        load_do2020_weights(model, path)
        outputs = {"probabilities": model.predict_on_batch(reference["frames"])}
    else:
        model = build_stat_lstm(network, block=SMALL["block"])
        load_do2020_weights(model, path)
        outputs = block_outputs(model, reference["frames"])
    assert model.count_params() == parameters
    assert_outputs_equal(outputs, reference, record_property)
