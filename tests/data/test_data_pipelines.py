"""Pipelines: frames and windows from crops and tracks; order, masks, gaps, damage, memory."""

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from abaw_tf.data import pipelines
from abaw_tf.data.balance import NO_EXPRESSION
from abaw_tf.data.half import widen
from abaw_tf.data.sources import ImageSource, TrackSource
from abaw_tf.features.store import FeatureStore
from abaw_tf.features.track import FeatureTrack

SIZE = 8


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two trials of 10 and 7 frames; the grey level of crop i is 10·i (trial a) or 10·i + 5 (trial b); a lacks crops 3 and 4."""
    folder = tmp_path_factory.mktemp("crops")
    rows = []
    for trial, n, offset in (("a", 10, 0), ("b", 7, 5)):
        for frame in range(n):
            path = folder / f"{trial}{frame + 1:05d}.jpg"
            cv2.imwrite(str(path), np.full((16, 16, 3), 10 * frame + offset, np.uint8))
            absent = trial == "a" and frame in (3, 4)
            rows.append((trial, frame, None if absent else str(path), frame % 3, frame / 10, -frame / 10))
    table = pd.DataFrame(rows, columns=["trial", "frame", "path", "expression", "valence", "arousal"])
    table.loc[1, "expression"] = -1
    table.loc[2, "valence"] = np.nan
    table["path"] = table["path"].astype(object).where(table["path"].notna(), None)
    return table


def grey(images):
    return images.numpy()[..., 0, 0, 0].astype(int)


def grey_of_windows(dataset):
    return np.concatenate([inputs["image"].numpy()[..., 0, 0, 0] for inputs, _, _ in dataset])


def collect(dataset, n=None):
    """All batches (or the first n) as one (inputs, targets, weights) of arrays."""
    batches = list(dataset if n is None else dataset.take(n))
    return tuple({k: np.concatenate([b[i][k].numpy() for b in batches]) for k in batches[0][i]} for i in range(3))


def test_frames_come_in_order_with_targets_and_masks(table):
    outputs = ("expression", "valence", "valence_arousal")
    inputs, targets, weights = collect(pipelines.frames(table, SIZE, 4, outputs))
    kept = table[table["path"].notna()]
    np.testing.assert_array_equal(
        inputs["image"][:, 0, 0, 0], 10 * kept["frame"] + np.where(kept["trial"] == "b", 5, 0)
    )
    assert inputs["image"].dtype == np.uint8
    np.testing.assert_array_equal(weights["expression"], kept["expression"] >= 0)
    np.testing.assert_array_equal(weights["valence"], kept["valence"].notna())
    np.testing.assert_array_equal(weights["valence_arousal"], kept["valence"].notna())
    np.testing.assert_array_equal(targets["expression"], kept["expression"].clip(lower=0))
    assert targets["valence_arousal"].shape == (len(kept), 2)
    assert np.isfinite(targets["valence"]).all()


def test_black_stands_for_missing_crops_if_asked(table):
    inputs, _, weights = collect(pipelines.frames(table, SIZE, 32, missing_image="black"))
    assert len(inputs["image"]) == len(table)
    assert not inputs["image"][3:5].any()
    assert weights["expression"][3:5].all()


def test_class_weights_multiply_the_mask(table):
    _, targets, weights = collect(pipelines.frames(table, SIZE, 32, class_weights=[1.0, 2.0, 4.0]))
    expected = np.where(weights["expression"] == 0, 0, np.array([1, 2, 4])[targets["expression"]])
    np.testing.assert_array_equal(weights["expression"], expected)
    assert set(expected) == {0, 1, 2, 4}


def test_each_epoch_is_another_permutation_and_a_resumed_run_sees_the_same(table):
    def epochs(start, seed=0):
        dataset = pipelines.frames(table, SIZE, 4, training=True, seed=seed, start_epoch=start, augmentation={})
        images = collect(dataset, 3 * pipelines.n_batches(15, 4))[0]["image"]
        return images.reshape(3, 15, SIZE, SIZE, 3)

    plain = pipelines.frames(table, SIZE, 4, training=True)
    orders = collect(plain, 8)[0]["image"][:, 0, 0, 0].reshape(2, 15)
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0].tolist())) == 15
    assert (orders[0] != orders[1]).any()
    first, resumed = epochs(0), epochs(1)
    np.testing.assert_array_equal(first[1:], resumed[:2])
    assert (epochs(0, seed=1) != first).any()


def test_augmentation_belongs_to_training(table):
    still, training = (
        collect(pipelines.frames(table, SIZE, 4, training=t, augmentation={"brightness": (0.5, 0.5)}), 1)[0]["image"]
        for t in (False, True)
    )
    assert set(still[:, 0, 0, 0].tolist()) == {0, 10, 20, 50}
    assert training.max() <= 0.5 * 105 + 1


def test_classes_take_turns_if_asked(table):
    dataset = pipelines.frames(table, SIZE, 3, training=True, class_balanced=True)
    _, targets, weights = collect(dataset, 4)
    np.testing.assert_array_equal(targets["expression"], np.tile([0, 1, 2], 4))
    assert weights["expression"].all()


@pytest.mark.parametrize("epoch_length", ["average", "max", "min"])
def test_windows_take_turns_by_the_class_of_their_last_frame(table, epoch_length):
    kept = pipelines.usable(table, "skip")
    spans = pipelines.window_spans(kept, 3, 1, "last", across_gaps=True)
    options = {"class_balanced": True, "epoch_length": epoch_length}
    n = pipelines.examples_per_epoch(kept, spans, "last", **options)
    sources = {"image": ImageSource.of(kept, SIZE)}
    dataset = pipelines.batches(sources, kept, n, spans=spans, size=3, target="last", training=True, **options)
    first, second = (part[1]["expression"].numpy() for part in dataset.take(2))
    sizes = kept["expression"][kept["expression"] >= 0].value_counts()
    assert n == {"average": round(sizes.mean()), "max": sizes.max(), "min": sizes.min()}[epoch_length] * len(sizes)
    np.testing.assert_array_equal(first, np.resize(sorted(sizes.index), n))
    np.testing.assert_array_equal(second, first)  # an epoch begins with the first class


def test_windows_with_a_target_per_frame_take_turns_by_their_rarest_class():
    expression = [0, 0, 0, 1, 2, 1, -1, -1, 0, 0, 2, -1]
    table = pd.DataFrame({"trial": "a", "frame": range(12), "expression": expression})
    spans = pipelines.window_spans(table, 2, 2)
    found = pipelines.classes_of_examples(table, spans, "frames")
    counts = {0: 5, 1: 2, 2: 2, -1: 99}
    for span, value in zip(spans, found):
        assert value == min(expression[slice(*span)], key=lambda label: (counts[label], label))
    assert found.tolist() == [0, 1, 1, -1, 0, 2]
    assert pipelines.examples_per_epoch(table, spans, "frames", True, "max") == 3 * 2


def test_what_has_other_labels_alone_is_one_class_more():
    nan = np.nan
    table = pd.DataFrame({"trial": "a", "frame": range(6), "expression": [0, -1, 1, -1, -1, 0]})
    table["valence"] = [nan, 0.1, nan, nan, 0.2, 0.3]
    table["arousal"] = [nan, 0.1, nan, nan, 0.2, 0.3]
    both = ("expression", "valence", "va_vector")
    spans = np.array([[0, 2], [2, 4], [3, 5]])
    assert pipelines.classes_of_examples(table, outputs=both).tolist() == [0, NO_EXPRESSION, 1, -1, NO_EXPRESSION, 0]
    assert pipelines.classes_of_examples(table).tolist() == [0, -1, 1, -1, -1, 0]
    found = pipelines.classes_of_examples(table, spans, "last", both)
    assert found.tolist() == [NO_EXPRESSION, -1, NO_EXPRESSION]
    assert pipelines.classes_of_examples(table, spans, "frames", both).tolist() == [0, 1, NO_EXPRESSION]
    assert pipelines.examples_per_epoch(table, None, "frames", True, "max", both) == 3 * 2
    assert pipelines.examples_per_epoch(table, None, "frames", True, "max") == 2 * 2
    source = TrackSource(Counting(), table)
    dataset = pipelines.batches({"x": source}, table, 6, both, training=True, class_balanced=True)
    inputs, _, weights = collect(dataset, 1)
    np.testing.assert_array_equal(weights["expression"], [1, 1, 0, 1, 1, 0])
    np.testing.assert_array_equal(weights["valence"][[2, 5]], [1, 1])
    assert set(inputs["x"][[2, 5], 0]) == {1, 4}


class Counting:
    """A reader whose features are the frame's number."""

    def read(self, trial):
        return FeatureTrack(trial, np.arange(6, dtype=np.float32)[:, None], np.zeros(6, bool))


