"""OpenFace files of a dataset as tracks: frame by frame, resumable, each person's own."""

import csv
import os

import numpy as np
import pandas as pd
import pytest

from abaw_tf.data import AffWild2, annotations
from abaw_tf.data.synthetic.sidecars import openface_columns
from abaw_tf.features.extract import ExtractionError
from abaw_tf.features.openface_tracks import extract_openface, openface_store
from abaw_tf.features.store import FeatureStore
from abaw_tf.media.face_files import COLUMNS as FACE_COLUMNS
from abaw_tf.media.openface import FEATURES, landmark_boxes, read_openface


def run(dataset, out, **options):
    return extract_openface(dataset, out, **{"progress": False, **options})


def write_rows(path, frames, values, face_ids=0):
    """A file of failures-free rows; `values` (rows, 709)."""
    path.parent.mkdir(exist_ok=True)
    table = pd.DataFrame(np.zeros((len(frames), 714)), columns=openface_columns())
    table.iloc[:, 5:] = values
    table["frame"], table["face_id"], table["success"] = frames, face_ids, 1
    table.astype({"frame": int, "face_id": int, "success": int}).to_csv(path, index=False)


def labelled(root, trial, n_frames):
    folder = root / "annotations/VA_Set/Train_Set"
    folder.mkdir(parents=True, exist_ok=True)
    annotations.write_valence_arousal(folder / f"{trial}.txt", np.zeros((n_frames, 2)))


@pytest.fixture
def root(tmp_path):
    """Three trials of 8, 5 and 6 frames: a gap and a surplus row, all frames, a file that does not exist."""
    root = tmp_path / "data"
    for trial, n_frames in (("gap", 8), ("whole", 5), ("without", 6)):
        labelled(root, trial, n_frames)
    rng = np.random.default_rng(0)
    write_rows(root / "openface/gap.csv", [1, 2, 5, 8, 9], np.round(rng.normal(0, 300, (5, 709)), 3))
    write_rows(root / "openface/whole.csv", range(1, 6), np.round(rng.normal(0, 300, (5, 709)), 3))
    return root


def test_tracks_and_the_trial_without_a_file(root, tmp_path):
    with pytest.raises(ExtractionError, match=r"without: .*write openface/without\.csv: FeatureExtraction -f") as error:
        run(AffWild2(root), tmp_path / "out")
    report = error.value.report
    assert report.written == ["gap", "whole"]
    assert report.found == {"gap": (4, 8), "whole": (5, 5)}
    assert report.beyond == {"gap": 1}
    assert "found the person in 9 of 13 frames" in report.format()
    assert "gap: 1 rows after the last frame left out" in report.format()
    store = FeatureStore.open(report.folder)
    assert store.config["columns"] == openface_columns()[5:]
    track = store.read("gap")
    assert track.values.dtype == np.float32
    assert np.flatnonzero(~track.missing).tolist() == [0, 1, 4, 7]
    table = pd.read_csv(root / "openface/gap.csv").to_numpy()
    for frame, row in ((0, 0), (1, 1), (4, 2), (7, 3)):
        np.testing.assert_array_equal(track.values[frame], table[row, 5:].astype(np.float32))
    assert np.isnan(track.values[[2, 3, 5, 6]]).all()


def test_nothing_is_read_twice_unless_it_has_changed(root, tmp_path):
    names = ["gap", "whole"]
    run(AffWild2(root), tmp_path / "out", trials=["whole"])
    report = run(AffWild2(root), tmp_path / "out", trials=names)
    assert (report.skipped, report.written, report.renewed) == (["whole"], ["gap"], [])
    assert run(AffWild2(root), tmp_path / "out", trials=names).skipped == names
    write_rows(root / "openface/whole.csv", [2], np.ones((1, 709)))
    labelled(root, "gap", 9)
    report = run(AffWild2(root), tmp_path / "out", trials=names)
    assert report.renewed == report.written == names
    assert "written again because their file, frames or boxes had changed: gap, whole" in report.format()
    track = openface_store(tmp_path / "out").read("whole")
    assert np.flatnonzero(~track.missing).tolist() == [1]
    assert len(openface_store(tmp_path / "out").read("gap")) == 9


