"""Submission files: written, read and checked."""

import numpy as np
import pytest

from abaw_tf import predictions
from abaw_tf.predictions import PredictionError

HEADERS = {"expression": "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise", "valence_arousal": "valence,arousal"}


@pytest.fixture
def table():
    return predictions.make_table(
        ["video1_left"] * 3 + ["12-24-1920x1080"] * 2,
        [0, 1, 2, 0, 1],
        expression=[0, 6, 3, 4, 4],
        valence=[0.12345, -0.0004, 1, -1, 0.5],
        arousal=[-0.9996, 0.0005, 0, 0.25, 1 / 3],
    )


def test_files_are_as_the_challenge_wants_them(table, tmp_path):
    paths = predictions.write_submission(table, tmp_path / "va", "valence_arousal")
    assert [path.name for path in paths] == ["12-24-1920x1080.txt", "video1_left.txt"]
    assert paths[0].read_text() == "valence,arousal\n-1.000,0.250\n0.500,0.333\n"
    assert paths[1].read_text() == "valence,arousal\n0.123,-1.000\n0.000,0.000\n1.000,0.000\n"
    paths = predictions.write_submission(table, tmp_path / "expr", "expression")
    assert paths[1].read_text() == HEADERS["expression"] + "\n0\n6\n3\n"


def test_third_edition_has_eight_classes(tmp_path):
    table = predictions.make_table("a", [0, 1], expression=[7, 0], edition="abaw3")
    (path,) = predictions.write_submission(table, tmp_path, "expression")
    assert path.read_text() == HEADERS["expression"] + ",Other\n7\n0\n"
    assert predictions.validate_submission(tmp_path, "expression", "abaw3") == []
    found = predictions.validate_submission(tmp_path, "expression", "abaw2")
    assert [finding.line for finding in found] == [1, 2]
    assert "0 to 6 in edition abaw2" in found[1].message
    with pytest.raises(PredictionError, match="classes of edition abaw3, not those of abaw2"):
        predictions.write_submission(table, tmp_path / "x", "expression", "abaw2")


def test_what_was_written_is_read_and_found_good(table, tmp_path):
    lengths = {"video1_left": 3, "12-24-1920x1080": 2}
    for task in HEADERS:
        predictions.write_submission(table, tmp_path / task, task, lengths=lengths)
        assert predictions.validate_submission(tmp_path / task, task, "abaw2", lengths) == []
    again = predictions.read_submission(tmp_path / "expression", "expression")
    assert again["expression"].tolist() == table["expression"].tolist()
    assert again[["trial", "frame"]].equals(table[["trial", "frame"]])
    again = predictions.read_submission(tmp_path / "valence_arousal", "valence_arousal")
    np.testing.assert_allclose(again["valence"], table["valence"], atol=5.01e-4)
    np.testing.assert_allclose(again["arousal"], table["arousal"], atol=5.01e-4)


def test_incomplete_predictions_are_not_written(table, tmp_path):
    def refused(change, message, task="expression", **arguments):
        with pytest.raises(PredictionError, match=message):
            predictions.write_submission(change, tmp_path / "never", task, **arguments)
        assert not (tmp_path / "never").exists()

    refused(table.drop(index=3), r"trial video1_left: .*frame 1 has none; fill it with predictions\.fill_missing")
    refused(
        table, r"1 trial\(s\) have no prediction.*Received: c", lengths={"video1_left": 3, "12-24-1920x1080": 2, "c": 1}
    )
    refused(table, r"trial video1_left: 5 frames are wanted", lengths={"video1_left": 5, "12-24-1920x1080": 2})
    refused(table, r"trial 12-24-1920x1080: has predictions but no length", lengths={"video1_left": 3})
    refused(table.drop(columns="arousal"), r"does not predict valence_arousal: column 'arousal'", "valence_arousal")
    refused(table.assign(expression=9), r"expression must be a class index")
    refused(table.assign(trial="../up").iloc[:3].assign(frame=[0, 1, 2]), r"holds no slash. Received: '\.\./up'")
    with pytest.raises(ValueError, match=r"task must be one of expression, valence_arousal. Received: 'va'"):
        predictions.write_submission(table, tmp_path / "never", "va")


def test_files_of_an_earlier_submission_are_not_mixed_in(table, tmp_path):
    (tmp_path / "old.txt").write_text("x")
    with pytest.raises(PredictionError, match=r"holds 1 submission file\(s\) of other trials.*old\.txt"):
        predictions.write_submission(table, tmp_path, "expression")
    (tmp_path / "old.txt").unlink()
    predictions.write_submission(table, tmp_path, "expression")
    predictions.write_submission(table, tmp_path, "expression")


