"""The dataset reader on small trees built by hand: splits, frame numbers, lengths, odd layouts, and messages."""

import time

import cv2
import numpy as np
import pytest

from abaw_tf.data import AffWild2, annotations
from abaw_tf.data.crops import CropFolder
from abaw_tf.data.layout import find_layout, read_test_list
from abaw_tf.media.video import write_video

JPEG = cv2.imencode(".jpg", np.full((112, 112, 3), 90, np.uint8))[1].tobytes()
FOLDERS = {
    "abaw1": ("annotations/EXPR_Set/Training_Set", "annotations/EXPR_Set/Validation_Set"),
    "abaw2": ("annotations/EXPR_Set/Train_Set", "annotations/EXPR_Set/Validation_Set"),
    "abaw3": (
        "Third ABAW Annotations/EXPR_Classification_Challenge/Train_Set",
        "Third ABAW Annotations/EXPR_Classification_Challenge/Validation_Set",
    ),
}
EXPR, VA = "annotations/EXPR_Set", "annotations/VA_Set"


def expression(root, folder, trial, values, edition="abaw2"):
    path = root / folder / f"{trial}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_expression(path, values, edition)


def valence_arousal(root, folder, trial, values):
    path = root / folder / f"{trial}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_valence_arousal(path, values)


def crops(root, folder, trial, numbers):
    path = root / folder / trial
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (path / f"{number:05d}.jpg").write_bytes(JPEG)
    return path


def video(path, n_frames=6, fps=30, times=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.full((48, 64, 3), 20 * i % 255, np.uint8) for i in range(n_frames)], times=times, fps=fps)


@pytest.fixture
def root(tmp_path):
    """Two people in one video, a trial of one task only, a held-out one, and a test trial known by its video."""
    expression(tmp_path, f"{EXPR}/Train_Set", "two_left", [0, 1, -1, 4, 4])
    valence_arousal(tmp_path, f"{VA}/Train_Set", "two_left", [[0.1, 0.2]] * 3 + [[np.nan] * 2] * 3)  # a row more
    expression(tmp_path, f"{EXPR}/Train_Set", "two_right", [5, 5, 5])
    expression(tmp_path, f"{EXPR}/Train_Set", "video45_1", [0] * 4)
    valence_arousal(tmp_path, f"{VA}/Validation_Set", "video45_1", [[0.5, -0.5]] * 4)
    valence_arousal(tmp_path, f"{VA}/Validation_Set", "only_va", [[0.0, 1.0]] * 4)
    crops(tmp_path, "cropped_aligned", "two_left", [1, 2, 5])
    crops(tmp_path, "cropped_aligned", "video45_1", [2, 3, 4, 5])
    crops(tmp_path, "cropped", "video45_1", [4])
    crops(tmp_path, "cropped_aligned", "unlabelled", [3, 9])
    video(tmp_path / "videos/both_batches/two.mp4", 5)
    video(tmp_path / "videos/both_batches/unlabelled.AVI", 6, fps=25)
    return tmp_path


def test_trials_table(root):
    table = AffWild2(root).trials()
    assert list(table.columns) == [
        "trial",
        "video",
        "subject",
        "split",
        "split_expression",
        "split_valence_arousal",
        "fps",
        "n_frames",
        "video_path",
        "cropped_dir",
        "aligned_dir",
        "expression_path",
        "valence_arousal_path",
    ]
    assert table["trial"].tolist() == ["only_va", "two_left", "two_right", "unlabelled", "video45_1"]
    assert table["video"].tolist() == ["only_va", "two", "two", "unlabelled", "video45_1"]
    assert table["subject"].tolist() == ["", "left", "right", "", ""]
    assert table["split"].tolist() == ["validation", "train", "train", "test", "validation"]
    assert table["split_expression"].tolist() == [None, "train", "train", "test", "train"]
    assert table["split_valence_arousal"].tolist() == ["validation", "train", None, "test", "validation"]
    assert table["n_frames"].tolist() == [4, 6, 3, 9, 4]
    np.testing.assert_allclose(table["fps"], [np.nan, 30, 30, 25, np.nan])
    assert (
        table["video_path"].tolist()[1] == table["video_path"].tolist()[2] == str(root / "videos/both_batches/two.mp4")
    )
    assert table["video_path"].tolist()[0] is None
    assert table["cropped_dir"].tolist()[:4] == [None] * 4


