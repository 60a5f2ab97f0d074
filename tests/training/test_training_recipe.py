"""Recipes: presets, YAML, refusals with suggestions, discovery."""

import dataclasses
import inspect

import pytest
import yaml

from abaw_tf.training import RECIPES, EstimatorRecipe, KerasRecipe, Recipe, RecipeError, ordered_recipes


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_is_one_of_the_two_kinds_and_has_the_two_standard_presets(name):
    cls = RECIPES[name]
    assert issubclass(cls, (KerasRecipe, EstimatorRecipe))
    assert {"paper", "small"} <= set(cls.presets)
    assert dataclasses.replace(Recipe.from_preset(name)) == cls()


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_field_is_documented(name):
    cls = RECIPES[name]
    documents = "\n".join(inspect.cleandoc(base.__doc__ or "") for base in cls.__mro__)
    for field in dataclasses.fields(cls):
        assert f"\n{field.name} : " in documents, f"{name}.{field.name}"


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in RECIPES for preset in RECIPES[name].presets])
def test_yaml_gives_the_same_recipe_back(name, preset, tmp_path):
    recipe = Recipe.from_preset(name, preset, seed=7)
    path = tmp_path / "recipe.yaml"
    recipe.to_yaml(path)
    assert Recipe.from_yaml(path) == recipe
    assert set(yaml.safe_load(path.read_text())) == {"recipe", *(f.name for f in dataclasses.fields(recipe))}


def test_a_recipe_file_may_name_only_what_differs(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: frame_cnn\npreset: small\nlearning_rate: 1e-4\nbrightness: [0.5, 1]\n")
    recipe = Recipe.from_yaml(path)
    assert recipe == Recipe.from_preset("frame_cnn", "small", learning_rate=1e-4, brightness=(0.5, 1.0))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("recipe: frame_cnn\nbatchsize: 3\n", 2, ["batch_size", "batchsize"]),
        ("recipe: frame_cnn\n\n# fast\nepochs: many\n", 4, ["epochs", "whole number", "'many'"]),
        ("recipe: frame_cnn\nflip: 1\n", 2, ["flip", "true or false"]),
        ("recipe: frame_cnn\nblocks: [1, 2]\n", 2, ["blocks", "[1, 2]"]),
        ("recipe: frame_cnn\nthinning: {Bored: 2}\n", 2, ["Bored", "Neutral"]),
        ("recipe: frame_cnn\nprecision: float16\n", 2, ["mixed_float16"]),
        ("recipe: frame_cnn\nmode: maximum\n", 2, ["mode"]),
        ("recipe: frame_cnn\nmonitor: loss\n", 2, ["val_"]),
        ("recipe: frame_cnn\nbatch_size: 0\n", 2, ["at least 1"]),
        ("recipe: frame_cn\n", 1, ["frame_cnn"]),
        ("recipe: frame_cnn\npreset: smal\n", 2, ["small"]),
        ("recipe: frame_cnn\nedition: abaw9\n", 2, ["abaw9"]),
        ("recipe: windowed_svm\noverlap: 1.0\n", 2, ["overlap"]),
    ],
)
def test_a_wrong_line_is_named_with_what_was_perhaps_meant(text, line, words, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}:")
    assert "Received:" in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "epochs: 3\n", "recipe: [frame_cnn\n"])
