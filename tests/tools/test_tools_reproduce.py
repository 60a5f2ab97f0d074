"""tools/reproduce.py as its users call it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from abaw_tf import studies
from abaw_tf.cli import run_tool
from abaw_tf.studies.result import StudyResult


@pytest.fixture
def main(project, monkeypatch):
    """The tool's main, in this process."""
    monkeypatch.syspath_prepend(str(project / "tools"))
    import reproduce

    return reproduce.main


class TestResult:
    table = pd.DataFrame(
        {"score": [0.5, np.nan], "low": [-1e-7, np.nan], "high": [0.25, np.nan], "gain": [0.125, -0.5],
         "gain_low": [0.1, -1.0], "gain_high": [0.2, 0.0], "frames": [1234, 5]},
        index=pd.Index(["SWF", "a|b"], name="method"),
    )  # fmt: skip

    def test_markdown(self):
        text = StudyResult("x", "A title", self.table, ["one note"]).to_markdown()
        lines = text.splitlines()
        assert lines[0] == "### A title"
        assert lines[2:6] == [
            "| method | score | 95 % interval | gain | gain 95 % interval | frames |",
            "| :-- | --: | --: | --: | --: | --: |",
            "| SWF | 0.5000 | 0.0000 … 0.2500 | 0.1250 | 0.1000 … 0.2000 | 1,234 |",
            "| a\\|b | – | – | -0.5000 | -1.0000 … 0.0000 | 5 |",
        ]
        assert lines[-1] == "- one note"

    def test_terminal_columns_are_aligned(self):
        lines = StudyResult("x", "A title", self.table, ["one note"]).format().splitlines()
        assert len({len(line) for line in lines[2:6]}) == 1
        assert lines[-1] == "note: one note"

    def test_files(self, tmp_path):
        from matplotlib.figure import Figure

        paths = StudyResult("x", "A title", self.table, figure=Figure()).write(tmp_path / "new")
        assert [path.name for path in paths] == ["x.csv", "x.md", "x.png"]
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["x.csv", "x.md", "x.png"]
        pd.testing.assert_frame_equal(pd.read_csv(paths[0], index_col="method"), self.table)
        assert paths[2].read_bytes().startswith(b"\x89PNG")
        assert len(StudyResult("y", "A title", self.table).write(tmp_path)) == 2


def test_votes_are_reproduced(realdata, tmp_path, main, capsys):
    few = ["--draws", "20", "--bootstrap", "20"]
    assert main(["fusion_votes", "--realdata", str(realdata), "--out", str(tmp_path), *few]) == 0
    text = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "fusion_votes.csv", index_col="method")
    assert f"{table.loc['face', 'held_out']:.4f}" in text
    assert "MCWF" in (tmp_path / "fusion_votes.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fusion_votes.{kind}" for kind in ("csv", "md", "png")]
    # The environment variable names the folder as well.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(studies.ENVIRONMENT_VARIABLE, str(realdata))
        assert main(["fusion_votes", "--out", str(tmp_path / "again"), *few]) == 0
    again = pd.read_csv(tmp_path / "again" / "fusion_votes.csv", index_col="method")
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fusion_votes", "--realdata", "absent"], "absent: no MANIFEST.md there"),
        (
            ["fusion_votes"],
            "name it with --realdata or in the environment variable ABAW_TF_REALDATA. Received: neither",
        ),
        (["fusion_votes", "--realdata", "empty"], "tabulatedVotes.csv: no such file"),
        (["fusion_raters", "--realdata", "empty"], "TaskA_ann1.csv: no such file"),
        (["fusion_networks", "--realdata", "empty"], "bbaf2n.mpg: no such video"),
        (["fusion_votes", "--realdata", "empty", "--bootstrap", "-1"], "Received: draws=None, bootstrap=-1"),
        (["fusion_votes", "--work", "w"], "the study fusion_votes trains nothing: leave work out. Received: work=w"),
        (["do2020", "--draws", "5"], "searches no weights: leave draws out. Received: draws=5"),
        (["do2020", "--realdata", "empty"], "leave realdata out. Received: realdata=empty"),
        (["do2020", "--bootstrap", "-1"], "Received: draws=None, bootstrap=-1"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch, main, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(studies.ENVIRONMENT_VARIABLE, raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "MANIFEST.md").touch()
    assert run_tool(lambda: main(arguments)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(("given", "work"), [([], "reproduced/do2020"), (["--work", "w"], "w")])
def test_a_study_that_trains_gets_its_work_folder(tmp_path, monkeypatch, main, given, work):
    calls = []
    monkeypatch.setattr(
        "abaw_tf.studies.do2020.run",
        lambda **given: calls.append(given) or StudyResult("do2020", "A title", TestResult.table),
    )
    assert main(["do2020", "--out", str(tmp_path), "--bootstrap", "7", "--seed", "3", *given]) == 0
    assert calls == [{"work": Path(work), "bootstrap": 7, "seed": 3}]
    assert (tmp_path / "do2020.csv").is_file()


def test_an_unknown_study_and_help(project):
    command = [sys.executable, str(project / "tools" / "reproduce.py")]
    done = subprocess.run([*command, "fusion"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'fusion'" in done.stderr
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in studies.STUDIES)
    code = "import sys, abaw_tf.studies; print({'numpy', 'pandas', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("study", ["fusion_votes", "fusion_raters"])
def test_the_documentation_shows_what_the_studies_give(project, realdata, study):
    """The networks' figures depend on the last bits of TensorFlow's sums, so theirs are not compared."""
    page = (project / "docs" / "fusion.md").read_text()
    rows = [line for line in studies.run_study(study, realdata).to_markdown().splitlines() if line.startswith("|")]
    assert len(rows) > 10
    assert [row for row in rows if row not in page] == []
    assert (project / "docs" / "images" / f"{study}.png").stat().st_size < 150_000
