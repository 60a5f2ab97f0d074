"""The recipe `stat_lstm` on images: the blocks it is fed with, its predictions block by block, the weights of its base."""

import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from eager import eagerly
from stat_lstm_runs import BASE, HEAD, PLAIN, WITHOUT_DROPOUT, face_run, tiny_images, untrained, usable

from abaw_tf import metrics, predictions
from abaw_tf.data import AffWild2
from abaw_tf.data.windows import causal_blocks
from abaw_tf.models.stat_lstm import build_stat_lstm, rewire
from abaw_tf.models.stat_lstm_stream import StatLstmStream
from abaw_tf.targets import va_vector
from abaw_tf.training import Recipe, Run, RunError, predict, train

LABELS = ["expression", "valence", "arousal"]


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    return face_run(tmp_path_factory.mktemp("runs") / "face_model")


def read_images(paths):
    """As the pipeline should: RGB, 32 pixels."""
    shrunk = [cv2.resize(cv2.imread(path), (32, 32), interpolation=cv2.INTER_AREA) for path in paths]
    return np.stack(shrunk)[..., ::-1]


@pytest.fixture(scope="module")
def trials(dataset):
    """The training frames with a crop, trial by trial, and their images."""
    found = usable(dataset.frame_table("train"))
    return {trial: (part, read_images(part["path"])) for trial, part in found.items()}


class Stopped(Exception):
    """Raised in place of the training."""


@pytest.fixture
def fed(monkeypatch, dataset, tmp_path):
    """What `train` feeds a model with: a list of batches of the first epoch, and one of the validation."""

    def feed(recipe):
        def fit(model, x, steps_per_epoch, validation_data, **options):
            batches = [list(x.take(steps_per_epoch)), list(validation_data)]
            raise Stopped([[[{k: v.numpy() for k, v in part.items()} for part in b] for b in some] for some in batches])

        monkeypatch.setattr(keras.Model, "fit", fit)
        with eagerly(), pytest.raises(Stopped) as caught:  # nothing is trained: no graph is needed
            train(recipe, dataset, tmp_path / "run", progress=False)
        return caught.value.args[0]

    return feed


def joined(batches, part):
    """One array over all batches, by name: part 0 inputs, 1 targets, 2 weights."""
    return {key: np.concatenate([batch[part][key] for batch in batches]) for key in batches[0][part]}


def places(images, trials):
    """Trial and position, among its usable frames, of each image; no two frames of the dataset are alike."""
    known = {image.tobytes(): (trial, i) for trial, (_, all_of) in trials.items() for i, image in enumerate(all_of)}
    assert len(known) == sum(len(part) for part, _ in trials.values())
    return [known[np.round(image).astype(np.uint8).tobytes()] for image in images]


@pytest.mark.parametrize("across_gaps", [True, False])
def test_an_example_is_the_papers_block_of_16_usable_frames(fed, trials, across_gaps):
    recipe = tiny_images(chunk=1, batch_size=64, class_balanced=False, across_gaps=across_gaps, **PLAIN)
    batches, _ = fed(recipe)
    (frames,), targets, weights = joined(batches, 0).values(), joined(batches, 1), joined(batches, 2)
    assert frames.shape[1:] == (16, 32, 32, 3)
    assert recipe.block == 16
    found = places(frames[:, -1], trials)
    assert sorted(found) == sorted((trial, i) for trial, (part, _) in trials.items() for i in range(len(part)))
    for trial, (part, images) in trials.items():
        blocks, _ = causal_blocks(len(part), 16, frames=part["frame"].to_numpy(), across_gaps=across_gaps)
        rows = [row for row, place in enumerate(found) if place[0] == trial]
        own = np.array([found[row][1] for row in rows])
        np.testing.assert_array_equal(frames[rows], images[blocks[own]])
        for key in LABELS:
            truth = part[key].to_numpy()[own]
            known = truth >= 0 if key == "expression" else ~np.isnan(truth)
            np.testing.assert_array_equal(weights[key][rows, 0], known)
            np.testing.assert_array_equal(targets[key][rows, 0], np.where(known, truth, 0))
        vector = va_vector(part["valence"], part["arousal"])[own]
        known = ~np.isnan(vector).any(axis=1)
        np.testing.assert_array_equal(targets["va_vector"][rows, 0][known], vector[known])
        np.testing.assert_array_equal(weights["va_vector"][rows, 0], known)


