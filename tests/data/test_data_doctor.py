"""The doctor on a sound tree and on trees with one thing wrong each: the finding, its severity, and that it names the remedy."""

import cv2
import numpy as np
import pytest

from abaw_tf.data import AffWild2, annotations
from abaw_tf.data.checks import image_fault
from abaw_tf.data.doctor import examine
from abaw_tf.media.video import write_video

EXPR, VA = "annotations/EXPR_Set", "annotations/VA_Set"
N = 14


def jpeg(size=112):
    picture = np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


IMAGE = jpeg()


def expression(root, folder, trial, values):
    path = root / folder / f"{trial}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_expression(path, values)
    return path


def valence_arousal(root, folder, trial, values):
    path = root / folder / f"{trial}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_valence_arousal(path, values)


def crops(root, trial, numbers, image=IMAGE):
    path = root / "cropped_aligned" / trial
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (path / f"{number:05d}.jpg").write_bytes(image)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    pictures = np.random.default_rng(1).integers(0, 255, (N, 64, 96, 3), np.uint8)
    write_video(path, list(pictures), fps=25)
    return path.read_bytes()


@pytest.fixture
def root(tmp_path, film):
    """Two sound trials: "a" (train) and "b" (validation), every class in both, one frame of each without a face."""
    for trial, split in (("a", "Train_Set"), ("b", "Validation_Set")):
        expression(tmp_path, f"{EXPR}/{split}", trial, list(range(7)) * 2)
        valence_arousal(tmp_path, f"{VA}/{split}", trial, [[0.5, -0.9]] * (N - 1) + [[np.nan, np.nan]])
        crops(tmp_path, trial, [number for number in range(1, N + 1) if number != 3])
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / f"videos/{trial}.mp4").write_bytes(film)
    return tmp_path


def diagnose(root, **options):
    return examine(AffWild2(root), **options)


def test_a_sound_dataset_has_no_findings(root):
    diagnosis = diagnose(root, images="all")
    assert diagnosis.findings == []
    assert not diagnosis.has_errors
    row = diagnosis.table.set_index("trial").loc["a"]
    assert row["split"] == "train"
    assert row[["expression_rows", "valence_arousal_rows", "video_frames"]].tolist() == [N, N, N]
    assert (row["cropped_aligned"], row["cropped_aligned_last"], row["difference"]) == (N - 1, N, 0)
    assert diagnosis.table["cropped"].isna().all()
    assert "0 errors, 0 warnings, 0 notes" in diagnosis.format()


def test_histograms_count_what_is_labelled(root):
    expression(root, f"{EXPR}/Train_Set", "a", [0] * 6 + [-1] * 3 + [1, 2, 4, 5, 6])
    diagnosis = diagnose(root)
    assert diagnosis.expression.loc["train"].to_dict() == {
        "Neutral": 6, "Anger": 1, "Disgust": 1, "Fear": 0, "Happiness": 1, "Sadness": 1, "Surprise": 1, "unlabelled": 3,
    }  # fmt: skip
    assert [f.message for f in diagnosis.findings] == ["no frame of Fear in train"]
    valence = diagnosis.valence_arousal.loc[("train", "valence")]
    assert valence["labelled"] == N - 1
    assert valence["missing %"] == pytest.approx(100 / N)
    assert valence["+0.50…+0.75 %"] == 100
    assert diagnosis.valence_arousal.loc[("train", "arousal"), "-1.00…-0.75 %"] == 100