def test_a_split_of_a_task_and_the_common_split_differ(root):
    data = AffWild2(root)
    assert data.trials("train", "expression")["trial"].tolist() == ["two_left", "two_right", "video45_1"]
    assert data.trials("train", "expression")["split"].unique().tolist() == ["train"]
    assert data.trials("validation", "valence_arousal")["trial"].tolist() == ["only_va", "video45_1"]
    assert data.trials("train")["trial"].tolist() == ["two_left", "two_right"]
    assert data.trials(task="valence_arousal")["trial"].tolist() == ["only_va", "two_left", "unlabelled", "video45_1"]
    with pytest.raises(
        ValueError,
        match=r"no trial in split 'validation' of task 'expression' \(found: 3 train, 0 v.*annotations/EXPR_Set/Val",
    ):
        data.trials("validation", "expression")


def test_labels_by_frame(root):
    table = AffWild2(root).labels("two_left")
    assert table.index.name == "frame"
    assert table.index.tolist() == list(range(6))
    assert table["expression"].tolist() == [0, 1, -1, 4, 4, -1]  # the shorter file ends in missing labels
    np.testing.assert_array_equal(table["valence"], np.array([0.1] * 3 + [np.nan] * 3, np.float32))
    assert table.dtypes.astype(str).tolist() == ["int64", "float32", "float32"]
    unlabelled = AffWild2(root).labels("unlabelled")
    assert len(unlabelled) == 9
    assert (unlabelled["expression"] == -1).all()
    assert unlabelled[["valence", "arousal"]].isna().all(axis=None)


def test_frame_i_is_image_i_plus_one(root):
    data = AffWild2(root)
    assert data.image_frames("two_left").tolist() == [0, 1, 4]
    assert data.image_path("two_left", 4) == root / "cropped_aligned/two_left/00005.jpg"
    assert data.image_path("two_left", 2) is None
    assert data.image_path("two_left", 99) is None
    assert data.image_frames("video45_1", "cropped").tolist() == [3]
    assert data.image_frames("two_right").tolist() == []
    with pytest.raises(ValueError, match="kind must be one of cropped, cropped_aligned"):
        data.image_frames("two_left", "aligned")


def test_frame_table_aligns_by_number_and_drops_crops_beyond_the_labels(root):
    data = AffWild2(root)
    table = data.frame_table()
    assert table.groupby("trial")["frame"].agg(list).to_dict() == {
        trial: list(range(data.n_frames(trial))) for trial in data.index["trial"]
    }
    for row in table.itertuples():
        expected = data.image_path(row.trial, row.frame)
        assert row.path == (None if expected is None else str(expected))
        labels = data.labels(row.trial).loc[row.frame]
        assert row.expression == labels["expression"]
        np.testing.assert_array_equal([row.valence, row.arousal], labels[["valence", "arousal"]].to_numpy(np.float32))


def test_frame_table_of_a_split_holds_no_labels_of_another(root):
    data = AffWild2(root)
    table = data.frame_table("validation").query("trial == 'video45_1'")
    assert (table["expression"] == -1).all()  # they are training labels of the other task
    assert table["valence"].notna().all()
    table = data.frame_table("train", "expression").query("trial == 'video45_1'")
    assert (table["expression"] == 0).all()
    assert table["valence"].isna().all()