# task, text of the file (None: absent), wanted length, line and message of the finding
FAULTS = {
    "missing": ("expression", None, 2, None, "the file is missing"),
    "header": ("expression", "neutral,anger\n0\n1\n", 2, 1, "the header must be 'Neutral,Anger"),
    "no header": ("expression", "0\n1\n", 2, 1, "the header must be"),
    "swapped header": ("valence_arousal", "arousal,valence\n0,0\n", 1, 1, "the header must be 'valence,arousal'"),
    "empty": ("expression", "", 0, 1, "Received: 'an empty file'"),
    "too short": ("expression", HEADERS["expression"] + "\n0\n1\n", 3, None, "2 frames where 3 are wanted"),
    "too long": ("expression", HEADERS["expression"] + "\n0\n1\n", 1, None, "2 frames where 1 are wanted"),
    "class": ("expression", HEADERS["expression"] + "\n0\n7\n", 2, 3, "the class must be 0 to 6"),
    "sentinel": ("expression", HEADERS["expression"] + "\n-1\n-1\n", 2, 2, "the sentinel -1 of the annotations"),
    "blank line": ("expression", HEADERS["expression"] + "\n0\n\n1\n", 3, 3, "not one integer"),
    "float": ("expression", HEADERS["expression"] + "\n0.0\n", 1, 2, "not one integer"),
    "two": ("expression", HEADERS["expression"] + "\n0,1\n", 1, 2, "not one integer"),
    "va sentinel": ("valence_arousal", "valence,arousal\n0,0\n-5,-5\n", 2, 3, "the sentinel -5 of the annotations"),
    "half sentinel": ("valence_arousal", "valence,arousal\n0.1,-5.0\n", 1, 2, "the sentinel -5"),
    "range": ("valence_arousal", "valence,arousal\n0.1,1.01\n", 1, 2, "must lie in [-1, 1]"),
    "one": ("valence_arousal", "valence,arousal\n0.1\n", 1, 2, "not two numbers"),
    "nan": ("valence_arousal", "valence,arousal\n0.1,nan\n", 1, 2, "not two numbers"),
    "semicolon": ("valence_arousal", "valence,arousal\n0.1;0.2\n", 1, 2, "not two numbers"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_validator_finds(tmp_path, case):
    task, text, length, line, message = FAULTS[case]
    good = {"expression": "3", "valence_arousal": "0.5,0.5"}[task]
    (tmp_path / "good.txt").write_text(f"{HEADERS[task]}\n{good}\n")
    if text is not None:
        (tmp_path / "bad.txt").write_text(text)
    found = predictions.validate_submission(tmp_path, task, "abaw2", {"good": 1, "bad": length})
    assert len(found) == 1, [str(finding) for finding in found]
    assert found[0].path == tmp_path / "bad.txt"
    assert found[0].line == line
    assert message in found[0].message
    assert found[0].remedy
    if line is not None:
        with pytest.raises(PredictionError, match=r"bad\.txt, line"):
            predictions.read_submission(tmp_path, task)


def test_many_faults_of_a_kind_are_one_finding(tmp_path):
    (tmp_path / "a.txt").write_text(HEADERS["expression"] + "\n0\n" + "-1\n" * 40 + "x\n" + "9\n" * 3)
    found = predictions.validate_submission(tmp_path, "expression")
    assert [finding.line for finding in found] == [3, 43, 44]
    assert "(and 39 more lines)" in found[0].message
    assert "(and 2 more lines)" in found[2].message
    assert str(found[1]).startswith(f"{tmp_path / 'a.txt'}, line 43: not one integer")


def test_files_that_do_not_belong(tmp_path):
    (tmp_path / "a.txt").write_text("valence,arousal\n0,0\n")
    (tmp_path / "extra.txt").write_text("valence,arousal\n0,0\n")
    (tmp_path / "readme.md").write_text("x")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    found = predictions.validate_submission(tmp_path, "valence_arousal", "abaw2", {"a": 1})
    messages = {(finding.path.name, finding.message) for finding in found}
    assert messages == {
        ("readme.md", "not a <trial>.txt file"),
        ("extra.txt", "this trial is not asked for"),
        ("binary.txt", "this trial is not asked for"),
        ("binary.txt", "not a text file (UTF-8)"),
    }
    # Files from Windows are fine.
    (tmp_path / "a.txt").write_bytes(b"valence,arousal\r\n0.5,-0.5\r\n")
    for name in ("extra.txt", "readme.md", "binary.txt"):
        (tmp_path / name).unlink()
    assert predictions.validate_submission(tmp_path, "valence_arousal", "abaw2", {"a": 1}) == []


def test_empty_or_absent_folders(tmp_path):
    (finding,) = predictions.validate_submission(tmp_path, "expression")
    assert "no <trial>.txt file" in finding.message
    with pytest.raises(PredictionError, match=r"no <trial>\.txt files; give the folder"):
        predictions.read_submission(tmp_path, "expression")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        predictions.validate_submission(tmp_path / "absent", "expression")