def test_a_chunk_is_fed_with_the_context_of_its_first_frame(fed, trials):
    batches, _ = fed(tiny_images(chunk=4, batch_size=64, class_balanced=False, block=6, **PLAIN))
    frames, weights, targets = joined(batches, 0)["frames"], joined(batches, 2), joined(batches, 1)
    assert frames.shape[1:] == (5 + 4, 32, 32, 3)
    seen = {trial: [] for trial in trials}
    for row, (trial, first) in enumerate(places(frames[:, 5], trials)):
        part, images = trials[trial]
        own = np.arange(first, first + 4)
        np.testing.assert_array_equal(frames[row], images[np.clip(np.arange(first - 5, first + 4), 0, len(part) - 1)])
        truth = part["expression"].to_numpy()[np.minimum(own, len(part) - 1)]
        counted = (own < len(part)) & (truth >= 0)
        np.testing.assert_array_equal(weights["expression"][row], counted)
        np.testing.assert_array_equal(targets["expression"][row][counted], truth[counted])
        seen[trial] += own[own < len(part)].tolist()
    assert {trial: sorted(positions) for trial, positions in seen.items()} == {
        trial: list(range(len(part))) for trial, (part, _) in trials.items()
    }


@pytest.mark.parametrize("both", [True, False])
def test_classes_are_drawn_equally_often(fed, trials, both):
    batches, validation = fed(tiny_images("frames_va", chunk=1, batch_size=64, both_labels=both))
    targets, weights = joined(batches, 1), joined(batches, 2)
    known = weights["expression"].ravel() == 1
    counts = np.bincount(targets["expression"].ravel()[known], minlength=7)
    assert (counts == counts[0]).all()
    assert (weights["valence"] == 1).all() == both
    assert (weights["valence"].ravel()[~known] == 1).all()
    table = pd.concat([part for part, _ in trials.values()])
    expression, valence = table["expression"] >= 0, table["valence"].notna()
    table = table[expression & valence if both else expression | valence]
    alone = int((table["expression"] < 0).sum())
    n_classes = 7 + (alone > 0)  # those with valence and arousal alone are one class more
    assert (alone > 0) != both
    assert counts[0] == round(len(table) / n_classes)
    assert (~known).sum() == (0 if both else counts[0])
    held_out = joined(validation, 2)
    assert (held_out["expression"] == held_out["valence"]).all() == both


def test_all_images_of_a_chunk_are_distorted_alike(fed, trials):
    batches, validation = fed(tiny_images("frames_va", chunk=1, batch_size=64, class_balanced=False, affine_share=1.0))
    frames = joined(batches, 0)["frames"].astype(float)
    originals = {image.tobytes() for _, images in trials.values() for image in images}
    assert not {np.round(image).astype(np.uint8).tobytes() for image in frames[:, -1]} & originals
    # the first block of a trial repeats one image: it does so after the distortion, too
    alike = np.abs(frames - frames[:, :1]).reshape(len(frames), -1).max(axis=1) == 0
    assert alike.sum() == len(trials)
    (unchanged,) = joined(validation, 0).values()
    assert unchanged.dtype == np.uint8


@pytest.fixture(scope="module", params=[pytest.param("lstm_va", marks=pytest.mark.slow), "frames"])
def run(request, tmp_path_factory, face):
    recipe = tiny_images(request.param, face_run=str(face.folder), prediction_chunk=50)
    return untrained(tmp_path_factory.mktemp("runs") / request.param, recipe)


def one_trial(dataset, split="validation"):
    trial, part = next(iter(usable(dataset.frame_table(split)).items()))
    assert len(part) < part["frame"].max() + 1  # there are gaps
    return trial, part, read_images(part["path"])


