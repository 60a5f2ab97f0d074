"""Networks saved under TensorFlow load, predict the same and train under JAX and under a MirroredStrategy.

One process per backend does this for all of them: each process imports every model, which takes longer than most networks do.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from model_contract import ModelContract, needs

from abaw_tf.backbones.expnet import build_expnet
from abaw_tf.backbones.log_mel import LogMelSpectrogram
from abaw_tf.features.frame_audio_graph import build_frame_audio
from abaw_tf.training import RECIPES, KerasRecipe, Recipe
from abaw_tf.training.needs import Images, Sound, Track
from abaw_tf.training.sound_feed import hears

pytestmark = pytest.mark.slow
HERE = Path(__file__)


def imported(path):
    """A test file, as pytest imports it: by its bare name."""
    path = HERE.parents[1] / path
    sys.path.append(str(path.parent))
    return importlib.import_module(path.stem)


def contracts():
    """Every test class that inherits from `ModelContract`, by its file and name; no list of them needs to be kept."""
    for path in sorted(HERE.parents[1].rglob("test_*.py")):
        if path != HERE and "ModelContract" in path.read_text(encoding="utf-8"):
            imported(path)
    found, queue = {}, [ModelContract]
    while queue:
        contract = queue.pop()
        queue += contract.__subclasses__()
        if contract.__name__.startswith("Test"):
            found[f"{contract.__module__.removeprefix('test_')}-{contract.__name__}"] = contract
    return dict(sorted(found.items()))


CONTRACTS = contracts()
# Under JAX, which compiles every network for seconds, these train beside the recipes: no small recipe has their layers.
TRAINED_UNDER_JAX = ("models_gru_fusion-TestBiLstmContract", "models_stat_lstm_contract-TestFramesContract")
KERAS_RECIPES = [name for name in RECIPES if issubclass(RECIPES[name], KerasRecipe)]


class Saved:
    """Networks saved into a folder with inputs, what they answer to these, and what other processes do with them.

    A network that fails at any of this fails its own test only: its error is kept until that asks for the network.
    """

    def __init__(self, folder, names, make):
        self.folder, self.expected, self.messages = folder, {}, {}
        for name in names:
            try:
                model, inputs, more = make(name)
                model.save(folder / f"{name}.keras")
                np.savez(folder / f"{name}.inputs.npz", **inputs, **more)
                self.expected[name] = {key: np.asarray(y) for key, y in model(inputs, training=False).items()}
            except Exception as error:
                self.expected[name] = error

    def outputs(self, name):
        if isinstance(self.expected[name], Exception):
            raise self.expected[name]
        return self.expected[name]

    def outputs_under(self, how, name):
        """Outputs, losses and more of the network in the process `how`, or that process's error."""
        error, result = (self.folder / f"{name}.{how}.{kind}" for kind in ("txt", "npz"))
        if error.exists():
            pytest.fail(error.read_text(encoding="utf-8"), pytrace=False)
        if not result.exists():
            pytest.fail(f"The process did not come to this network.\n{self.messages[how][-3000:]}", pytrace=False)
        return np.load(result)


def run_process(how, *saved):
    """All networks in one process."""
    command = [sys.executable, HERE.with_name("other_backends_reference.py"), how, *(each.folder for each in saved)]
    # XLA takes longer to improve the programs of such small networks than it takes to run them as they are.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()
    environment = {**os.environ, "KERAS_BACKEND": "jax" if how == "jax" else "tensorflow", "XLA_FLAGS": flags}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    for each in saved:
        each.messages[how] = f"Exit status {done.returncode}.\n{done.stderr}"


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    def make(name):
        contract = CONTRACTS[name]()
        return contract.seeded(), contract.inputs(4), {"trained_under_jax": name in TRAINED_UNDER_JAX}

    return Saved(tmp_path_factory.mktemp("networks"), CONTRACTS, make)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    return Saved(tmp_path_factory.mktemp("recipes"), KERAS_RECIPES, small_recipe)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return Saved(folder, PARTS, lambda name: (*PARTS[name][0](folder), {"part": True}))


@pytest.fixture(scope="module")
def jax(networks, recipes, parts):
    run_process("jax", networks, recipes, parts)


@pytest.fixture(scope="module")
def mirrored(networks):
    run_process("mirrored", networks)


