"""Models saved under TensorFlow load, predict the same and train under the JAX backend."""

import keras
import numpy as np
import pytest

from abaw_tf.training import RECIPES, KerasRecipe, Recipe
from abaw_tf.training.needs import Images, Sound, Track

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", [name for name in RECIPES if issubclass(RECIPES[name], KerasRecipe)])
def test_jax_backend_agrees_with_tensorflow(name, run_under_jax, project, tmp_path):
    keras.utils.set_random_seed(0)
    recipe = Recipe.from_preset(name, "small")
    model = recipe.build()
    model.save(tmp_path / "model.keras")
    # Noise whose strength tells the class, so that there is something to learn: a loss over pure noise falls or rises by chance.
    rng, kinds = np.random.default_rng(0), np.arange(16) % 4
    inputs = {"class": kinds}
    for key, need in recipe.inputs().items():
        shape, windows = tuple(model.input[key].shape[1:]), recipe.windows()
        if isinstance(need, Track):
            shape = (windows.size + (windows.context if need.context else 0), shape[-1])
        largest = 255 if isinstance(need, Images) else 1
        strength = 10.0**-kinds if isinstance(need, Sound) else (kinds + 1) / 4
        noise = rng.uniform(0, largest, (16, *shape))
        inputs[key] = (noise * strength.reshape(-1, *[1] * len(shape))).astype("float32")
    np.savez(tmp_path / "in.npz", **inputs)
    files = [tmp_path / file for file in ("model.keras", "in.npz", "out.npz")]
    run_under_jax(project / "tests/models/jax_reference.py", name, *files)
    found = np.load(tmp_path / "out.npz")
    del inputs["class"]
    for output, values in model.predict(inputs, verbose=0).items():
        np.testing.assert_allclose(found[output], values, atol=1e-4)
    # Dropout keeps it unsteady. With other seeds than the script's, the last quarter has a mean of at most .7 of the first epoch's loss.
    assert found["loss"][-4:].mean() < 0.85 * found["loss"][0], found["loss"]
