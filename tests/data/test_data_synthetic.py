"""The synthetic Aff-Wild2: its layout, its irregularities, its labels and what other tools would have written about it."""

import csv
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from abaw_tf import labels
from abaw_tf.data import AffWild2, make_synthetic
from abaw_tf.data.synthetic import expressions, film, geometry, scenario
from abaw_tf.data.synthetic.plan import Configuration, plan_videos
from abaw_tf.data.synthetic.sidecars import openface_columns
from abaw_tf.media.audio import load_audio
from abaw_tf.media.video import frame_times

TINY = {"n_train": 1, "n_validation": 1, "n_test": 0, "seconds": 2.0, "fps": 12, "size": (200, 160), "progress": False}


@pytest.fixture(scope="module")
def manifest(synthetic_root):
    return json.loads((synthetic_root / "synthetic.json").read_text())


def video_called(manifest, **wanted):
    return next(v for v in manifest["videos"] if all(v[key] == value for key, value in wanted.items()))


# ---- layout


def test_says_that_it_is_synthetic(manifest):
    assert "SYNTHETIC" in manifest["note"]
    assert manifest["configuration"]["seed"] == 0


def test_official_layout_of_the_second_edition(synthetic_root, manifest):
    for task in ("EXPR_Set", "VA_Set"):
        for split in ("Train_Set", "Validation_Set"):
            assert list((synthetic_root / "annotations" / task / split).glob("*.txt"))
    assert {p.suffix for p in (synthetic_root / "videos" / "both_batches").iterdir()} == {".mp4", ".avi"}
    trials = {trial for video in manifest["videos"] for trial in video["trials"]}
    for kind in ("cropped", "cropped_aligned"):
        assert {p.name for p in (synthetic_root / kind).iterdir() if p.is_dir()} == trials
    assert {p.stem for p in (synthetic_root / "openface").iterdir()} == trials
    videos = {video["video"] for video in manifest["videos"]}
    assert {p.stem for p in (synthetic_root / "asr").iterdir()} == videos
    assert {p.name for p in (synthetic_root / "openpose").iterdir()} == {f"{v}_openpose_body25" for v in videos}


@pytest.mark.parametrize(
    ("edition", "train", "n_classes"),
    [
        ("abaw1", "annotations/EXPR_Set/Training_Set", 7),
        ("abaw3", "Third ABAW Annotations/EXPR_Classification_Challenge/Train_Set", 8),
    ],
)
def test_layout_of_the_other_editions(tmp_path, edition, train, n_classes):
    root = make_synthetic(tmp_path / "d", edition, **{**TINY, "n_test": 1})
    (file,) = (root / train).glob("*.txt")
    assert file.read_text().splitlines()[0].split(",") == list(labels.edition(edition).classes)
    dataset = AffWild2(root, edition)
    assert sorted(dataset.trials()["split"]) == ["test", "train", "validation"]
    seen = set(dataset.frame_table("train", "expression")["expression"])
    assert seen - {-1} == set(range(n_classes))


def test_the_reader_finds_every_trial_in_its_split(synthetic_root, manifest):
    trials = AffWild2(synthetic_root).trials()
    expected = {trial: video["split"] for video in manifest["videos"] for trial in video["trials"]}
    assert dict(zip(trials["trial"], trials["split"])) == expected
    assert trials["split"].value_counts().to_dict() == {"train": 5, "validation": 3, "test": 1}


def test_partly_labelled_trials(synthetic_root):
    trials = AffWild2(synthetic_root).trials("train")
    only_expression = trials["expression_path"].notna() & trials["valence_arousal_path"].isna()
    only_valence_arousal = trials["expression_path"].isna() & trials["valence_arousal_path"].notna()
    assert only_expression.sum() == 1
    assert only_valence_arousal.sum() == 1
    assert len(trials) - 2 == (trials["expression_path"].notna() & trials["valence_arousal_path"].notna()).sum()


def test_test_trials_are_listed_but_not_labelled(synthetic_root, manifest):
    (video,) = [v for v in manifest["videos"] if v["split"] == "test"]
    lists = list((synthetic_root / "annotations").glob("*test_set.txt"))
    assert len(lists) == 2
    assert all(path.read_text().split() == video["trials"] for path in lists)
    assert not list(synthetic_root.glob(f"annotations/*/*/{video['video']}*"))


