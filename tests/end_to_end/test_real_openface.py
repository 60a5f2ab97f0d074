"""OpenFace and ExpNet inputs on real material: a real file of an old version, real landmarks and boxes, real faces."""

import cv2
import numpy as np
import pandas as pd
import pytest

from abaw_tf.backbones.expnet import face_patch
from abaw_tf.data.synthetic.sidecars import openface_columns
from abaw_tf.media.errors import MediaError
from abaw_tf.media.faces import YuNetDetector
from abaw_tf.media.openface import FEATURES, choose_rows, landmark_boxes, person_features, read_openface


@pytest.fixture(scope="module")
def old_file(realdata):
    return realdata / "video_pyfeat" / "OpenFace_Test.csv"


def test_the_real_file_of_an_old_version_is_refused(old_file):
    with pytest.raises(MediaError) as error:
        read_openface(old_file)
    message = str(error.value)
    assert message.startswith(f"{old_file}: written by an OpenFace before 2.0")
    assert "Columns missing: 283 of 714 (face_id, gaze_angle_x, gaze_angle_y, eye_lmk_x_0, …)" in message
    assert message.endswith("Received: 431 columns")


def test_its_numbers_come_back_from_a_complete_file(old_file, tmp_path):
    """The real lines, blanks after commas included, with the columns that OpenFace 2 has more."""
    lines = old_file.read_text(encoding="utf-8").splitlines()
    names = [name.strip() for name in lines[0].split(",")]
    more = [name for name in openface_columns() if name not in names]
    filled = [f"{lines[0]}, {', '.join(more)}", *(f"{line},{','.join('0' * len(more))}" for line in lines[1:])]
    (tmp_path / "complete.csv").write_text("\n".join(filled) + "\n")
    table = read_openface(tmp_path / "complete.csv")
    real = pd.read_csv(old_file, skipinitialspace=True)
    assert len(table) == len(real) == 100
    values, missing = person_features(table, choose_rows(table, 120))
    assert np.flatnonzero(~missing).tolist() == list(range(100))
    for name in ("pose_Tz", "x_0", "Z_67", "p_33", "AU12_r", "AU45_c"):
        column = values[:100, FEATURES.index(name)]
        np.testing.assert_array_equal(column, real[name].to_numpy(np.float32))
        assert not values[100:].any()
    boxes = landmark_boxes(table)
    assert (boxes[:, 2] - boxes[:, 0] > 80).all()  # pixels; the face fills a third of a 640 × 480 picture
    assert (boxes[:, 3] - boxes[:, 1] > 80).all()


def two_people(realdata, tmp_path):
    """Two news clips side by side as one multi-face file: real landmarks in motion, face numbers that change hands."""
    folder = realdata / "frame_preds_pyfeat_news"
    clips = [pd.read_csv(folder / f"{name}.csv").iloc[:14] for name in ("002", "014")]
    rows, boxes = [], []
    rng = np.random.default_rng(0)
    for person, clip in enumerate(clips):
        shift = 450 * person  # closer than they are wide: the boxes overlap
        columns = {name: clip[name].to_numpy() for name in openface_columns() if name in clip}
        columns |= {f"x_{i}": clip[f"x_{i}"].to_numpy() + shift for i in range(68)}
        frames = clip["frame"].to_numpy() // 2 + 1  # every second frame of the clips was looked at
        rows.append(pd.DataFrame({**columns, "frame": frames, "person": person}))
        box = clip[["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"]].to_numpy()
        box[:, 2:] += box[:, :2]
        boxes.append(box + np.array([shift, 0, shift, 0]))
    table = pd.concat(rows).sort_values("frame", kind="stable")
    table["face_id"] = table["person"] ^ np.repeat(rng.integers(0, 2, 14), 2)
    table["timestamp"], table["success"] = (table["frame"] - 1) / 15, 1
    path = tmp_path / "pair.csv"
    table.reindex(columns=openface_columns(), fill_value=0).to_csv(path, index=False)
    return read_openface(path), table["person"].to_numpy(), boxes


def test_two_real_faces_are_told_apart(realdata, tmp_path):
    table, persons, boxes = two_people(realdata, tmp_path)
    assert table["frame"].max() == 14
    assert 0 < table["face_id"].to_numpy()[persons == 0].mean() < 1
    for person, side in enumerate(("left", "right")):
        by_boxes = choose_rows(table, 14, boxes[person])
        by_side = choose_rows(table, 14, person=side, width=1600)
        assert (persons[by_boxes] == person).all()
        assert by_boxes.min() >= 0, "another detector's boxes overlap the landmarks' enough in every frame"
        np.testing.assert_array_equal(by_boxes, by_side)


def test_expnet_patches_show_the_face_in_their_middle(realdata):
    """Five real faces, also near the border: square + 25 % means that a face takes up two thirds of its patch."""
    image = cv2.imread(str(realdata / "video_pyfeat" / "multi_face.jpg"))[:, :, ::-1].copy()
    detector = YuNetDetector(realdata / "models" / "yunet" / "yunet_n_640_640.onnx")
    faces = detector(image)
    assert len(faces) == 5
    for face in faces:
        patch = face_patch(image, face.box)
        [found] = [f for f in detector(patch) if f.score > 0.8 and np.ptp(f.box[1::2]) > 100]
        centre = (found.box[:2] + found.box[2:]) / 2
        np.testing.assert_allclose(centre, 113.5, atol=12)
        assert np.ptp(found.box.reshape(2, 2), axis=0).max() == pytest.approx(227 / 1.5, rel=0.12)