def assert_predicted(table, part, expected):
    rows = table.set_index(["trial", "frame"]).loc[list(zip(part["trial"], part["frame"]))]
    np.testing.assert_allclose(predictions.probabilities(rows), expected["expression"], atol=1e-4)
    assert np.ptp(expected["expression"], axis=0).max() > 1e-2
    for key in {"valence", "arousal"} & set(expected):
        np.testing.assert_allclose(rows[key], expected[key][:, 0], atol=1e-4)
        assert np.ptp(expected[key]) > 1e-2


def test_predictions_are_those_of_the_published_wiring_and_of_a_stream(run, dataset):
    table = predict(run, dataset, progress=False)
    _, part, images = one_trial(dataset)
    blocks, _ = causal_blocks(len(images), 16)
    model = run.load_model()
    network = rewire(model, "block")
    assert network.input["frames"].shape == (None, 16, 32, 32, 3)
    by_block = [network({"frames": images[some]}, training=False) for some in np.array_split(blocks, 5)]
    expected = {key: np.concatenate([y[key] for y in by_block]) for key in by_block[0]}
    assert_predicted(table, part, expected)
    stream = StatLstmStream(model)
    steps = [stream.step(image) for image in images[:36]]  # more than two blocks
    part = part.iloc[:36]
    assert_predicted(table, part, {key: np.stack([step[key] for step in steps]) for key in steps[0]})


def test_an_image_that_cannot_be_read_is_no_frame_with_a_face(run, synthetic_root, tmp_path):
    root = shutil.copytree(synthetic_root, tmp_path / "copy")
    dataset = AffWild2(root)
    trial, part, _ = one_trial(dataset)
    path = Path(part["path"].iloc[20])
    path.write_bytes(path.read_bytes()[:300])
    table = predict(run, dataset, progress=False)
    table = table[table["trial"] == trial].set_index("frame")
    columns = [name for name in table if name.startswith("p_")]
    frame, before = part["frame"].iloc[20], part["frame"].iloc[19]
    np.testing.assert_array_equal(table.loc[frame, columns], table.loc[before, columns])
    assert not np.array_equal(table.loc[part["frame"].iloc[18], columns], table.loc[before, columns])


@pytest.mark.slow
@pytest.mark.parametrize("derivation", ["lstm_va", "image_va"])
def test_it_trains_on_images_and_predicts_with_what_it_has_learned(dataset, face, tmp_path, derivation):
    trained = train(
        tiny_images(derivation, face_run=str(face.folder), block=4), dataset, tmp_path / "run", progress=False
    )
    base = trained.load_model().get_layer("base")
    source = {layer.name: layer for layer in face.load_model().layers}
    frozen, learned = "conv3_1_1x1_reduce", "conv5_1_1x1_increase"
    np.testing.assert_array_equal(base.get_layer(frozen).get_weights()[0], source[frozen].get_weights()[0])
    assert np.abs(base.get_layer(learned).get_weights()[0] - source[learned].get_weights()[0]).max() > 0
    _, part, images = one_trial(dataset)
    network = rewire(trained.load_model(), "block") if derivation == "lstm_va" else trained.load_model()
    x = {"frames": images[causal_blocks(len(images), 4)[0]]} if derivation == "lstm_va" else {"image": images}
    expected = {key: np.asarray(y) for key, y in network.predict(x, verbose=0, batch_size=16).items()}
    rows = predictions.read(trained.predictions_path).set_index(["trial", "frame"])
    rows = rows.loc[list(zip(part["trial"], part["frame"]))]
    np.testing.assert_allclose(predictions.probabilities(rows), expected["expression"], atol=1e-4)
    np.testing.assert_allclose(rows["valence"], expected["valence"][:, 0], atol=1e-4)
    history = pd.read_csv(trained.history_path)
    assert np.isfinite(history.to_numpy()).all()
    assert {f"{name}_loss" for name in (*LABELS, "va_vector")} <= set(history)


