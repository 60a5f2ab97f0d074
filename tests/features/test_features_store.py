"""Feature tracks on disk: whole or absent, never mixed, and clear about damage."""

import json
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from abaw_tf.features import store as feature_store
from abaw_tf.features.store import FeatureStore, FeatureTrack


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features", "vggface2", {"size": 224, "version": 2}, "abc")


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(0, 5, (6, 4)).astype("float32")


def test_a_track_comes_back(store, values):
    missing = np.array([True, False, False, True, True, False])
    store.write("video1_left", values, missing, source={"frames": 6}, dtype="float32", notes={"corrupt": [3]})
    track = store.read("video1_left")
    assert isinstance(track.values, np.memmap)
    np.testing.assert_array_equal(track.values[~missing], values[~missing])
    assert np.isnan(track.values[missing]).all()
    np.testing.assert_array_equal(track.missing, missing)
    assert store.trials() == ["video1_left"]
    assert store.has("video1_left")
    assert not store.has("video1")
    sidecar = json.loads((store.folder / "video1_left.json").read_text())
    assert sidecar["missing"] == [[0, 1], [3, 5]]
    assert sidecar["notes"] == {"corrupt": [3]}
    assert {"extractor", "config_hash", "weights_hash", "source_hash", "n_frames", "dim"} <= set(sidecar)


def test_float16_is_the_default_and_half_the_size(store, values):
    store.write("a", values)
    assert store.read("a").values.dtype == np.float16
    np.testing.assert_allclose(store.read("a").values, values, rtol=1e-3, atol=1e-3)


def test_the_callers_array_stays_as_it_is(store, values):
    before = values.copy()
    store.write("a", values, np.arange(6) < 2, dtype="float32")
    np.testing.assert_array_equal(values, before)


def test_configurations_and_weights_never_mix(tmp_path, values):
    first = FeatureStore(tmp_path, "vggface2", {"version": 2}, "abc")
    first.write("a", values)
    for config, weights in (({"version": 1}, "abc"), ({"version": 2}, "abd")):
        assert not FeatureStore(tmp_path, "vggface2", config, weights).has("a")
    assert FeatureStore(tmp_path, "vggface2", {"version": 2}, "abc").has("a")
    # A sidecar carried over by hand is noticed.
    other = FeatureStore(tmp_path, "vggface2", {"version": 1}, "abc")
    other.folder.mkdir()
    for suffix in (".npy", ".json"):
        (other.folder / f"a{suffix}").write_bytes((first.folder / f"a{suffix}").read_bytes())
    with pytest.raises(ValueError, match="another configuration"):
        other.read("a")


def test_source_tells_stale_tracks(store, values):
    store.write("a", values, source={"frames": [0, 1]})
    assert store.has("a", source={"frames": [0, 1]})
    assert not store.has("a", source={"frames": [0, 1, 2]})


def test_open_finds_what_was_written(store, values, tmp_path):
    store.write("a", values)
    again = FeatureStore.open(store.folder)
    assert (again.extractor_name, again.config, again.weights_hash) == ("vggface2", store.config, "abc")
    np.testing.assert_array_equal(again.read("a").values, store.read("a").values)
    store.folder.rename(tmp_path / "moved")  # a store may be moved or renamed
    assert FeatureStore.open(tmp_path / "moved").read("a").values.shape == (6, 4)
    with pytest.raises(FileNotFoundError, match="not a feature store; one of its folders is meant: moved"):
        FeatureStore.open(tmp_path)


def test_half_a_track_is_not_visible(store, values):
    store.write("a", values)
    (store.folder / "a.json").unlink()
    assert not store.has("a")
    assert store.trials() == []
    with pytest.raises(FileNotFoundError, match="no track of trial 'a'"):
        store.read("a")
    store.write("a", values)
    assert store.has("a")


def test_a_failed_write_leaves_nothing(store, values, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        store.write("a", values)
    assert not store.has("a")
    assert [path.name for path in store.folder.iterdir()] == ["extractor.json"]


WRITER = """
import sys, os, time
import numpy as np
from abaw_tf.features.store import FeatureStore
os.fsync = lambda fd: (print("writing", flush=True), time.sleep(60))
FeatureStore(sys.argv[1], "vggface2", {"size": 224, "version": 2}, "abc").write("a", np.ones((1000, 64), "float32"))
"""


def test_a_killed_writer_is_cleaned_up(store, values):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.folder.parent)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    leftovers = list(store.folder.glob(".*.tmp"))
    assert len(leftovers) == 1
    assert not store.has("a")
    store.write("b", values)
    assert leftovers[0].exists(), "its writer is alive"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not store.has("a")
    store.write("c", values)
    assert not leftovers[0].exists()
    assert store.trials() == ["b", "c"]


def test_leftovers_of_another_machine_go_after_a_day(store, values):
    store.write("a", values)
    fresh, old = (store.folder / f".x.npy@not-{socket.gethostname()}-{n}.tmp" for n in (1, 2))
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    store.clean()
    assert fresh.exists()
    assert not old.exists()


