"""The examples of docs/fusion.md run as they stand, on synthetic data."""

import re
import shlex

import numpy as np
import pytest

from abaw_tf import evaluation, predictions
from abaw_tf.cli import run_tool
from abaw_tf.fusion.weights_file import FusionWeights


def blocks(project, language):
    text = (project / "docs" / "fusion.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def workplace(synthetic_root, tmp_path, monkeypatch):
    """A folder with the files that the examples name."""
    labels = evaluation.read_labels(synthetic_root, "abaw2", "validation", "expression")
    labels = labels[labels["expression"] >= 0]
    rng = np.random.default_rng(0)
    for name, suffix, skill in (("cnn", "parquet", 2.0), ("svm", "csv", 1.0)):
        p = np.exp(rng.normal(0, 1, (len(labels), 7)) + skill * np.eye(7)[labels["expression"]])
        table = predictions.make_table(
            labels["trial"], labels["frame"], probabilities=p / p.sum(axis=1, keepdims=True), model=name
        )
        predictions.write(table, tmp_path / f"{name}_test.{suffix}")
        predictions.write(table, tmp_path / f"{name}.{suffix}")
    predictions.write(predictions.read(tmp_path / "svm.csv"), tmp_path / "svm.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_example(project, synthetic_root, workplace, capsys):
    (code,) = blocks(project, "python")
    names = {}
    exec(code.replace("/data/affwild2", str(synthetic_root)), names)
    assert names["estimate"].verdict in capsys.readouterr().out
    assert names["search"].score_ >= names["search"].single_scores_.max()
    predictions.validate(names["fused"])


def test_the_shell_example(project, synthetic_root, workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(project / "tools"))
    import search_fusion

    (script,) = blocks(project, "bash")
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert len(commands) == 2
    for command in commands:
        program, tool, *arguments = shlex.split(command.replace("/data/affwild2", str(synthetic_root)))
        assert (program, tool) == ("python", "tools/search_fusion.py")
        assert run_tool(lambda arguments=arguments: search_fusion.main(arguments)) == 0
    assert (workplace / "report" / "report.html").is_file()
    assert len(predictions.read(workplace / "fused.parquet")) == len(predictions.read(workplace / "cnn_test.parquet"))


def test_the_weights_written_by_hand(project, workplace):
    (text,) = blocks(project, "json")
    (workplace / "w.json").write_text(text, encoding="utf-8")
    tables = {name: predictions.read(f"{name}.parquet") for name in ("cnn", "svm")}
    fused = FusionWeights.load(workplace / "w.json").apply(tables)
    expected = 0.6 * tables["cnn"]["p_Fear"] + 0.4 * tables["svm"]["p_Fear"]
    np.testing.assert_allclose(fused["p_Fear"], expected)
