"""What published expression networks see in real face videos: from clips to one prediction table per network."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from abaw_tf import predictions
from abaw_tf.studies.material import check_clips

CLIPS = (
    *(f"video_grid/{name}.mpg" for name in ("bbaf2n", "id2_vcd_swwp2s", "lbax4n", "lbbc2a", "lrwp9a", "pwij3p", "sbia1a", "sbwe5n")),
    *(f"video_pyfeat/{name}" for name in ("single_face.mp4", "WolfgangLanger_Pexels.mp4")),
)  # fmt: skip
"""Clips that show a face. ``video_derived`` repeats those of ``video_grid``; ``face_noface.mov`` and ``noface_face.mov`` are
``single_face.mp4`` with empty frames after or before it; ``no_face.mp4`` shows nobody: they would count the same frames again, or none."""

NETWORKS = ("mini-XCEPTION", "big-XCEPTION", "face-api")


def predict_networks(realdata, clips=CLIPS, stride=1, progress=False) -> dict:
    """Predict the faces of the clips with three published networks.

    Faces are found by YuNet and aligned as everywhere in the toolkit (`abaw_tf.media.faces.extract_faces`); all networks get the same
    crops.

    Parameters
    ----------
    realdata : path-like
        Holds ``models/oarriaga_fer``, ``models/faceapi_expression``, ``models/yunet`` and the clips.
    clips : sequence of str
        Videos below `realdata`.
    stride : int
        Detect on every `stride`-th frame only.
    progress : bool
        Show a progress bar per clip.

    Returns
    -------
    dict of str to pandas.DataFrame
        Prediction tables by network, in the order of `NETWORKS`; a row per frame that shows a face.

    Raises
    ------
    FileNotFoundError
        A clip or a network is missing.
    """
    realdata = Path(realdata)
    check_clips(realdata, clips)
    from abaw_tf.data import AffWild2
    from abaw_tf.media.faces import YuNetDetector, extract_faces

    detector = YuNetDetector(realdata / "models/yunet/yunet_n_640_640.onnx")
    networks = _networks(realdata / "models")
    parts = {name: [] for name in networks}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "videos").mkdir()
        for clip in clips:
            video = shutil.copy(realdata / clip, root / "videos")
            extract_faces(video, root, detector=detector, stride=stride, progress=progress)
        trials = [Path(clip).stem for clip in clips]
        (root / "expression_test_set.txt").write_text("".join(f"{trial}\n" for trial in trials))
        dataset = AffWild2(root)
        for trial in trials:
            frames, images = _crops(dataset, trial)
            if not len(frames):
                continue
            time = dataset.times(trial)[frames]
            for name, predict in networks.items():
                parts[name].append(predictions.make_table(trial, frames, time, predict(images), model=name))
    return {name: predictions.concatenate(tables) for name, tables in parts.items()}


def _networks(models) -> dict:
    """Functions from face crops to probabilities, by name."""
    from abaw_tf.backbones.checkpoints import locate
    from abaw_tf.backbones.fer_xception import build_big_xception, build_mini_xception, predict_expression
    from abaw_tf.studies.faceapi import build_faceapi_expression, predict_faceapi

    mini = build_mini_xception(weights=locate("fer2013_mini_xception", models / "oarriaga_fer"))
    big = build_big_xception(weights=locate("fer2013_big_xception", models / "oarriaga_fer"))
    small = build_faceapi_expression(models / "faceapi_expression")
    predict = (
        lambda images: predict_expression(images, mini),
        lambda images: predict_expression(images, big),
        lambda images: predict_faceapi(images, small),
    )
    return dict(zip(NETWORKS, predict))


def _crops(dataset, trial):
    """Frames with a face, and their aligned crops (RGB uint8)."""
    import cv2

    frames = np.asarray(dataset.image_frames(trial))
    return frames, [cv2.imread(str(dataset.image_path(trial, frame)))[:, :, ::-1] for frame in frames]