# ---- irregularities


def test_two_people_share_one_video(synthetic_root, manifest):
    video = video_called(manifest, trials=next(v["trials"] for v in manifest["videos"] if len(v["trials"]) == 2))
    assert video["trials"] == [f"{video['video']}_left", f"{video['video']}_right"]
    left, right = (pd.read_csv(synthetic_root / "openface" / f"{trial}.csv") for trial in video["trials"])
    both = (left["success"] == 1) & (right["success"] == 1)
    assert (left["x_30"][both] < right["x_30"][both]).all()
    first = json.loads(
        (synthetic_root / "openpose" / f"{video['video']}_openpose_body25/json/00001_keypoints.json").read_text()
    )
    assert len(first["people"]) == 2


def test_label_rows_are_off_by_one_as_in_the_real_dataset(synthetic_root, manifest):
    dataset = AffWild2(synthetic_root)
    surplus = []
    for video in manifest["videos"]:
        decoded = len(frame_times(dataset.video_path(video["trials"][0])))
        assert decoded == video["frames"]
        surplus += [dataset.n_frames(trial) - decoded for trial in video["trials"] if video["split"] != "test"]
    assert sorted(surplus) == [-1, *[0] * (len(surplus) - 2), 1]


def test_one_video_has_a_variable_frame_rate(synthetic_root, manifest):
    dataset = AffWild2(synthetic_root)
    for video in manifest["videos"]:
        steps = np.diff(frame_times(dataset.video_path(video["trials"][0])))
        assert (steps.max() > 1.5 * steps.min()) == video["variable_frame_rate"]
    assert sum(video["variable_frame_rate"] for video in manifest["videos"]) == 1
    assert len({round(video["fps"]) for video in manifest["videos"]}) >= 3


def test_missing_detections_are_holes_with_runs(synthetic_root, manifest):
    dataset = AffWild2(synthetic_root)
    longest = 0
    for video in manifest["videos"]:
        for trial, missing in zip(video["trials"], video["missing_crops"]):
            for kind in ("cropped", "cropped_aligned"):
                numbers = sorted(int(p.stem) for p in (synthetic_root / kind / trial).glob("[0-9]*.jpg"))
                assert all(len(p.stem) == 5 for p in (synthetic_root / kind / trial).glob("[0-9]*.jpg"))
                assert numbers[0] >= 1
                assert numbers[-1] <= video["frames"]
                assert len(numbers) == video["frames"] - missing
            np.testing.assert_array_equal(dataset.image_frames(trial), np.array(numbers) - 1)
            longest = max(longest, int(np.diff(numbers).max()) - 1)
    assert longest >= 5


def test_aligned_crops_are_112_and_the_others_vary(synthetic_root):
    sizes = {kind: set() for kind in ("cropped", "cropped_aligned")}
    for kind, seen in sizes.items():
        for folder in (synthetic_root / kind).iterdir():
            if folder.is_dir():
                seen.add(cv2.imread(str(sorted(folder.glob("[0-9]*.jpg"))[0])).shape)
    assert sizes["cropped_aligned"] == {(112, 112, 3)}
    assert len(sizes["cropped"]) > 3


def test_both_sentinels_occur(synthetic_root):
    folder = synthetic_root / "annotations"
    assert any("-1" in p.read_text().split() for p in folder.glob("EXPR_Set/*/*.txt"))
    assert any(line.startswith("-5") for p in folder.glob("VA_Set/*/*.txt") for line in p.read_text().split())


def test_there_is_litter_to_step_over(synthetic_root):
    assert len(list(synthetic_root.rglob(".DS_Store"))) >= 4
    assert list(synthetic_root.rglob("._00001.jpg"))


def test_every_video_has_sound_of_its_length(synthetic_root, manifest):
    dataset = AffWild2(synthetic_root)
    for video in manifest["videos"]:
        path = dataset.video_path(video["trials"][0])
        samples, rate = load_audio(path)
        assert samples.std() > 0.005
        assert np.abs(samples).max() <= 1.0
        assert len(samples) / rate == pytest.approx(frame_times(path)[-1] + 1 / video["fps"], abs=0.15)


# ---- labels


