"""Real clips as a dataset in Aff-Wild2's layout: their faces, and the values of a teacher in place of labels.

Nobody has labelled these clips. The teacher's expression is the decision of face-api.js's network; its valence and arousal are what
py-feat, a detector of all three, would say to the same probabilities: a linear map, fitted to its output on other videos.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from abaw_tf import labels, metrics, predictions
from abaw_tf.data import AffWild2
from abaw_tf.data.annotations import write_expression, write_valence_arousal
from abaw_tf.features.extract import extract
from abaw_tf.features.extractors import KerasExtractor
from abaw_tf.features.images import read_image
from abaw_tf.features.store import FeatureStore
from abaw_tf.studies.material import check_clips
from abaw_tf.studies.network_predictions import CLIPS

UNLABELLED = (
    *(f"video_pyfeat/{name}" for name in ("face_noface.mov", "noface_face.mov", "no_face.mp4")),
    "pose_tfjs/pose_squats.mp4",
)
"""Clips for prediction alone. In the first two the man of ``single_face.mp4`` vanishes and appears, in the third nobody is seen."""

FACE_AND_SOUND = ("video_pyfeat/face_noface.mov", "pose_tfjs/pose_squats.mp4")
"""Those of them that tell about sound, and show a face: in one the man vanishes, and sound begins; the other has no sound stream."""

LEAVES, APPEARS, RETURNS = "face_noface", "noface_face", "face_leaves_and_returns"
"""Two trials, and the one made of both: the man, 193 frames without a face, the man again."""

RIDGE = 1.0
"""Penalty of the map: it keeps the weight of Anger, which never exceeds a probability of .06 where the map is fitted, near zero."""


@dataclass(frozen=True)
class ProbabilitiesToVA:
    """Linear map from expression probabilities to valence and arousal, fitted to what py-feat says of ten news clips.

    Attributes
    ----------
    weights : array, shape (7, 2)
        Classes in the official order, to valence and arousal.
    offset : array, shape (2,)
    held_out_ccc : tuple of float
        CCC of valence and of arousal with py-feat's own values, each clip predicted by the map of the other clips.
    """

    weights: np.ndarray
    offset: np.ndarray
    held_out_ccc: tuple

    @classmethod
    def fit(cls, realdata):
        """Fit it to the tables in ``frame_preds_pyfeat_news`` (ridge regression)."""
        table = predictions.read_pyfeat(Path(realdata) / "frame_preds_pyfeat_news")
        x, y = predictions.probabilities(table), table[["valence", "arousal"]].to_numpy()
        clips, guessed = table["trial"].to_numpy(str), np.empty_like(y)
        for clip in np.unique(clips):
            weights, offset = _ridge(x[clips != clip], y[clips != clip])
            guessed[clips == clip] = x[clips == clip] @ weights + offset
        return cls(*_ridge(x, y), tuple(metrics.ccc(y[:, k], guessed[:, k]) for k in (0, 1)))

    def __call__(self, probabilities):
        """Valence and arousal, (n, 2) in [-1, 1], of probabilities (n, 7) in the official order."""
        return np.clip(np.asarray(probabilities, np.float64) @ self.weights + self.offset, -1.0, 1.0)


def _ridge(x, y):
    centred = x - x.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + RIDGE * np.eye(x.shape[1]), centred.T @ (y - y.mean(axis=0)))
    return weights, y.mean(axis=0) - x.mean(axis=0) @ weights


def write_clips(realdata, root, to_va, labelled=CLIPS, unlabelled=UNLABELLED, validation=(), stride=1, progress=False):
    """Write clips as a dataset: ``videos``, ``cropped``, ``cropped_aligned``, ``annotations`` and the lists of test trials.

    Faces are found by YuNet and aligned as everywhere in the toolkit (`abaw_tf.media.faces.extract_faces`).

    Parameters
    ----------
    realdata : path-like
        Holds the clips, ``models/yunet`` and ``models/faceapi_expression``.
    root : path-like
        Folder of the dataset. What is there already is kept.
    to_va : ProbabilitiesToVA
        From the teacher's probabilities to its valence and arousal.
    labelled : sequence of str
        Clips below `realdata` that get the teacher's values as labels, on frames with a face.
    unlabelled : sequence of str
        Those that get none: the test trials. `RETURNS` is one more where its two parts are among them.
    validation : sequence of str
        Labelled trials of the validation split; the others are the training split.
    stride : int
        Detect on every `stride`-th frame only.
    progress : bool
        Show a progress bar per clip.

    Returns
    -------
    abaw_tf.data.AffWild2

    Raises
    ------
    FileNotFoundError
        A clip or a network is missing.
    """
    from abaw_tf.media.faces import YuNetDetector, extract_faces

    realdata, root, lengths = Path(realdata), Path(root), {}
    clips = (*labelled, *unlabelled)
    check_clips(realdata, clips)
    detector = YuNetDetector(realdata / "models/yunet/yunet_n_640_640.onnx")
    (root / "videos").mkdir(parents=True, exist_ok=True)
    for clip in clips:
        # Without its permissions: the original may be read-only, and the folder is written again.
        video = shutil.copyfile(realdata / clip, root / "videos" / Path(clip).name)
        found = extract_faces(video, root, detector=detector, stride=stride, progress=progress)
        lengths[Path(clip).stem] = len(found)
    tests = [Path(clip).stem for clip in unlabelled]
    if {LEAVES, APPEARS} <= set(tests):
        _join(root, lengths[LEAVES])
        tests.append(RETURNS)
    for name in ("expression_test_set.txt", "va_test_set.txt"):
        (root / name).write_text("".join(f"{trial}\n" for trial in tests), encoding="utf-8")
    _write_labels(realdata, root, to_va, {Path(clip).stem: lengths[Path(clip).stem] for clip in labelled}, validation)
    return AffWild2(root)


def _join(root, first_length):
    """The crops of one trial, and behind them those of the other, as a trial of its own."""
    for kind in ("cropped", "cropped_aligned"):
        folder = root / kind / RETURNS
        folder.mkdir(parents=True, exist_ok=True)
        for trial, offset in ((LEAVES, 0), (APPEARS, first_length)):
            for path in (root / kind / trial).glob("*.jpg"):
                shutil.copyfile(path, folder / f"{int(path.stem) + offset:05d}.jpg")


def _write_labels(realdata, root, to_va, lengths, validation):
    from abaw_tf.studies.faceapi import build_faceapi_expression, predict_faceapi

    network, dataset = build_faceapi_expression(realdata / "models/faceapi_expression"), AffWild2(root)
    for trial, n_frames in lengths.items():
        frames = dataset.image_frames(trial)
        probabilities = predict_faceapi(read_faces(dataset, trial, 112), network)
        expression = np.full(n_frames, labels.MISSING_EXPRESSION)
        expression[frames] = probabilities.argmax(axis=1)
        values = np.full((n_frames, 2), np.nan)
        values[frames] = to_va(probabilities)
        split = "Validation_Set" if trial in validation else "Train_Set"
        for task, write, content in (
            ("EXPR_Set", write_expression, expression),
            ("VA_Set", write_valence_arousal, values),
        ):
            path = root / "annotations" / task / split / f"{trial}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, content)


def read_faces(dataset, trial, size, every=1):
    """Aligned crops of a trial, every n-th of them, uint8 (n, size, size, 3)."""
    paths = [dataset.image_path(trial, frame) for frame in dataset.image_frames(trial)[::every]]
    return np.stack([read_image(path, (size, size)) for path in paths])


def write_tracks(realdata, dataset, folder) -> dict:
    """What mini-XCEPTION, with its published weights, makes of every aligned crop.

    Returns
    -------
    dict of str to FeatureStore
        ``features``: the 128 maps of the layer ``add_4``, averaged over the face, which is what the class maps are made of.
        ``probabilities``: its seven outputs in the official order.
    """
    from abaw_tf.backbones.checkpoints import locate
    from abaw_tf.backbones.fer_xception import build_mini_xception, preprocess

    network = build_mini_xception(weights=locate("fer2013_mini_xception", Path(realdata) / "models/oarriaga_fer"))
    into_official_order(network)
    layers, stores = {"features": "add_4", "probabilities": "predictions"}, {}
    for name, layer in layers.items():
        extractor = KerasExtractor(
            network, layer, preprocess, "fer_xception.preprocess", "grey", f"mini_xception_{layer}"
        )
        stores[name] = FeatureStore.open(extract(dataset, extractor, folder, dtype="float32", progress=False).folder)
    return stores


def into_official_order(network) -> None:
    """Reorder the class maps of an XCEPTION, so that its outputs come as Neutral, Anger, … instead of in FER-2013's order."""
    given = labels.class_order("fer2013")
    order = [given.index(name) for name in labels.EXPRESSIONS_7]
    maps = next(layer for layer in network.layers[::-1] if layer.weights)
    kernel, bias = maps.get_weights()
    maps.set_weights([kernel[..., order], bias[order]])
