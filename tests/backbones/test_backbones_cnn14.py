"""CNN14: the published graph, its checkpoints, and the sample rate that both are bound to."""

import sys
from collections import OrderedDict
from pathlib import Path

import keras
import librosa
import numpy as np
import pytest
import scipy.signal
from torch_files import write_legacy, write_zip

from abaw_tf.backbones import checkpoints
from abaw_tf.backbones.checkpoints import REGISTRY
from abaw_tf.backbones.cnn14 import build_cnn14
from abaw_tf.backbones.cnn14_weights import load_cnn14_weights
from abaw_tf.backbones.log_mel import check_sound_rate, front_end, sound_rate

sys.path.append(str(Path(__file__).parents[1] / "models"))
from model_contract import ModelContract, without_xla

WIDTHS, EMBEDDING = (3, 4, 5, 4, 6, 7), 8
SMALL = {"widths": WIDTHS, "embedding": EMBEDDING}
# Published front ends, written out: window, hop, upper edge.
FRONT_ENDS = {32000: (1024, 320, 14000), 16000: (512, 160, 8000)}
NAMES = {32000: "cnn14_32k", 16000: "cnn14_16k"}


@pytest.fixture(scope="module", autouse=True)
def _clear():  # once: it collects garbage, which takes longer than most tests here
    yield
    keras.backend.clear_session()


# -- a checkpoint, and the network in NumPy ------------------------------------------------------------------------------------


def mel_filters(rate):
    window, _, f_max = FRONT_ENDS[rate]
    return librosa.filters.mel(sr=rate, n_fft=window, n_mels=64, fmin=50, fmax=f_max).T


