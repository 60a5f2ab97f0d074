"""What the tests of the recipe `stat_lstm` share: small recipes, a face model to build on, runs that need no training."""

import keras
import numpy as np

from abaw_tf.features.store import FeatureStore
from abaw_tf.training import Recipe, Run

HEAD = {"expression_units": (8,), "regression_units": (8,), "lstm_units": 4}
BASE = {"image_size": 32, "width": 2}
# Pictures as they are: only the order of an epoch is random.
PLAIN = {"rotation": 0.0, "shift": 0.0, "scale": 0.0, "affine_share": 0.0, "centre": 1.0, "flip": False}
WITHOUT_DROPOUT = {"dropout": 0.0, "recurrent_dropout": 0.0}


def tiny(derivation="lstm_va", **changes):
    """Trains on tracks."""
    return Recipe.from_preset(
        "stat_lstm", f"small_{derivation}", **{**BASE, **HEAD, "batch_size": 128, "epochs": 2, **changes}
    )


def tiny_images(derivation="lstm_va", **changes):
    """Trains on the images themselves."""
    return tiny(derivation, **{"reads": "images", "chunk": 8, "batch_size": 8, "epochs": 1, **changes})


def set_random(model, seed=0):
    """Give all weights of a network values as if it were trained: no two classes and frames are alike."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable)
        positive = "gamma" in variable.path or "moving_variance" in variable.path
        noise = rng.uniform(0.5, 1.5, value.shape) if positive else rng.normal(0, 0.1 * value.std() + 0.05, value.shape)
        variable.assign(noise if positive else value + noise)


def untrained(folder, recipe, adjust=lambda model: None):
    """A finished run of random weights, for tests of what becomes of them."""
    run = Run.create(folder, recipe)
    keras.utils.set_random_seed(1)
    model = recipe.build()
    set_random(model)
    adjust(model)
    model.save(run.model_path)
    run.update_card(status="finished", weights_hash="0" * 64)
    return run


def face_run(folder, **changes):
    """A face model whose probabilities are neither all alike nor all 0 and 1."""

    def scaled(model):
        images = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3))
        features = model.get_layer("features")
        scale = np.asarray(keras.Model(model.inputs, features.output)({"image": images})).std()
        features.set_weights([weight / scale for weight in features.get_weights()])

    return untrained(folder, Recipe.from_preset("face_model", "small", **{**BASE, **changes}), scaled)


def write_stores(dataset, root, n_classes=7, dim=5, change=None, weights_hash="0" * 64):
    """Tracks of random numbers; one frame that has a crop is missing in them; `change` is applied to those of every trial."""
    stores = {name: FeatureStore(root, name, {}, weights_hash) for name in ("features", "probabilities")}
    rng = np.random.default_rng(0)
    for trial in dataset.trials()["trial"]:
        n, crops = dataset.n_frames(trial), dataset.image_frames(trial)
        missing = ~np.isin(np.arange(n), crops)
        missing[crops[12]] = True
        values = {"features": rng.normal(size=(n, dim)), "probabilities": rng.dirichlet(np.ones(n_classes), n)}
        for name, track in values.items():
            stores[name].write(trial, track if change is None else change(track), missing)
    return stores


def usable(frames):
    """The frames with a crop, trial by trial."""
    return {trial: part for trial, part in frames[frames["path"].notna()].groupby("trial")}
