"""OpenFace's CSV: columns by name, other versions refused with a reason, failures masked, the right person among several."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from abaw_tf.data.synthetic.sidecars import openface_columns
from abaw_tf.media.errors import MediaError
from abaw_tf.media.openface import (
    COLUMNS,
    FEATURES,
    META,
    choose_rows,
    landmark_boxes,
    person_features,
    read_openface,
)

# The outline of a face in units of its size: 68 points that fill their box to the edges.
SHAPE = np.random.default_rng(5).uniform(0, 1, (68, 2))
SHAPE[:2] = (0, 0), (1, 1)


def make_table(frames, boxes=None, face_ids=0, seed=0, fps=25.0):
    """A table as `read_openface` returns it, with random features and the landmarks of the given boxes."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(np.round(rng.normal(0, 5, (len(frames), 714)), 3), columns=openface_columns())
    table["frame"], table["face_id"], table["success"] = frames, face_ids, 1
    table["timestamp"] = (table["frame"] - 1) / fps
    if boxes is not None:
        boxes = np.asarray(boxes, float)
        points = boxes[:, None, :2] + SHAPE * (boxes[:, None, 2:] - boxes[:, None, :2])
        for axis, name in enumerate("xy"):
            table[[f"{name}_{i}" for i in range(68)]] = np.round(points[..., axis], 1)
    return table.astype({"frame": np.int64, "face_id": np.int64, "success": bool})


def write(path, table, **options):
    table.astype({"success": int}).to_csv(path, index=False, **options)
    return path


# -- reading ----------------------------------------------------------------------------------------------------------------


def test_the_columns():
    """5 meta + 8 gaze + 280 eye landmarks + 6 pose + 340 landmarks + 40 shape + 17 intensities + 18 presences."""
    assert list(COLUMNS) == openface_columns()
    assert len(COLUMNS) == 5 + 8 + 56 * 5 + 6 + 68 * 5 + 40 + 17 + 18 == 714
    assert len(FEATURES) == 709
    assert META == ("frame", "face_id", "timestamp", "confidence", "success")


def test_values_come_back(tmp_path):
    table = make_table([1, 2, 4])
    read = read_openface(write(tmp_path / "a.csv", table))
    assert list(read.columns) == list(COLUMNS)
    assert [str(read[name].dtype) for name in META] == ["int64", "int64", "float64", "float64", "bool"]
    pd.testing.assert_frame_equal(read, table)


@pytest.mark.parametrize("variant", ["blanks after commas", "another order", "a further column", "bom", "windows"])
def test_columns_are_found_by_name(tmp_path, variant):
    table, path = make_table([1, 2, 3]), tmp_path / "a.csv"
    order = list(reversed(COLUMNS)) if variant == "another order" else list(COLUMNS)
    options = {"lineterminator": "\r\n"} if variant == "windows" else {}
    extra = {"session": 7} if variant == "a further column" else {}
    write(path, table[order].copy().assign(**extra), encoding="utf-8-sig" if variant == "bom" else "utf-8", **options)
    if variant == "blanks after commas":
        path.write_text(path.read_text().replace(",", ", "))
    pd.testing.assert_frame_equal(read_openface(path), table)