def test_a_file_that_is_no_recipe_is_refused(text, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"wrong\.yaml"):
        Recipe.from_yaml(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Recipe.from_yaml(tmp_path / "none.yaml")


def test_unknown_fields_are_refused_with_a_suggestion_in_python_too():
    with pytest.raises(RecipeError, match="learning_rate"):
        Recipe.from_preset("frame_cnn", learning_rat=1.0)
    with pytest.raises(RecipeError, match="learning_rate"):
        Recipe.from_preset("frame_cnn").replace(learningrate=1.0)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_that_forgets_nothing_or_more_than_all_is_refused(momentum):
    with pytest.raises(RecipeError, match=f"`batch_norm_momentum` must be.*Received: batch_norm_momentum={momentum}"):
        Recipe.from_preset("frame_cnn", batch_norm_momentum=momentum)


def test_recipes_are_frozen_and_hold_their_values_in_one_type():
    recipe = Recipe.from_preset("frame_cnn", learning_rate="1e-3", blocks=[1, 1, 1, 1])
    assert recipe.learning_rate == 1e-3
    assert recipe.blocks == (1, 1, 1, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 3


def test_the_published_values_of_the_frame_cnn():
    paper, notebook = (Recipe.from_preset("frame_cnn", preset) for preset in ("paper", "published_notebook"))
    for recipe in (paper, notebook):
        assert (recipe.learning_rate, recipe.weight_decay, recipe.batch_size, recipe.units) == (1e-5, 1e-5, 32, 1024)
        assert (recipe.rotation, recipe.flip, recipe.brightness, recipe.log_weight_ratio) == (40, True, (0.2, 1), 0.34)
        assert recipe.thinning["Neutral"] == 10
        assert recipe.thinning["Happiness"] == recipe.thinning["Sadness"] == 5
        assert {recipe.thinning[c] for c in ("Anger", "Disgust", "Fear", "Surprise")} == {2}
        assert (recipe.image_size, recipe.dropout, recipe.epochs, recipe.patience) == (224, 0.5, 60, 6)
    assert (paper.monitor, paper.mode, paper.amsgrad, paper.preprocessing_version) == ("val_loss", "min", False, 2)
    assert (notebook.monitor, notebook.mode, notebook.amsgrad) == ("val_macro_recall", "max", True)
    assert (notebook.preprocessing_version, paper.dropout_layers, notebook.dropout_layers) == (1, 2, 1)


def test_the_published_values_of_the_windowed_svm():
    paper, notebook = (Recipe.from_preset("windowed_svm", preset).build() for preset in ("paper", "published_notebook"))
    assert (paper.C, paper.gamma, paper.kernel, paper.r) == (3.0, 0.1, "poly", 0.47)
    assert (notebook.C, notebook.gamma, notebook.kernel, notebook.degree, notebook.r) == (2.0, 0.001, "poly", 1, "auto")
    assert Recipe.from_preset("windowed_svm").window_seconds == 4.0


def test_recipes_are_ordered_so_that_each_finds_the_runs_it_builds_on(tmp_path):
    recipes = ordered_recipes(["windowed_svm"], "small", tmp_path, seed=5)
    assert [recipe.name for recipe in recipes] == ["frame_cnn", "windowed_svm"]
    assert recipes[1].frame_cnn_run == str(tmp_path / "frame_cnn")
    assert {recipe.seed for recipe in recipes} == {5}
    everything = [recipe.name for recipe in ordered_recipes()]
    wanted = {name for name in RECIPES if RECIPES[name].dataset == "affwild2"}
    assert set(everything) == wanted | {other for name in wanted for other in RECIPES[name].runs.values()}
    assert everything.index("face_model") < everything.index("stat_lstm")


def test_a_new_system_is_one_file(tmp_path, monkeypatch):
    import abaw_tf.models

    (tmp_path / "my_system.py").write_text(
        "from dataclasses import dataclass\n"
        "from abaw_tf.training.recipe import KerasRecipe\n\n"
        "@dataclass(frozen=True)\n"
        "class MyRecipe(KerasRecipe):\n"
        '    """Mine."""\n'
        '    name = "my_system"\n'
        "    depth: int = 3\n"
    )
    monkeypatch.setattr(abaw_tf.models, "__path__", [*abaw_tf.models.__path__, str(tmp_path)])
    assert "my_system" in RECIPES
    assert Recipe.from_preset("my_system", depth=4).depth == 4


def test_a_module_without_a_recipe_says_what_it_must_define(tmp_path, monkeypatch):
    import abaw_tf.models

    (tmp_path / "half_system.py").write_text("x = 1\n")
    monkeypatch.setattr(abaw_tf.models, "__path__", [*abaw_tf.models.__path__, str(tmp_path)])
    with pytest.raises(RecipeError, match=r"half_system\.py must define"):
        Recipe.from_preset("half_system")


@pytest.mark.parametrize("lines", [("n_features: 5", "reads: tracks"), ("monitor: val_loss", "mode: min")])
def test_fields_that_depend_on_each_other_may_stand_in_any_order(tmp_path, lines):
    path, recipes = tmp_path / "recipe.yaml", []
    for order in (lines, lines[::-1]):
        path.write_text("\n".join(["recipe: stat_lstm", *order]))
        recipes.append(Recipe.from_yaml(path))
    assert recipes[0] == recipes[1] != Recipe.from_preset("stat_lstm")


def test_the_largest_loss_is_not_the_best():
    with pytest.raises(RecipeError, match=r"mode='min'.*Received: monitor='val_loss'"):
        Recipe.from_preset("stat_lstm", monitor="val_loss")