# Each damage to the sound tree, and the one finding it must give: severity, trial, words of message and remedy.
def cut_image(root, film):
    (root / "cropped_aligned/a/00005.jpg").write_bytes(IMAGE[: len(IMAGE) // 2])


def empty_image(root, film):
    (root / "cropped_aligned/a/00005.jpg").write_bytes(b"")


def png_called_jpg(root, film):
    (root / "cropped_aligned/a/00005.jpg").write_bytes(
        cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    )


def garbled_image(root, film):
    (root / "cropped_aligned/a/00005.jpg").write_bytes(b"\xff\xd8" + bytes(300) + b"\xff\xd9")


def wrong_size(root, film):
    crops(root, "a", range(4, N + 1), jpeg(96))


def odd_names(root, film):
    for name in ("face.jpg", "00004.png"):
        (root / "cropped_aligned/a" / name).write_bytes(IMAGE)


def image_zero(root, film):
    (root / "cropped_aligned/a/00000.jpg").write_bytes(IMAGE)


def no_images(root, film):
    for path in (root / "cropped_aligned/a").iterdir():
        path.unlink()
    (root / "cropped_aligned/a/.DS_Store").touch()


def cut_video(root, film):
    (root / "videos/a.mp4").write_bytes(film[: len(film) - 900])


def text_called_video(root, film):
    (root / "videos/a.mp4").write_text("not found")


def no_video(root, film):
    (root / "videos/a.mp4").unlink()


def bad_class(root, film):
    path = root / EXPR / "Train_Set/a.txt"
    path.write_text(path.read_text().replace("\n3\n", "\n9\n", 1))


def empty_labels(root, film):
    (root / EXPR / "Train_Set/a.txt").write_text("")


def only_header(root, film):
    valence_arousal(root, f"{VA}/Train_Set", "a", np.empty((0, 2)))


def unlabelled(root, film):
    valence_arousal(root, f"{VA}/Train_Set", "a", np.full((N, 2), np.nan))


def one_row_more(root, film):
    expression(root, f"{EXPR}/Train_Set", "a", [*range(7)] * 2 + [0])
    valence_arousal(root, f"{VA}/Train_Set", "a", [[0.5, 0.5]] * (N + 1))


def many_rows_fewer(root, film):
    expression(root, f"{EXPR}/Train_Set", "a", [*range(7)])
    valence_arousal(root, f"{VA}/Train_Set", "a", [[0.5, 0.5]] * 7)


def tasks_differ(root, film):
    valence_arousal(root, f"{VA}/Train_Set", "a", [[0.5, 0.5]] * (N - 1))


def both_splits(root, film):
    expression(root, f"{EXPR}/Validation_Set", "a", [0] * N)


def tasks_disagree(root, film):
    (root / VA / "Train_Set/a.txt").rename(root / VA / "Validation_Set/a.txt")


def leak(root, film):
    expression(root, f"{EXPR}/Validation_Set", "a_right", [0] * N)
    crops(root, "a_right", [1])


def two_videos(root, film):
    (root / "videos/a.avi").write_bytes(film)


def other_edition(root, film):
    (root / "Third ABAW Annotations/VA_Estimation_Challenge/Train_Set").mkdir(parents=True)


DAMAGES = [
    (cut_image, "error", "a", "1 image is truncated: 00005.jpg", "unpack"),
    (empty_image, "error", "a", "1 image is empty: 00005.jpg", "unpack"),
    (png_called_jpg, "error", "a", "1 image is not JPEG: 00005.jpg", "unpack"),
    (garbled_image, "error", "a", "1 image is not decodable: 00005.jpg", "unpack"),
    (wrong_size, "warning", "a", "11 aligned images are 96×96 pixels instead of 112×112: 00004.jpg", "official"),
    (odd_names, "warning", "a", "2 files are no image of a frame: 00004.png, face.jpg", "rename"),
    (image_zero, "error", "a", "00000.jpg exists, but images count from 1", "rename"),
    (no_images, "warning", "a", "the folder holds no image", "unpack"),
    (cut_video, "error", "a", "", "again"),
    (text_called_video, "error", "a", "", "again"),
    (no_video, "warning", "a", "no video (.mp4 or .avi)", "add the videos"),
    (bad_class, "error", "a", "line 5: class out of range", "correct the row"),
    (empty_labels, "error", "a", "line 1: the file is empty", "unpack"),
    (only_header, "warning", "a", "no label rows", "unlabelled"),
    (unlabelled, "warning", "a", f"none of its {N} rows holds a label", "unlabelled"),
    (one_row_more, "note", "a", f"{N + 1} label rows, {N} video frames (+1)", "matched by number"),
    (many_rows_fewer, "warning", "a", f"7 label rows, {N} video frames (-7)", "belong together"),
    (
        many_rows_fewer,
        "warning",
        "a",
        f"the last image in cropped_aligned is number {N}, the labels end at row 7 (+7)",
        "not used",
    ),
    (tasks_differ, "note", "a", f"{N} rows of expression, {N - 1} rows of valence-arousal", "nothing to do"),
    (both_splits, "error", "a", "expression labels in train and validation", "delete"),
    (tasks_disagree, "warning", "a", "in train for expression, in validation for valence-arousal", "held out"),
    (leak, "warning", "a", "a in train, a_right in validation", "leave one out"),
    (two_videos, "warning", "", "video a exists twice", "delete"),
    (other_edition, "note", "", 'annotations of edition "abaw3"', "pass that edition"),
]


@pytest.mark.parametrize(("damage", "severity", "trial", "message", "remedy"), DAMAGES)
def test_one_thing_wrong(root, film, damage, severity, trial, message, remedy):
    damage(root, film)
    diagnosis = diagnose(root, images="all")
    matching = [f for f in diagnosis.findings if message in f.message and f.severity == severity and f.trial == trial]
    assert len(matching) == 1, diagnosis.format()
    assert remedy in matching[0].remedy
    assert diagnosis.has_errors == any(f.severity == "error" for f in diagnosis.findings)
    assert diagnosis.has_errors == (severity == "error")
    text = diagnosis.format()
    assert matching[0].message in text
    assert matching[0].remedy in text
    table = diagnosis.findings_table()
    assert list(table.columns) == ["severity", "trial", "path", "message", "remedy"]
    assert not {f.trial for f in diagnosis.findings} - {"a", "a_right", ""}  # nothing is said about the sound trial "b"


def test_labels_without_any_crop(root):
    expression(root, f"{EXPR}/Train_Set", "c", [0] * 3)
    found = {(f.trial, f.message) for f in diagnose(root).findings}
    assert ("c", "labelled, but without any crop") in found


def test_a_cut_video_still_counts_what_decodes(root, film):
    """An MP4 whose index comes first plays up to the cut; the finding says what is missing."""
    from fractions import Fraction

    import av

    path = root / "videos/a.mp4"
    pictures = np.random.default_rng(1).integers(0, 255, (N, 64, 96, 3), np.uint8)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        track = container.add_stream("mpeg4", rate=25)
        track.width, track.height = 96, 64
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(track.encode(frame))
        container.mux(track.encode())
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    path.write_bytes(data[: len(data) * 2 // 3])
    diagnosis = diagnose(root)
    assert diagnosis.has_errors
    decoded = diagnosis.table.set_index("trial").loc["a", "video_frames"]
    assert 0 < decoded < N
    assert any(f.trial == "a" and f.severity == "error" and "again" in f.remedy for f in diagnosis.findings)
    # The header alone does not tell.
    assert diagnose(root, decode=False).table.set_index("trial").loc["a", "video_frames"] == N


def test_how_many_images_are_looked_at(root):
    crops(root, "a", range(1, 201))
    for number in (1, 57, 200):
        (root / f"cropped_aligned/a/{number:05d}.jpg").write_bytes(IMAGE[:300])
    seen = {
        images: [f.message for f in diagnose(root, images=images).findings if "truncated" in f.message]
        for images in ("all", "sample", "none")
    }
    assert seen["all"] == ["3 images are truncated: 00001.jpg, 00057.jpg, 00200.jpg"]
    assert seen["sample"] == ["2 images are truncated: 00001.jpg, 00200.jpg"]
    assert seen["none"] == []
    with pytest.raises(ValueError, match=r"images must be one of all, sample, none. Received: images='some'"):
        diagnose(root, images="some")


def test_own_videos_without_annotations(tmp_path, film):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/mine.mp4").write_bytes(film)
    crops(tmp_path, "mine", [1, 2, N])
    diagnosis = diagnose(tmp_path)
    assert not diagnosis.has_errors
    assert [f.message for f in diagnosis.findings] == ["no annotations: every trial belongs to the test split"]
    row = diagnosis.table.iloc[0]
    assert (row["split"], row["video_frames"], row["cropped_aligned_last"]) == ("test", N, N)
    assert "mine" in diagnosis.format()


def test_long_lists_are_cut_unless_everything_is_wanted(root):
    for i in range(90):
        expression(root, f"{EXPR}/Train_Set", f"c{i:02d}", [0] * 3)
    diagnosis = diagnose(root)
    short, long = diagnosis.format(), diagnosis.format(everything=True)
    assert "… and 85 more like these" in short
    assert "c89: labelled, but without any crop" in long
    assert "c89: labelled, but without any crop" not in short
    assert "only with errors or warnings" in short


def test_image_fault_accepts_a_sound_image(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(80) + bytes(8))  # a little padding behind the end marker is harmless
    assert image_fault(path) == (None, (80, 80))
    assert image_fault(tmp_path / "absent.jpg") == ("unreadable", None)


def test_a_synthetic_dataset_is_sound(synthetic_root):
    diagnosis = diagnose(synthetic_root, images="all")
    assert not diagnosis.has_errors, diagnosis.format()
    assert not [f for f in diagnosis.findings if f.severity == "warning"], diagnosis.format()
    assert any("(+1)" in f.message for f in diagnosis.findings)  # the published off-by-one is there, and told
