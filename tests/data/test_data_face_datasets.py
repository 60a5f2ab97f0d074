"""AffectNet and RAF-DB from disk: every layout, every fault; their synthetic look-alikes."""

import csv
import functools
import hashlib
import json
import runpy
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from abaw_tf.data import FaceImages, make_synthetic_faces, pipelines
from abaw_tf.data.face_datasets import FaceDatasetError
from abaw_tf.data.synthetic.faces import LAYOUTS
from abaw_tf.labels import EXPRESSIONS_7

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def image(path, level=100, size=(8, 8)):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))


def expressions(dataset, split):
    table = dataset.table[dataset.table["split"] == split]
    return {name: EXPRESSIONS_7[k] for name, k in zip(table["image"], table["expression"])}


RAFDB = ["Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"]


def rafdb(root, lines=None, lacking=()):
    lines = [f"train_{k:05d}.jpg {k}" for k in range(1, 8)] + ["test_0001.jpg 7"] if lines is None else lines
    path = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n\n")
    (root / "basic" / "Image" / "aligned").mkdir(parents=True)
    for line in lines:
        stem = line.split(".")[0]
        if stem not in lacking:
            image(root / "basic" / "Image" / "aligned" / f"{stem}_aligned.jpg")
    return path


def test_rafdb_is_read_in_the_official_order(tmp_path):
    rafdb(tmp_path)
    faces = FaceImages(tmp_path)
    assert faces.layout == "rafdb"
    assert expressions(faces, "train") == {f"train_{k + 1:05d}": name for k, name in enumerate(RAFDB)}
    assert expressions(faces, "validation") == {"test_0001": "Neutral"}
    assert faces.table[["valence", "arousal", "left"]].isna().all(axis=None)
    assert all(Path(path).is_file() for path in faces.table["path"])
    assert not len(faces.missing)
    assert faces.left_out == {}