def test_context_stands_before_each_window_and_has_no_targets(table):
    sources = {"image": ImageSource.of(table, SIZE), "narrow": ImageSource.of(table, SIZE)}
    spans = pipelines.window_spans(table, 4, 4, tail="short")
    dataset = pipelines.batches(
        sources, table, 3, ("expression", "va_vector"), spans, 4, context=3, without_context=("narrow",)
    )
    inputs, targets, weights = collect(dataset)
    a = [0, 10, 20, 0, 0, 50, 60, 70, 80, 90]
    b = [5, 15, 25, 35, 45, 55, 65]
    wide = [[a[0]] * 3 + a[:4], a[1:8], a[5:10] + [90] * 2, [b[0]] * 3 + b[:4], [*b[1:7], 65]]
    np.testing.assert_array_equal(inputs["image"][..., 0, 0, 0], wide)
    np.testing.assert_array_equal(inputs["narrow"], inputs["image"][:, 3:])
    np.testing.assert_array_equal(weights["expression"][:, -1], [1, 1, 0, 1, 0])
    assert targets["va_vector"].shape == (5, 4, 5)
    assert weights["va_vector"][0].tolist() == [1, 1, 0, 1]  # the third frame has no valence
    np.testing.assert_allclose(targets["va_vector"][1, 0], [-0.4, 0.4, 0, 0.4, 0.4], atol=1e-6)