def test_shards_and_meta(root, tmp_path):
    names = ["gap", "whole"]
    parts = [
        run(AffWild2(root), tmp_path / "out", trials=names, shard=(i, 2), drop_meta=False, dtype="float16")
        for i in (0, 1)
    ]
    assert [part.written for part in parts] == [["gap"], ["whole"]]
    store = openface_store(tmp_path / "out", drop_meta=False)
    assert store.folder == parts[0].folder != openface_store(tmp_path / "out").folder
    assert store.config["columns"] == openface_columns()
    track = store.read("whole")
    assert track.values.dtype == np.float16
    assert track.values[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_a_file_that_is_refused_costs_its_trial_only(root, tmp_path, realdata):
    (root / "openface/without.csv").write_bytes((realdata / "video_pyfeat" / "OpenFace_Test.csv").read_bytes())
    with pytest.raises(
        ExtractionError, match=r"1 trial.s. could not.*\n  without: .*without\.csv: written by an OpenFace"
    ) as e:
        run(AffWild2(root), tmp_path / "out")
    assert e.value.report.written == ["gap", "whole"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": (2, 2)}, "`shard` must be"),
        ({"dtype": "float64"}, "`dtype` must be"),
        ({"trials": ["gap", "hole"]}, "no such trials. Received: 'hole'"),
    ],
)
def test_wrong_arguments(root, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(AffWild2(root), tmp_path / "out", **options)


def test_two_people_without_a_video(root, tmp_path):
    """Neither boxes nor a picture: whose rows they are cannot be told."""
    labelled(root, "pair_left", 4)
    os.rename(root / "openface/whole.csv", root / "openface/pair.csv")
    with pytest.raises(ExtractionError, match=r"pair\.csv: which rows are those of 'pair_left' cannot be told"):
        run(AffWild2(root), tmp_path / "out", trials=["pair_left"])
    os.unlink(root / "openface/pair.csv")
    with pytest.raises(ExtractionError, match=r"openface/pair_left\.csv or openface/pair\.csv with both people"):
        run(AffWild2(root), tmp_path / "out", trials=["pair_left"])


# -- the synthetic dataset ----------------------------------------------------------------------------------------------------


@pytest.fixture
def synthetic(synthetic_root, tmp_path):
    """The synthetic dataset with an OpenFace folder of its own."""
    root = tmp_path / "synthetic"
    root.mkdir()
    for entry in synthetic_root.iterdir():
        if entry.name not in ("openface", ".DS_Store"):
            os.symlink(entry, root / entry.name)
    (root / "openface").mkdir()
    for path in (synthetic_root / "openface").iterdir():
        os.symlink(path, root / "openface" / path.name)
    return AffWild2(root)


def pair_of(dataset):
    """The two trials of one video."""
    table = dataset.trials()
    left = next(trial for trial in table["trial"] if trial.endswith("_left"))
    return left, f"{left.removesuffix('_left')}_right"


def share(dataset, swap=True):
    """One file with both people as FaceLandmarkVidMulti writes it: no rows of failures, face numbers that change hands."""
    pair = pair_of(dataset)
    tables = [read_openface(dataset.openface_path(trial)) for trial in pair]
    originals = dict(zip(pair, tables))
    rng = np.random.default_rng(0)
    both = pd.concat(tables, keys=[0, 1], names=["person"]).reset_index("person")
    both = both[both["success"]].sample(frac=1, random_state=0)
    turn = rng.integers(0, 2, int(both["frame"].max()) + 1) if swap else np.zeros(both["frame"].max() + 1, int)
    both["face_id"] = both["person"] ^ turn[both["frame"]]
    both = both.sort_values(["frame", "face_id"]).drop(columns="person").astype({"success": int})
    folder = dataset.root / "openface"
    for trial in pair:
        (folder / f"{trial}.csv").unlink()
    both.to_csv(folder / f"{pair[0].removesuffix('_left')}.csv", index=False)
    return originals


def expected_of(table, n_frames):
    """Features of a single-face file by plain indexing: frame i is row i."""
    table = table.iloc[:n_frames]
    values = np.full((n_frames, 709), np.nan, np.float32)
    found = np.flatnonzero(table["success"])
    values[found] = table.iloc[found][list(FEATURES)].to_numpy(np.float32)
    return values


def test_every_synthetic_trial(synthetic, tmp_path):
    report = run(synthetic, tmp_path / "out")
    names = list(synthetic.trials()["trial"])
    assert report.rates == {}
    assert report.written == names
    store = FeatureStore.open(report.folder)
    for trial in names:
        track = store.read(trial)
        expected = expected_of(read_openface(synthetic.openface_path(trial)), synthetic.n_frames(trial))
        np.testing.assert_array_equal(track.values, expected)
        inside = synthetic.image_frames(trial)
        np.testing.assert_array_equal(np.flatnonzero(~track.missing), inside[inside < len(track)])


def test_a_file_of_another_frame_rate_is_told(synthetic, tmp_path):
    """As of a video that was converted before OpenFace saw it."""
    trial, fps = synthetic.trials().iloc[0][["trial", "fps"]]
    path = synthetic.openface_path(trial)
    table = pd.read_csv(path, skipinitialspace=True)
    table["timestamp"] = ((table["frame"] - 1) / (fps / 2)).round(3)
    table.to_csv(path, index=False)
    report = run(AffWild2(synthetic.root), tmp_path / "out", trials=[trial])
    assert report.written == [trial]
    assert report.rates[trial] == pytest.approx((fps / 2, fps), rel=1e-3)
    assert (
        f"{trial}: OpenFace's times are those of {fps / 2:.2f} frames per second, the video has {fps:.2f}"
        in report.format()
    )


def test_two_people_in_one_file_are_told_apart_by_their_sides(synthetic, tmp_path):
    """The tracks out of the shared file are those of the two files it was made from."""
    originals = share(synthetic)
    report = run(AffWild2(synthetic.root), tmp_path / "out", trials=list(originals))
    store = FeatureStore.open(report.folder)
    for trial, table in originals.items():
        expected = expected_of(table, synthetic.n_frames(trial))
        np.testing.assert_array_equal(store.read(trial).values, expected)


@pytest.mark.parametrize("given", [True, False])
def test_boxes_decide_where_they_are_known(synthetic, tmp_path, given):
    """Boxes say that "left" is the one on the right: they are believed, and where they are silent nobody is found."""
    originals = share(synthetic)
    left, right = originals
    n_frames = synthetic.n_frames(left)
    boxes = np.full((n_frames, 4), np.nan)
    table = originals[right].iloc[:n_frames]
    found = np.flatnonzero(table["success"])[10:]
    boxes[found] = landmark_boxes(table.iloc[found]) + np.random.default_rng(0).normal(0, 3, (len(found), 4))
    if given:
        options = {"boxes": {left: boxes}}
    else:
        options = {}
        write_faces(synthetic.root / "faces" / f"{left}.csv", boxes)
    report = run(AffWild2(synthetic.root), tmp_path / "out", trials=[left], **options)
    track = FeatureStore.open(report.folder).read(left)
    assert np.flatnonzero(~track.missing).tolist() == found.tolist()
    np.testing.assert_array_equal(track.values[found], expected_of(table, n_frames)[found])
    # A box more and the track is made again.
    again = run(AffWild2(synthetic.root), tmp_path / "out", trials=[left], boxes={left: np.full((n_frames, 4), np.nan)})
    assert again.renewed == [left]
    assert again.found[left] == (0, n_frames)
    assert f"{left}: the person is in 0 of {n_frames} frames only" in again.format()


def write_faces(path, boxes):
    """What extract_faces leaves behind."""
    path.parent.mkdir()
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FACE_COLUMNS)
        for frame, box in enumerate(boxes.tolist()):
            known = box[0] == box[0]
            writer.writerow(
                [frame, frame / 25, 0.9, *(box if known else [""] * 4), 0 if known else -1, known, *[""] * 10]
            )
