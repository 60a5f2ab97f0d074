"""The benchmark script prints a table and writes JSON."""

import json
import runpy

import pytest


@pytest.fixture
def main(project):
    return runpy.run_path(str(project / "tools" / "benchmark.py"))["main"]


def test_scoring_prints_a_table_and_writes_json(main, tmp_path, capsys):
    out = tmp_path / "scoring.json"
    assert main(["scoring", "--frames", "5000", "--resamples", "20", "--json", str(out)]) == 0
    assert "scoring 5,000 frames, plain scores" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["benchmark"] == "scoring"
    assert [result["bar"] for result in content["results"]] == [1.0, 10.0]
    assert all(result["value"] > 0 for result in content["results"])


def test_startup_measures_import_and_help(main, capsys):
    assert main(["startup"]) == 0
    out = capsys.readouterr().out
    assert "import abaw_tf" in out
    assert "tools/search_fusion.py --help" in out