@pytest.mark.parametrize("edition", ["abaw2", "abaw3"])
@pytest.mark.parametrize("seed", range(12))
def test_every_class_occurs_in_training_and_validation(edition, seed):
    """Planned, not rendered: also where crops exist, so that a face model sees every class."""
    configuration = Configuration(edition, 4, 3, 1, 4.0, None, (320, 240), seed)
    classes = labels.edition(edition).classes
    takes = film.rehearse(plan_videos(configuration), classes, configuration)
    for split in ("train", "validation"):
        seen = np.zeros(len(classes), dtype=int)
        for take in takes:
            if take.video.split == split and "expression" in take.video.tasks:
                for (expression, _), detected in zip(take.labels, take.detected):
                    n = min(len(expression), len(detected))
                    shown = expression[:n][detected[:n]]
                    seen += np.bincount(shown[shown >= 0], minlength=len(classes))
        assert seen.min() >= 5, dict(zip(classes, seen))
        assert seen.argmax() == 0


def test_classes_are_as_unequal_as_they_should_be():
    configuration = Configuration("abaw2", 30, 6, 0, 10.0, None, (320, 240), 5)
    takes = film.rehearse(plan_videos(configuration), labels.EXPRESSIONS_7, configuration)
    expression = np.concatenate([e for t in takes if t.video.split == "train" for e, _ in t.labels])
    share = dict(
        zip(labels.EXPRESSIONS_7, np.bincount(expression[expression >= 0], minlength=7) / (expression >= 0).sum())
    )
    assert 0.3 < share["Neutral"] < 0.55
    assert share["Happiness"] > share["Anger"] > share["Disgust"]
    assert max(share["Fear"], share["Disgust"]) < 0.1


def test_valence_and_arousal_are_smooth_bounded_and_go_with_the_expression(synthetic_root):
    dataset = AffWild2(synthetic_root)
    frames = dataset.frame_table()
    for column in ("valence", "arousal"):
        known = frames[column].dropna()
        assert known.between(-1, 1).all()
        assert known.std() > 0.15
        steps = frames.groupby("trial")[column].diff().abs().dropna()
        assert steps.max() < 0.15
    by_class = frames[frames["expression"] >= 0].groupby("expression")[["valence", "arousal"]].mean()
    happy, sad, surprised = (labels.EXPRESSIONS_7.index(name) for name in ("Happiness", "Sadness", "Surprise"))
    assert by_class.loc[happy, "valence"] > by_class.loc[sad, "valence"] + 0.3
    assert by_class.loc[surprised, "arousal"] > by_class.loc[sad, "arousal"] + 0.3


def test_prototypes_move_the_face_as_their_names_say():
    def corner_and_lids(name):
        marks = geometry.deform(expressions.variants(name)[0])
        mouth = marks[[48, 54], 1].mean() - marks[51, 1]
        return mouth, (marks[41, 1] - marks[37, 1]), marks[66, 1] - marks[62, 1], marks[21, 1]

    neutral, happy, sad, surprised, angry = map(
        corner_and_lids, ("Neutral", "Happiness", "Sadness", "Surprise", "Anger")
    )
    assert happy[0] < neutral[0] < sad[0]  # the corners go up, and down
    assert angry[1] < neutral[1] < surprised[1]  # the eyes narrow, and widen
    assert surprised[2] > happy[2] > neutral[2]  # the mouth opens
    assert surprised[3] < neutral[3] < angry[3]  # the inner brows rise, and sink


# ---- sidecars


def test_openface_has_the_714_columns():
    columns = openface_columns()
    assert len(columns) == len(set(columns)) == 714
    assert columns[:5] == ["frame", "face_id", "timestamp", "confidence", "success"]
    counts = {prefix: sum(c.startswith(prefix) for c in columns) for prefix in ("gaze_", "eye_lmk_", "pose_", "p_")}
    assert counts == {"gaze_": 8, "eye_lmk_": 280, "pose_": 6, "p_": 40}
    assert sum(c.endswith("_r") and c.startswith("AU") for c in columns) == 17
    assert sum(c.endswith("_c") and c.startswith("AU") for c in columns) == 18