def test_times_follow_the_container_and_go_on_at_the_frame_rate(tmp_path):
    stamps = np.array([0, 0.02, 0.1, 0.14, 0.3])
    video(tmp_path / "videos/vfr.mp4", 5, times=stamps)
    expression(tmp_path, f"{EXPR}/Train_Set", "vfr", [0] * 7)
    expression(tmp_path, f"{EXPR}/Train_Set", "vfr_right", [0] * 3)
    data = AffWild2(tmp_path)
    times = data.times("vfr")
    fps = data.trials().set_index("trial").loc["vfr", "fps"]
    np.testing.assert_allclose(times[:5], stamps, atol=2e-3)
    np.testing.assert_allclose(times[5:], times[4] + np.array([1, 2]) / fps)
    np.testing.assert_allclose(data.times("vfr_right"), stamps[:3], atol=2e-3)


def test_times_without_a_video(root):
    with pytest.raises(FileNotFoundError, match=r"no video only_va\.mp4 or \.avi.*fps=30"):
        AffWild2(root).times("only_va")
    np.testing.assert_allclose(AffWild2(root, fps=10).times("only_va"), [0, 0.1, 0.2, 0.3])


def test_a_truncated_video_leaves_the_rest_readable(root):
    (root / "videos/both_batches/two.mp4").write_bytes(b"\0" * 200)
    data = AffWild2(root)
    with pytest.warns(UserWarning, match=r"two\.mp4.*doctor"):
        table = data.trials().set_index("trial")
    assert np.isnan(table.loc["two_left", "fps"])
    assert table.loc["two_left", "n_frames"] == 6
    assert table.loc["unlabelled", "fps"] == 25


@pytest.mark.parametrize("edition", ["abaw1", "abaw2", "abaw3"])
def test_every_edition_opens_with_its_own_folders(tmp_path, edition):
    expression(tmp_path, FOLDERS[edition][0], "a", [0, 6], edition)
    expression(tmp_path, FOLDERS[edition][1], "b", [1], edition)
    table = AffWild2(tmp_path, edition).trials()
    assert table["split_expression"].tolist() == ["train", "validation"]


@pytest.mark.parametrize(
    "annotation_folder",
    [
        "annotations/EXPR_Set/Training_Set",
        "EXPR_Set/Train_Set",
        "ABAW2/expr_set/TRAIN_SET",
        "my/copy/EXPR_Set/Train_Set",
    ],
)
@pytest.mark.parametrize(
    ("crop_folder", "video_folder"),
    [
        ("cropped_aligned", "videos"),
        ("cropped_aligned/cropped_aligned", "batch1"),
        ("batch1/cropped_aligned", "videos/both_batches"),
        ("Aff-Wild2/Cropped_Aligned", "Aff-Wild2/batch2"),
        ("cropped_aligned/batch2", "."),
    ],
)
def test_tolerant_layout(tmp_path, annotation_folder, crop_folder, video_folder):
    expression(tmp_path, annotation_folder, "a", [0, 6])
    folder = crops(tmp_path, crop_folder, "a", [1])
    (tmp_path / video_folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / video_folder / "a.MP4").touch()
    row = AffWild2(tmp_path).index.iloc[0]
    assert row["split"] == "train"
    assert row["aligned_dir"] == str(folder)
    assert row["video_path"] == str(tmp_path / video_folder / "a.MP4")


def test_litter_is_not_data(root):
    before = AffWild2(root).trials()
    frames = AffWild2(root).image_frames("two_left").tolist()
    for name in (
        ".DS_Store",
        "._00003.jpg",
        "Thumbs.db",
        "notes.txt",
        "00003.png",
        "00003 (1).jpg",
        "00000.jpg",
        "face.jpg",
    ):
        (root / "cropped_aligned/two_left" / name).write_bytes(JPEG)
    for path in (f"{EXPR}/Train_Set/._two_left.txt", f"{EXPR}/Train_Set/.DS_Store", "videos/both_batches/._two.mp4"):
        (root / path).write_bytes(b"\0\1")
    (root / "cropped_aligned/.Trashes").mkdir()
    (root / "__MACOSX/cropped_aligned/ghost").mkdir(parents=True)
    data = AffWild2(root)
    assert data.image_frames("two_left").tolist() == frames
    assert data.trials()["trial"].tolist() == before["trial"].tolist()
    folder = CropFolder(root / "cropped_aligned/two_left")
    assert folder.odd == ("00000.jpg", "00003 (1).jpg", "00003.png", "face.jpg", "notes.txt")


