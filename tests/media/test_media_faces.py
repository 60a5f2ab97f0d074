"""Alignment against other solvers, following on made-up scenes, extraction from drawn and real videos."""

import itertools
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw_tf.media import faces, video
from abaw_tf.media.faces import ARCFACE_TEMPLATE, Face, FaceFollower, align, crop, extract_faces, similarity_transform

rng = np.random.default_rng(0)


def umeyama(source, target):
    """Umeyama, "Least-squares estimation of transformation parameters between two point patterns", TPAMI 1991, equations 40-43."""
    ms, mt = source.mean(0), target.mean(0)
    u, d, vt = np.linalg.svd((target - mt).T @ (source - ms) / len(source))
    s = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ s @ vt
    scale = np.trace(np.diag(d) @ s) / ((source - ms) ** 2).sum(1).mean()
    return np.column_stack([scale * rotation, mt - scale * rotation @ ms])


# Geometry


@pytest.mark.parametrize("seed", range(20))
def test_similarity_is_umeyamas(seed):
    random = np.random.default_rng(seed)
    source = random.normal(0, 30, (5, 2)) + 200
    target = ARCFACE_TEMPLATE + random.normal(0, 5, (5, 2))
    np.testing.assert_allclose(similarity_transform(source, target), umeyama(source, target), atol=1e-9)


@given(st.floats(0.05, 20), st.floats(-3.1, 3.1), st.floats(-500, 500), st.floats(-500, 500))
def test_a_known_similarity_is_found(scale, angle, dx, dy):
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    found = similarity_transform(ARCFACE_TEMPLATE, ARCFACE_TEMPLATE @ matrix.T + (dx, dy))
    np.testing.assert_allclose(found, np.column_stack([matrix, (dx, dy)]), atol=1e-6)


def test_mirrored_points_are_not_mirrored_back():
    """The best similarity without reflection turns a mirrored face rather than flipping it."""
    found = similarity_transform(ARCFACE_TEMPLATE * (-1, 1), ARCFACE_TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((4, 2)), r"Received: \(4, 2\) and \(5, 2\)"),
        (np.full((5, 2), 3.0), "coincide"),
        (np.full((5, 2), np.nan), "finite"),
    ],
)
def test_points_that_fix_nothing_are_refused(source, words):
    with pytest.raises(ValueError, match=words):
        similarity_transform(source, ARCFACE_TEMPLATE)


def dotted(points, shape, radius):
    """A black picture with one bright disc per point, and the coordinates of the discs' centres."""
    image = np.zeros((*shape, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), round(radius * 16), (255, 255, 255), -1, cv2.LINE_AA, 4)
    return image


