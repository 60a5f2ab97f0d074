"""Windows of sound by time, checked against rules written out one instant, one frame or one sample at a time."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf.data import pipelines, sound_windows
from abaw_tf.features.waveforms import Waveform, Waveforms

CLOCKS = {
    "slow": np.arange(40) / 7.5,
    "film": np.arange(200) / 24,
    "broadcast": np.arange(300) * 1001 / 30000,
    "variable": np.cumsum(np.r_[0, np.random.default_rng(0).choice([0.03, 0.07, 0.4], 60)]),
    "one frame": np.zeros(1),
}


def table_of(labels, trial="a", valence=None):
    n = len(labels)
    values = np.full(n, np.nan, np.float32) if valence is None else np.asarray(valence, np.float32)
    return pd.DataFrame(
        {"trial": trial, "frame": np.arange(n), "expression": labels, "valence": values, "arousal": -values}
    )


@pytest.mark.parametrize("rate", [5, 3.3])
@pytest.mark.parametrize("name", CLOCKS)
def test_instants_take_the_frame_nearest_in_time(name, rate):
    times = CLOCKS[name]
    found = sound_windows.nearest_frames(times, rate)
    k = 0
    while Fraction(k) / Fraction(rate) <= Fraction(times[-1]) + Fraction(1, 10**7):
        distances = np.abs(times - k / rate)
        assert distances[found[k]] == pytest.approx(distances.min(), abs=1e-9)
        assert found[k] == np.flatnonzero(distances <= distances.min() + 1e-10)[0]  # the earlier one at a tie
        k += 1
    assert len(found) == k


@pytest.mark.parametrize("rate", [5, 8, Fraction(10, 3)])
@pytest.mark.parametrize(
    "fps", [Fraction(15, 2), Fraction(25, 2), Fraction(45, 2), 24, 25, Fraction(30000, 1001), 30, 60]
)
def test_times_that_were_stored_in_single_precision_have_the_same_nearest_frames(fps, rate, tmp_path):
    exact = [Fraction(k) / fps for k in range(int(60 * fps))]
    times = np.array(exact, np.float64)
    sounds = Waveforms(None, tmp_path, 16000)
    sounds.clocks.write("a", np.stack([np.floor(times), times % 1.0], axis=1), dtype="float32")
    stored = sounds.times("a")
    found = sound_windows.nearest_frames(stored, float(rate))
    n = int(exact[-1] * rate) + 1
    assert sound_windows.count_instants(stored, float(rate)) == len(found) == n
    # The earlier one at a tie: half a frame is rounded down.
    assert found.tolist() == [-int((Fraction(1, 2) - k / Fraction(rate) * fps) // 1) for k in range(n)]


def test_labels_at_instants_are_those_of_each_trials_own_clock():
    table = pd.concat([table_of(np.arange(60) % 7, "a"), table_of(np.arange(30) % 5, "b")], ignore_index=True)
    clocks = {"a": np.arange(60) / 30, "b": np.arange(30) / 10}
    instants = sound_windows.instant_table(table, clocks.get, 5)
    a, b = (instants[instants["trial"] == name] for name in "ab")
    assert a["expression"].tolist() == [(6 * k) % 7 for k in range(10)]
    assert b["expression"].tolist() == [(2 * k) % 5 for k in range(15)]
    assert b["frame"].tolist() == list(range(15))


def test_a_frame_without_a_time_is_refused():
    with pytest.raises(ValueError, match=r"'a': frame 9.*5 times"):
        sound_windows.instant_table(table_of([0] * 10), lambda trial: np.arange(5) / 30, 5)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=30), st.integers(1, 8), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_windows_have_the_label_of_the_majority_and_the_mean_of_what_is_known(labels, size, stride):
    valence = [np.nan if label < 0 else label / 4 for label in labels]
    instants = table_of(labels, valence=valence)
    spans = pipelines.window_spans(instants, size, min(stride, size))
    windows = sound_windows.window_table(instants, spans)
    for (start, stop), window in zip(spans, windows.itertuples()):
        known = [label for label in labels[start:stop] if label >= 0]
        assert window.frame == start
        if not known:
            assert (window.expression, np.isnan(window.valence), np.isnan(window.arousal)) == (-1, True, True)
            continue
        counts = Counter(known)
        assert window.expression == min(label for label in counts if counts[label] == max(counts.values()))
        assert window.valence == pytest.approx(np.mean(known) / 4, abs=1e-6)
        assert window.arousal == pytest.approx(-np.mean(known) / 4, abs=1e-6)
    seen = sound_windows.labelled_windows(instants, spans)
    np.testing.assert_array_equal(seen, windows["expression"] >= 0)


def test_windows_begin_at_their_own_time_after_hours():
    """16,000 samples and 7 labels a second: 2285.714… samples from one to the next, no error adds up."""
    n = 7 * 3600 * 2
    instants = table_of(np.zeros(n, np.int64))
    sound = Waveform(np.broadcast_to(np.float32(0), (n * 2286,)), False, False)
    source = sound_windows.SoundSource(lambda trial: sound, instants, 16000, 7, 100)
    for k in (0, 1, 5, n // 3, n - 1):
        exact = Fraction(k * 16000, 7)
        assert abs(source._begin[k] - exact) <= Fraction(1, 2)


def ramp(n, **options):
    return Waveform(np.arange(1, n + 1, dtype=np.float32), **{"has_holes": False, "is_absent": False, **options})


def test_pieces_of_sound_are_cut_by_instant_and_end_in_silence():
    instants = pd.concat([table_of([0] * 5, "a"), table_of([0] * 5, "b")], ignore_index=True)
    holed = ramp(40, has_holes=True)
    holed.samples[12:14] = np.nan
    source = sound_windows.SoundSource({"a": ramp(43), "b": holed}.get, instants, 50, 5, 20)
    pieces = source.read(np.array([0, 3, 4, 5, 6]))
    assert pieces.dtype == np.float32
    np.testing.assert_array_equal(pieces[0], np.arange(1, 21))
    np.testing.assert_array_equal(pieces[1], np.r_[np.arange(31, 44), np.zeros(7)])
    np.testing.assert_array_equal(pieces[2], np.r_[[41, 42, 43], np.zeros(17)])
    np.testing.assert_array_equal(pieces[3], np.r_[np.arange(1, 13), 0, 0, np.arange(15, 21)])
    np.testing.assert_array_equal(pieces[4], np.r_[11, 12, 0, 0, np.arange(15, 31)])


def test_pieces_behind_the_end_of_the_sound_are_told():
    instants = pd.concat([table_of([0] * 5, "a"), table_of([0] * 5, "b")], ignore_index=True)
    source = sound_windows.SoundSource({"a": ramp(30), "b": ramp(31)}.get, instants, 50, 5, 20)
    rows = np.array([0, 2, 3, 4, 7, 8, 9])
    assert source.is_heard(rows).tolist() == [True, True, False, False, True, True, False]
    np.testing.assert_array_equal(source.is_heard(rows), source.read(rows).any(axis=1))


def feed(labels=(0, 0, 1, 1, 2, -1, 2, 1, 1, 0), size=4, stride=2, **options):
    """Windows of a trial whose sound tells the time: 10 samples and 5 instants a second."""
    instants = table_of(np.asarray(labels))
    spans = pipelines.window_spans(instants, size, stride)
    source = sound_windows.SoundSource(lambda trial: ramp(2 * len(labels)), instants, 10, 5, 2 * size)
    return spans, sound_windows.batches(source, instants, spans, size, batch_size=3, **options)


def rows(dataset, n):
    """Start instant, targets and weights of the first `n` examples."""
    found = []
    for inputs, targets, weights in dataset:
        parts = (inputs["sound"], targets["expression"], weights["expression"])
        found += [(int(sound[0] - 1) // 2, y.tolist(), w.tolist()) for sound, y, w in zip(*(x.numpy() for x in parts))]
        if len(found) >= n:
            return found[:n]
    return found


def test_batches_have_one_target_per_window():
    _, dataset = feed(class_weights=[1, 2, 4])
    assert rows(dataset, 9) == [(0, 0, 1), (2, 1, 2), (4, 2, 4), (6, 1, 2)]


def test_batches_have_a_target_per_instant_and_none_beyond_the_end():
    _, dataset = feed(target="steps")
    assert rows(dataset, 9)[1:3] == [(2, [1, 1, 2, 0], [1, 1, 1, 0]), (4, [2, 0, 2, 1], [1, 0, 1, 1])]
    _, short = feed((1, 2), target="steps")
    assert rows(short, 9) == [(0, [1, 2, 2, 2], [1, 1, 0, 0])]


@pytest.mark.parametrize("balanced", [False, True])
def test_an_epoch_resumed_is_the_epoch_uninterrupted(balanced):
    labels = np.arange(42) // 2 % 3
    options = {"training": True, "seed": 5, "class_balanced": balanced, "size": 2, "stride": 1}
    spans, dataset = feed(labels, **options)
    instants = table_of(labels)
    n = sound_windows.examples_per_epoch(instants, spans, class_balanced=balanced)
    whole = rows(dataset, 3 * n)
    epochs = [whole[i * n : (i + 1) * n] for i in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    if balanced:
        assert Counter(target for _, target, _ in epochs[0]) == {0: n // 3, 1: n // 3, 2: n // 3}
    else:
        assert all(sorted(start for start, _, _ in epoch) == spans[:, 0].tolist() for epoch in epochs)
    assert rows(feed(labels, start_epoch=2, **options)[1], n) == epochs[2]


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="'frames'"):
        feed(target="frames")


@pytest.mark.parametrize("name", CLOCKS)
def test_frames_lie_between_instants_and_the_ends_hold(name):
    times = CLOCKS[name]
    n = sound_windows.count_instants(times, 5)
    values = np.random.default_rng(0).dirichlet(np.ones(3), n)
    found = sound_windows.to_frames(values, 5, times)
    for column in range(3):
        np.testing.assert_allclose(found[:, column], np.interp(times, np.arange(n) / 5, values[:, column]), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    late = sound_windows.to_frames(values, 5, times + 100)
    np.testing.assert_array_equal(late, np.repeat(values[-1:], len(times), axis=0))
