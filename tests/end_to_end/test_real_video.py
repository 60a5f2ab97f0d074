"""Real videos to expressions: decode, find and align faces, lay out as Aff-Wild2, examine, extract, predict, compare two detectors."""

import shutil
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import pytest

from abaw_tf import evaluation, labels, predictions
from abaw_tf.backbones.fer_xception import build_mini_xception, predict_expression
from abaw_tf.data import AffWild2
from abaw_tf.data.doctor import examine
from abaw_tf.features.extract import extract
from abaw_tf.features.extractors import make_extractor
from abaw_tf.features.store import FeatureStore
from abaw_tf.media.faces import MtcnnDetector, YuNetDetector, extract_faces

# Frames that decode, and those that show a face (looked at by eye).
CLIPS = {
    "video_grid/bbaf2n.mpg": (75, range(75)),
    "video_pyfeat/face_noface.mov": (169, range(72)),
    "video_pyfeat/no_face.mp4": (95, range(0)),
}
GRID = ("id2_vcd_swwp2s", "lbax4n", "lbbc2a", "lrwp9a", "pwij3p", "sbia1a", "sbwe5n")
MORE_CLIPS = {
    **{f"video_grid/{name}.mpg": (75, range(75)) for name in GRID},
    "video_pyfeat/noface_face.mov": (169, range(96, 168)),
    "video_pyfeat/single_face.mp4": (72, range(72)),
    "video_pyfeat/WolfgangLanger_Pexels.mp4": (472, range(472)),
}
# Detection of every n-th frame, the rest interpolated: MTCNN manages five to ten frames a second on two cores.
FEW, MANY = 12, 3


@dataclass
class Work:
    """What one run of the chain has made."""

    clips: dict
    stride: int
    tables: dict  # [detector][trial] -> table of faces
    datasets: dict  # [detector] -> AffWild2
    predictions: dict  # [detector] -> prediction table, every frame


@pytest.fixture(scope="module")
def weights(realdata):
    """The weights registry looks where the published files are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABAW_TF_WEIGHTS", str(realdata / "models/oarriaga_fer"))
        yield


# The few clips walk the same path as all of them, which take MTCNN some minutes.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param("few clips", marks=pytest.mark.slow),
        pytest.param("all clips", marks=[pytest.mark.slow, pytest.mark.study]),
    ],
)
def work(request, realdata, tmp_path_factory, weights):
    few = request.param == "few clips"
    clips, stride = (CLIPS, FEW) if few else ({**CLIPS, **MORE_CLIPS}, MANY)
    detectors = {"mtcnn": MtcnnDetector(), "yunet": YuNetDetector(realdata / "models/yunet/yunet_n_640_640.onnx")}
    network = build_mini_xception(weights="fer2013_mini_xception")
    done = Work(clips, stride, {}, {}, {})
    for name, detector in detectors.items():
        root = tmp_path_factory.mktemp(name)
        done.tables[name] = {}
        for clip in clips:
            (root / "videos").mkdir(exist_ok=True)
            video = shutil.copy(realdata / clip, root / "videos")
            table = extract_faces(video, root, detector=detector, stride=stride, progress=False)
            done.tables[name][trial_of(clip)] = table
        (root / "expression_test_set.txt").write_text("".join(f"{trial_of(clip)}\n" for clip in clips))
        done.datasets[name] = AffWild2(root)
        done.predictions[name] = predict(done.datasets[name], network)
    return done


def trial_of(clip):
    return clip.split("/")[1].split(".")[0]


def crops(dataset, trial):
    frames = dataset.image_frames(trial)
    return frames, [cv2.imread(str(dataset.image_path(trial, frame)))[:, :, ::-1] for frame in frames]


def predict(dataset, network):
    """The network's prediction for every frame of every trial that has any face."""
    parts, lengths, times = [], {}, {}
    for row in dataset.trials("test").itertuples():
        frames, images = crops(dataset, row.trial)
        if len(frames):
            lengths[row.trial], times[row.trial] = row.n_frames, dataset.times(row.trial)
            values = predict_expression(images, network)
            time = times[row.trial][frames]
            parts.append(predictions.make_table(row.trial, frames, time, values, model="fer2013_mini_XCEPTION"))
    return predictions.fill_missing(predictions.concatenate(parts), lengths, times)


def with_face(work, name):
    """The predictions of frames in which both detectors have a face; nothing filled."""
    table = work.predictions[name]
    seen = {(t, f) for t, faces in work.tables["mtcnn"].items() for f in faces["frame"][faces["score"].notna()]}
    seen &= {(t, f) for t, faces in work.tables["yunet"].items() for f in faces["frame"][faces["score"].notna()]}
    keep = [(trial, frame) in seen for trial, frame in zip(table["trial"], table["frame"])]
    kept = table[keep].reset_index(drop=True)
    kept.attrs = table.attrs
    return kept