def part(model, *inputs):
    """A model with its inputs by name, and `output`."""
    named = {tensor.name: tensor for tensor in model.inputs}
    return keras.Model(named, {"output": model.output}), dict(zip(named, inputs))


def expnet(folder):
    test = imported("backbones/test_backbones_expnet.py")
    weights = test.write_checkpoint(folder / "expnet.ckpt", test.random_variables())
    options = {**test.SMALL, "input_shape": (72, 70, 3), "mean_image": np.full((test.SIDE, test.SIDE, 3), 100.0)}
    patches = np.random.default_rng(0).integers(0, 256, (2, 72, 70, 3)).astype("uint8")
    return part(build_expnet(**options, weights=weights), patches)


def assert_expnet(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def log_mel(_):
    test = imported("backbones/test_backbones_log_mel.py")
    return part(test.model_of(LogMelSpectrogram(**test.PUBLISHED[32000])), test.sounds(32000))


def assert_log_mel(found, _):
    test = imported("backbones/test_backbones_log_mel.py")
    expected = test.reference(test.sounds(32000), **test.PUBLISHED[32000])
    np.testing.assert_allclose(found, expected, atol=test.DECIBELS)


def frame_audio(_):
    test = imported("features/test_features_frame_audio_graph.py")
    model, sounds = build_frame_audio(test.LENGTH), test.make_sounds()
    return part(model, *(sounds[tensor.name] for tensor in model.inputs))


def assert_frame_audio(found, _):
    test = imported("features/test_features_frame_audio_graph.py")
    test.assert_same_features(found, test.reference(test.make_sounds()))


PARTS = {
    "expnet": (expnet, assert_expnet),
    "log_mel": (log_mel, assert_log_mel),
    "frame_audio": (frame_audio, assert_frame_audio),
}
"""What goes before networks and is not trained: makes the model and its inputs; checks the output under JAX."""


def small_recipe(name):
    """The network of a recipe, and noise whose strength tells the class, so that there is something to learn.

    A loss over pure noise falls or rises by chance.
    """
    keras.utils.set_random_seed(0)
    recipe = Recipe.from_preset(name, "small")
    if hears(recipe):
        recipe = recipe.replace(window_seconds=0.4)
    model = recipe.build()
    rng, kinds, inputs = np.random.default_rng(0), np.arange(16) % 4, {}
    for key, need in recipe.inputs().items():
        shape, windows = tuple(model.input[key].shape[1:]), recipe.windows()
        if isinstance(need, Track):
            shape = (windows.size + (windows.context if need.context else 0), shape[-1])
        largest = 255 if isinstance(need, Images) else 1
        strength = 10.0**-kinds if isinstance(need, Sound) else (kinds + 1) / 4
        noise = rng.uniform(0, largest, (16, *shape))
        inputs[key] = (noise * strength.reshape(-1, *[1] * len(shape))).astype("float32")
    return model, inputs, {"recipe": name, "class": kinds}


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("how", [pytest.param("jax", marks=needs("jax", "jax")), "mirrored"])
def test_other_backends_and_replicas_agree_and_train(how, name, networks, request):
    """Under JAX, where most of them train as the network of a recipe, and under a MirroredStrategy over two logical processors."""
    expected = networks.outputs(name)
    request.getfixturevalue(how)
    found = networks.outputs_under(how, name)
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, atol=1e-4)
    if how == "mirrored" or name in TRAINED_UNDER_JAX:
        assert np.isfinite(found["losses"]).all()
        assert not found["unchanged"].tolist()


@needs("jax", "jax")
@pytest.mark.parametrize("name", KERAS_RECIPES)
def test_recipes_agree_and_learn_under_jax(name, recipes, request):
    expected = recipes.outputs(name)
    request.getfixturevalue("jax")
    found = recipes.outputs_under("jax", name)
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, atol=1e-4)
    assert not found["unchanged"].tolist()
    # Dropout keeps it unsteady. With other seeds than the script's, the last quarter has a mean of at most .7 of the first epoch's loss.
    assert found["losses"][-4:].mean() < 0.85 * found["losses"][0], found["losses"]


@needs("jax", "jax")
@pytest.mark.parametrize("name", PARTS)
def test_parts_agree_under_jax(name, parts, request):
    expected = parts.outputs(name)["output"]
    request.getfixturevalue("jax")
    PARTS[name][1](parts.outputs_under("jax", name)["output"], expected)
