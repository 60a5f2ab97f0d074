"""tools/evaluate.py as its users call it."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from abaw_tf import metrics, predictions
from abaw_tf.cli import run_tool
from abaw_tf.data import annotations


@pytest.fixture
def call(project):
    def run(*arguments):
        command = [sys.executable, str(project / "tools" / "evaluate.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def main(project, monkeypatch):
    """The tool's main, in this process."""
    monkeypatch.syspath_prepend(str(project / "tools"))
    import evaluate

    return evaluate.main


@pytest.fixture
def files(tmp_path):
    """Labels in three forms, predictions in three forms."""
    rng = np.random.default_rng(0)
    truth, tables = [], []
    for folder in ("expr", "va"):
        (tmp_path / folder).mkdir()
    for k in range(3):
        expression = rng.integers(0, 7, 40)
        va = rng.uniform(-1, 1, (40, 2)).astype(np.float32)
        annotations.write_expression(tmp_path / "expr" / f"{k:03d}.txt", expression, "abaw2")
        annotations.write_valence_arousal(tmp_path / "va" / f"{k:03d}.txt", va, "abaw2")
        truth.append(pd.DataFrame({"trial": f"{k:03d}", "frame": range(40), "expression": expression}))
        truth[-1][["valence", "arousal"]] = va
        guess = np.where(rng.random(40) < 0.5, expression, 0)
        p = np.eye(7)[guess] * 0.4 + 0.6 / 7
        va_guess = np.round(va * 0.5, 3)
        tables.append(
            predictions.make_table(
                f"{k:03d}", np.arange(40), probabilities=p, valence=va_guess[:, 0], arousal=va_guess[:, 1], model="net"
            )
        )
    labels, table = pd.concat(truth, ignore_index=True), predictions.concatenate(tables)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    labels.to_parquet(tmp_path / "labels.parquet")
    predictions.write(table, tmp_path / "p.parquet")
    predictions.write(table, tmp_path / "p.csv")
    predictions.write_submission(table, tmp_path / "submitted", "expression")
    score = metrics.expression_score(labels["expression"].to_numpy(), table["expression"].to_numpy())
    return tmp_path, score


def score_of(path, name="expression_score"):
    (result,) = json.loads(path.read_text())["evaluations"].values()
    return result["scores"].get(name)


@pytest.mark.parametrize("source", ["p.parquet", "p.csv", "submitted"])
@pytest.mark.parametrize("labels", ["labels.csv", "labels.parquet", "expr"])
def test_every_form_of_predictions_and_labels_gives_the_same_score(files, main, source, labels):
    folder, score = files
    out = folder / "scores.json"
    assert main([str(folder / source), "--labels", str(folder / labels), "--bootstrap", "0", "--json", str(out)]) == 0
    assert score_of(out) == pytest.approx(score, abs=1e-12)


def test_a_plain_table_is_scored_by_a_map_of_its_columns(files, main):
    folder, score = files
    table = predictions.read(folder / "p.parquet")
    classes = [name for name in table if name.startswith("p_")]
    plain = table[["trial", *classes]].rename(columns={"trial": "video", "p_Neutral": "calm"})
    plain.assign(index=table["frame"] + 1).to_csv(folder / "plain.csv", index=False)
    columns = ",".join(["trial=video,frame=index,index_base=1,p_Neutral=calm", *(f"{c}={c}" for c in classes[1:])])
    arguments = [str(folder / "plain.csv"), "--labels", str(folder / "labels.csv"), "--columns", columns]
    assert main([*arguments, "--json", str(folder / "scores.json")]) == 0
    assert score_of(folder / "scores.json") == pytest.approx(score, abs=1e-12)


def test_a_dataset_root_is_scored_by_split(files, main, capsys):
    folder, _ = files
    for name, task in (("expr", "EXPR_Set"), ("va", "VA_Set")):
        (folder / "root" / "annotations" / task).mkdir(parents=True)
        (folder / name).rename(folder / "root" / "annotations" / task / "Validation_Set")
    # The second trial is a training trial of the expression challenge only.
    (folder / "root" / "annotations" / "EXPR_Set" / "Train_Set").mkdir()
    held = folder / "root" / "annotations" / "EXPR_Set"
    (held / "Validation_Set" / "001.txt").rename(held / "Train_Set" / "001.txt")
    arguments = [str(folder / "p.csv"), "--labels", str(folder / "root"), "--bootstrap", "0"]
    assert main([*arguments, "--split", "validation"]) == 0
    text = capsys.readouterr().out
    assert "expression: 80 of 80 labelled frames scored" in text
    assert "valence_arousal: 120 of 120 labelled frames scored" in text
    assert main([*arguments, "--split", "train"]) == 0
    text = capsys.readouterr().out
    assert "expression: 40 of 40 labelled frames scored" in text
    assert "valence_arousal:" not in text
    assert main([*arguments, "--task", "valence_arousal"]) == 0
    assert "expression:" not in capsys.readouterr().out