def test_context_reaches_across_gaps_only_if_asked(table):
    kept = pipelines.usable(table, "skip")
    for across, expected in ((True, [20, 50]), (False, [50, 50])):
        dataset = pipelines.image_windows(kept, SIZE, 1, 1, 20, context=1, across_gaps=across, missing_image="skip")
        images = grey_of_windows(dataset)
        assert images[3].tolist() == expected
        assert len(images) == len(kept)


def test_context_needs_windows_with_a_target_per_frame(table):
    with pytest.raises(ValueError, match=r"context.*Received: context=2, target=.last."):
        pipelines.image_windows(table, SIZE, 3, 1, target="last", context=2)


def test_an_image_drawn_again_in_an_epoch_is_transformed_anew(table):
    few = table[table["trial"] == "b"].iloc[[2, 4, 5, 6]].assign(expression=[1, 1, 1, 0])
    dataset = pipelines.frames(
        few, SIZE, 4, training=True, class_balanced=True, augmentation={"brightness": (0.2, 1.0), "flip": False}
    )
    first, second = (next(iter(dataset)) for _ in range(2))
    lights = grey(first[0]["image"])[first[1]["expression"].numpy() == 0]
    assert len(set(lights.tolist())) == len(lights) == 2
    np.testing.assert_array_equal(first[0]["image"], second[0]["image"])


def test_a_face_is_cut_out_where_the_table_has_boxes(table, tmp_path):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[5:15, 10:20] = 200
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    boxed = table[:2].assign(path=str(tmp_path / "a.png"), left=[10.0, np.nan], top=5.0, right=20.0, bottom=15.0)
    inputs, _, _ = collect(pipelines.frames(boxed, SIZE, 2))
    assert (inputs["image"][0] == 200).all()
    assert (inputs["image"][1] == 0).any()  # no box: the whole picture


def test_image_windows_never_span_a_gap_unless_asked(table):
    def levels(**options):
        dataset = pipelines.image_windows(table, SIZE, 4, 4, missing_image="skip", **options)
        inputs, _, weights = collect(dataset)
        return inputs["image"][:, :, 0, 0, 0].tolist(), weights["expression"].tolist()

    windows, weights = levels(tail="short")
    assert windows == [[0, 10, 20, 20], [50, 60, 70, 80], [90, 90, 90, 90], [5, 15, 25, 35], [45, 55, 65, 65]]
    assert weights[0] == [1, 0, 1, 0]  # frame 1 has no label, the last place is padding
    assert weights[2] == [1, 0, 0, 0]
    windows, _ = levels(across_gaps=True, tail="drop")
    assert windows == [[0, 10, 20, 50], [60, 70, 80, 90], [5, 15, 25, 35]]