def test_rafdb_in_folders_by_label(tmp_path):
    for part in ("train", "test"):
        for label in range(1, 8):
            image(tmp_path / "DATASET" / part / str(label) / f"{part}_{label:05d}_aligned.jpg")
    (tmp_path / "DATASET" / "train" / "1" / ".DS_Store").write_bytes(b"x")
    faces = FaceImages(tmp_path)
    assert faces.layout == "rafdb_folders"
    assert expressions(faces, "validation") == {f"test_{k + 1:05d}": name for k, name in enumerate(RAFDB)}
    image(tmp_path / "DATASET" / "train" / "2" / "train_00001_aligned.jpg")
    with pytest.raises(FaceDatasetError, match=r"the same image is at .*train/1/train_00001_aligned\.jpg"):
        FaceImages(tmp_path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["train_00001.jpg 4", "train_00002.jpg 8"],
            ["list_patition_label.txt, line 2", "1 to 7", "'train_00002.jpg 8'"],
        ),
        (["train_00001.jpg"], ["line 1", "an image and its label"]),
        (["train_00001.jpg 4", "", "train_00001.jpg 5"], ["line 3", "listed twice (line 1)"]),
        (["face.jpg 4"], ["line 1", "'face.jpg 4'"]),
    ],
)
def test_a_faulty_list_of_rafdb_is_refused_by_line(tmp_path, lines, words):
    rafdb(tmp_path, lines)
    with pytest.raises(FaceDatasetError) as caught:
        FaceImages(tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_missing_images_are_reported_and_stay_in_the_table(tmp_path):
    path = rafdb(tmp_path, lacking=("train_00003", "test_0001"))
    with pytest.warns(UserWarning, match=r"2 of 8 listed images are not there, .*train_00003_aligned\.jpg"):
        faces = FaceImages(tmp_path)
    assert faces.missing[["image", "split", "source", "line"]].to_numpy().tolist() == [
        ["train_00003", "train", str(path), 3],
        ["test_0001", "validation", str(path), 8],
    ]
    assert faces.table["path"].isna().tolist() == [False, False, True, False, False, False, False, True]
    assert "2 missing" in repr(faces)
    assert len(pipelines.usable(faces.frame_table("train"))) == 6


def test_without_a_single_image_there_is_no_dataset(tmp_path):
    rafdb(tmp_path, ["train_00001.jpg 1"], lacking=("train_00001",))
    with pytest.raises(FaceDatasetError, match="unpack the images"):
        FaceImages(tmp_path)
    (tmp_path / "basic" / "Image" / "aligned").rmdir()
    with pytest.raises(FaceDatasetError, match="no folder Image/aligned"):
        FaceImages(tmp_path)


def affectnet(root, training, validation=("2/v.jpg,1,2,3,4,0;0,6,0.5,-0.5",), header=HEADER):
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for name, rows in (("training", training), ("validation", validation)):
        (lists / f"{name}.csv").write_text("\n".join(([header] if header else []) + list(rows)) + "\n")
        for row in rows:
            image(root / "Manually_Annotated" / "Manually_Annotated_Images" / row.split(",")[0], size=(40, 40))
    return lists / "training.csv"


ROWS = [
    *(f"1/{code}.jpg,4,5,20,30,1.5;2.5,{code},-0.25,1" for code in range(7)),
    "1/c.jpg,4,5,20,30,,7,-0.5,0.5",
    "1/u.jpg,0,0,40,40,,9,-2,-2",
    "1/n.jpg,0,0,0,0,,10,-2,-2",
]


@pytest.mark.parametrize("header", [HEADER, ""], ids=["named", "unnamed"])
def test_affectnets_lists(tmp_path, header):
    affectnet(tmp_path, ROWS, header=header)
    faces = FaceImages(tmp_path)
    order = ["Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger"]
    assert faces.layout == "affectnet"
    assert expressions(faces, "train") == {f"1/{code}": name for code, name in enumerate(order)}
    assert expressions(faces, "validation") == {"2/v": "Anger"}
    assert faces.left_out == {"train": {"Contempt": 1, "Uncertain": 1, "No-Face": 1}}
    row = faces.table.iloc[0]
    assert (row["valence"], row["arousal"]) == (-0.25, 1.0)
    assert row[["left", "top", "right", "bottom"]].tolist() == [4, 5, 24, 35]


def test_an_expression_without_affect_has_none(tmp_path):
    affectnet(tmp_path, ["1/a.jpg,0,0,40,40,,3,-2,-2"])
    assert FaceImages(tmp_path).table.iloc[0][["valence", "arousal"]].isna().all()


def test_two_faces_of_one_picture_are_two_images(tmp_path):
    affectnet(tmp_path, ["1/a.jpg,0,0,20,20,,3,0,0", "1/a.jpg,20,0,20,20,,1,0,0"])
    assert FaceImages(tmp_path).frame_table("train")[["trial", "frame"]].to_numpy().tolist() == [["1/a", 0], ["1/a", 1]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1/a.jpg,0,0,9,9,,11,0,0", ["training.csv, line 3", "expression from 0 to 10", "expression=11"]),
        ("1/a.jpg,0,0,9,9,,1.5,0,0", ["line 3", "expression=1.5"]),
        ("1/a.jpg,0,0,9,9,,happy,0,0", ["line 3", "numbers", "expression=happy"]),
        ("1/a.jpg,0,0,9,9,,1,1.2,0", ["line 3", "-1 to 1", "valence=1.2"]),
        ("1/a.jpg,0,0,9,9,,1,0,", ["line 3", "numbers"]),
        ("1/a.jpg,0,0,9,9,,1", ["line 3", "numbers"]),
    ],
)
def test_a_faulty_row_of_affectnet_is_refused_by_line(tmp_path, row, words):
    affectnet(tmp_path, [ROWS[0], row])
    with pytest.raises(FaceDatasetError) as caught:
        FaceImages(tmp_path)
    for word in words:
        assert word in str(caught.value)


