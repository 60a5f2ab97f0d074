"""The two detectors on real faces, and what is extracted from real videos with them."""

import warnings

import cv2
import numpy as np
import pytest

from abaw_tf.media import faces
from abaw_tf.media.faces import ARCFACE_TEMPLATE, extract_faces

rng = np.random.default_rng(0)


def numbers(root, trial, kind="cropped_aligned"):
    return sorted(int(path.stem) for path in (root / kind / trial).iterdir() if path.suffix == ".jpg")


@pytest.fixture(scope="module")
def mtcnn():
    return faces.MtcnnDetector()


@pytest.fixture
def yunet(realdata):
    return faces.YuNetDetector(realdata / "models/yunet/yunet_n_640_640.onnx")


@pytest.fixture
def group_picture(realdata):
    return cv2.imread(str(realdata / "video_pyfeat/multi_face.jpg"))[:, :, ::-1]


def by_place(found):
    return sorted(found, key=lambda face: face.box[0])


def test_two_detectors_agree_on_a_group(group_picture, mtcnn, yunet):
    first, second = by_place(mtcnn(group_picture)), by_place(yunet(group_picture))
    assert len(first) == len(second) == 5
    for a, b in zip(first, second):
        side = np.sqrt(np.prod(a.box[2:] - a.box[:2]))
        assert np.hypot(*(a.landmarks - b.landmarks).T).max() < 0.15 * side
        left_eye, right_eye, nose, left_mouth, right_mouth = a.landmarks
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]


def test_shrinking_for_detection_keeps_the_pictures_coordinates(group_picture, yunet):
    small = faces.YuNetDetector(yunet.model_path, max_size=400)
    wide = np.concatenate([np.zeros((667, 800, 3), np.uint8), group_picture], axis=1)
    expected = np.array([face.landmarks for face in by_place(yunet(group_picture))])
    for found, offset in ((small(group_picture), (0, 0)), (yunet(wide), (800, 0))):
        miss = np.array([face.landmarks for face in by_place(found)]) - offset - expected
        # Single landmarks move by up to a seventh of a face from one size to another; all together do not.
        assert np.abs(miss.mean(axis=(0, 1))).max() < 2.5
        assert np.abs(miss).max() < 16


def test_no_face_is_an_empty_list(mtcnn, yunet):
    for image in (np.zeros((288, 360, 3), np.uint8), rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)):
        assert mtcnn(image) == []
        assert yunet(image) == []


def test_confidence_threshold(group_picture, mtcnn):
    strict = faces.MtcnnDetector(min_confidence=1.0)
    assert len(strict(group_picture)) < len(mtcnn(group_picture))


def test_detectors_refuse_what_they_cannot_use(tmp_path, yunet, mtcnn):
    with pytest.raises(FileNotFoundError, match=r"yunet\.onnx: no such network; put yunet_n_640_640"):
        faces.YuNetDetector(tmp_path / "yunet.onnx")
    (tmp_path / "yunet.onnx").write_bytes(b"not a network")
    with pytest.raises(ValueError, match="not a YuNet network"):
        faces.YuNetDetector(tmp_path / "yunet.onnx")
    for detector in (yunet, mtcnn):
        for image in (np.zeros((100, 100), np.uint8), np.zeros((100, 100, 3)), np.zeros((10, 100, 3), np.uint8)):
            with pytest.raises(ValueError, match="picture must be uint8 RGB"):
                detector(image)
    with pytest.raises(ValueError, match=r"min_confidence.*Received: 1\.5"):
        faces.MtcnnDetector(min_confidence=1.5)
    with pytest.raises(ValueError, match=r"max_size.*Received: 10"):
        faces.YuNetDetector(yunet.model_path, max_size=10)


@pytest.mark.parametrize(("name", "first", "last"), [("face_noface.mov", 0, 71), ("noface_face.mov", 96, 167)])
def test_a_face_that_vanishes_or_appears(tmp_path, realdata, yunet, name, first, last):
    """Every sixth frame is searched, the rest interpolated: the holes are where the face is away."""
    table = extract_faces(realdata / "video_pyfeat" / name, tmp_path, detector=yunet, stride=6, progress=False)
    seen = table["frame"][table["score"].notna()]
    assert len(table) == 169
    # Between a frame with and one without a face, none is made up.
    assert 0 <= seen.min() - first < 6
    assert 0 <= last - seen.max() < 6
    assert len(seen) == seen.max() - seen.min() + 1
    assert numbers(tmp_path, name[:-4]) == list(seen + 1)


def test_no_face_at_all(tmp_path, realdata, yunet):
    table = extract_faces(realdata / "video_pyfeat/no_face.mp4", tmp_path, detector=yunet, stride=4, progress=False)
    assert len(table) == 95
    assert table["score"].isna().all()
    assert numbers(tmp_path, "no_face") == []


def test_aligned_real_faces_have_their_landmarks_on_the_template(tmp_path, realdata, yunet):
    """Detected again in the aligned crops, the landmarks lie on the template."""
    table = extract_faces(
        realdata / "video_grid/bbaf2n.mpg", tmp_path, detector=yunet, stride=10, size=224, progress=False
    )
    assert table["score"].notna().all()
    misses = []
    for path in sorted((tmp_path / "cropped_aligned/bbaf2n").glob("*.jpg"))[::15]:
        canvas = cv2.copyMakeBorder(cv2.imread(str(path))[:, :, ::-1], 60, 60, 60, 60, cv2.BORDER_CONSTANT)
        (face,) = yunet(canvas)
        misses.append((face.landmarks - 60 + 0.5) / 2 - 0.5 - ARCFACE_TEMPLATE)
    assert np.abs(np.mean(misses, axis=0)).max() < 5
    assert np.hypot(*np.concatenate(misses).T).mean() < 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first", "last"), [("face_noface.mov", 0, 71), ("noface_face.mov", 96, 167), ("no_face.mp4", None, None)]
)
def test_mtcnn_on_every_third_frame(tmp_path, realdata, mtcnn, name, first, last):
    table = extract_faces(realdata / "video_pyfeat" / name, tmp_path, detector=mtcnn, stride=3, progress=False)
    seen = table["frame"][table["score"].notna()]
    if first is None:
        # Once the cartoon's title, blurred, passes for a face: scored 0.902.
        assert len(seen) <= 1
        assert not (table["score"] > 0.95).any()
    else:
        assert abs(seen.min() - first) <= 2
        assert abs(seen.max() - last) <= 2
        assert len(seen) >= 0.95 * (last - first + 1)


@pytest.mark.slow
def test_a_hand_over_the_face(tmp_path, realdata, mtcnn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = extract_faces(
            realdata / "video_pyfeat/WolfgangLanger_Pexels.mp4", tmp_path, detector=mtcnn, stride=12, progress=False
        )
    assert len(table) == 472
    assert table["score"].notna().mean() > 0.9
    assert table["track"].max() == 0
