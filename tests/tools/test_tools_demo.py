"""tools/demo.py without its training: which models it takes, and what it tells about their predictions."""

import runpy

import numpy as np
import pandas as pd
import pytest

from abaw_tf import evaluation, predictions
from abaw_tf.training import RECIPES, RecipeError


@pytest.fixture(scope="module")
def demo(request):
    return runpy.run_path(str(request.config.rootpath / "tools" / "demo.py"))


def labelled(n=12):
    """Labels of three trials: one of expressions, one of valence and arousal, one of both."""
    rng = np.random.default_rng(0)
    trials = np.repeat(["a", "b", "c"], n)
    expression = np.where(trials == "b", -1, np.arange(3 * n) % 7)
    affect = np.where(trials[:, None] == "a", np.nan, rng.uniform(-0.9, 0.9, (3 * n, 2)))
    table = pd.DataFrame({"trial": trials, "frame": np.tile(np.arange(n), 3), "expression": expression})
    return table.assign(valence=affect[:, 0], arousal=affect[:, 1])


def predicted(labels, trials, tasks):
    """What a model that is right says about some trials, and for some tasks only."""
    rows = labels[labels["trial"].isin(list(trials))]
    outputs = {}
    if "expression" in tasks:
        outputs["probabilities"] = np.eye(7)[rows["expression"].clip(0)]
    if "affect" in tasks:
        outputs |= {name: rows[name].fillna(0.1).to_numpy() for name in ("valence", "arousal")}
    return predictions.make_table(rows["trial"].to_numpy(object), rows["frame"].to_numpy(), edition="abaw2", **outputs)


@pytest.fixture(scope="module")
def labels():
    return labelled()


@pytest.fixture(scope="module")
def tables(labels):
    """A model of each kind. Models of one task know the trials of that task alone."""
    return {
        "frame_cnn": predicted(labels, "ac", ["expression"]),
        "gru_fusion": predicted(labels, "bc", ["affect"]),
        "stat_lstm": predicted(labels, "abc", ["expression", "affect"]),
    }


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ([], ["frame_cnn", "windowed_svm", "gru_fusion"]),
        (["--recipes", "gru_fusion"], ["gru_fusion"]),
        (["--recipes", "gru_fusion", "windowed_svm"], ["frame_cnn", "windowed_svm", "gru_fusion"]),
        (["--recipes", "stat_lstm"], ["face_model", "stat_lstm"]),
    ],
)
def test_a_choice_of_models_takes_what_they_build_on_and_no_more(demo, command, names):
    assert [recipe.name for recipe in demo["choose"](demo["parse"](command))] == names


def test_all_are_all_and_the_same_as_by_themselves(demo):
    """Otherwise ``--all`` could not go on from the runs of the default."""
    chosen = {recipe.name: recipe for recipe in demo["choose"](demo["parse"](["--all"]))}
    assert set(chosen) == set(RECIPES)
    for recipe in demo["choose"](demo["parse"]([])):
        assert chosen[recipe.name] == recipe


def test_what_the_demo_changes_is_of_its_own_preset(demo):
    paper, small = (
        demo["choose"](demo["parse"](["--recipes", "pann", "--preset", preset])) for preset in ("paper", "small")
    )
    assert (small[0].preset, small[0].epochs) == ("small", 12)
    assert (paper[0].preset, paper[0].epochs) == ("paper", RECIPES["pann"].epochs)


def test_a_wrong_choice_is_refused(demo, capsys):
    with pytest.raises(SystemExit):
        demo["parse"](["--all", "--recipes", "frame_cnn"])
    assert "not allowed with" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="did you mean `gru_fusion`"):
        demo["choose"](demo["parse"](["--recipes", "gru_fusio"]))


def test_everything_goes_into_one_folder(demo, tmp_path):
    arguments = demo["parse"](["--out", str(tmp_path)])
    assert (arguments.data, arguments.faces) == (tmp_path / "affwild2", tmp_path / "faces")
    assert demo["parse"](["--data", "elsewhere"]).data.name == "elsewhere"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["frame_cnn"], ["expression", "frame_cnn"]),
        (["gru_fusion"], ["valence", "gru_fusion"]),
        (
            ["frame_cnn", "gru_fusion", "stat_lstm"],
            ["expression", "frame_cnn", "stat_lstm", "valence", "gru_fusion", "stat_lstm"],
        ),
    ],
)
def test_the_scores_of_any_choice_are_told(demo, tables, labels, names, told):
    """A head per task that is predicted, and below it the models that predict it, which are right here."""
    text = demo["format_scores"]({name: evaluation.evaluate(tables[name], labels, bootstrap=50) for name in names})
    *lines, last = [line.split() for line in text.splitlines() if line]
    assert [words[1] if words[0] == "model" else words[0] for words in lines] == told
    assert all(words[1] == "1.000" for words in lines if words[0] != "model")
    assert "synthetic" in last


@pytest.mark.parametrize(
    ("task", "names", "columns"),
    [
        ("expression", ["frame_cnn", "stat_lstm"], {"expression"}),
        ("valence_arousal", ["gru_fusion", "stat_lstm"], {"valence", "arousal"}),
    ],
)
def test_models_of_a_task_are_fused_over_the_trials_that_all_know(
    demo, tables, labels, tmp_path, capsys, task, names, columns
):
    page = tmp_path / "fusion.html"
    fused = demo["fuse"](task, {name: tables[name] for name in names}, labels, page)
    assert set(fused["trial"]) == set(tables[names[0]]["trial"])
    assert columns == {"expression", "valence", "arousal"} & set(fused.columns)
    assert "held out" in capsys.readouterr().out
    assert "SYNTHETIC" in page.read_text(encoding="utf-8")