def test_a_list_of_other_columns_is_refused(tmp_path):
    affectnet(tmp_path, ROWS, header=HEADER.replace("arousal", "excitement"))
    with pytest.raises(FaceDatasetError, match=r"line 1: must name the columns .*excitement"):
        FaceImages(tmp_path)


def test_pictures_that_are_elsewhere(tmp_path):
    path = affectnet(tmp_path, ROWS)
    text = path.read_text().replace("\n1/", "\nelsewhere/")
    path.write_text(text)
    with pytest.raises(FaceDatasetError, match=r"none of the first 10 pictures.*Manually_Annotated_Images"):
        FaceImages(tmp_path)


def cropped(root, values, part="train_set", save=np.save):
    for number, (expression, valence, arousal) in enumerate(values):
        image(root / part / "images" / f"{number}.jpg")
        folder = root / part / "annotations"
        folder.mkdir(exist_ok=True)
        for key, value in (("exp", expression), ("val", valence), ("aro", arousal)):
            save(folder / f"{number}_{key}.npy", np.array(value))


@pytest.mark.parametrize("kind", [str, float])
def test_affectnet_as_cropped_faces(tmp_path, kind):
    exp = str if kind is str else int
    cropped(tmp_path, [(exp(1), kind(0.5), kind(-0.25)), (exp(7), kind(0), kind(0)), (exp(6), kind(-2), kind(-2))])
    cropped(tmp_path, [(exp(0), kind(0), kind(0))], "val_set")
    faces = FaceImages(tmp_path)
    assert faces.layout == "affectnet_npy"
    assert expressions(faces, "train") == {"train_set/0": "Happiness", "train_set/2": "Anger"}
    assert expressions(faces, "validation") == {"val_set/0": "Neutral"}
    np.testing.assert_array_equal(faces.table["valence"], np.float32([0.5, np.nan, 0]))
    assert faces.left_out == {"train": {"Contempt": 1}}


