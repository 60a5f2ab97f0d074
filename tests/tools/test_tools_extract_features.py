"""tools/extract_features.py and tools/benchmark.py features, as a user calls them."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from abaw_tf.cli import run_tool
from abaw_tf.features.store import FeatureStore


def load_tool(project, name):
    spec = importlib.util.spec_from_file_location(f"tool_{name}", project / "tools" / f"{name}.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture(scope="module")
def tool(project):
    return load_tool(project, "extract_features")


@pytest.fixture
def call(tool, capsys):
    """Run the tool; return its exit status, standard output and standard error."""

    def run(*arguments):
        status = run_tool(lambda: tool.main([str(argument) for argument in arguments]))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def open_store(output):
    return FeatureStore.open(re.search("^tracks: (.+)$", output, re.M)[1])


def test_the_names_are_those_of_the_registry(tool):
    from abaw_tf.features.extractors import EXTRACTORS
    from abaw_tf.features.measurements import MEASUREMENTS

    assert set(tool.EXTRACTORS) == set(EXTRACTORS)
    assert set(tool.MEASUREMENTS) == set(MEASUREMENTS)


@pytest.mark.parametrize(("name", "dim"), [("frame_audio", 168), ("openface", 709)])
def test_tracks_without_a_network(name, dim, synthetic_root, tmp_path, call, capsys):
    from abaw_tf.data import AffWild2

    dataset = AffWild2(synthetic_root, "abaw2")
    trials = sorted(dataset.trials()["trial"])[:2]
    arguments = (synthetic_root, "--extractor", name, "--out", tmp_path, "--trials", *trials)
    status, out, _ = call(*arguments)
    assert status == 0
    for trial in trials:
        track = open_store(out).read(trial)
        assert track.values.shape == (dataset.n_frames(trial), dim)
    assert "2 already there, 0 failed" in call(*arguments)[1]
    with pytest.raises(SystemExit):
        call(*arguments, "--layer", "dense", "--batch-size", "4")
    assert f"{name} has no network and takes no images: leave out --layer, --batch-size" in capsys.readouterr().err


def test_synthetic_dataset_with_the_real_network_in_two_shards(synthetic_root, realdata, tmp_path, call):
    from abaw_tf.data import AffWild2

    dataset = AffWild2(synthetic_root, "abaw2")
    weights = realdata / "models" / "oarriaga_fer" / "fer2013_mini_XCEPTION.102-0.66.hdf5"
    options = ("--extractor", "fer_xception", "--out", tmp_path, "--weights", weights, "--batch-size", 64)
    counts = []
    for shard in ("0/2", "1/2"):
        status, out, err = call(synthetic_root, *options, "--shard", shard)
        assert status == 0, err
        assert "image/s" in err, "a bar with the rate"
        counts.append(int(re.match(r"(\d+) trials extracted", out)[1]))
    store = open_store(out)
    trials = dataset.trials()["trial"]
    assert store.trials() == sorted(trials)
    assert sum(counts) == len(trials)
    for trial in trials:
        track = store.read(trial)
        n_frames = dataset.n_frames(trial)
        frames = dataset.image_frames(trial)
        assert track.values.shape == (n_frames, 128)
        assert track.values.dtype == np.float16
        np.testing.assert_array_equal(np.flatnonzero(~track.missing), frames[frames < n_frames])
    status, out, _ = call(synthetic_root, *options)
    assert status == 0
    assert f"0 trials extracted, {len(trials)} already there" in out


def test_untrained_small_network_over_a_truncated_crop(synthetic_root, tmp_path, call):
    from abaw_tf.data import AffWild2

    trial = AffWild2(synthetic_root, "abaw2").trials()["trial"].iloc[0]
    root = tmp_path / "copy"
    shutil.copytree(synthetic_root, root, ignore=shutil.ignore_patterns("cropped"))
    dataset = AffWild2(root, "abaw2")
    frame = int(dataset.image_frames(trial)[1])
    path = dataset.image_path(trial, frame)
    path.write_bytes(path.read_bytes()[:700])
    status, out, _ = call(
        root, "--extractor", "vggface2_small", "--out", tmp_path / "out", "--trials", trial, "--dtype", "float32"
    )
    assert status == 0
    assert f"masked: trial {trial}, frame {frame}: {path}: truncated JPEG" in out
    track = open_store(out).read(trial)
    assert track.missing[frame]
    assert track.values.dtype == np.float32


def test_errors_are_one_line(synthetic_root, tmp_path, call, monkeypatch):
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(tmp_path / "none"))
    for arguments, message in (
        ((tmp_path / "absent", "--extractor", "vggface2"), "absent"),
        ((synthetic_root, "--extractor", "vggface3"), "did you mean 'vggface2'"),
        ((synthetic_root, "--extractor", "vggface2"), "put the file rcmalli_vggface_tf_notop_resnet50.h5 into"),
        ((synthetic_root, "--extractor", "fer_xception", "--weights", tmp_path / "w.h5"), "no such weight file"),
        ((synthetic_root, "--extractor", "vggface2_small", "--batch-size", "0"), "`batch_size`"),
    ):
        status, _, err = call(*arguments, "--out", tmp_path / "out")
        assert status == 2
        assert err.startswith("error: ")
        assert message in err
    with pytest.raises(SystemExit):
        call(synthetic_root, "--extractor", "keras", "--out", tmp_path, "--shard", "4/4")


@pytest.mark.parametrize("name", ["extract_features", "benchmark"])
def test_help_is_quick(project, name):
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, str(project / "tools" / f"{name}.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert "features" in result.stdout
    assert time.perf_counter() - start < 3, "under 1 s on an idle machine"
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path('tools/{name}.py', run_name='__main__')\n"
        "except SystemExit: sys.exit(bool({'tensorflow', 'keras', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, check=False).returncode == 0


def test_benchmark_prints_a_table_and_writes_json(project, tmp_path, capsys):
    tool = load_tool(project, "benchmark")
    path = tmp_path / "features.json"
    arguments = ["features", "--extractor", "vggface2_small", "--images", "48", "--batch-size", "16", "--repeats", "1"]
    assert tool.main([*arguments, "--json", str(path)]) == 0
    table = capsys.readouterr().out
    assert "vggface2_small: extraction / bare network" in table
    content = json.loads(path.read_text())
    bare, whole, ratio, work = (entry["value"] for entry in content["results"])
    assert bare > 0
    assert 0 < work < 2
    assert ratio == pytest.approx(whole / bare)
    assert content["results"][2]["bar"] == 0.9
    assert content["results"][2]["reached"] == (ratio >= 0.9)
    assert ("MISSED" in table) == (ratio < 0.9)
