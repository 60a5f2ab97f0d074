"""CNN14, its front end and the reader of its checkpoints against PyTorch, torchlibrosa and panns_inference, in a process of their own."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from abaw_tf.backbones.cnn14 import build_cnn14
from abaw_tf.backbones.log_mel import LogMelSpectrogram
from abaw_tf.backbones.spec_augment import SpecAugmentation
from abaw_tf.backbones.torch_checkpoint import read_torch_checkpoint

SCRIPT = Path(__file__).with_name("cnn14_reference.py")
NEEDS = {
    "checkpoints": ["torch"],
    "front_end": ["torch", "torchlibrosa"],
    "cnn14": ["torch", "torchlibrosa", "panns_inference"],
}
FORMATS = ("zip", "legacy")
DECIBELS = 1e-3


def run_reference(mode, folder):
    """Run the reference script and return its arrays; skip where an original is not installed."""
    missing = [package for package in NEEDS[mode] if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; pip install 'abaw_tf[parity]'")
    command = [sys.executable, str(SCRIPT), mode, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, np.load(folder / "reference.npz")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return run_reference("checkpoints", tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def front_end(tmp_path_factory):
    return run_reference("front_end", tmp_path_factory.mktemp("front_end"))[1]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cnn14")
    yield run_reference("cnn14", folder)
    shutil.rmtree(folder)  # 1.3 GB


def largest_difference(received, expected, record_property, name):
    difference = float(np.abs(np.asarray(received) - expected).max())
    record_property(f"largest_difference_{name}", difference)
    print(f"{name}: largest difference {difference:.3g}; reference {expected.min():.3g} … {expected.max():.3g}")
    return difference


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize(("file", "key"), [("state", None), ("training", "model"), ("network", None)])
def test_what_torch_saved_is_read(checkpoints, file, key, written):
    folder, reference = checkpoints
    prefix = "network/" if file == "network" else "state/"
    expected = {name.removeprefix(prefix): reference[name] for name in reference if name.startswith(prefix)}
    found = read_torch_checkpoint(folder / f"{file}.{written}.pth", key=key)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("written", FORMATS)
def test_a_whole_network_that_torch_saved_is_refused(checkpoints, written):
    with pytest.raises(ValueError, match=r"Received: an object of torch\.nn\.modules\.container\.Sequential"):
        read_torch_checkpoint(checkpoints[0] / f"whole.{written}.pth")


@pytest.mark.parametrize("fourier", ["fft", "matmul"])
@pytest.mark.parametrize(("rate", "window", "hop", "f_max"), [(32000, 1024, 320, 14000), (16000, 512, 160, 8000)])
def test_decibels_are_those_of_torchlibrosa(front_end, rate, window, hop, f_max, fourier, record_property):
    expected = front_end[f"log_mel_{rate}"]
    assert np.ptp(expected) > 80
    found = LogMelSpectrogram(rate, window, hop, f_max=f_max, fourier=fourier)(front_end[f"sound_{rate}"])
    assert found.shape == expected.shape
    assert largest_difference(found, expected, record_property, "log_mel") < DECIBELS


def test_as_much_is_silenced_as_by_torchlibrosa(front_end):
    """Share of the examples in which a frame, or a band, is silenced."""
    kept = np.asarray(SpecAugmentation(seed=0)(np.ones((3000, 151, 64), "float32"), training=True))
    for name, silent in (("silent_frames", ~kept.any(axis=2)), ("silent_bands", ~kept.any(axis=1))):
        expected = front_end[name]
        np.testing.assert_allclose(silent.mean(axis=0), expected.mean(axis=0), atol=0.05)
        assert silent.sum(axis=1).max() <= expected.shape[1]
        np.testing.assert_allclose(silent.sum(axis=1).std(), expected.sum(axis=1).std(), rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("32000", "32000.zip.pth", {"sample_rate": 32000}),
        ("32000", "32000.legacy.pth", {"sample_rate": 32000}),
        ("16000", "16000.zip.pth", {"sample_rate": 16000}),
        ("mismatch", "32000.zip.pth", {"sample_rate": 16000, "mismatch": "dresvyanskiy2020"}),
    ],
)
def test_outputs_equal_the_original(published, name, file, options, record_property):
    folder, reference = published
    model = build_cnn14(**options, activation="linear", weights=folder / file)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == reference["parameters_32000"] == 80_753_615
    layers = [model.get_layer("log_mel"), model.get_layer("embedding"), model.get_layer("head")]
    found = keras.Model(model.input, [layer.output for layer in layers]).predict(reference[f"sound_{name}"], verbose=0)
    for values, what, tolerance in zip(found, ("log_mel", "embedding", "logits"), (DECIBELS, 1e-4, 1e-4)):
        expected = reference[f"{what}_{name}"]
        assert expected.std() > 0.1  # the comparison says something
        assert largest_difference(values, expected, record_property, what) < tolerance