OLD = [name for name in COLUMNS if name != "face_id" and "eye_lmk" not in name and "gaze_angle" not in name]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            OLD,
            r"an OpenFace before 2\.0, which has neither face numbers nor eye landmarks.*Columns missing: 283 of 714",
        ),
        (
            [name for name in COLUMNS if not name.startswith("AU")],
            r"part of OpenFace's outputs.*35 of 714 \(AU01_r, AU02_r",
        ),
        ([name for name in COLUMNS if name != "p_33"], r"part of OpenFace's outputs.*1 of 714 \(p_33"),
        (["face", "confidence", *FEATURES], "FaceLandmarkImg, which knows no frames"),
        (["valence", "arousal"], "not a CSV file of OpenFace.*Received: 2 columns"),
        ([""], "not a CSV file of OpenFace"),
        ([*COLUMNS, "x_5"], "columns are there twice.*Received: x_5"),
    ],
)
def test_other_files_say_what_they_are(tmp_path, names, message):
    path = tmp_path / "a.csv"
    path.write_text(",".join(names) + "\n")
    with pytest.raises(MediaError, match=message) as error:
        read_openface(path)
    assert str(error.value).startswith(str(path))
    assert "FeatureExtraction" in str(error.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.csv: no such file; run FeatureExtraction"):
        read_openface(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    with pytest.raises(MediaError, match=r"not a text file.*Received"):
        read_openface(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("AU12_r", "zero", "line 3, column AU12_r: not a number.*Received: 'zero'"),
        ("AU12_r", "", "line 3, column AU12_r: not a number"),
        ("frame", "0", r"line 3: frame must be a whole number, counted from 1.*Received: 0"),
        ("frame", "1.5", r"line 3: frame must be .*Received: 1\.5"),
        ("frame", "nan", "line 3: frame must be .*Received: nan"),
        ("face_id", "-1", "line 3: face_id must be .*0 or more"),
        ("success", "2", "line 3: success must be .*0 or 1"),
        ("frame", "1", "line 3: this frame has a row of this face already.*Received: frame 1, face_id 0"),
    ],
)
def test_damaged_rows_are_named(tmp_path, column, value, message):
    table = make_table([1, 2, 3]).astype({"success": int}).astype(object)
    table.loc[1, column] = value
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(MediaError, match=message):
        read_openface(tmp_path / "a.csv")


@pytest.mark.parametrize("cut", [10, 2000])
def test_a_file_that_ends_early(tmp_path, cut):
    path = write(tmp_path / "a.csv", make_table([1, 2, 3]))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(
        MediaError, match=r"a\.csv, line 4: not as long as the header \(714 values\).*Received: \d+ values"
    ):
        read_openface(path)


def test_values_that_are_none_make_a_row_a_failure(tmp_path):
    """What C++ writes for them, by compiler."""
    table = make_table(range(1, 8)).astype({"success": int}).astype(object)
    for row, text in enumerate(["nan", "-nan", "-nan(ind)", "nan(ind)", "-1.#IND", "inf"]):
        table.loc[row, "gaze_angle_x"] = text
    table.to_csv(tmp_path / "a.csv", index=False)
    rows = choose_rows(read_openface(tmp_path / "a.csv"), 7)
    assert rows.tolist() == [-1] * 6 + [6]


def test_a_file_without_faces(tmp_path):
    table = read_openface(write(tmp_path / "a.csv", make_table([])))
    values, missing = person_features(table, choose_rows(table, 4))
    assert values.shape == (4, 709)
    assert missing.all()


# -- frames -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drop_meta", [True, False])
def test_rows_go_to_their_frames(drop_meta):
    """Missing rows, failures, another order of rows, rows after the end: the others stay where they are."""
    table = make_table([9, 1, 2, 4, 5, 12])
    table.loc[2, "success"] = False
    values, missing = person_features(table, choose_rows(table, 10), drop_meta)
    assert values.dtype == np.float32
    assert values.shape == (10, 709 if drop_meta else 714)
    assert np.flatnonzero(~missing).tolist() == [0, 3, 4, 8]
    for frame, row in ((0, 1), (3, 3), (4, 4), (8, 0)):
        expected = table.iloc[row][list(FEATURES if drop_meta else COLUMNS)].to_numpy(np.float32)
        np.testing.assert_array_equal(values[frame], expected)
    assert not values[missing].any()


# -- several people -----------------------------------------------------------------------------------------------------------


def overlap(a, b):
    """Intersection over union by counting pixels."""
    grid = [
        {(x, y) for x in range(round(box[0]), round(box[2])) for y in range(round(box[1]), round(box[3]))}
        for box in (a, b)
    ]
    return len(grid[0] & grid[1]) / len(grid[0] | grid[1])


def two_people(n=60, seed=0):
    """Boxes (2, n, 4) of two people who trade sides, and a table in which the face number changes hands at every frame."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 240, n)
    left = np.stack([40 + x, np.full(n, 60.0), 100 + x, np.full(n, 130.0)], axis=1)
    right = np.stack([290 - x, np.full(n, 150.0), 360 - x, np.full(n, 230.0)], axis=1)
    boxes = np.stack([left, right]) + np.tile(rng.integers(-3, 4, (2, n, 2)), 2)
    frames = np.repeat(np.arange(1, n + 1), 2)
    order = rng.permuted(np.tile([0, 1], (n, 1)), axis=1)
    rows = boxes[order.ravel(), frames - 1]
    return boxes, make_table(frames, rows, np.tile([0, 1], n)), order.ravel()


@pytest.mark.parametrize("person", [0, 1])
def test_the_person_whose_box_overlaps(person):
    """Face numbers say nothing: the known boxes, those of another detector, do."""
    boxes, table, order = two_people()
    known = boxes[person] + np.random.default_rng(1).normal(0, 4, boxes[person].shape)
    known[10:14] = np.nan
    rows = choose_rows(table, 60, known)
    assert rows[10:14].tolist() == [-1] * 4
    found = np.delete(np.arange(60), np.s_[10:14])
    assert (order[rows[found]] == person).all()
    assert (table["frame"].to_numpy()[rows[found]] == found + 1).all()


def test_the_best_overlap_is_taken_and_a_poor_one_refused():
    rng = np.random.default_rng(3)
    corner = rng.integers(0, 40, (300, 2))
    boxes = np.concatenate([corner, corner + rng.integers(15, 40, (300, 2))], axis=1).astype(float)
    table = make_table(np.repeat(np.arange(1, 101), 3), boxes, np.tile([0, 1, 2], 100))
    np.testing.assert_allclose(landmark_boxes(table), boxes, atol=0.05)
    known = boxes[rng.permutation(300)[:100]]
    expected = []
    for frame in range(100):
        overlaps = [overlap(known[frame], box) for box in boxes[3 * frame : 3 * frame + 3]]
        expected.append(3 * frame + int(np.argmax(overlaps)) if max(overlaps) >= 0.3 else -1)
    assert -1 in expected
    assert choose_rows(table, 100, known).tolist() == expected


@pytest.mark.parametrize(("side", "person"), [("left", 0), ("right", 1)])
def test_left_and_right_are_those_of_the_first_frame(side, person):
    """Followed by overlap from then on, though the two trade places and numbers."""
    _, table, order = two_people()
    rows = choose_rows(table, 60, person=side, width=400)
    assert (order[rows] == person).all()


def test_a_single_face_belongs_to_the_side_where_it_is():
    """As FeatureExtraction writes it when two people are in the picture: one of them has no rows at all."""
    table = make_table(range(1, 11), np.tile([300.0, 60, 360, 130], (10, 1)))
    assert choose_rows(table, 10, person="right", width=400).tolist() == list(range(10))
    assert choose_rows(table, 10, person="left", width=400).tolist() == [-1] * 10
    with pytest.raises(ValueError, match=r"`width` of the picture is needed.*Received: width=None, person='left'"):
        choose_rows(table, 10, person="left")


def test_another_is_followed_after_a_second_by_the_given_times():
    """The left one leaves after frame 5. OpenFace on single images writes no times; then they must be given."""
    boxes = [[40, 60, 100, 130]] * 5 + [[150, 60, 300, 230]] * 55
    table = make_table([*range(1, 6), *range(1, 56)], boxes, [0] * 5 + [1] * 55)
    rows = choose_rows(table, 60, person="left", width=600)
    assert rows[:5].tolist() == list(range(5))
    first = int(np.flatnonzero(rows >= 5)[0])
    assert first in (30, 31)  # more than 25 frames of 40 ms after frame 4, and in the left half of the picture
    assert (rows[5:first] == -1).all()
    table["timestamp"] = 0.0
    assert (choose_rows(table, 60, person="left", width=600)[5:] == -1).all()
    times = np.arange(60) / 25
    np.testing.assert_array_equal(choose_rows(table, 60, person="left", width=600, times=times), rows)


def test_the_largest_of_several():
    boxes, table, _ = two_people()
    rows = choose_rows(table, 60)
    sides = boxes[1, 0, 2:] - boxes[1, 0, :2]
    assert (sides > boxes[0, 0, 2:] - boxes[0, 0, :2]).all()
    np.testing.assert_array_equal(rows, choose_rows(table, 60, boxes[1]))


@pytest.mark.parametrize("options", [{"boxes": np.zeros((9, 4))}, {"times": np.zeros(9)}])
def test_shapes_are_checked(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must have the shape .*10.*Received"):
        choose_rows(make_table([1, 2]), 10, **options)


def test_reading_loads_no_tensorflow():
    code = "import sys; import abaw_tf.media.openface; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
