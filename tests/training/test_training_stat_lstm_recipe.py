"""The recipe `stat_lstm` itself: its presets, what it asks of the runner, refusals, the command line."""

import runpy

import keras
import pytest
from eager import eagerly
from stat_lstm_runs import BASE, HEAD, face_run, tiny

from abaw_tf.data.balance import MODES
from abaw_tf.models.stat_lstm import LOSS_WEIGHTS
from abaw_tf.training import RECIPES, Recipe, RecipeError, Run
from abaw_tf.training.needs import EPOCH_LENGTHS, Images, Track

VA = ("expression", "arousal", "valence", "va_vector")
EXPRESSION = ("expression",)
# derivation: outputs, whether it sees a block
DERIVATIONS = {
    "image": (EXPRESSION, False),
    "image_va": (VA, False),
    "frames": (EXPRESSION, True),
    "frames_va": (VA, True),
    "lstm": (EXPRESSION, True),
    "lstm_va": (VA, True),
}
PRESETS = list(RECIPES["stat_lstm"].presets)


def test_there_is_a_preset_per_derivation_at_both_sizes():
    assert set(PRESETS) == {"paper", "small", *DERIVATIONS, *(f"small_{name}" for name in DERIVATIONS)}
    best = Recipe.from_preset("stat_lstm")
    assert best.replace(preset="lstm_va") == Recipe.from_preset("stat_lstm", "lstm_va")
    assert Recipe.from_preset("stat_lstm", "small").derivation == "lstm_va"


def test_an_unknown_epoch_length_is_told_by_its_name():
    assert EPOCH_LENGTHS == MODES
    with pytest.raises(RecipeError, match=r"epoch_length.*'mean'"):
        Recipe.from_preset("stat_lstm", epoch_length="mean")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_asks_for_what_its_derivation_needs(preset):
    recipe = Recipe.from_preset("stat_lstm", preset)
    outputs, blocks = DERIVATIONS[recipe.derivation]
    assert recipe.outputs() == outputs
    needs = recipe.inputs()
    if preset.startswith("small"):
        assert {name: (need.layer, need.context) for name, need in needs.items()} == {
            "features": ("features", False),
            **({"probabilities": ("predictions", True)} if blocks else {}),
        }
        assert all(isinstance(need, Track) and need.kind == "cropped_aligned" for need in needs.values())
        assert recipe.augmentation() is None
    else:
        assert needs == {"frames" if blocks else "image": Images(224, "cropped")}
        assert recipe.augmentation().rotation == 45
        assert recipe.batch_size == (8 if blocks else 32)
        assert (recipe.learning_rate, recipe.optimizer) == (1e-4, "adam")
    windows = recipe.windows()
    if preset.startswith("small") or blocks:
        assert (windows.size, windows.stride, windows.context) == (1, 1, 15 if blocks else 0)
        assert (windows.missing_image, windows.across_gaps) == ("skip", True)
        predicted, batch = recipe.prediction_windows()
        assert (predicted.size, predicted.stride, predicted.context, batch) == (112, 112, windows.context, 1)
    else:
        assert windows is None
        assert recipe.prediction_windows() == (None, 32)
    assert recipe.balance().class_balanced
    assert not recipe.needs_every_label()


@pytest.mark.parametrize("preset", [name for name in PRESETS if name.startswith("small")])
@pytest.mark.parametrize("reads", ["tracks", "images"])
def test_the_small_networks_have_the_inputs_and_outputs_they_declare(preset, reads):
    recipe = Recipe.from_preset("stat_lstm", preset, reads=reads, **BASE, **HEAD)
    model = recipe.build()
    assert set(model.input) == set(recipe.inputs())
    assert set(model.output) == set(recipe.outputs())


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_it_is_compiled_as_published(name):
    model = tiny("image_va", optimizer=name, learning_rate=1e-4).build()
    tiny("image_va", optimizer=name, learning_rate=1e-4).compile(model)
    assert type(model.optimizer) is {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[name]
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)
    assert LOSS_WEIGHTS == {"expression": 1.0, "arousal": 0.4, "valence": 0.4, "va_vector": 0.2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"derivation": "lstm_vaa"}, r"derivation must be.*'lstm_va'.*Received: derivation='lstm_vaa'"),
        ({"reads": "image"}, r"reads must be.*'images'.*Received: reads='image'"),
        ({"optimizer": "adamw"}, r"optimizer must be.*Received: optimizer='adamw'"),
        ({"stat": "v2"}, r"stat must be.*Received: stat='v2'"),
        ({"batch_norm": "frozen"}, r"batch_norm must be.*Received: batch_norm='frozen'"),
        ({"chunk": 0}, r"`chunk` must be at least 1. Received: chunk=0"),
        ({"prediction_chunk": -1}, r"`prediction_chunk`.*-1"),
        ({"block": 0}, r"`block`.*block=0"),
        ({"n_features": 0}, r"`n_features`.*n_features=0"),
        ({"reads": "images", "n_features": 5}, r"`n_features` is for tracks.*Received: n_features=5"),
        ({"expression_units": 8}, r"`expression_units`.*Received: 8"),
        ({"face_runs": "x"}, r"did you mean `face_run`"),
    ],
)
def test_wrong_values_are_told_before_anything_is_done(changes, words):
    with pytest.raises(RecipeError, match=words):
        Recipe.from_preset("stat_lstm", "small", **changes)


@pytest.fixture(scope="module")
def tool(request):
    return runpy.run_path(str(request.config.rootpath / "tools" / "train.py"))["main"]


def flags(**fields):
    return [word for key, value in fields.items() for word in (f"--{key.replace('_', '-')}", str(value))]


def test_the_command_line_trains_a_derivation(tool, synthetic_root, tmp_path, capsys):
    face = face_run(tmp_path / "face_model")
    small = flags(
        preset="small", derivation="image_va", face_run=face.folder, width=2, epochs=1, batch_size=256, stat="v0"
    )
    arguments = ["stat_lstm", str(synthetic_root), "--run-dir", str(tmp_path / "run"), *small]
    units = ["--expression-units", "8", "--regression-units", "8", "4", "--no-both-labels"]
    with eagerly():
        assert tool([*arguments, *units]) == 0
    out = capsys.readouterr().out
    assert "valence_arousal_score" in out
    assert "expression_score" in out
    recipe = Run(tmp_path / "run").recipe
    assert (recipe.derivation, recipe.regression_units, recipe.both_labels) == ("image_va", (8, 4), False)


def test_an_unknown_derivation_is_told_with_what_was_perhaps_meant(tool, synthetic_root, tmp_path, capsys):
    wrong = flags(preset="small", derivation="frame_va")
    with pytest.raises(SystemExit) as stop:
        tool(["stat_lstm", str(synthetic_root), "--run-dir", str(tmp_path / "run"), *wrong])
    assert stop.value.code == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "derivation must be" in error
    assert "Did you mean 'frames_va'?" in error
    assert not (tmp_path / "run").exists()