def test_openface_agrees_with_a_real_file_on_what_both_versions_write(realdata):
    """The real file was written by OpenFace 0.x: without eye landmarks and gaze angles, otherwise in the same order."""
    with open(realdata / "video_pyfeat" / "OpenFace_Test.csv", encoding="utf-8") as file:
        real = [name.strip() for name in next(csv.reader(file))]
    ours = openface_columns()
    assert [c for c in ours if c in real] == real


def test_openface_rows_follow_frames_times_and_detections(synthetic_root, manifest):
    dataset = AffWild2(synthetic_root)
    for video in manifest["videos"]:
        for trial in video["trials"]:
            table = pd.read_csv(dataset.openface_path(trial))
            assert list(table["frame"]) == list(range(1, video["frames"] + 1))
            np.testing.assert_allclose(table["timestamp"], frame_times(dataset.video_path(trial)), atol=1e-3)
            found = np.flatnonzero(table["success"] == 1)
            np.testing.assert_array_equal(found, dataset.image_frames(trial))
            assert (table["confidence"][found] > 0.5).all()
            assert (table["confidence"].drop(found) < 0.5).all()
            assert (table.loc[found, [f"{u}_r" for u in geometry.ACTION_UNITS]].to_numpy() <= 5).all()
            # OpenFace's own invariants: the iris lies between the corners of its eye, the face is before the camera.
            assert (table.loc[found, "x_36"] < table.loc[found, "eye_lmk_x_12"]).all()
            assert (table.loc[found, "pose_Tz"] > 100).all()


def test_action_units_go_with_the_expressions(synthetic_root):
    dataset = AffWild2(synthetic_root)
    parts = []
    for trial in dataset.trials(task="expression")["trial"]:
        if dataset.trials().set_index("trial").loc[trial, "split"] != "test":
            table = pd.read_csv(dataset.openface_path(trial), usecols=["success", "AU02_r", "AU04_r", "AU12_r"])
            expression = dataset.labels(trial)["expression"].to_numpy()
            table = table.iloc[: len(expression)]
            parts.append(table.assign(expression=expression[: len(table)]))
    table = pd.concat(parts)
    table = table[table["success"] == 1].groupby("expression").mean(numeric_only=True)
    index = labels.EXPRESSIONS_7.index
    assert table.loc[index("Happiness"), "AU12_r"] > table.loc[index("Sadness"), "AU12_r"] + 0.5
    assert table.loc[index("Anger"), "AU04_r"] > table.loc[index("Neutral"), "AU04_r"] + 0.5
    assert table.loc[index("Surprise"), "AU02_r"] > table.loc[index("Neutral"), "AU02_r"] + 0.5


def test_openpose_has_one_file_per_frame_with_25_keypoints_in_the_picture(synthetic_root, manifest):
    for video in manifest["videos"]:
        folder = synthetic_root / "openpose" / f"{video['video']}_openpose_body25" / "json"
        paths = sorted(folder.iterdir())
        assert [p.name for p in paths] == [f"{i:05d}_keypoints.json" for i in range(1, video["frames"] + 1)]
        for path in paths[::20]:
            people = json.loads(path.read_text())["people"]
            assert len(people) == len(video["trials"])
            points = np.array([p["pose_keypoints_2d"] for p in people]).reshape(-1, 25, 3)
            assert ((points[..., 2] >= 0) & (points[..., 2] <= 1)).all()
            assert (points[points[..., 2] == 0] == 0).all()
            assert (points[:, :2, 2] > 0.1).any()  # a nose or a neck
            assert points[..., 0].max() < 480
            assert points[..., 1].max() < 240


def test_words_are_in_order_and_inside_the_video(synthetic_root, manifest):
    for video in manifest["videos"]:
        words = pd.read_csv(synthetic_root / "asr" / f"{video['video']}.csv")
        assert list(words.columns) == ["word", "start", "end", "confidence"]
        assert len(words) > 3
        assert words["start"].is_monotonic_increasing
        assert (words["end"] > words["start"]).all()
        assert words["end"].max() <= video["frames"] / video["fps"] + 1.5
        assert words["confidence"].between(0, 1).all()


def test_clock_sampling_is_linear():
    performance = scenario.Performance(("Neutral",), [], np.arange(100.0), np.zeros(100))
    np.testing.assert_allclose(performance.at(performance.valence, [0, 0.5, 1.01, 5.0]), [0, 25, 50.5, 99])
