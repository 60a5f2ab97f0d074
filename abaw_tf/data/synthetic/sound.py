"""A synthetic voice: harmonics shaped by formants, whose pitch, energy and timbre follow valence and arousal."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from abaw_tf.data.synthetic.speech import VOWELS, syllables

SAMPLE_RATE = 16_000
_STEP = 80  # samples between control points (5 ms)
_HARMONICS = 28


def speak(rng, who, performance, words, duration) -> np.ndarray:
    """The voice of `who` saying `words`, float32 samples at `SAMPLE_RATE`.

    Arousal raises pitch, loudness and the upper harmonics; valence brightens the timbre, widens the
    melody and shifts the formants up, as a smile does.
    """
    n = round(duration * SAMPLE_RATE)
    control = np.arange(0, n + _STEP, _STEP) / SAMPLE_RATE
    valence, arousal = performance.at(performance.seen["voice"], control).T
    loud = np.zeros(len(control))
    formants = np.tile([530.0, 1600.0], (len(control), 1))
    for word in words:
        for vowel, start, stop in syllables(word):
            inside = (control >= start) & (control < stop)
            loud[inside] = np.sin(np.pi * (control[inside] - start) / max(stop - start, 1e-3)) ** 0.5
            formants[inside] = VOWELS[vowel]
    formants = gaussian_filter1d(formants, 4, axis=0, mode="nearest") * who.tract * (1 + 0.16 * valence)[:, None]
    melody = 1 + (0.05 + 0.05 * np.clip(valence, 0, 1)) * np.sin(2 * np.pi * control * 1.3 + rng.uniform(0, 6)) * (
        1 + 0.8 * arousal
    )
    jitter = 1 + gaussian_filter1d(rng.normal(0, 0.03, len(control)), 1)
    pitch = who.pitch * 2 ** (0.55 * arousal + 0.08 * valence) * melody * jitter
    loud = gaussian_filter1d(loud, 1.5) * 10 ** (0.42 * arousal)
    tilt = 1.5 - 0.4 * arousal - 0.55 * valence  # how fast the harmonics fall

    number = np.arange(1, _HARMONICS + 1)
    frequency = number[None, :] * pitch[:, None]
    amplitude = number[None, :] ** -np.clip(tilt, 0.5, 2.4)[:, None]
    response = 0.05
    for centre, width, weight in (
        (formants[:, :1], 90.0, 1.0),
        (formants[:, 1:], 130.0, 0.7),
        (2700.0 * who.tract, 220.0, 0.35),
    ):
        response = response + weight / (1 + ((frequency - centre) / width) ** 2)
    amplitude *= response * (frequency < 0.45 * SAMPLE_RATE) * loud[:, None]

    samples = np.arange(n) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(np.interp(samples, control, pitch)) / SAMPLE_RATE
    voice = np.zeros(n)
    for k in range(_HARMONICS):
        voice += np.interp(samples, control, amplitude[:, k]) * np.sin((k + 1) * phase)
    breath = (
        rng.normal(0, 0.02, n) * np.interp(samples, control, loud) * np.interp(samples, control, 1.2 - 0.4 * arousal)
    )
    return (0.10 * voice + breath).astype(np.float32)


def room(rng, duration) -> np.ndarray:
    """Background noise of a quiet room, float32."""
    n = round(duration * SAMPLE_RATE)
    hum = np.sin(2 * np.pi * 50 * np.arange(n) / SAMPLE_RATE)
    level = 10 ** rng.uniform(-2.9, -2.2)
    return (level * (gaussian_filter1d(rng.normal(0, 1.5, n), 2) + 0.3 * hum)).astype(np.float32)


def mix_down(parts) -> np.ndarray:
    """Sum several sounds into one, kept within [-1, 1] without changing what is already inside."""
    total = np.sum(parts, axis=0)
    return np.tanh(total).astype(np.float32)
