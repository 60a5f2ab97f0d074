"""tools/doctor.py as a user runs it: exit status, output, files."""

import runpy
import subprocess
import sys
import time

import cv2
import numpy as np
import pandas as pd
import pytest

from abaw_tf.cli import run_tool
from abaw_tf.data import annotations


@pytest.fixture
def root(tmp_path):
    for split in ("Train_Set", "Validation_Set"):
        path = tmp_path / f"data/annotations/EXPR_Set/{split}/{split}.txt"
        path.parent.mkdir(parents=True)
        annotations.write_expression(path, range(7))
        folder = tmp_path / f"data/cropped_aligned/{split}"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "00002.jpg"), np.zeros((112, 112, 3), np.uint8))
    return tmp_path / "data"


def doctor(project, *arguments):
    command = [sys.executable, str(project / "tools/doctor.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)


@pytest.fixture
def main(project):
    """The tool's main, in this process; its exit status."""
    tool = runpy.run_path(str(project / "tools/doctor.py"))["main"]

    def run(*arguments):
        try:
            return run_tool(lambda: tool([*map(str, arguments)]))
        except SystemExit as stop:
            return stop.code

    return run


def test_a_sound_dataset(project, root, tmp_path):
    result = doctor(project, root, "--csv", tmp_path / "out/table.csv")
    assert result.returncode == 0, result.stderr
    assert "Validation_Set" in result.stdout
    assert "0 errors" in result.stdout
    assert "trial/s" in result.stderr  # progress with its rate
    assert pd.read_csv(tmp_path / "out/table.csv")["expression_rows"].tolist() == [7, 7]
    assert pd.read_csv(tmp_path / "out/table_findings.csv")["severity"].tolist() == ["note"]  # no videos


def test_errors_set_the_exit_status(project, main, root):
    image = root / "cropped_aligned/Train_Set/00002.jpg"
    image.write_bytes(image.read_bytes()[:200])
    result = doctor(project, root)
    assert result.returncode == 1
    assert "1 image is truncated: 00002.jpg" in result.stdout
    assert "→ unpack these images again" in result.stdout
    assert main(root, "--images", "none") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: nowhere: there is no such folder"),
        ([".", "--edition", "abaw9"], "invalid choice: 'abaw9'"),
        (["DATA", "--edition", "abaw3"], 'wrong edition? Pass edition="abaw1" or edition="abaw2"'),
        ([], "required: root"),
    ],
)
def test_usage_errors(main, root, capsys, arguments, message):
    assert main(*(root if argument == "DATA" else argument for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_the_script_itself_tells_a_mistake(project):
    result = doctor(project, "nowhere")
    assert result.returncode == 2
    assert result.stderr.startswith("error: nowhere")
    assert "Traceback" not in result.stderr


def test_help_is_quick(project):
    start = time.perf_counter()
    result = doctor(project, "--help")
    assert time.perf_counter() - start < 3  # 1 s on an idle machine
    assert result.returncode == 0
    assert "--images" in result.stdout
