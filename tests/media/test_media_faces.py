"""Following on made-up scenes, and extraction from drawn videos."""

import itertools
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from abaw_tf.media import video
from abaw_tf.media.faces import ARCFACE_TEMPLATE, Face, FaceFollower, extract_faces

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
    assert not list(tmp_path.rglob("*.partial*")) + list(tmp_path.rglob("*.part.*"))


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
