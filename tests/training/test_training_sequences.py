"""The runner with recipes that it has never seen: sequences of tracks, several outputs, causal blocks of images."""

import numpy as np
import pandas as pd
import pytest

from abaw_tf import predictions
from abaw_tf.data import AffWild2
from abaw_tf.features.store import FeatureStore
from abaw_tf.training import Recipe, predict, train

TOY = '''
from dataclasses import dataclass
import keras
from abaw_tf.training.needs import Images, Track, Windows
from abaw_tf.training.recipe import KerasRecipe


@dataclass(frozen=True)
class ToyRecipe(KerasRecipe):
    """Two tracks to an expression and to valence and arousal of every frame; or causal blocks of images to valence."""

    name = "toy"
    causal: bool = False
    precision: str = "float32"
    monitor: str = "val_loss"

    def inputs(self):
        if self.causal:
            return {"face": Images(8)}
        return {"a": Track("first"), "b": Track("second", fill="zeros")}

    def outputs(self):
        return ("valence",) if self.causal else ("expression", "valence_arousal")

    def windows(self):
        return Windows(4, 3, target="last") if self.causal else Windows(20, 15)

    def build(self):
        if self.causal:
            face = keras.Input((4, 8, 8, 3), name="face")
            mean = keras.layers.Rescaling(1 / 255)(keras.ops.mean(face, axis=(2, 3, 4)))
            return keras.Model({"face": face}, {"valence": keras.layers.Dense(1, activation="tanh")(mean)})
        a, b = keras.Input((20, 3), name="a"), keras.Input((20, 2), name="b")
        x = keras.layers.Dropout(0.2)(keras.layers.Concatenate()([a, b]))
        outputs = {
            "expression": keras.layers.Dense(7, activation="softmax", dtype="float32", name="expression")(x),
            "valence_arousal": keras.layers.Dense(2, activation="tanh", dtype="float32", name="valence_arousal")(x),
        }
        return keras.Model({"a": a, "b": b}, outputs)

    def compile(self, model):
        from abaw_tf.losses import MaskedMeanSquaredError, MaskedSparseCategoricalCrossentropy

        losses = {
            "expression": MaskedSparseCategoricalCrossentropy(),
            "valence_arousal": MaskedMeanSquaredError(),
            "valence": MaskedMeanSquaredError(),
        }
        model.compile(keras.optimizers.Adam(0.05), loss={name: losses[name] for name in self.outputs()})
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    import abaw_tf.models

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy.py").write_text(TOY)
    monkeypatch.setattr(abaw_tf.models, "__path__", [*abaw_tf.models.__path__, str(tmp_path / "models")])
    return lambda **changes: Recipe.from_preset("toy", epochs=8, patience=8, **changes)


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def stores(dataset, tmp_path_factory):
    """A track that shows valence, arousal and a bias, and one that shows nothing."""
    root = tmp_path_factory.mktemp("stores")
    stores = {name: FeatureStore(root, name, {}, "0" * 64) for name in ("first", "second")}
    for trial in dataset.trials()["trial"]:
        labels = dataset.labels(trial)
        shown = np.nan_to_num(labels[["valence", "arousal"]].to_numpy(np.float32))
        missing = np.zeros(len(labels), bool)
        missing[3:6] = True
        stores["first"].write(trial, np.c_[shown, np.ones(len(labels))], missing)
        stores["second"].write(trial, np.zeros((len(labels), 2)), missing)
    return {"first": stores["first"], "second": stores["second"].folder}


def test_windows_of_two_tracks_to_three_outputs(toy, dataset, stores, tmp_path):
    run = train(toy(), dataset, tmp_path / "run", stores=stores, progress=False)
    scores = run.card["scores"]
    assert scores["valence_arousal_score"] > 0.5
    assert {"accuracy", "macro_f1"} <= set(scores)
    history = pd.read_csv(run.history_path)
    assert history["val_loss"].iloc[-1] < history["val_loss"].iloc[0]
    table = predict(run, dataset, "test", stores=stores, progress=False)
    assert len(table) == sum(dataset.n_frames(trial) for trial in dataset.trials("test")["trial"])
    assert {"expression", "valence", "arousal"} <= set(table.columns)
    assert table["valence"].between(-1, 1).all()
    predictions.validate(table)


def test_causal_blocks_of_images_give_every_frame_a_value(toy, dataset, tmp_path):
    run = train(toy(causal=True).replace(epochs=1), dataset, tmp_path / "run", progress=False)
    table = predictions.read(run.predictions_path)
    frames = dataset.frame_table("validation", "valence_arousal")
    assert table[["trial", "frame"]].to_numpy().tolist() == frames[["trial", "frame"]].to_numpy().tolist()
    assert "expression" not in table.columns
    assert -1 <= run.card["scores"]["ccc_valence"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "strategy"), [("mixed_float16", "default"), ("float32", "mirrored")])
def test_other_precisions_and_strategies(toy, dataset, stores, tmp_path, precision, strategy):
    recipe = toy(precision=precision)
    run = train(recipe, dataset, tmp_path / "run", stores=stores, strategy=strategy, progress=False)
    assert run.card["scores"]["valence_arousal_score"] > 0.5
