"""CNN14 with a head for expressions, and its recipe; the network itself is tested in tests/backbones."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract

from abaw_tf.models.pann import build_pann
from abaw_tf.training import Recipe, RecipeError

SMALL = {"samples": 6400, "widths": (2, 3, 3, 4, 4, 8), "embedding": 24, "spec_augment": (6, 8)}


@pytest.mark.usefixtures("without_values")
def test_the_published_size():
    model = build_pann()
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    # CNN14 with its 527 sounds has 80,753,615 (Kong et al., and the published code).
    assert trainable == 80_753_615 - (2048 + 1) * (527 - 7)
    assert model.input["sound"].shape == (None, 48000)
    assert model.output["expression"].shape == (None, 7)


def test_one_expression_at_a_time():
    x = {"sound": np.random.default_rng(0).uniform(-1, 1, (3, 6400)).astype("float32")}
    for n_classes in (7, 8):
        found = build_pann(n_classes, **SMALL).predict(x, verbose=0)["expression"]
        assert found.shape == (3, n_classes)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_every_weight_is_fine_tuned():
    frozen = {v.path for v in build_pann(**SMALL).weights if not v.trainable}
    assert all("moving_" in path or "seed_generator" in path for path in frozen)


def test_the_published_values():
    paper, code = (Recipe.from_preset("pann", preset) for preset in ("paper", "published_code"))
    for recipe in (paper, code):
        need = recipe.inputs()["sound"]
        assert (need.samples, need.size, need.voice) == (48000, 15, "vocals")
        assert (recipe.batch_size, recipe.epochs, recipe.class_weights) == (128, 50, "max")
        assert recipe.spec_augment == (64, 8)
        assert (recipe.monitor, recipe.mode) == ("val_expression_score", "max")
        optimizer = recipe.optimizer()
        assert type(optimizer) is keras.optimizers.Adam
        assert (float(optimizer.learning_rate), optimizer.amsgrad) == (pytest.approx(1e-4), True)
    assert (paper.step_seconds, code.step_seconds) == (1.0, 0.2)
    assert (paper.weights, paper.mismatch) == ("cnn14_16k", None)
    assert (code.weights, code.mismatch, code.seed) == ("cnn14_32k", "dresvyanskiy2020", 12)


def test_the_rate_of_the_sound_reaches_the_network():
    recipe = Recipe.from_preset("pann", "small", sample_rate=32000)
    assert recipe.inputs()["sound"].samples == recipe.build().input["sound"].shape[1] == 38400


def test_stripes_are_silenced_as_the_recipe_says():
    for stripes in ((10, 3), None):
        model = Recipe.from_preset("pann", "small", spec_augment=stripes).build()
        found = [layer for layer in model.layers if layer.name == "spec_augment"]
        assert [(layer.time_width, layer.band_width) for layer in found] == ([] if stripes is None else [stripes])


def test_stripes_that_can_silence_a_whole_window_are_refused():
    """Two of up to 21 frames leave none of 41, two of up to 20 leave one."""
    build_pann(**{**SMALL, "spec_augment": (21, 8)})
    assert build_pann(**{**SMALL, "samples": None, "spec_augment": (64, 8)}).output["expression"].shape == (None, 7)
    for stripes in ((22, 8), (64, 8)):
        with pytest.raises(
            ValueError, match=rf"all 41 frames.*up to {stripes[0] - 1}.*spec_augment=\({stripes[0]}, 8\)"
        ):
            build_pann(**{**SMALL, "spec_augment": stripes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "steps"}, "target='window'"),
        ({"sample_rate": 22050}, "sample_rate.*16000.*22050"),
        ({"mismatch": "octave"}, "mismatch.*dresvyanskiy2020.*'octave'"),
        ({"widths": (1, 2)}, "widths"),
        ({"window_seconds": 3.3}, "multiple of 0.2"),
    ],
)
def test_wrong_recipes_are_refused(changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_preset("pann", "small", **changes)


class TestPannContract(ModelContract):
    outputs = {"expression": (7,)}  # noqa: RUF012

    def build(self):
        return build_pann(**SMALL)

    def inputs(self, n):
        return {"sound": np.random.default_rng(0).uniform(-1, 1, (n, 6400)).astype("float32")}

    def seeded(self):
        model = super().seeded()
        model.get_layer("log_mel").fourier = "matmul"  # ONNX knows no Fourier transform
        return model
