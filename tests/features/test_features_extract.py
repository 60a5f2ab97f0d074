"""Extraction over a dataset: resumable to the same bits, tolerant of bad images, no trial lost to another."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from abaw_tf.features.extract import ExtractionError, extract, store_of
from abaw_tf.features.images import read_image
from abaw_tf.features.store import FeatureStore


class Folder:
    """Trials as folders of crops: what extraction needs of a dataset."""

    def __init__(self, root, lengths):
        self.root, self.lengths = Path(root), lengths

    def trials(self):
        return pd.DataFrame({"trial": list(self.lengths)})

    def n_frames(self, trial):
        if self.lengths[trial] is None:
            raise ValueError(f"{trial}.txt: row 3 is malformed")
        return self.lengths[trial]

    def image_frames(self, trial, kind):
        return np.array(sorted(int(path.stem) - 1 for path in (self.root / kind / trial).glob("*.jpg")), np.int64)

    def image_path(self, trial, frame, kind):
        return self.root / kind / trial / f"{frame + 1:05d}.jpg"


class MeanColour:
    """The mean red, green, blue of an image: an extractor whose result is known beforehand."""

    name, dim, input_size, color_order, weights_hash = "mean_colour", 3, (16, 16), "rgb", "none"

    def __init__(self, scale=1.0, delay=0.0):
        self.scale, self.delay, self.batches = scale, delay, []

    def config(self):
        return {"scale": self.scale}

    def __call__(self, images):
        assert images.dtype == np.uint8
        time.sleep(self.delay)
        self.batches.append(images.shape)
        return images.mean(axis=(1, 2)).astype(np.float32) * self.scale


def colour(trial_number, frame):
    """Blue, green, red of a crop, told apart by trial and frame."""
    return 40 * trial_number + 10, frame * 5, 200 - frame


@pytest.fixture
def dataset(tmp_path):
    """Three trials: holes at the ends and in the middle; one crop beyond the last frame; a trial without crops."""
    frames = {"a": [1, 2, 4, 5, 8], "b": list(range(12)), "c_left": []}
    lengths = {"a": 10, "b": 11, "c_left": 4}
    for number, (trial, present) in enumerate(frames.items()):
        folder = tmp_path / "data" / "cropped_aligned" / trial
        folder.mkdir(parents=True)
        for frame in present:
            image = np.full((20, 20, 3), colour(number, frame), np.uint8)
            cv2.imwrite(str(folder / f"{frame + 1:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    return Folder(tmp_path / "data", lengths)


def run(dataset, out, extractor=None, **options):
    return extract(dataset, extractor or MeanColour(), out, **{"batch_size": 4, "progress": False, **options})


def test_every_frame_gets_the_features_of_its_own_image(dataset, tmp_path):
    extractor = MeanColour()
    report = run(dataset, tmp_path / "out", extractor)
    assert sorted(report.written) == ["a", "b", "c_left"]
    assert report.images == 16
    store = FeatureStore.open(report.folder)
    for number, trial in enumerate(("a", "b")):
        track = store.read(trial)
        assert track.values.shape == (dataset.n_frames(trial), 3)
        present = np.setdiff1d(dataset.image_frames(trial, "cropped_aligned"), [11])
        np.testing.assert_array_equal(np.flatnonzero(~track.missing), present)
        expected = np.array([colour(number, frame)[::-1] for frame in present])
        np.testing.assert_allclose(track.values[present], expected, atol=2)
    assert store.read("c_left").missing.all()
    # 16 images of two trials in batches of 4, the network sees one shape only.
    assert extractor.batches == [(4, 16, 16, 3)] * 4


def test_nothing_is_computed_twice(dataset, tmp_path):
    run(dataset, tmp_path / "out", trials=["b"])
    extractor = MeanColour()
    report = run(dataset, tmp_path / "out", extractor)
    assert report.skipped == ["b"]
    assert len(extractor.batches) == 2  # the five images of "a"
    again = MeanColour()
    assert run(dataset, tmp_path / "out", again).skipped == ["a", "b", "c_left"]
    assert again.batches == []


def test_another_set_of_frames_is_noticed(dataset, tmp_path):
    run(dataset, tmp_path / "out")
    dataset.image_path("a", 8, "cropped_aligned").unlink()
    report = run(dataset, tmp_path / "out")
    assert report.renewed == report.written == ["a"]
    assert FeatureStore.open(report.folder).read("a").missing[8]
    assert "extracted again because their frames or crops had changed: a" in report.format()


def test_other_crops_of_the_same_frames_are_noticed(dataset, tmp_path):
    """As after another alignment: the same names, other pictures."""
    run(dataset, tmp_path / "out")
    rng = np.random.default_rng(0)
    for frame in dataset.image_frames("a", "cropped_aligned").tolist():
        image = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        cv2.imwrite(str(dataset.image_path("a", frame, "cropped_aligned")), image)
    report = run(dataset, tmp_path / "out")
    assert report.renewed == report.written == ["a"]
    values = FeatureStore.open(report.folder).read("a").values
    np.testing.assert_allclose(values[8], image.mean(axis=(0, 1))[::-1], atol=8)
    assert run(dataset, tmp_path / "out").skipped == ["a", "b", "c_left"]


def test_configuration_and_kind_have_their_own_folders(dataset, tmp_path):
    first = run(dataset, tmp_path / "out")
    second = run(dataset, tmp_path / "out", MeanColour(scale=2.0))
    assert first.folder != second.folder
    assert store_of(MeanColour(), tmp_path / "out").folder == first.folder
    assert store_of(MeanColour(), tmp_path / "out", "cropped").folder != first.folder


def test_shards_share_the_work(dataset, tmp_path):
    reports = [run(dataset, tmp_path / "out", shard=(i, 2)) for i in range(2)]
    assert [sorted(report.written) for report in reports] == [["a", "c_left"], ["b"]]
    assert FeatureStore.open(reports[0].folder).trials() == ["a", "b", "c_left"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "gone"])
def test_a_bad_image_is_masked_and_named(dataset, tmp_path, damage):
    path = dataset.image_path("b", 3, "cropped_aligned")
    content = path.read_bytes()
    if damage == "gone":
        frames = dataset.image_frames("b", "cropped_aligned")
        dataset.image_frames = lambda trial, kind: frames if trial == "b" else np.array([], np.int64)
        path.unlink()
    else:
        path.write_bytes({"truncated": content[: len(content) * 2 // 3], "empty": b"", "text": b"not an image"}[damage])
    report = run(dataset, tmp_path / "out")
    track = FeatureStore.open(report.folder).read("b")
    assert np.flatnonzero(track.missing).tolist() == [3]
    assert np.isfinite(track.values[~track.missing]).all()
    [bad] = report.unreadable
    assert (bad.trial, bad.frame) == ("b", 3)
    assert str(path) in bad.message
    assert f"masked: {bad.message}" in report.format()


def test_a_bad_trial_does_not_cost_the_others(dataset, tmp_path):
    dataset.lengths = {"0_malformed": None, **dataset.lengths, "z_empty": 0}
    (dataset.root / "cropped_aligned" / "z_empty").mkdir()
    with pytest.raises(ExtractionError, match="2 trial") as error:
        run(dataset, tmp_path / "out")
    report = error.value.report
    assert set(report.failed) == {"0_malformed", "z_empty"}
    assert "0_malformed.txt: row 3 is malformed" in str(error.value)
    assert FeatureStore.open(report.folder).trials() == ["a", "b", "c_left"]


def test_features_too_large_for_float16(dataset, tmp_path):
    with pytest.raises(ExtractionError, match="float32"):
        run(dataset, tmp_path / "out", MeanColour(scale=1000.0))
    report = run(dataset, tmp_path / "out", MeanColour(scale=1000.0), dtype="float32")
    assert FeatureStore.open(report.folder).read("a").values.dtype == np.float32


def test_decoding_stays_a_bounded_way_ahead(tmp_path, dataset, monkeypatch):
    decoded, taken, ahead = [], [], []
    lock = threading.Lock()

    def counting(path, size):
        with lock:
            decoded.append(path)
        return read_image(path, size)

    class Slow(MeanColour):
        def __call__(self, images):
            time.sleep(0.05)
            taken.append(len(images))
            ahead.append(len(decoded) - sum(taken))
            return super().__call__(images)

    monkeypatch.setattr("abaw_tf.features.extract.read_image", counting)
    run(dataset, tmp_path / "out", Slow(), batch_size=1, workers=2)
    assert 1 <= max(ahead) <= 4
    assert len(decoded) == 16


def test_a_failing_network_keeps_what_was_done(dataset, tmp_path):
    class Broken(MeanColour):
        def __call__(self, images):
            if len(self.batches) == 3:
                raise RuntimeError("out of memory")
            return super().__call__(images)

    with pytest.raises(RuntimeError, match="out of memory"):
        run(dataset, tmp_path / "out", Broken())
    assert store_of(Broken(), tmp_path / "out").trials() == ["a"]
    assert threading.active_count() < 5


@pytest.mark.parametrize(
    ("options", "message"),
    [({"shard": (2, 2)}, "`shard`"), ({"batch_size": 0}, "`batch_size`"), ({"dtype": "float64"}, "`dtype`")],
)
def test_wrong_arguments(dataset, tmp_path, options, message):
    with pytest.raises(ValueError, match=f"{message} must be .*Received"):
        run(dataset, tmp_path / "out", **options)


def test_an_extractor_of_the_wrong_width(dataset, tmp_path):
    extractor = MeanColour()
    extractor.dim = 4
    with pytest.raises(ValueError, match=r"must return \(n, dim\) = \(4, 4\).*Received: \(4, 3\)"):
        run(dataset, tmp_path / "out", extractor)


RUNNER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_features_extract import Folder, MeanColour
from abaw_tf.features.extract import extract
lengths = {f"trial{i}": 6 for i in range(30)}
print("go", flush=True)
extract(Folder(sys.argv[2], lengths), MeanColour(delay=0.01), sys.argv[3], batch_size=4, progress=False)
print("done", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_at_any_moment_it_resumes_to_the_same_tracks(tmp_path):
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for trial in range(30):
        folder = root / "cropped_aligned" / f"trial{trial}"
        folder.mkdir(parents=True)
        for frame in rng.choice(6, 4, replace=False):
            cv2.imwrite(str(folder / f"{frame + 1:05d}.jpg"), rng.integers(0, 255, (20, 20, 3), np.uint8))
    whole = Folder(root, {f"trial{i}": 6 for i in range(30)})
    expected = FeatureStore.open(run(whole, tmp_path / "whole").folder)
    command = [sys.executable, "-c", RUNNER, str(Path(__file__).parent), str(root), str(tmp_path / "out")]
    kills, output = 0, ""
    while "done" not in output:
        assert kills < 60
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "go\n"
        threading.Timer(rng.uniform(0.03, 0.2), process.send_signal, [signal.SIGKILL]).start()
        output = process.stdout.read()
        process.wait()
        process.stdout.close()
        kills += process.returncode == -signal.SIGKILL
        store = store_of(MeanColour(), tmp_path / "out")
        for trial in store.trials():  # whatever is visible is whole
            np.testing.assert_array_equal(store.read(trial).values, expected.read(trial).values)
    assert kills > 0
    assert len(store.trials()) == 30
    store.clean()
    assert not list(store.folder.glob(".*"))


def test_images_are_rgb_and_of_the_right_size(tmp_path):
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 2] = 250  # OpenCV writes blue, green, red
    cv2.imwrite(str(tmp_path / "red.jpg"), image)
    for size in ((40, 60), (20, 10), (80, 100)):
        red = read_image(tmp_path / "red.jpg", size)
        assert red.shape == (*size, 3)
        assert red[..., 0].min() > 240
        assert red[..., 1:].max() < 15
    with pytest.raises(OSError, match="absent"):
        read_image(tmp_path / "absent.jpg", (8, 8))


def test_a_jpeg_with_a_thumbnail_is_not_taken_for_truncated(tmp_path):
    """A thumbnail inside brings its own end marker: only the one after the last scan counts."""
    picture, thumbnail = (
        cv2.imencode(".jpg", np.random.default_rng(size).integers(0, 255, (size, size, 3), np.uint8))[1].tobytes()
        for size in (64, 8)
    )
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "a.jpg"
    path.write_bytes(picture[:2] + segment + picture[2:] + b"\x00\x00")
    assert read_image(path, (64, 64)).shape == (64, 64, 3)
    path.write_bytes(picture[:2] + segment + picture[2:-400])
    with pytest.raises(ValueError, match="truncated JPEG"):
        read_image(path, (64, 64))


def test_extraction_needs_no_tensorflow():
    code = "import sys, abaw_tf.features.extract; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
