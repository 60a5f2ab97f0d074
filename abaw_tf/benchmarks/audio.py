"""Audio features of frames: the graph against librosa; and resampling in the graph against soxr."""

import time
import warnings

import numpy as np

from abaw_tf.benchmarks.results import Result

FPS = 25.0


def benchmark_audio(n_frames=1024, n_plain=128, seconds=60.0, repeats=3):
    """Measure frames per second of the audio features, and seconds of sound resampled per second.

    Three ways take turns, so that a machine that slows down slows all: librosa called once per segment, as its documentation does
    (which computes the mel spectrum twice and the filters anew each time); librosa on batches
    (`abaw_tf.features.frame_audio`); the Keras graph on batches of 256 (`abaw_tf.features.frame_audio_graph`). The best turn of each
    counts. Sound is noise at 22,050 samples per second, segments of 25 frames per second.

    Parameters
    ----------
    n_frames, n_plain : int
        Segments per turn; the plain loop gets fewer.
    seconds : float
        Length of the sound at 44,100 samples per second that is resampled to 22,050.
    repeats : int
        Turns.

    Returns
    -------
    list of Result
        Frames per second of each and their ratios, by the clock and by processor time, which holds even while other programs compete
        for the processor; and both resamplers, where tensorflow-io is installed.
    """
    from abaw_tf.features import frame_audio, frame_audio_graph

    config = frame_audio.FrameAudioConfig()
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, round((n_frames + 2) / FPS * config.sample_rate)).astype(np.float32)
    starts = frame_audio.segment_starts(np.arange(n_frames) / FPS, config.sample_rate)
    segments = frame_audio.cut_segments(samples, starts, frame_audio.segment_length(1 / FPS, config.sample_rate))
    ways = {
        "librosa, segment by segment": (lambda: _plain(segments[:n_plain], config), n_plain),
        "librosa, batches": (lambda: frame_audio.segment_features(segments), n_frames),
        "graph, batches": (lambda: frame_audio_graph.segment_features_in_graph(segments), n_frames),
    }
    wall, work = _speeds(ways, repeats)
    results = [Result(f"audio features: {way}", wall[way], "frames/s") for way in ways]
    plain, batches, graph = ways
    for other in (plain, batches):
        results.append(Result(f"audio features: graph / {other}", wall[graph] / wall[other], ""))
        results.append(
            Result(f"audio features: processor time of {other} / of the graph", work[graph] / work[other], "")
        )
    return results + _resamplers(seconds, repeats)


def _plain(segments, config):
    import librosa

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=.* is too large")
        for segment in segments:
            librosa.feature.mfcc(y=segment, sr=config.sample_rate, n_mfcc=config.n_mfcc).mean(axis=1)
            librosa.feature.melspectrogram(y=segment, sr=config.sample_rate).mean(axis=1)


def _resamplers(seconds, repeats):
    from abaw_tf.media import audio, audio_graph

    if audio_graph.default_backend() != "tensorflow_io":
        return []
    import tensorflow as tf

    rate_in, rate_out = 44100, 22050
    samples = np.random.default_rng(1).normal(0, 0.1, round(seconds * rate_in)).astype(np.float32)
    in_graph = tf.function(lambda: audio_graph.resample_in_graph(samples, rate_in, rate_out))
    ways = {
        "soxr": (lambda: audio.resample(samples, rate_in, rate_out), seconds),
        "tensorflow-io": (in_graph, seconds),
    }
    wall, _ = _speeds(ways, repeats)
    results = [Result(f"resampling 44.1 to 22.05 kHz: {way}", wall[way], "s of sound/s") for way in ways]
    return [*results, Result("resampling: tensorflow-io / soxr", wall["tensorflow-io"] / wall["soxr"], "")]


def _speeds(ways, repeats):
    """Units per second of each way, by the clock and by processor time; the ways take turns."""
    wall, work = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    for turn in range(repeats + 1):
        for way, (run, units) in ways.items():
            start, worked = time.perf_counter(), time.process_time()
            run()
            if turn:  # the first one compiles, and fills librosa's caches
                wall[way] = max(wall[way], units / (time.perf_counter() - start))
                work[way] = max(work[way], units / (time.process_time() - worked))
    return wall, work
