"""The log-mel front end against librosa, and the sample rate that a model carries."""

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from abaw_tf.backbones.log_mel import LogMelSpectrogram, check_sound_rate, front_end, sound_rate

PUBLISHED = {
    32000: {"sample_rate": 32000, "n_fft": 1024, "hop_length": 320, "f_max": 14000},
    16000: {"sample_rate": 16000, "n_fft": 512, "hop_length": 160, "f_max": 8000},
}
DECIBELS = 1e-3


def reference(sound, sample_rate, n_fft, hop_length, n_mels=64, f_min=50, f_max=None):
    """librosa, in float64."""
    power = librosa.feature.melspectrogram(
        y=np.asarray(sound, "float64"), sr=sample_rate, n_fft=n_fft, hop_length=hop_length, center=True, pad_mode="reflect",
        window="hann", power=2.0, n_mels=n_mels, fmin=f_min, fmax=f_max,
    )  # fmt: skip
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).swapaxes(-1, -2)


def sounds(rate, seconds=1.0):
    """Noise loud and hardly audible, a glide over a hum, a click; silence at the end of all."""
    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * rate)) / rate
    glide = 0.4 * np.sin(2 * np.pi * (200 + 1500 * time) * time) + 0.05 * rng.normal(size=time.size)
    click = np.where(np.arange(time.size) == 5000, 1.0, 0.0) + 1e-3 * rng.normal(size=time.size)
    found = np.stack([0.3 * rng.normal(size=time.size), 1e-4 * rng.normal(size=time.size), glide, click])
    found[:, -time.size // 8 :] = 0
    return found.clip(-1, 1).astype("float32")


@pytest.mark.parametrize("fourier", ["fft", "matmul"])
@pytest.mark.parametrize("rate", list(PUBLISHED))
def test_decibels_are_those_of_librosa(rate, fourier):
    expected = reference(sounds(rate), **PUBLISHED[rate])
    found = np.asarray(LogMelSpectrogram(**PUBLISHED[rate], fourier=fourier)(sounds(rate)))
    assert found.shape == expected.shape == (4, 101, 64)
    assert np.ptp(expected) > 100
    assert expected.min() == found.min() == -100  # silence
    np.testing.assert_allclose(found, expected, atol=DECIBELS)


@pytest.mark.filterwarnings("ignore:n_fft:UserWarning")
@pytest.mark.parametrize("samples", [257, 512, 1599, 1600, 1601])
def test_every_length(samples):
    """Frames are counted as librosa does, from the shortest sound that can be mirrored on."""
    sound = sounds(16000)[:, :samples]
    layer = LogMelSpectrogram(**PUBLISHED[16000])
    expected = reference(sound, **PUBLISHED[16000])
    assert layer.min_samples == 257
    assert layer.compute_output_shape((4, samples)) == expected.shape
    np.testing.assert_allclose(layer(sound), expected, atol=DECIBELS)


def test_other_settings():
    settings = {"sample_rate": 22050, "n_fft": 400, "hop_length": 123, "n_mels": 40, "f_min": 0, "f_max": 6000}
    layer = LogMelSpectrogram(**settings)
    np.testing.assert_allclose(layer(sounds(22050)), reference(sounds(22050), **settings), atol=DECIBELS)
    assert LogMelSpectrogram(16000, 512, 160).f_max == 8000


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16", "float64"])
def test_it_is_float32_under_any_policy(policy):
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((None,), dtype="float32")
        outputs = LogMelSpectrogram(**PUBLISHED[16000])(inputs)
    finally:
        keras.config.set_dtype_policy("float32")
    assert outputs.dtype == "float32"
    found = keras.Model(inputs, outputs)(10 * sounds(16000))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, reference(10 * sounds(16000), **PUBLISHED[16000]), atol=DECIBELS)


def model_of(layer, samples=None):
    inputs = keras.Input((samples,), dtype="float32", name="sound")
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_graph(jit):
    """Traced with a known length, an unknown one, and by XLA."""
    layer, sound = LogMelSpectrogram(**PUBLISHED[16000]), sounds(16000)
    expected = reference(sound, **PUBLISHED[16000])
    for samples in (16000, None):
        model = model_of(layer, samples)
        assert model.output_shape == (None, samples and 101, 64)
        run = tf.function(model, jit_compile=jit, input_signature=[tf.TensorSpec((None, samples), "float32")])
        np.testing.assert_allclose(run(sound), expected, atol=DECIBELS)


