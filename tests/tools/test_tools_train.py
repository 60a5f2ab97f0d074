"""tools/train.py and tools/predict.py from the command line to the files they write."""

import runpy

import pandas as pd
import pytest
from eager import eagerly

from abaw_tf import predictions
from abaw_tf.cli import run_tool
from abaw_tf.training import Run

FLAGS = [
    "--preset",
    "small",
    "--image-size",
    "32",
    "--width",
    "2",
    "--units",
    "8",
    "--epochs",
    "1",
    "--batch-size",
    "64",
]


@pytest.fixture(scope="module")
def tools(request):
    folder = request.config.rootpath / "tools"
    return {name: runpy.run_path(str(folder / f"{name}.py"))["main"] for name in ("train", "predict")}


@pytest.fixture(scope="module")
def run_dir(tools, synthetic_root, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "cnn"
    arguments = [
        "frame_cnn",
        str(synthetic_root),
        "--run-dir",
        str(run_dir),
        *FLAGS,
        "--no-flip",
        "--thinning.Neutral",
        "3",
    ]
    with eagerly():
        assert tools["train"](arguments) == 0
    return run_dir


def test_any_field_is_a_flag(run_dir):
    recipe = Run(run_dir).recipe
    assert (recipe.preset, recipe.image_size, recipe.epochs, recipe.flip) == ("small", 32, 1, False)
    assert recipe.thinning == {"Neutral": 3}
    assert recipe.learning_rate == 2e-3  # from the preset


def test_the_same_command_again_changes_nothing_and_prints_the_scores(tools, run_dir, synthetic_root, capsys):
    arguments = [str(run_dir / "recipe.yaml"), str(synthetic_root), "--run-dir", str(run_dir)]
    assert tools["train"](arguments) == 0
    out = capsys.readouterr().out
    assert "nothing to do" in out
    assert "macro_f1" in out
    assert "synthetic" in out


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_predictions_and_submission_files(tools, run_dir, synthetic_root, tmp_path, suffix):
    out = tmp_path / f"test.{suffix}"
    arguments = [str(run_dir), str(synthetic_root), "--split", "test", "--out", str(out)]
    assert tools["predict"]([*arguments, "--submission", str(tmp_path / "submission")]) == 0
    table = predictions.read(out)
    assert len(table)
    lengths = table.groupby("trial")["frame"].size().to_dict()
    assert not predictions.validate_submission(tmp_path / "submission" / "expression", "expression", "abaw2", lengths)


@pytest.mark.parametrize("tool", ["train", "predict"])
def test_a_store_that_nothing_asks_for_is_refused(tool, tools, run_dir, synthetic_root, tmp_path, capsys):
    """Mistyped, it would otherwise be passed over, and the track be computed anew."""
    stores = ["--store", "sound=features/x"]
    if tool == "train":
        flags = ["gru_fusion", str(synthetic_root), "--run-dir", str(tmp_path / "run"), "--modalities", "audio"]
        asked = "gru_fusion as it stands takes the stores audio;"
    else:
        flags = [str(run_dir), str(synthetic_root), "--out", str(tmp_path / "out.csv")]
        asked = "frame_cnn as it stands takes no stores;"
    assert run_tool(lambda: tools[tool]([*flags, *stores])) == 2
    error = capsys.readouterr().err
    assert asked in error
    assert "--store sound=features/x" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_scores_with_modalities_silenced(tools, synthetic_root, tmp_path, capsys, run_dir):
    small = [
        "--preset",
        "small",
        "--epochs",
        "1",
        "--modalities",
        "audio",
        "openface",
        "--units.audio",
        "4",
        "--units.openface",
        "4",
    ]
    assert tools["train"](["gru_fusion", str(synthetic_root), "--run-dir", str(tmp_path / "run"), *small]) == 0
    flags = [str(tmp_path / "run"), str(synthetic_root), "--out", str(tmp_path / "out.csv")]
    assert tools["predict"]([*flags, "--silenced", str(tmp_path / "missing.csv")]) == 0
    table = pd.read_csv(tmp_path / "missing.csv", index_col="silenced")
    assert table.index.tolist() == ["nothing", "audio", "openface"]
    assert table.loc["nothing", "ccc_arousal"] == pytest.approx(
        Run(tmp_path / "run").card["scores"]["ccc_arousal"], abs=1e-6
    )
    with pytest.raises(SystemExit):
        tools["predict"]([*flags, "--split", "test", "--silenced", str(tmp_path / "missing.csv")])
    assert "--silenced needs labels" in capsys.readouterr().err
    flags = [
        str(run_dir),
        str(synthetic_root),
        "--out",
        str(tmp_path / "out.csv"),
        "--silenced",
        str(tmp_path / "x.csv"),
    ]
    assert run_tool(lambda: tools["predict"](flags)) == 2
    assert "only a network of several modalities" in capsys.readouterr().err


def test_fields_are_listed(tools, capsys):
    with pytest.raises(SystemExit) as stop:
        tools["train"](["windowed_svm", "--fields"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert "--frame-cnn-run" in out
    assert "--gamma" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frame_cn", "ROOT", "--run-dir", "RUN"], ["frame_cnn"]),
        (["frame_cnn", "ROOT", "--run-dir", "RUN", "--preset", "smal"], ["small"]),
        (["frame_cnn", "/nowhere", "--run-dir", "RUN", "--preset", "small"], ["/nowhere"]),
        (["none.yaml", "ROOT", "--run-dir", "RUN"], ["none.yaml"]),
    ],
)
def test_mistakes_are_told_in_one_line(tools, synthetic_root, tmp_path, capsys, arguments, words):
    places = {"ROOT": str(synthetic_root), "RUN": str(tmp_path / "run")}
    assert run_tool(lambda: tools["train"]([places.get(a, a) for a in arguments])) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["frame_cnn", "ROOT", "--run-dir", "RUN", "--batchsize", "3"], "--batch-size"),
        (["frame_cnn", "ROOT"], "--run-dir"),
        (["frame_cnn", "ROOT", "--run-dir", "RUN", "--store", "x"], "NAME=FOLDER"),
        (["frame_cnn", "ROOT", "--run-dir", "RUN", "--fold", "3"], "--folds"),
        (["mine.yaml", "ROOT", "--run-dir", "RUN", "--preset", "small"], "--preset"),
    ],
)
def test_wrong_flags_are_refused_with_a_hint(tools, capsys, arguments, word):
    with pytest.raises(SystemExit) as stop:
        tools["train"](arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert word in captured.err + captured.out


def test_a_folder_that_is_no_run(tools, synthetic_root, tmp_path, capsys):
    arguments = [str(tmp_path), str(synthetic_root), "--out", str(tmp_path / "p.parquet")]
    assert run_tool(lambda: tools["predict"](arguments)) == 2
    assert "not a run folder" in capsys.readouterr().err