def test_a_missing_label_costs_its_own_output_alone(fed, dataset, face):
    """The loss of whole trials against NumPy over the frames that have the label of each output."""
    recipe = tiny_images("frames_va", face_run=str(face.folder), prediction_chunk=200, **WITHOUT_DROPOUT)
    _, validation = fed(recipe)
    model = recipe.build()
    recipe.compile(model)
    model.jit_compile = False
    partly = 0
    for (x, y, w), part in zip(validation, usable(dataset.frame_table("validation")).values(), strict=True):
        with eagerly():
            found = model.test_on_batch(x, y, sample_weight=w, return_dict=True)["loss"]
        model.reset_metrics()
        out = {key: np.asarray(v)[0, : len(part)] for key, v in model(x, training=False).items()}
        truth = part["expression"].to_numpy()
        e, v = truth >= 0, part["valence"].notna().to_numpy()
        partly += (e != v).any()
        expected = -np.log(out["expression"][e, truth[e]]).mean()
        for key in ("valence", "arousal"):
            expected += 0.4 * (1 - metrics.ccc(part[key].to_numpy()[v], out[key][v, 0]))
        vector = va_vector(part["valence"], part["arousal"])
        expected += 0.2 * np.square(vector - out["va_vector"])[v].mean()
        assert found == pytest.approx(expected, rel=1e-4)
    assert partly


@pytest.mark.parametrize("derivation", ["lstm_va", "image"])
def test_the_base_begins_with_the_face_model(face, derivation):
    model = tiny_images(derivation, face_run=str(face.folder)).build()
    whole = build_stat_lstm(derivation, weights=face.folder, **BASE, blocks=(1, 1, 1, 1), **HEAD)
    source = {layer.name: layer.get_weights() for layer in face.load_model().layers}
    for base in (model.get_layer("base"), whole.get_layer("base")):
        layers = [layer for layer in base.layers if layer.weights]
        assert len(layers) > 20
        for layer in layers:
            for value, wanted in zip(layer.get_weights(), source[layer.name], strict=True):
                np.testing.assert_array_equal(value, wanted)
    assert not model.get_layer("base").get_layer("conv3_1_1x1_reduce").trainable
    assert model.get_layer("base").get_layer("conv4_1_1x1_reduce").trainable


def test_a_run_folder_may_be_called_as_a_published_file(face, tmp_path, monkeypatch):
    shutil.copytree(face.folder, tmp_path / "do2020_face")
    monkeypatch.chdir(tmp_path)
    model = build_stat_lstm("image", weights="do2020_face", **BASE, blocks=(1, 1, 1, 1), **HEAD)
    kernel, wanted = (m.get_layer("features").get_weights()[0] for m in (model.get_layer("base"), face.load_model()))
    np.testing.assert_array_equal(kernel, wanted)


def test_runs_that_are_no_fitting_face_model_are_refused(face, tmp_path):
    unfinished = Path(shutil.copytree(face.folder, tmp_path / "unfinished"))
    Run(unfinished).update_card(status="training")
    other = Run.create(tmp_path / "other", Recipe.from_preset("frame_cnn", "small"))
    other.update_card(status="finished")
    for changes, error, words in (
        ({"face_run": str(face.folder), "width": 4}, ValueError, r"another size.*same `width`"),
        ({"face_run": str(face.folder), "blocks": (1, 2, 1, 1)}, ValueError, r"same `blocks`"),
        ({"face_run": str(face.folder), "edition": "abaw3"}, ValueError, r"'predictions' has another size.*classes"),
        ({"face_run": str(unfinished)}, RunError, r"finished run.*status training"),
        ({"face_run": str(other.folder)}, RunError, r"Received: recipe frame_cnn"),
        ({"face_run": str(tmp_path / "none")}, FileNotFoundError, r"none: not a run folder"),
    ):
        with pytest.raises(error, match=words):
            tiny_images("frames", **changes).build()


def test_eight_classes_begin_with_random_weights():
    model = tiny_images("frames", edition="abaw3", weights=None).build()
    assert model.output["expression"].shape[-1] == 8
    assert model.get_layer("head").input["probabilities"].shape[-1] == 8