def test_gradients_reach_the_sound():
    """The layer is differentiable, silence included."""
    sound = tf.constant(sounds(16000))
    with tf.GradientTape() as tape:
        tape.watch(sound)
        total = tf.reduce_sum(LogMelSpectrogram(**PUBLISHED[16000])(sound))
    gradient = tape.gradient(total, sound).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[:, :8000]).max() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_fft": 511}, "`n_fft` must be even"),
        ({"n_fft": 0}, "`n_fft` must be a positive"),
        ({"hop_length": 0.5}, "`hop_length` must be a positive"),
        ({"n_mels": 0}, "`n_mels` must be a positive"),
        ({"sound_rate": -1}, "`sound_rate` must be a positive"),
        ({"min_frames": 0}, "`min_frames` must be a positive"),
        ({"f_max": 8001}, "between zero and half the sample rate"),
        ({"f_min": 9000}, "between zero and half the sample rate"),
        ({"fourier": "dct"}, "`fourier` must be one of"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=f"{message}.*Received: "):
        LogMelSpectrogram(**{**PUBLISHED[16000], **change})


def test_sound_that_is_too_short():
    layer = LogMelSpectrogram(**PUBLISHED[16000], min_frames=32)
    assert layer(np.zeros((1, 31 * 160), "float32")).shape == (1, 32, 64)
    message = r"at least 4960 samples \(0\.31 s\) are needed.*Received: 4959 samples"
    with pytest.raises(ValueError, match=message):
        layer(np.zeros((1, 4959), "float32"))
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((4959,)))
    run = tf.function(model_of(layer), input_signature=[tf.TensorSpec((None, None), "float32")])
    assert run(np.zeros((2, 4960), "float32")).shape == (2, 32, 64)
    for samples in (4959, 300, 256):
        with pytest.raises(tf.errors.InvalidArgumentError):
            run(np.zeros((2, samples), "float32"))
    with pytest.raises(ValueError, match="at least 257 samples"):
        LogMelSpectrogram(**PUBLISHED[16000])(np.zeros((1, 256), "float32"))


# -- the rate that a model carries ---------------------------------------------------------------------------------------------


def test_a_model_carries_the_rate_of_its_sound(tmp_path):
    layer = LogMelSpectrogram(**PUBLISHED[32000], sound_rate=16000, min_frames=2, fourier="matmul", name="log_mel")
    model = model_of(layer)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    for found in (model, loaded):
        assert sound_rate(found) == 16000
        assert front_end(found).sample_rate == 32000
        check_sound_rate(found, 16000)
        with pytest.raises(
            ValueError, match=r"takes sound of 16000 .*load_audio\(path, sample_rate=16000\).*Received: 32000"
        ):
            check_sound_rate(found, 32000)
    assert front_end(loaded).get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded(sounds(16000)), model(sounds(16000)))


def test_the_front_end_is_found_wherever_it_is():
    inner = model_of(LogMelSpectrogram(**PUBLISHED[16000]))
    outer = keras.Sequential([keras.Input((None,)), inner, layers.GlobalAveragePooling1D()])
    assert sound_rate(outer) == 16000
    windows = keras.Input((3, 16000))
    assert sound_rate(keras.Model(windows, layers.TimeDistributed(inner)(windows))) == 16000


def test_models_without_one_front_end():
    silent = keras.Sequential([keras.Input((3,)), layers.Dense(1)], name="silent")
    with pytest.raises(ValueError, match=r"'silent' must have one log-mel front end. Received: 0"):
        sound_rate(silent)
    sound = keras.Input((None,))
    both = keras.Model(sound, [LogMelSpectrogram(**PUBLISHED[rate])(sound) for rate in PUBLISHED])
    with pytest.raises(ValueError, match="Received: 2"):
        check_sound_rate(both, 16000)