def write_many(root, start):
    store = FeatureStore(root, "x", {}, "y")
    for i in range(start, start + 20):
        store.write(f"trial{i}", np.full((50, 8), i, "float32"))


def test_several_writers_share_a_store(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, start)) for start in (0, 10)]  # half of them twice
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = FeatureStore(tmp_path, "x", {}, "y")
    assert len(store.trials()) == 30
    assert all((store.read(f"trial{i}").values == i).all() for i in range(30))
    assert not list(store.folder.glob(".*"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"n_frames": 6}'])
def test_a_damaged_sidecar_is_named(store, values, content):
    store.write("a", values)
    (store.folder / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json: .*delete a\.npy and a\.json .*Received"):
        store.read("a")


@pytest.mark.parametrize("keep", [0, 40, 150])
def test_a_damaged_array_is_named(store, values, keep):
    store.write("a", values)
    path = store.folder / "a.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.npy: damaged array; delete"):
        store.read("a")


def test_an_array_of_another_shape_is_named(store, values):
    store.write("a", values)
    np.save(store.folder / "a.npy", values[:5].astype("float16"))
    with pytest.raises(ValueError, match=r"does not fit its sidecar.*Received: \(5, 4\)"):
        store.read("a")


def test_pickled_arrays_are_refused(store, values):
    store.write("a", values)
    np.save(store.folder / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged array"):
        store.read("a")


def test_overflow_of_float16_advises_float32(store, values):
    values[2, 1] = 70000
    with pytest.raises(ValueError, match=r'frame 2: .*too large for float16.*dtype="float32".*Received: 70000'):
        store.write("a", values)
    store.write("a", values, dtype="float32")
    assert store.read("a").values[2, 1] == 70000
    store.write("b", values, missing=np.arange(6) == 2)  # what a missing row holds does not matter


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(store, values, bad):
    values[4, 0] = bad
    with pytest.raises(ValueError, match="frame 4: a feature is not finite"):
        store.write("a", values, dtype="float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": np.ones(3)}, "must be .n_frames, dim."),
        ({"values": np.ones((0, 3))}, "neither of them 0"),
        ({"missing": np.zeros(5, bool)}, "`missing` must be"),
        ({"dtype": "int8"}, "`dtype` must be one of"),
        ({"trial": "../a"}, "name must be usable"),
        ({"trial": "extractor"}, "name must be usable"),
    ],
)
def test_wrong_arguments(store, values, arguments, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        store.write(**{"trial": "a", "values": values, **arguments})


def track(missing):
    missing = np.array(missing, bool)
    values = np.arange(len(missing), dtype="float16")[:, None] + np.array([1, 101], "float16")
    values[missing] = np.nan
    return FeatureTrack("a", values, missing)


def test_previous_frame_stands_for_a_missing_one():
    holes = track([1, 1, 0, 1, 0, 0, 1])
    assert holes.filled("previous")[:, 0].tolist() == [3, 3, 3, 3, 5, 6, 6]
    assert holes.filled().dtype == np.float32
    assert holes.filled("zeros")[:, 1].tolist() == [0, 0, 103, 0, 105, 106, 0]
    assert holes.take([6, 3])[:, 0].tolist() == [6, 3]
    assert holes.take([6, 4], "zeros")[:, 0].tolist() == [0, 5]
    assert np.isnan(holes.filled("nan")).tolist() == np.repeat(holes.missing[:, None], 2, axis=1).tolist()
    np.testing.assert_array_equal(holes.take([4, 2], "nan"), [[5, 105], [3, 103]])
    assert track([0, 0, 1]).filled()[:, 0].tolist() == [1, 2, 2]


def test_a_trial_without_images():
    nothing = track([1, 1])
    assert (nothing.filled("zeros") == 0).all()
    with pytest.raises(ValueError, match=r'policy="zeros".*2 frames, all missing'):
        nothing.filled("previous")
    with pytest.raises(ValueError, match="`policy` must be one of"):
        nothing.filled("mean")


def test_the_store_needs_no_tensorflow():
    code = "import sys, abaw_tf.features.store; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def few_files():
    """This process may open a hundred files or so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_many(store, n=600):
    return [store.read("a") for _ in range(n)]


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_more_tracks_may_be_in_use_than_files_open_at_first(store, values, few_files):
    store.write("a", values)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    tracks = read_many(store)
    assert len(os.listdir("/proc/self/fd")) > before
    np.testing.assert_array_equal(tracks[-1].values, tracks[0].values)


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_a_track_that_may_not_be_opened_is_not_called_damaged(store, values, few_files, monkeypatch):
    monkeypatch.setattr(feature_store, "allow_open_files", lambda: None)
    store.write("a", values)
    with pytest.raises(
        OSError, match=r"a\.(npy|json): too many files are open.*ulimit -n.*Received: Too many"
    ) as caught:
        read_many(store)
    assert "delete" not in str(caught.value)