def test_crops_that_are_not_named_by_five_digits_keep_their_number(tmp_path):
    folder = crops(tmp_path, "cropped_aligned", "a", [2, 100000])
    for name in ("3.jpg", "00004.JPG", "000002.jpg"):
        (folder / name).write_bytes(JPEG)
    listed = CropFolder(folder)
    assert listed.frames.tolist() == [1, 2, 3, 99999]
    assert listed.odd == ("000002.jpg",)
    assert [path and path.rpartition("/")[2] for path in listed.paths(5)] == [
        None,
        "00002.jpg",
        "3.jpg",
        "00004.JPG",
        None,
    ]
    assert listed.path(99999).name == "100000.jpg"
    assert listed.last == 99999


def test_lists_of_test_trials(root):
    (root / "Expression_Classification_Challenge_test_set_release.txt").write_text(
        "unlabelled\nonly_va\r\nelsewhere.mp4\n\n"
    )
    (root / "Action_Unit_Detection_Challenge_test_set_release.txt").write_text("nobody\n")
    (root / "Multi_Task_Learning_Challenge_test_set_release.txt").write_text("nobody/00001.jpg\n")
    table = AffWild2(root).trials().set_index("trial")
    assert "nobody" not in table.index
    assert table["split_expression"].to_dict() == {
        "elsewhere": "test",
        "only_va": "test",
        "two_left": "train",
        "two_right": "train",
        "unlabelled": "test",
        "video45_1": "train",
    }
    assert table.loc["only_va", "split"] == "test"  # validation of the other task, but somebody's test trial
    assert table.loc["only_va", "split_valence_arousal"] == "validation"
    assert table.loc["unlabelled", "split_valence_arousal"] is None  # the expression list shows that lists are used
    assert table.loc["elsewhere", "n_frames"] == 0


def test_test_list_content(tmp_path):
    path = tmp_path / "va_test_set.txt"
    path.write_text("\ufeffvideo1.mp4\nbatch2/video2.AVI\n10-60-1280x720_right\n a.b \n", encoding="utf-8")
    assert read_test_list(path) == ["video1", "video2", "10-60-1280x720_right", "a.b"]
    assert find_layout(tmp_path).test_lists == {"expression": [], "valence_arousal": [path]}
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"va_test_set\.txt, line 1: .*empty"):
        read_test_list(path)


def test_own_videos_without_annotations_are_test_trials(tmp_path):
    video(tmp_path / "videos/mine.mp4", 4)
    crops(tmp_path, "cropped", "mine", [1, 2])
    data = AffWild2(tmp_path)
    assert data.trials("test")[["trial", "n_frames"]].to_numpy().tolist() == [["mine", 4]]
    with pytest.raises(
        ValueError, match=r"no trial in split 'train' \(found: 0 train, 0 validation, 1 test\).*annotations/EXPR_Set"
    ):
        data.frame_table("train")