def test_valence_arousal_annotations(files, main, capsys):
    folder, _ = files
    assert main([str(folder / "p.csv"), "--labels", str(folder / "va"), "--json", str(folder / "s.json")]) == 0
    assert score_of(folder / "s.json") is None
    assert score_of(folder / "s.json", "ccc_valence") == pytest.approx(0.8, abs=0.05)
    assert "valence_arousal: 120 of 120 labelled frames scored" in capsys.readouterr().out


def test_two_files_are_compared_and_everything_is_written(files, main, capsys):
    folder, _ = files
    other = predictions.read(folder / "p.csv")
    predictions.write(
        other.drop(columns=[c for c in other if c.startswith("p_")]).assign(expression=0), folder / "b.csv"
    )
    arguments = [folder / "p.csv", folder / "b.csv", "--labels", folder / "labels.csv", "--bootstrap", 100]
    assert main([*map(str, arguments), "--out", str(folder / "out"), "--variant", "do2020"]) == 0
    text = capsys.readouterr().out
    assert "p is better than b" in text
    assert "expression score (do2020)" in text
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["per_trial.csv", "report.html", "scores.json"]
    data = json.loads((folder / "out" / "scores.json").read_text())
    assert list(data["evaluations"]) == ["p", "b"]
    assert data["comparison"]["names"] == ["p", "b"]
    trials = pd.read_csv(folder / "out" / "per_trial.csv", dtype={"trial": str})
    assert trials["trial"].tolist() == ["000", "001", "002"] * 2
    assert "p against b" in (folder / "out" / "report.html").read_text()


def test_files_of_one_name_are_told_apart(files, main):
    folder, _ = files
    (folder / "x").mkdir()
    (folder / "p.csv").rename(folder / "x" / "p.csv")
    arguments = [folder / "p.parquet", folder / "x" / "p.csv", "--labels", folder / "labels.csv", "--bootstrap", 0]
    assert main([*map(str, arguments), "--json", str(folder / "s.json")]) == 0
    assert list(json.loads((folder / "s.json").read_text())["evaluations"]) == [f"{folder.name}/p", "x/p"]


def test_py_feat_folder_against_its_own_table(realdata, tmp_path, main):
    folder = realdata / "frame_preds_pyfeat_news"
    table = predictions.write(predictions.read_pyfeat(folder), tmp_path / "truth.parquet")
    assert main([str(folder), "--labels", str(table), "--json", str(tmp_path / "s.json"), "--bootstrap", "20"]) == 0
    assert score_of(tmp_path / "s.json", "accuracy") == 1
    assert score_of(tmp_path / "s.json", "ccc_arousal") == pytest.approx(1)


def test_help_is_quick_and_loads_nothing_heavy(project, call):
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        done = call("--help")
        best = min(best, time.perf_counter() - start)
    assert done.returncode == 0
    assert "--bootstrap" in done.stdout
    assert best < 1
    code = (
        "import sys\nsys.argv = ['evaluate.py', '--help']\n"
        "import runpy\n"
        "try:\n    runpy.run_path('tools/evaluate.py', run_name='__main__')\n"
        "except SystemExit:\n    print(sorted({'tensorflow', 'keras', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=project, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.parquet", "--labels", "labels.csv"], "absent.parquet: no such file or folder"),
        (["p.csv", "--labels", "absent"], "absent: no such file or folder"),
        (["p.csv", "--labels", "labels.csv", "--edition", "abaw3"], "edition abaw2 where edition abaw3 is wanted"),
        (["p.csv", "--labels", "labels.csv", "--variant", "do2021"], "do2021"),
        (["p.csv", "--labels", "labels.csv", "--bootstrap", "-3"], "bootstrap must be a number of resamples"),
        (["p.csv", "--labels", "labels.csv", "--format", "pyfeat"], "not a py-feat CSV"),
        (["half.csv", "--labels", "labels.csv"], "60 of 120 labelled frames, in 2 trial(s), have no prediction"),
        (["broken.csv", "--labels", "labels.csv"], "broken.csv, line 3: column 'valence' must hold a number"),
    ],
)
def test_mistakes_are_told_in_one_line(files, main, capsys, arguments, message):
    folder, _ = files
    half = predictions.read(folder / "p.csv").iloc[:60].reset_index(drop=True)
    predictions.write(half, folder / "half.csv")
    (folder / "broken.csv").write_text("trial,frame,valence\na,0,0\na,1,?\n")
    names = {"absent.parquet", "absent", "p.csv", "half.csv", "broken.csv", "labels.csv"}
    assert run_tool(lambda: main([str(folder / item) if item in names else item for item in arguments])) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1


def test_the_script_itself_tells_a_mistake(call, tmp_path):
    done = call(tmp_path / "absent.parquet", "--labels", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_tensorflow_is_not_loaded(files, project):
    folder, _ = files
    code = (
        f"import sys; sys.path.insert(0, {str(project / 'tools')!r}); import evaluate\n"
        f"evaluate.main([{str(folder / 'p.csv')!r}, '--labels', {str(folder / 'labels.csv')!r}, "
        f"'--out', {str(folder / 'out')!r}, '--bootstrap', '10'])\n"
        "assert not {'tensorflow', 'keras', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
