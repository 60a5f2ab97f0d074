"""The synthetic Aff-Wild2 is deterministic, survives interruptions and never overwrites what is not its own; bad arguments."""

import json
import subprocess
import sys
import time

import pytest

from abaw_tf.data import make_synthetic
from abaw_tf.data.synthetic import build, film

TINY = {"n_train": 1, "n_validation": 1, "n_test": 0, "seconds": 2.0, "fps": 12, "size": (200, 160), "progress": False}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_synthetic(tmp_path_factory.mktemp("tiny") / "a", **TINY)


def files_below(root):
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def test_same_arguments_give_identical_files(tiny, tmp_path):
    other = make_synthetic(tmp_path / "b", **TINY)
    assert files_below(tiny) == files_below(other)
    for name in files_below(tiny):
        if name.suffix not in (".mp4", ".avi"):  # an encoder may stamp its files
            assert (tiny / name).read_bytes() == (other / name).read_bytes(), name


def test_another_seed_gives_other_data(tiny, tmp_path):
    other = make_synthetic(tmp_path / "b", **TINY, seed=1)
    assert files_below(tiny) != files_below(other)


def test_an_identical_dataset_is_reused(tiny):
    before = (tiny / "synthetic.json").stat().st_mtime_ns
    start = time.perf_counter()
    assert make_synthetic(str(tiny), **TINY) == tiny
    assert time.perf_counter() - start < 0.5
    assert (tiny / "synthetic.json").stat().st_mtime_ns == before


def test_another_configuration_is_refused_unless_overwrite(tmp_path):
    root = make_synthetic(tmp_path / "d", **TINY)
    with pytest.raises(FileExistsError, match=r"seconds: 2\.0 there, 3\.0 asked.*overwrite=True"):
        make_synthetic(root, **{**TINY, "seconds": 3.0})
    make_synthetic(root, **{**TINY, "seconds": 3.0}, overwrite=True)
    assert json.loads((root / "synthetic.json").read_text())["configuration"]["seconds"] == 3.0
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_folder_that_is_not_synthetic_is_never_touched(tmp_path):
    (tmp_path / "annotations").mkdir()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"not a synthetic dataset \(no synthetic\.json\)"):
            make_synthetic(tmp_path, **TINY, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["annotations"]


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "synthetic.json").write_text('{"note": "half')
    with pytest.raises(ValueError, match=r"synthetic\.json, line 1: not JSON"):
        make_synthetic(tmp_path, **TINY)


def test_an_interrupted_call_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    real, calls = film.shoot, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(build.film, "shoot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_synthetic(tmp_path / "d", **TINY)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    # What a kill -9 leaves behind must not get in the way either.
    (tmp_path / ".d.partial" / "cropped").mkdir(parents=True)
    assert (make_synthetic(tmp_path / "d", **TINY) / "synthetic.json").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_train": 0}, "n_train must be a whole number of at least 1. Received: n_train=0"),
        ({"n_validation": 1.5}, "n_validation must be a whole number"),
        ({"n_test": -1}, "n_test must be a whole number of at least 0"),
        ({"seconds": 0.5}, "seconds .* Received: seconds=0.5"),
        ({"fps": 500}, "fps must lie between 5 and 60"),
        ({"size": (321, 240)}, "size must be .* even"),
        ({"size": (320,)}, r"size must be .* Received: size=\(320,\)"),
        ({"seed": -3}, "seed must be"),
        ({"edition": "abaw9"}, "abaw9"),
    ],
)
def test_bad_arguments(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        make_synthetic(tmp_path / "d", **{**TINY, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_the_tool(tmp_path, project):
    script = str(project / "tools" / "make_synthetic.py")
    small = ["--train", "1", "--validation", "1", "--test", "0", "--seconds", "2", "--fps", "8", "--size", "200", "160"]
    command = [sys.executable, script, str(tmp_path / "d"), *small, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "synthetic Aff-Wild2" in done.stdout
    assert (tmp_path / "d" / "synthetic.json").is_file()
    refused = subprocess.run([*command, "--seed", "3"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error:")
    assert "overwrite" in refused.stderr