def state_dict(rate=32000, widths=WIDTHS, embedding=EMBEDDING, classes=527, seed=0):
    """A state dict with the names and shapes of the published ones, and random values."""
    rng = np.random.default_rng(seed)
    window = FRONT_ENDS[rate][0]
    found = OrderedDict()

    def normal(name, *shape):
        found[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype("f4")

    def normalization(name, size, mean=0.0, variance=1.0):
        found[f"{name}.weight"] = rng.uniform(0.5, 1.5, size).astype("f4")
        found[f"{name}.bias"] = rng.normal(0, 0.2, size).astype("f4")
        found[f"{name}.running_mean"] = (mean + rng.normal(0, 0.2, size)).astype("f4")
        found[f"{name}.running_var"] = (variance * rng.uniform(0.5, 1.5, size)).astype("f4")
        found[f"{name}.num_batches_tracked"] = np.array(7)

    normal("spectrogram_extractor.stft.conv_real.weight", window // 2 + 1, 1, window)
    normal("spectrogram_extractor.stft.conv_imag.weight", window // 2 + 1, 1, window)
    found["logmel_extractor.melW"] = mel_filters(rate)
    normalization("bn0", 64, mean=-20, variance=200)
    before = 1
    for i, width in enumerate(widths, start=1):
        for j, channels in ((1, before), (2, width)):
            normal(f"conv_block{i}.conv{j}.weight", width, channels, 3, 3)
            normalization(f"conv_block{i}.bn{j}", width)
        before = width
    for name, inputs, outputs in (("fc1", before, embedding), ("fc_audioset", embedding, classes)):
        normal(f"{name}.weight", outputs, inputs)
        found[f"{name}.bias"] = rng.normal(0, 0.1, outputs).astype("f4")
    return found


def checkpoint(path, state=None, write=write_zip, **options):
    return write(path, {"iteration": 600000, "model": state or state_dict(**options)})


def log_mel(sound, rate):
    """librosa, in float64."""
    window, hop, f_max = FRONT_ENDS[rate]
    power = librosa.feature.melspectrogram(
        y=sound.astype("float64"),
        sr=rate,
        n_fft=window,
        hop_length=hop,
        pad_mode="reflect",
        n_mels=64,
        fmin=50,
        fmax=f_max,
    )
    return librosa.power_to_db(power, amin=1e-10, top_db=None).swapaxes(1, 2)


def forward(state, sound, rate=32000):
    """Log-mel, embedding and logits by plain operations on the raw arrays, in PyTorch's layout and float64."""

    def normalized(x, name, axis):
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        mean, variance, scale, shift = (
            state[f"{name}.{key}"].astype("f8").reshape(shape)
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift

    def convolved(x, kernel):
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
        return np.stack([
            [sum(scipy.signal.correlate2d(c, k, "valid") for c, k in zip(example, weights)) for weights in kernel]
            for example in padded
        ])  # fmt: skip

    decibels = log_mel(sound, rate)
    x = normalized(decibels, "bn0", 2)[:, None]  # (batch, 1, time, band)
    for i in range(1, 7):
        for j in (1, 2):
            x = convolved(x, state[f"conv_block{i}.conv{j}.weight"].astype("f8"))
            x = np.maximum(normalized(x, f"conv_block{i}.bn{j}", 1), 0)
        if i < 6:
            n, c, t, f = (size - size % 2 for size in x.shape)
            n, c = x.shape[:2]
            x = x[:, :, :t, :f].reshape(n, c, t // 2, 2, f // 2, 2).mean(axis=(3, 5))
    x = x.mean(axis=3)
    x = x.max(axis=2) + x.mean(axis=2)
    embedding = np.maximum(x @ state["fc1.weight"].T.astype("f8") + state["fc1.bias"], 0)
    return decibels, embedding, embedding @ state["fc_audioset.weight"].T.astype("f8") + state["fc_audioset.bias"]


def noise(rate=32000, seconds=0.7, n=2, seed=0):
    rng = np.random.default_rng(seed)
    loudness = np.linspace(0.001, 0.3, int(seconds * rate))
    return (loudness * rng.normal(size=(n, loudness.size))).clip(-1, 1).astype("float32")


def parts(model):
    return keras.Model(
        model.input, [model.get_layer("log_mel").output, model.get_layer("embedding").output, model.output]
    )


# -- the graph ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("without_values")
def test_the_published_size():
    model = build_cnn14()
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 80_753_615
    assert model.input.name == "sound"
    assert model.input_shape == (None, None)
    assert model.output_shape == (None, 527)
    assert model.get_layer("embedding").output.shape == (None, 2048)
    assert model.get_layer("log_mel").output.shape == (None, None, 64)
    state = state_dict(widths=(64, 128, 256, 512, 1024, 2048), embedding=2048)
    counted = [np.prod(a.shape) for name, a in state.items() if name.rpartition(".")[2] in ("weight", "bias")]
    constants = sum(a.size for name, a in state.items() if name.startswith("spectrogram_extractor"))
    assert sum(counted) - constants == 80_753_615


def test_dropout_acts_where_and_as_much_as_published():
    model = build_cnn14(**SMALL)
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    blocks = {f"conv_block{i}_dropout": 0.2 for i in range(1, 7)}
    assert rates == {**blocks, "pool_dropout": 0.5, "embedding_dropout": 0.5}
    keras.utils.set_random_seed(0)
    wider, sound = build_cnn14(9, widths=6 * (8,), embedding=64, activation="linear", spec_augment=None), noise(n=4)
    assert np.abs(wider(sound, training=True) - wider(sound, training=True)).max() > 1e-3
    np.testing.assert_array_equal(wider(sound), wider(sound, training=False))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1e-5)}
    assert len(norms) == 13


def test_stripes_are_silenced_in_training_as_published_or_not_at_all():
    layer = build_cnn14(**SMALL).get_layer("spec_augment")
    assert (layer.time_width, layer.band_width, layer.stripes) == (64, 8, 2)
    layer = build_cnn14(**SMALL, spec_augment=(16, 4)).get_layer("spec_augment")
    assert (layer.time_width, layer.band_width) == (16, 4)
    assert "spec_augment" not in [layer.name for layer in build_cnn14(**SMALL, spec_augment=None).layers]


@pytest.mark.parametrize(("rate", "write"), [(32000, write_zip), (16000, write_zip), (16000, write_legacy)])
def test_outputs_are_those_of_the_checkpoint(tmp_path, rate, write):
    """Against a forward pass that shares nothing with the builder; sounds whose maps have odd sides."""
    state, sound = state_dict(rate), noise(rate)
    path = checkpoint(tmp_path / "w.pth", state, write)
    model = build_cnn14(sample_rate=rate, **SMALL, activation="linear", weights=path)
    found = parts(model)(sound)
    for values, expected, tolerance in zip(found, forward(state, sound, rate), (1e-3, 1e-4, 1e-4)):
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(values, expected, atol=tolerance)
    sigmoid = build_cnn14(sample_rate=rate, samples=sound.shape[1], **SMALL, weights=path)
    np.testing.assert_allclose(sigmoid(sound), 1 / (1 + np.exp(-forward(state, sound, rate)[2])), atol=1e-5)


def test_a_new_head_over_published_layers(tmp_path):
    state = state_dict()
    path = checkpoint(tmp_path / "w.pth", state)
    keras.utils.set_random_seed(0)
    model = build_cnn14(7, **SMALL, activation="softmax", weights=path)
    _, embedding, _ = forward(state, noise())
    found = parts(model)(noise())
    np.testing.assert_allclose(found[1], embedding, atol=1e-4)
    np.testing.assert_allclose(np.sum(found[2], axis=1), 1, atol=1e-5)
    assert model.get_layer("head").kernel.shape == (EMBEDDING, 7)
    report = load_cnn14_weights(model, path, head=False)
    assert report.loaded[0] == "bn0"
    assert report.loaded[-1] == "embedding"
    assert len(report.loaded) == 1 + 24 + 1


def test_sound_of_the_least_length():
    model = build_cnn14(sample_rate=16000, samples=4960, **SMALL)
    assert np.isfinite(model(noise(16000, 0.31))).all()
    with pytest.raises(ValueError, match=r"at least 4960 samples.*Received: 4959 samples"):
        build_cnn14(sample_rate=16000, samples=4959, **SMALL)
    with pytest.raises(ValueError, match=r"at least 9920 samples \(0\.31 s\).*Received: 9000 samples"):
        build_cnn14(**SMALL).predict(noise(32000)[:, :9000], verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 44100}, "`sample_rate` must be one of 32000, 16000: resample"),
        ({"classes": 0}, "`classes` must be positive"),
        ({"embedding": 0}, "`embedding` must be positive"),
        ({"widths": (1, 2, 3)}, "`widths` must hold 6 numbers"),
        ({"widths": (1, 2, 3, 4, 5, 0)}, "`widths` must be positive"),
        ({"spec_augment": (0, 8)}, "`time_width` must be a positive"),
        ({"mismatch": "other"}, "`mismatch` must be None or one of dresvyanskiy2020"),
        ({"mismatch": "dresvyanskiy2020"}, "is sound of 16000 samples per second in the network of 32000"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        build_cnn14(**{**SMALL, **options})


# -- the sample rate ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Checkpoints of both rates under their published names, of small networks."""
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(checkpoints, "DEFAULT_FOLDER", tmp_path / "cache")
    (tmp_path / "weights").mkdir()
    for rate, name in NAMES.items():
        checkpoint(tmp_path / "weights" / REGISTRY[name].file, rate=rate)
    return tmp_path / "weights"


@pytest.mark.parametrize("rate", list(FRONT_ENDS))
def test_published_weights_are_bound_to_their_rate(published, rate):
    other = next(r for r in FRONT_ENDS if r != rate)
    assert REGISTRY[NAMES[rate]].sample_rate == rate
    model = build_cnn14(sample_rate=rate, **SMALL, weights=NAMES[rate])
    assert sound_rate(model) == front_end(model).sample_rate == rate
    check_sound_rate(model, rate)
    with pytest.raises(ValueError, match=f"takes sound of {rate} samples per second: resample it.*Received: {other}"):
        check_sound_rate(model, other)
    for weights in (NAMES[other], published / REGISTRY[NAMES[other]].file):  # by its name, and by what lies in the file
        with pytest.raises(
            ValueError,
            match=f"is a network for sound of {other} samples per second.*sample_rate={other}, or take weights='{NAMES[rate]}'.*"
            f"Received: a network for {rate}",
        ):
            build_cnn14(sample_rate=rate, **SMALL, weights=weights)


def test_the_mismatch_of_the_paper_has_to_be_asked_for(published, tmp_path):
    """16 kHz sound in the network of 32 kHz: its own filters and frames, whatever the sound."""
    with pytest.raises(ValueError, match="ask for this mismatch by its name, mismatch='dresvyanskiy2020'"):
        build_cnn14(sample_rate=16000, **SMALL, weights="cnn14_32k")
    options = {"sample_rate": 16000, **SMALL, "activation": "linear", "mismatch": "dresvyanskiy2020"}
    model = build_cnn14(**options, weights="cnn14_32k")
    assert (sound_rate(model), front_end(model).sample_rate) == (16000, 32000)
    sound = noise(16000, 1.0)
    expected = forward(state_dict(32000), sound, 32000)
    assert expected[0].shape[1] == 51  # a frame every 20 ms
    for values, wanted, tolerance in zip(parts(model)(sound), expected, (1e-3, 1e-4, 1e-4)):
        np.testing.assert_allclose(values, wanted, atol=tolerance)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert (sound_rate(loaded), front_end(loaded).sample_rate) == (16000, 32000)
    np.testing.assert_array_equal(loaded(sound), model(sound))
    for weights in ("cnn14_16k", published / REGISTRY["cnn14_16k"].file):
        with pytest.raises(ValueError, match="is a network for sound of 16000 samples per second"):
            build_cnn14(**options, weights=weights)


def test_an_octave_is_heard_as_the_network_hears_it():
    """A tone of 1 kHz excites, in the mismatch, the band that 2 kHz excites in the network of 32 kHz."""
    time = np.arange(16000) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 1000 * time)[None].astype("float32")
    mels = librosa.mel_frequencies(66, fmin=50, fmax=14000)[1:-1]
    for mismatch, heard in (("dresvyanskiy2020", 2000), (None, 1000)):
        model = build_cnn14(sample_rate=16000, **SMALL, mismatch=mismatch)
        if mismatch is None:
            mels = librosa.mel_frequencies(66, fmin=50, fmax=8000)[1:-1]
        decibels = np.asarray(parts(model)(tone)[0])[0, 20]
        assert abs(np.log2(mels[decibels.argmax()] / heard)) < 0.08


# -- files that are refused ----------------------------------------------------------------------------------------------------


def refused(path, message, **options):
    model = build_cnn14(**{**SMALL, **options})
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"w\\.pth: {message}.*Received: "):
        load_cnn14_weights(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights())), "a refused file must change nothing"