def test_sidecars(root):
    for path in ("openface/two_left.csv", "asr/two.csv", "openpose/two_openpose_body25/json/00000_keypoints.json"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    data = AffWild2(root)
    assert data.openface_path("two_left") == root / "openface/two_left.csv"
    assert data.openface_path("two_right") is None
    assert data.words_path("two_right") == root / "asr/two.csv"
    assert data.openpose_dir("two_left") == root / "openpose/two_openpose_body25/json"
    assert data.words_path("only_va") is None


def test_mp4_is_preferred_to_avi_and_the_other_is_noted(root):
    (root / "videos/both_batches/two.avi").touch()
    data = AffWild2(root)
    assert data.video_path("two_left").name == "two.mp4"
    assert [(what, kept.name, other.name) for what, kept, other in data.layout.duplicates] == [
        ("video two", "two.mp4", "two.avi")
    ]


def test_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: there is no such folder; pass the folder that holds"):
        AffWild2(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="this is a file"):
        AffWild2(tmp_path / "file")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "holiday").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no annotations, videos or crops.*annotations/EXPR_Set/Train_Set"):
        AffWild2(tmp_path)


@pytest.mark.parametrize(
    ("made", "opened", "fits"), [("abaw3", "abaw2", "abaw3"), ("abaw2", "abaw3", 'abaw1" or edition="abaw2')]
)
def test_wrong_edition_by_folder_names(tmp_path, made, opened, fits):
    expression(tmp_path, FOLDERS[made][0], "a", [0], made)
    with pytest.raises(ValueError, match=rf'wrong edition\? Pass edition="{fits}".*Received: edition="{opened}"'):
        AffWild2(tmp_path, opened)


def test_wrong_edition_by_header(tmp_path):
    expression(tmp_path, f"{EXPR}/Train_Set", "a", [7], "abaw3")
    with pytest.raises(ValueError, match=r'a\.txt, line 1: .*Pass edition="abaw3". Received: edition="abaw2"'):
        AffWild2(tmp_path)


def test_unknown_names_get_a_suggestion(root):
    with pytest.raises(ValueError, match="abaw2"):
        AffWild2(root, "abbaw2")
    data = AffWild2(root)
    with pytest.raises(ValueError, match=r"no such trial. Did you mean 'two_left'\? Received: 'two_lef'"):
        data.labels("two_lef")
    with pytest.raises(ValueError, match=r"split must be one of train, validation, test. Did you mean 'validation'"):
        data.trials("valid")
    with pytest.raises(ValueError, match=r"task must be one of expression, valence_arousal"):
        data.frame_table("train", "action_units")


def test_a_bad_row_is_told_when_the_trial_is_read_and_only_then(root):
    path = root / EXPR / "Train_Set/two_right.txt"
    path.write_text(path.read_text() + "9\n")
    data = AffWild2(root)
    assert data.trials().set_index("trial").loc["two_right", "n_frames"] == 4
    assert len(data.labels("two_left")) == 6
    with pytest.raises(ValueError, match=r"two_right\.txt, line 5: class out of range"):
        data.labels("two_right")
    with pytest.raises(ValueError, match=r"two_right\.txt, line 5: class out of range"):
        data.frame_table("train")


def test_many_trials_are_indexed_quickly(tmp_path):
    rng = np.random.default_rng(0)
    n_trials, n_frames = 40, 4000
    source = crops(tmp_path, "cropped_aligned", "t00", [1])
    for number in range(2, 1500):
        (source / f"{number:05d}.jpg").hardlink_to(source / "00001.jpg")
    for i in range(n_trials):
        name = f"t{i:02d}"
        expression(tmp_path, f"{EXPR}/Train_Set", name, rng.integers(-1, 7, n_frames))
        valence_arousal(tmp_path, f"{VA}/Train_Set", name, rng.uniform(-1, 1, (n_frames, 2)))
        if i:
            (tmp_path / "cropped_aligned" / name).symlink_to(source)
    start = time.process_time()
    table = AffWild2(tmp_path).frame_table("train")
    seconds = time.process_time() - start
    assert len(table) == n_trials * n_frames
    assert table["path"].notna().sum() == n_trials * 1499
    assert seconds / len(table) * 2.7e6 < 20  # processor time of the whole Aff-Wild2; 7 s were measured