def test_causal_blocks_end_with_their_frame_and_repeat_the_first(table):
    dataset = pipelines.image_windows(table, SIZE, 3, 2, target="last", missing_image="skip")
    inputs, targets, weights = collect(dataset)
    windows = inputs["image"][:, :, 0, 0, 0].tolist()
    assert windows[:3] == [[0, 0, 0], [0, 10, 20], [50, 50, 50]]
    assert targets["expression"].tolist()[:3] == [0, 2, 2]
    assert weights["expression"].shape == (len(windows),)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Track value of frame i: i (trial a, frames 0, 3 and 4 missing) or 100 + i (trial b), in three columns ·1, ·2, ·3."""
    store = FeatureStore(tmp_path_factory.mktemp("tracks"), "numbers", {"kind": "test"}, "0" * 64)
    for trial, n, offset in (("a", 10, 0), ("b", 7, 100)):
        values = (np.arange(n) + offset)[:, None] * np.float32([1, 2, 3])
        store.write(trial, values, np.isin(np.arange(n), [0, 3, 4]) & (trial == "a"))
    return store


def test_track_windows_read_floats_and_fill_holes(table, store):
    dataset = pipelines.track_windows({"x": store}, table, 5, 5, outputs=("expression", "valence"), tail="last")
    assert dataset.element_spec[0]["x"].shape == (None, 5, 3)
    inputs, targets, weights = collect(dataset)
    assert inputs["x"].dtype == np.float32
    assert inputs["x"][:, :, 0].tolist() == [
        [1, 1, 2, 2, 2],
        [5, 6, 7, 8, 9],
        [100, 101, 102, 103, 104],
        [102, 103, 104, 105, 106],
    ]
    np.testing.assert_array_equal(inputs["x"][..., 2], 3 * inputs["x"][..., 0])
    assert targets["expression"][0].tolist() == [0, 0, 2, 0, 1]
    assert weights["expression"][0].tolist() == [1, 0, 1, 1, 1]
    assert weights["valence"][0].tolist() == [1, 1, 0, 1, 1]


def test_zeros_fill_holes_too_and_stores_lie_side_by_side(table, store):
    dataset = pipelines.track_windows({"x": store, "y": store}, table, 5, 5, fill={"x": "zeros", "y": "previous"})
    inputs = collect(dataset)[0]
    assert inputs["x"][0, :, 0].tolist() == [0, 1, 2, 0, 0]
    assert inputs["y"][0, :, 0].tolist() == [1, 1, 2, 2, 2]


def test_single_frames_can_be_read_from_tracks(table, store):
    inputs, _, _ = collect(pipelines.batches({"x": TrackSource(store, table)}, table, 4))
    assert inputs["x"][:, 0].tolist() == [1, 1, 2, 2, 2, 5, 6, 7, 8, 9, *range(100, 107)]


@pytest.mark.parametrize("fill", ["previous", "zeros"])
def test_an_optional_track_without_any_row_is_nan(table, store, fill, tmp_path):
    """Of that trial alone; the holes of others are filled."""
    own = FeatureStore(tmp_path, "numbers", {"kind": "test"}, "0" * 64)
    for trial in ("a", "b"):
        track = store.read(trial)
        own.write(trial, np.array(track.values), np.array(track.missing) | (trial == "b"))
    source = TrackSource(own, table, fill, optional=True)
    of_b = (table["trial"] == "b").to_numpy()
    single, valid = source.read(np.arange(len(table)))
    assert np.isnan(single).all(axis=1).tolist() == of_b.tolist()
    assert np.isfinite(single[~of_b]).all()
    assert valid.all()
    windows, _ = source.read(np.stack([np.flatnonzero(of_b)[:3], np.flatnonzero(~of_b)[:3]]))
    assert np.isnan(windows[0]).all()
    assert np.isfinite(windows[1]).all()


def test_holes_may_be_nan(table, store):
    source = TrackSource(store, table, "nan")
    values, _ = source.read(np.arange(len(table)))
    missing = np.concatenate([store.read(trial).missing[rows["frame"]] for trial, rows in table.groupby("trial")])
    assert 0 < missing.sum() < len(missing)
    assert np.isnan(values).all(axis=1).tolist() == np.isnan(values).any(axis=1).tolist() == missing.tolist()


def test_a_track_that_does_not_fit_its_trial_is_named(table, store):
    longer = pd.concat([table, table.tail(1).assign(frame=7)])
    with pytest.raises(ValueError, match="'b': its track has 7 frames but frame 7"):
        pipelines.track_windows({"x": store}, longer, 5, 5)
    with pytest.raises(FileNotFoundError, match="c"):
        pipelines.track_windows({"x": store}, table.assign(trial="c"), 5, 5)


@pytest.fixture
def damaged(table, tmp_path):
    path = tmp_path / "00001.jpg"
    rng = np.random.default_rng(0)
    cv2.imwrite(str(path), rng.integers(0, 256, (64, 64, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    table = table.copy()
    table.loc[5, "path"] = str(path)
    return table, path


def test_a_damaged_image_is_an_error_that_names_file_and_remedy(damaged):
    table, path = damaged
    with pytest.raises(tf.errors.OpError) as caught:
        collect(pipelines.frames(table, SIZE))
    assert str(path) in str(caught.value)
    assert "tools/doctor.py" in str(caught.value)


def test_or_it_is_masked_and_noted(damaged):
    table, path = damaged
    noted = {}
    inputs, _, weights = collect(pipelines.frames(table, SIZE, unreadable=noted))
    assert list(noted) == [str(path)]
    assert str(path) in noted[str(path)]
    assert not inputs["image"][3].any()
    assert weights["expression"][3] == 0
    assert weights["expression"][[0, 2, 4, 5]].all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"outputs": ("emotion",)}, "emotion"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"missing_image": "grey"}, "grey"),
        ({"image_size": 0}, "positive"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(table, change, word):
    arguments = {"image_size": SIZE, **change}
    with pytest.raises(ValueError, match=word):
        pipelines.frames(table, **arguments)


def test_wrong_tables_are_refused(table):
    with pytest.raises(ValueError, match="empty"):
        pipelines.frames(table.iloc[:0], SIZE)
    with pytest.raises(ValueError, match="none of the 17 frames has a face crop"):
        pipelines.frames(table.assign(path=None), SIZE)
    with pytest.raises(ValueError, match="lacks the column 'arousal'"):
        pipelines.frames(table.drop(columns="arousal"), SIZE, outputs=("valence_arousal",))
    with pytest.raises(ValueError, match="2"):
        pipelines.frames(table, SIZE, class_weights=[1.0, 1.0])  # class 2 occurs
    with pytest.raises(ValueError, match="no trial is long enough"):
        pipelines.image_windows(table, SIZE, 50, 50, tail="drop")
    with pytest.raises(ValueError, match="target"):
        pipelines.image_windows(table, SIZE, 5, 5, target="first")


def test_labelled_rows_are_those_with_any_label(table):
    both = pipelines.labelled(table, ("expression", "valence"))
    assert both.all()
    assert np.flatnonzero(~pipelines.labelled(table, ("expression",))).tolist() == [1]
    every = pipelines.labelled(table, ("expression", "va_vector"), every=True)
    assert np.flatnonzero(~every).tolist() == [1, 2]


def test_half_precision_is_widened_exactly():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    out = np.empty(every.shape, np.float32)
    widen(every, out)
    np.testing.assert_array_equal(out, every.astype(np.float32))
    with pytest.raises(ValueError, match="float64"):
        widen(np.zeros(3), out[0, :3])


def test_memory_is_used_again_only_when_nobody_holds_it(table, store):
    dataset = pipelines.track_windows({"x": store}, table, 5, 1, batch_size=1)
    held = [inputs["x"] for inputs, _, _ in dataset]
    passing = [inputs["x"].numpy()[0, -1, 0] for inputs, _, _ in dataset]
    assert [x.numpy()[0, -1, 0] for x in held] == passing == [2, 5, 6, 7, 8, 9, 104, 105, 106]