def test_other_networks_are_refused(tmp_path):
    path = checkpoint(tmp_path / "w.pth")
    refused(path, "these weights .* layer head: the model has bias .7,.*the checkpoint bias .527,.", classes=7)
    refused(path, r".*conv_block6_conv1: the model has kernel \(3, 3, 6, 9\), the checkpoint kernel \(3, 3, 6, 7\)",
            widths=(*WIDTHS[:5], 9))  # fmt: skip
    state = state_dict()
    for name in ("conv_block2.bn1.bias", "conv_block2.bn1.weight"):
        del state[name]
    refused(checkpoint(path, state), ".*layer conv_block2_bn1: the model has beta")
    state = {name: array for name, array in state_dict().items() if not name.startswith("fc1")}
    refused(checkpoint(path, state), ".*missing in the checkpoint: embedding")
    refused(
        checkpoint(path, {**state_dict(), "fc_strong.weight": np.ones((2, 2), "f4")}),
        ".*unexpected in the checkpoint: fc_strong",
    )
    path.write_bytes(path.read_bytes()[:5000])
    refused(path, "cannot read the checkpoint; .*fetch it again")


def test_filters_of_no_known_rate(tmp_path):
    state = state_dict()
    state["logmel_extractor.melW"] = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=64, fmin=50, fmax=8000).T
    refused(checkpoint(tmp_path / "w.pth", state), "mel filters of none of the sample rates 32000, 16000; take one of")
    del state["logmel_extractor.melW"]
    refused(checkpoint(tmp_path / "w.pth", state), "without `logmel_extractor.melW`, which tells the sample rate")
    write_zip(tmp_path / "w.pth", state_dict())
    refused(tmp_path / "w.pth", "there is no entry 'model' in the checkpoint")