def test_faults_of_cropped_faces(tmp_path):
    cropped(tmp_path, [("1", "0", "0"), ("2", "0", "0"), ("3", "0", "0")])
    annotations = tmp_path / "train_set" / "annotations"
    (annotations / "2_exp.npy").unlink()
    (annotations / "1_aro.npy").unlink()
    with pytest.warns(UserWarning, match=r"1 images have no _exp\.npy.*2\.jpg"):
        faces = FaceImages(tmp_path)
    assert np.isnan(faces.table["arousal"]).tolist() == [False, True]
    for value, rule in (("12", "0 to 10"), ("", "one number"), ([1, 2], "one number")):
        np.save(annotations / "2_exp.npy", np.array(value))
        with pytest.raises(FaceDatasetError, match=rf"2_exp\.npy: must hold .*{rule}"):
            FaceImages(tmp_path)
    np.save(annotations / "2_exp.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(FaceDatasetError, match=r"2_exp\.npy"):
        FaceImages(tmp_path)


def test_what_is_no_face_dataset_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither RAF-DB nor AffectNet.*list_patition_label\.txt"):
        FaceImages(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        FaceImages(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Did you mean 'rafdb'"):
        FaceImages(tmp_path, layout="rafbd")
    rafdb(tmp_path)
    with pytest.raises(FileNotFoundError, match="not in the layout 'affectnet'"):
        FaceImages(tmp_path, layout="affectnet")
    with pytest.raises(ValueError, match="split"):
        FaceImages(tmp_path).frame_table("test")


SMALL = {"n_train": 56, "n_validation": 14, "progress": False}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Synthetic faces in a layout, rendered once."""
    return functools.cache(lambda layout: make_synthetic_faces(tmp_path_factory.mktemp("faces") / "a", layout, **SMALL))


# Quickly of one layout: all draw their people alike.
EACH = [layout if layout == "rafdb" else pytest.param(layout, marks=pytest.mark.slow) for layout in LAYOUTS]


@pytest.fixture(params=LAYOUTS)
def twin(request, rendered):
    return request.param, rendered(request.param)


def content(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_synthetic_faces_are_read_without_a_complaint(twin):
    layout, root = twin
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = FaceImages(root)
    assert faces.layout == layout
    table = faces.table
    assert table["split"].value_counts().to_dict() == {"train": 56, "validation": 14}
    assert (table[table["split"] == "validation"]["expression"].value_counts() == 2).all()
    assert table["path"].is_unique
    assert table["valence"].notna().all() == (layout != "rafdb")
    assert table["left"].notna().all() == (layout == "affectnet")
    assert bool(faces.left_out) == (layout != "rafdb")
    size = {"rafdb": (100, 100, 3), "affectnet": (176, 176, 3), "affectnet_npy": (224, 224, 3)}[layout]
    assert cv2.imread(table["path"].iloc[0]).shape == size
    assert json.loads((root / "synthetic.json").read_text())["note"].startswith("This is SYNTHETIC")


@pytest.mark.parametrize("layout", EACH)
def test_synthetic_faces_follow_from_their_arguments(rendered, tmp_path, layout):
    root = rendered(layout)
    before = content(root)
    assert content(make_synthetic_faces(tmp_path / "b", layout, **SMALL)) == before
    assert make_synthetic_faces(root, layout, **SMALL) == root
    assert content(root) == before
    with pytest.raises(FileExistsError, match="seed: 0 there, 1 asked"):
        make_synthetic_faces(root, layout, **SMALL, seed=1)


@pytest.mark.parametrize("layout", EACH)
def test_another_seed_gives_other_pictures(rendered, tmp_path, layout):
    before, other = content(rendered(layout)), content(make_synthetic_faces(tmp_path / "c", layout, **SMALL, seed=1))
    pictures = {digest for name, digest in before.items() if name.endswith(".jpg")}
    assert not pictures & {digest for name, digest in other.items() if name.endswith(".jpg")}


def test_every_synthetic_face_is_another_picture(twin):
    _, root = twin
    digests = [digest for name, digest in content(root).items() if name.endswith(".jpg")]
    assert len(set(digests)) == len(digests) >= 70


def test_the_boxes_of_synthetic_affectnet_hold_the_face(rendered):
    root = rendered("affectnet")
    table = FaceImages(root).frame_table("train")
    with open(root / "Manually_Annotated_file_lists" / "training.csv", newline="") as file:
        rows = {row["subDirectory_filePath"][:-4]: row for row in csv.DictReader(file)}
    for face in table.itertuples():
        marks = np.array(rows[face.trial]["facial_landmarks"].split(";"), float).reshape(-1, 2)
        assert (marks.min(0) > (face.left, face.top)).all()
        assert (marks.max(0) < (face.right, face.bottom)).all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"layout": "rafbd"}, "rafdb"),
        ({"n_train": 20}, "n_train=20"),
        ({"seed": -1}, "seed=-1"),
        ({"n_validation": 1.5}, "1.5"),
    ],
)
def test_wrong_arguments_of_synthetic_faces(tmp_path, arguments, word):
    with pytest.raises(ValueError, match=word):
        make_synthetic_faces(tmp_path / "a", **arguments)
    assert not (tmp_path / "a").exists()


def test_the_command_line_makes_faces(request, rendered, tmp_path, capsys):
    tool = runpy.run_path(str(request.config.rootpath / "tools" / "make_synthetic.py"))["main"]
    flags = ["--kind", "rafdb", "--train", "56", "--validation", "14", "--quiet"]
    assert tool([str(tmp_path / "faces"), *flags]) == 0
    assert "synthetic rafdb" in capsys.readouterr().out
    assert content(tmp_path / "faces") == content(rendered("rafdb"))