def centres(image):
    n, _, _, found = cv2.connectedComponentsWithStats((image[:, :, 0] > 100).astype(np.uint8))
    return found[1:n][np.lexsort((found[1:n, 0], found[1:n, 1] // 8))]


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (2.2, 0.4), (0.8, -0.5), (6.0, 0.2)])
@pytest.mark.parametrize("size", [112, 224])
def test_landmarks_come_to_lie_on_the_template(scale, angle, size):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (ARCFACE_TEMPLATE - 56) @ turn.T + 500
    aligned = align(dotted(points, (1000, 1000), 3 * scale), points, size)
    assert aligned.shape == (size, size, 3)
    expected = (ARCFACE_TEMPLATE + 0.5) * size / 112 - 0.5
    order = np.lexsort((expected[:, 0], expected[:, 1] // 8))
    np.testing.assert_allclose(centres(aligned), expected[order], atol=0.35)


def test_aligning_an_aligned_face_changes_nothing():
    image = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align(image, ARCFACE_TEMPLATE), image)


def test_shrinking_averages_instead_of_skipping():
    """A fine checkerboard, shrunk eightfold, is grey; bilinear sampling alone would keep black and white."""
    board = np.where(np.indices((896, 896)).sum(0)[..., None] // 3 % 2, 255, 0).astype(np.uint8).repeat(3, axis=2)
    aligned = align(board, (ARCFACE_TEMPLATE + 0.5) * 8 - 0.5).astype(float)
    assert aligned.std() < 20


def test_outside_the_picture_is_black():
    aligned = align(np.full((50, 112, 3), 200, np.uint8), ARCFACE_TEMPLATE)
    assert (aligned[:50] == 200).all()
    assert (aligned[51:] == 0).all()


@pytest.mark.parametrize(
    ("box", "margin"),
    [((10, 20, 40, 50), 0), ((10, 20, 40, 50), 0.5), ((-15, -7, 30, 25), 0), ((50, 40, 90, 80), 0.25)],
)
def test_crop_pads_with_zeros(box, margin):
    image = rng.integers(1, 256, (64, 80, 3), dtype=np.uint8)
    wide = np.pad(image, ((100, 100), (100, 100), (0, 0)))
    left, top, right, bottom = box
    dx, dy = margin * (right - left), margin * (bottom - top)
    x0, x1, y0, y1 = (round(v) + 100 for v in (left - dx, right + dx, top - dy, bottom + dy))
    np.testing.assert_array_equal(crop(image, box, margin), wide[y0:y1, x0:x1])


def test_crop_wholly_outside_is_black():
    assert not crop(np.full((20, 20, 3), 9, np.uint8), (100, 100, 110, 105)).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda image: crop(image, (5, 5, 5, 9)), r"right > left.*\(5, 5, 5, 9\)"),
        (lambda image: crop(image, (0, 0, np.nan, 9)), "box must be"),
        (lambda image: crop(image, (0, 0, 9, 9), -0.1), "margin.*-0.1"),
        (lambda image: crop(image.astype(float), (0, 0, 9, 9)), "Received: float64"),
        (lambda image: align(image[:, :, 0], ARCFACE_TEMPLATE), r"image must be uint8.*\(20, 20\)"),
        (lambda image: align(image, ARCFACE_TEMPLATE[:3]), r"five landmarks.*\(3, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.zeros((20, 20, 3), np.uint8))


# Following


def face_at(x, y=100.0, size=40.0, score=0.9):
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2])
    return Face(box, score, box[:2] + ARCFACE_TEMPLATE / 112 * size)


def test_the_largest_is_followed_even_when_another_grows():
    follow = FaceFollower()
    chosen = [follow([face_at(60 + 5 * i, size=50), face_at(300, size=30 + 5 * i)], i / 25, 400) for i in range(20)]
    assert [face.box.mean() for face in chosen] == [face_at(60 + 5 * i, size=50).box.mean() for i in range(20)]
    assert follow.track == 0


def test_absence_shorter_and_longer_than_the_limit():
    follow = FaceFollower(restart_after=1.0)
    first, other = face_at(60), face_at(300)
    assert follow([first], 0.0, 400) is first
    assert follow([other], 0.5, 400) is None
    assert follow([other, first], 0.9, 400) is first
    assert follow([other], 1.9, 400) is None
    assert follow([other], 1.95, 400) is other
    assert follow.track == 1


def test_a_quick_move_is_followed_but_not_a_jump_to_another_size():
    follow = FaceFollower()
    follow([face_at(100, size=40)], 0.0, 400)
    moved = face_at(128, size=40)
    assert follow([moved], 0.04, 400) is moved
    assert follow([face_at(128, y=118, size=12)], 0.08, 400) is None


def test_the_search_widens_with_absence():
    for absence, found in ((0.04, False), (0.6, True)):
        follow = FaceFollower()
        follow([face_at(100, size=40)], 0.0, 400)
        assert (follow([face_at(145, size=40)], absence, 400) is not None) == found
        assert follow.track == 0


def test_left_and_right_of_two_people():
    pair = [face_at(300, size=30), face_at(60, size=50), face_at(200, size=10)]
    assert FaceFollower("left")(pair, 0.0, 400) is pair[1]
    assert FaceFollower("right")(pair, 0.0, 400) is pair[0]
    alone = [face_at(60)]
    assert FaceFollower("left")(alone, 0.0, 400) is alone[0]
    assert FaceFollower("right")(alone, 0.0, 400) is None
    with pytest.raises(ValueError, match=r"largest, left, right.*'middle'"):
        FaceFollower("middle")


# Extraction from a drawn video


class SquareDetector:
    """Finds the bright squares of the drawn video; can be told to fail after a number of calls."""

    def __init__(self, fail_after=None, name="squares"):
        self.calls, self.fail_after, self.name = 0, fail_after, name

    def __call__(self, image):
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise KeyboardInterrupt
        n, _, stats, _ = cv2.connectedComponentsWithStats((image.min(2) > 150).astype(np.uint8))
        boxes = [np.array([x, y, x + w, y + h], float) for x, y, w, h, area in stats[1:n] if area > 50]
        return [Face(box, 0.95, box[:2] + ARCFACE_TEMPLATE / 112 * (box[2:] - box[:2])) for box in boxes]

    def config(self):
        return {"name": self.name}


def square_scene(frame):
    """A square that goes right by 2 pixels a frame and is away in frames 10-14; a smaller one that is always there."""
    image = np.full((96, 192, 3), 30, np.uint8)
    if not 10 <= frame < 15:
        image[40:70, 20 + 2 * frame : 50 + 2 * frame] = 220
    image[10:26, 170:186] = 220
    return image


PRESENT = [i for i in range(31) if not 10 <= i < 15]


@pytest.fixture(scope="module")
def square_video(tmp_path_factory):
    path = tmp_path_factory.mktemp("squares") / "walk.mp4"
    return video.write_video(path, [square_scene(i) for i in range(31)], fps=25, crf=5)


def numbers(root, trial, kind="cropped_aligned"):
    return sorted(int(path.stem) for path in (root / kind / trial).iterdir() if path.suffix == ".jpg")


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_layout_holes_and_table(tmp_path, square_video):
    table = extract_faces(square_video, tmp_path, detector=SquareDetector(), margin=0.0, progress=False)
    for kind in ("cropped", "cropped_aligned"):
        assert numbers(tmp_path, "walk", kind) == [i + 1 for i in PRESENT]
    assert list(table["frame"]) == list(range(31))
    np.testing.assert_allclose(table["time"], video.frame_times(square_video))
    assert list(table.index[table["score"].notna()]) == PRESENT
    np.testing.assert_allclose(table["left"][PRESENT], [20 + 2 * i for i in PRESENT], atol=1)
    assert set(table["track"][PRESENT]) == {0}
    assert (table["track"].drop(PRESENT) == -1).all()
    image = cv2.imread(str(tmp_path / "cropped/walk/00004.jpg"))
    assert image.shape[:2] == pytest.approx((30, 30), abs=2)
    assert image.mean() > 180
    assert cv2.imread(str(tmp_path / "cropped_aligned/walk/00004.jpg")).shape == (112, 112, 3)
    assert not list(tmp_path.rglob("*.partial*"))


def test_after_a_long_absence_another_is_followed(tmp_path, square_video):
    table = extract_faces(square_video, tmp_path, detector=SquareDetector(), restart_after=0.1, progress=False)
    assert list(table["track"][:10]) == [0] * 10
    # 0.1 s after frame 9 is frame 11.5: holes in frames 10 and 11, then the small square.
    assert list(table["track"][10:12]) == [-1, -1]
    assert list(table["track"][12:]) == [1] * 19
    np.testing.assert_allclose(table["left"][12:], 170, atol=1)


def test_two_trials_of_one_video(tmp_path, square_video):
    for person in ("left", "right"):
        extract_faces(square_video, tmp_path, detector=SquareDetector(), person=person, progress=False)
    assert numbers(tmp_path, "walk_left") == [i + 1 for i in PRESENT]
    assert numbers(tmp_path, "walk_right") == list(range(1, 32))


@pytest.mark.parametrize("stride", [2, 4, 7])
def test_stride_interpolates_and_never_invents(tmp_path, square_video, stride):
    detector = SquareDetector()
    table = extract_faces(square_video, tmp_path, detector=detector, stride=stride, progress=False)
    detected = sorted({*range(0, 31, stride), 30})
    assert detector.calls == len(detected)
    found = [i for i in detected if i in PRESENT]
    assert list(table.index[table["detected"] & table["score"].notna()]) == found
    both = [i for a, b in itertools.pairwise(detected) if a in PRESENT and b in PRESENT for i in range(a, b + 1)]
    expected = sorted({*both, *found})
    assert list(table.index[table["score"].notna()]) == expected
    np.testing.assert_allclose(table["left"][expected], [20 + 2 * i for i in expected], atol=1)
    np.testing.assert_allclose(table["x_2"][expected], [20 + 2 * i + 15 for i in expected], atol=1.1)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("killed_after", [0, 1, 4])
def test_an_interrupted_extraction_goes_on_to_the_same_result(tmp_path, square_video, stride, killed_after):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    arguments = {"stride": stride, "restart_after": 0.1, "progress": False}
    expected = extract_faces(square_video, whole, detector=SquareDetector(), **arguments)
    calls = 0
    for _ in range(2):
        detector = SquareDetector(fail_after=killed_after)
        with pytest.raises(KeyboardInterrupt):
            extract_faces(square_video, parts, detector=detector, **arguments)
        assert not (parts / "faces/walk.csv").exists()
        calls += killed_after
    journal = next((parts / "faces").glob(".walk*"))
    with open(journal, "a") as file:
        file.write("17,0.6")  # a row that was being written
    detector = SquareDetector()
    table = extract_faces(square_video, parts, detector=detector, **arguments)
    pd.testing.assert_frame_equal(table, expected)
    assert contents(parts) == contents(whole)
    assert detector.calls + calls == len({*range(0, 31, stride), 30})
    # And what is finished is not done again.
    again = SquareDetector(fail_after=0)
    pd.testing.assert_frame_equal(extract_faces(square_video, parts, detector=again, **arguments), expected)


def test_other_settings_and_foreign_images_are_not_mixed(tmp_path, square_video):
    extract_faces(square_video, tmp_path, detector=SquareDetector(), progress=False)
    with pytest.raises(
        ValueError, match=r"walk\.json.*detector=.*overwrite=True.*Received: detector=\{'name': 'other'\}"
    ):
        extract_faces(square_video, tmp_path, detector=SquareDetector(name="other"), progress=False)
    with pytest.raises(ValueError, match=r"stride=1.*Received: stride=3"):
        extract_faces(square_video, tmp_path, detector=SquareDetector(), stride=3, progress=False)
    before = contents(tmp_path)
    table = extract_faces(square_video, tmp_path, detector=SquareDetector(name="other"), overwrite=True, progress=False)
    assert table["score"].notna().sum() == len(PRESENT)
    assert {k for k, v in contents(tmp_path).items() if v != before[k]} == {"faces/walk.json"}
    foreign = tmp_path / "cropped/official"
    foreign.mkdir()
    (foreign / "00001.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"official holds images that extract_faces did not write"):
        extract_faces(square_video, tmp_path, trial="official", detector=SquareDetector(), progress=False)
    assert (foreign / "00001.jpg").exists()


def test_the_file_number_is_the_frame_shown(tmp_path, realdata, drawn_number):
    """A 'face' that is the whole picture: 00001.jpg shows 0, in containers whose headers announce too many frames too."""

    class Everything(SquareDetector):
        def __call__(self, image):
            box = np.array([0, 0, image.shape[1], image.shape[0]], float)
            return [Face(box, 1.0, ARCFACE_TEMPLATE)]

    for name in ("format_FLV_H264_AAC", "format_MKV_VP8_VORBIS"):
        path = realdata / "video_framecount" / f"{name}.video"
        extract_faces(path, tmp_path, detector=Everything(), margin=0.0, size=16, progress=False)
        files = sorted((tmp_path / "cropped" / name).iterdir())
        assert [file.name for file in files] == [f"{number:05d}.jpg" for number in range(1, 181)]
        for file in files[::13]:
            assert drawn_number(cv2.imread(str(file))[:, :, ::-1]) == int(file.stem) - 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"detector": None}, "needs a detector"),
        ({"stride": 0}, "stride must be.*Received: 0"),
        ({"size": 4}, "size must be.*Received: 4"),
        ({"quality": 101}, "quality must be.*Received: 101"),
        ({"trial": "../x"}, "plain name"),
        ({"trial": ""}, "plain name"),
        ({"person": "both"}, "person must be"),
        ({"restart_after": -1}, "restart_after"),
    ],
)
def test_wrong_arguments_leave_nothing(tmp_path, square_video, arguments, words):
    with pytest.raises(ValueError, match=words):
        extract_faces(square_video, tmp_path / "out", **{"detector": SquareDetector(), "progress": False, **arguments})
    assert not (tmp_path / "out").exists()


def test_a_cut_video_gives_its_faces_and_says_so(tmp_path, realdata):
    whole = (realdata / "video_framecount/format_FLV_H264_AAC.video").read_bytes()
    cut = tmp_path / "cut.flv"
    cut.write_bytes(whole[: len(whole) // 4])
    with pytest.warns(video.MediaWarning, match=r"cut\.flv: .*its end is missing"):
        table = extract_faces(cut, tmp_path / "out", detector=SquareDetector(), progress=False)
    assert 20 < len(table) < 60
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4"):
        extract_faces(tmp_path / "nowhere.mp4", tmp_path / "out", detector=SquareDetector())


def test_importing_faces_loads_no_tensorflow():
    code = "import sys; import abaw_tf.media.faces, abaw_tf.media.audio; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Real faces


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
def test_mtcnn_on_every_frame(tmp_path, realdata, mtcnn, name, first, last):
    table = extract_faces(realdata / "video_pyfeat" / name, tmp_path, detector=mtcnn, progress=False)
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
            realdata / "video_pyfeat/WolfgangLanger_Pexels.mp4", tmp_path, detector=mtcnn, stride=4, progress=False
        )
    assert len(table) == 472
    assert table["score"].notna().mean() > 0.9
    assert table["track"].max() == 0