@pytest.mark.parametrize("name", list(NAMES.values()))
def test_offline_it_says_what_to_put_where(name, tmp_path, monkeypatch):
    monkeypatch.delenv("ABAW_TF_WEIGHTS", raising=False)
    monkeypatch.setattr(checkpoints, "DEFAULT_FOLDER", tmp_path / "cache")
    rate = REGISTRY[name].sample_rate
    with pytest.raises(
        FileNotFoundError, match=f"zenodo.org/records/3987831/.* put the file {REGISTRY[name].file} into"
    ):
        build_cnn14(sample_rate=rate, **SMALL, weights=name)


# -- what every network must be able to do -------------------------------------------------------------------------------------


class TestContract(ModelContract):
    outputs = {"expression": (7,)}  # noqa: RUF012

    def build(self):
        # ONNX knows no Fourier transform.
        model = build_cnn14(7, 16000, **SMALL, activation="softmax", spec_augment=(8, 4), fourier="matmul")
        return keras.Model({"sound": model.input}, {"expression": model.output})

    def inputs(self, n):
        return {"sound": noise(16000, 0.5, n)}


@pytest.mark.slow
def test_small_networks_learn_to_tell_sounds_apart():
    """High and low noise, told apart after a few epochs."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, (64, 8000)).astype("float32")
    sound[::2] = scipy.signal.lfilter([1, 0.9], [1], sound[::2])
    labels = np.arange(64) % 2
    model = without_xla(
        build_cnn14(2, 16000, widths=(4, 8, 8, 8, 8, 8), embedding=16, activation="softmax", spec_augment=(8, 4))
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.optimizer.learning_rate = 0.01
    model.fit(sound, labels, batch_size=16, epochs=12, verbose=0)
    assert model.evaluate(sound, labels, verbose=0)[1] > 0.9