def test_faces_are_found_where_they_are(work):
    rows = []
    for name, tables in work.tables.items():
        for clip, (n, shown) in work.clips.items():
            table = tables[trial_of(clip)]
            assert len(table) == n
            found = set(table["frame"][table["score"].notna()])
            # A face that comes or goes between two searched frames is missed for less than a stride.
            assert len(found - set(shown)) <= 1 if not shown else found <= set(shown)
            if shown:
                assert len(found) >= 0.97 * len(shown) - work.stride
            rows.append(
                {"detector": name, "trial": trial_of(clip), "frames": n, "found": len(found), "shown": len(shown)}
            )
    report = pd.DataFrame(rows)
    report["rate"] = (report["found"] / report["shown"].where(report["shown"] > 0)).round(3)
    print("\nFrames with a face, of those that show one\n" + report.to_string(index=False))


def test_doctor_finds_no_error_in_what_was_written(work):
    for name, dataset in work.datasets.items():
        diagnosis = examine(dataset, images="all")
        assert not diagnosis.has_errors, diagnosis.format()
        table = diagnosis.table.set_index("trial")
        for clip, (n, _) in work.clips.items():
            row = table.loc[trial_of(clip)]
            found = work.tables[name][trial_of(clip)]["score"].notna()
            assert row["video_frames"] == n
            assert row["cropped"] == row["cropped_aligned"] == found.sum()
            if found.any():
                assert row["cropped_aligned_last"] == found.index[found][-1] + 1
    print("\n" + diagnosis.format())


def test_features_and_predictions_are_of_the_same_frames(work, tmp_path):
    """The extractor's probabilities, read back by frame number, are those of the direct prediction, with holes at the same places."""
    dataset = work.datasets["mtcnn"]
    extractor = make_extractor("fer_xception", layer="predictions")
    report = extract(dataset, extractor, tmp_path, dtype="float32", progress=False)
    assert not report.failed
    assert not report.unreadable
    direct = work.predictions["mtcnn"].set_index(["trial", "frame"])
    for clip, (n, _) in work.clips.items():
        trial = trial_of(clip)
        faces = work.tables["mtcnn"][trial]["score"].notna().to_numpy()
        track = FeatureStore.open(report.folder).read(trial)
        # An unlabelled trial is as long as its header says (as the challenge counted): frames that do not decode are missing.
        assert track.values.shape == (dataset.n_frames(trial), 7)
        assert len(faces) == n <= dataset.n_frames(trial)
        np.testing.assert_array_equal(np.flatnonzero(~np.asarray(track.missing)), np.flatnonzero(faces))
        if not faces.any():
            continue
        official = labels.map_probabilities(np.asarray(track.values)[np.flatnonzero(faces)], "fer2013", "affwild2")
        expected = direct.loc[trial].loc[np.flatnonzero(faces), [f"p_{name}" for name in labels.EXPRESSIONS_7]]
        np.testing.assert_allclose(official, expected, atol=1e-3)


def test_prediction_table_has_every_frame_and_real_times(work, tmp_path):
    table = work.predictions["mtcnn"]
    predictions.validate(table)
    for trial, part in table.groupby("trial"):
        faces = work.tables["mtcnn"][trial]
        assert list(part["frame"]) == list(range(work.datasets["mtcnn"].n_frames(trial)))
        np.testing.assert_allclose(part["time"][: len(faces)], faces["time"], atol=1e-9)
        assert (np.diff(part["time"]) > 0).all()
    read = predictions.read(predictions.write(table, tmp_path / "mini_xception.parquet"))
    pd.testing.assert_frame_equal(read, table)
    predictions.write_submission(table, tmp_path / "submission", "expression")
    lengths = table.groupby("trial").size().to_dict()
    assert not predictions.validate_submission(tmp_path / "submission", "expression", lengths=lengths)


def test_expressions_are_those_that_the_faces_show(work):
    """The man is serious, then grins; the speakers read a sentence without much expression; the woman cries, then laughs."""
    table = work.predictions["mtcnn"]
    names = np.array(labels.EXPRESSIONS_7)[table["expression"]]
    print("\nFrames per expression\n" + pd.crosstab(table["trial"], names).to_string())
    happy = table.set_index(["trial", "frame"])["p_Happiness"]
    assert happy["face_noface"].loc[:10].mean() < 0.3
    assert happy["face_noface"].loc[28:60].mean() > 0.8
    for clip in work.clips:
        if clip.startswith("video_grid"):
            assert (names[table["trial"] == trial_of(clip)] == "Neutral").mean() > 0.5
    if "WolfgangLanger_Pexels" in happy.index.get_level_values(0):
        assert happy["WolfgangLanger_Pexels"].loc[:120].mean() < 0.1
        assert happy["WolfgangLanger_Pexels"].loc[350:].mean() > 0.6


def test_predictions_agree_with_those_from_another_detectors_crops(work):
    first, second = with_face(work, "mtcnn"), with_face(work, "yunet")
    scores = evaluation.evaluate(first, second, bootstrap=200)
    print("\nMTCNN's crops scored against YuNet's\n" + scores.format())
    agreement = (first["expression"].to_numpy() == second["expression"].to_numpy()).mean()
    assert scores.scores["accuracy"] == pytest.approx(agreement)
    assert agreement > 0.9
    # Faces paired with another moment of the same clips agree much less in where the mass lies.
    gap = np.abs(predictions.probabilities(first) - predictions.probabilities(second)).sum(1).mean()
    shuffled = np.random.default_rng(0).permutation(len(first))
    other = np.abs(predictions.probabilities(first)[shuffled] - predictions.probabilities(second)).sum(1).mean()
    assert gap < 0.5 * other
