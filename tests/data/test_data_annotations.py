"""Label files in and out: round trips, tolerated oddities, and messages for files that cannot be trusted."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf.data import annotations
from abaw_tf.data.annotations import AnnotationError

SEVEN = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
EIGHT = SEVEN + ",Other"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_expression(tmp_path):
    path = write(tmp_path / "a.txt", f"{SEVEN}\n0\n-1\n6\n4\n")
    values = annotations.read_expression(path)
    assert values.dtype == np.int64
    assert values.tolist() == [0, -1, 6, 4]


def test_reads_valence_arousal_and_masks_half_labels(tmp_path):
    path = write(tmp_path / "a.txt", "valence,arousal\n0.5,-1\n-5,-5\n-5,0.2\n0.1,-5.0\n1,0\n")
    values = annotations.read_valence_arousal(path)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(
        values, np.array([[0.5, -1], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2, [1, 0]], np.float32)
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{SEVEN}\r\n3\r\n-1\r\n",  # Windows line ends
        f"\ufeff{SEVEN}\n3\n-1",  # byte order mark, no final newline
        f"{SEVEN}\n3\n-1\n\n \n\r\n",  # blank lines at the end
        "neutral, anger, disgust, fear, happiness, sadness, surprise\n 3 \n-1\t\n",
    ],
    ids=["crlf", "bom", "trailing-blank", "spaces"],
)
def test_harmless_oddities_are_tolerated(tmp_path, text):
    assert annotations.read_expression(write(tmp_path / "a.txt", text)).tolist() == [3, -1]


def test_valence_arousal_with_crlf_bom_and_spaces(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffvalence, arousal\r\n0.25, -0.5\r\n-5, -5\r\n\r\n")
    np.testing.assert_array_equal(annotations.read_valence_arousal(path), [[0.25, -0.5], [np.nan, np.nan]])


def test_third_edition_has_an_eighth_class(tmp_path):
    path = write(tmp_path / "a.txt", f"{EIGHT}\n7\n0\n")
    assert annotations.read_expression(path, "abaw3").tolist() == [7, 0]


def test_header_without_rows_is_no_frames(tmp_path):
    assert annotations.read_expression(write(tmp_path / "a.txt", SEVEN + "\n")).shape == (0,)
    assert annotations.read_valence_arousal(write(tmp_path / "b.txt", "valence,arousal")).shape == (0, 2)


EXPRESSION_FAULTS = [
    (f"{SEVEN}\n0\n7\n", "line 3", "wrong edition", '"7"'),
    (f"{SEVEN}\n0\n1\n-2\n", "line 4", "0…6", '"-2"'),
    (f"{SEVEN}\n0\n8\n", "line 3", "out of range", '"8"'),
    (f"{SEVEN}\nhappy\n", "line 2", "one integer", '"happy"'),
    (f"{SEVEN}\n0\n1.0\n", "line 3", "one integer", '"1.0"'),
    (f"{SEVEN}\n0\n0_1\n", "line 3", "one integer", '"0_1"'),
    (f"{SEVEN}\n0\n1,2\n", "line 3", "one integer", '"1,2"'),
    (f"{SEVEN}\n0\n99999999999999999999999\n", "line 3", "out of range", "99999"),
    (f"{SEVEN}\n0\n\n1\n", "line 3", "blank line", '""'),
    (f"{EIGHT}\n0\n", "line 1", 'edition="abaw3"', "Other"),
    ("valence,arousal\n0.1,0.2\n", "line 1", "folder of its task", "valence,arousal"),
    ("0\n1\n", "line 1", "restore the header", '"0"'),
    ("Anger,Neutral,Disgust,Fear,Happiness,Sadness,Surprise\n0\n", "line 1", "must be", "Anger,Neutral"),
    ("", "line 1", "empty", "unpack it again"),
    ("\n\n \n", "line 1", "empty", "delete it"),
    (SEVEN.encode() + b"\n0\n\xff\xfe\n", "line 3", "UTF-8", "xff"),
]


@pytest.mark.parametrize(("text", "line", "rule", "received"), EXPRESSION_FAULTS)
def test_faulty_expression_files(tmp_path, text, line, rule, received):
    path = write(tmp_path / "video.txt", text)
    with pytest.raises(AnnotationError) as caught:
        annotations.read_expression(path)
    message = str(caught.value)
    for part in (str(path), line, rule, received):
        assert part in message


VALENCE_AROUSAL_FAULTS = [
    ("valence,arousal\n0.1,0.2\n0.3\n", "line 3", "not 1", '"0.3"'),
    ("valence,arousal\n0.1,0.2,0.3\n", "line 2", "not 3", '"0.1,0.2,0.3"'),
    ("valence,arousal\n0.1 0.2\n", "line 2", "not 1", '"0.1 0.2"'),
    ("valence,arousal\n0.1,1.2\n", "line 2", "[-1, 1]", '"0.1,1.2"'),
    ("valence,arousal\n-5,-1.01\n", "line 2", "[-1, 1]", '"-5,-1.01"'),
    ("valence,arousal\n0.1,nan\n", "line 2", "[-1, 1]", '"0.1,nan"'),
    ("valence,arousal\n0.1,inf\n", "line 2", "[-1, 1]", '"0.1,inf"'),
    ("valence,arousal\n0.1,\n", "line 2", "not a number", '"0.1,"'),
    ("valence,arousal\nx,y\n", "line 2", "-5,-5", '"x,y"'),
    ("valence,arousal\n0_0,0\n", "line 2", "not a number", '"0_0,0"'),
    ("valence,arousal\n0.1,0.2\n\n0.1,0.2\n", "line 3", "blank line", '""'),
    ("arousal,valence\n0.1,0.2\n", "line 1", "valence,arousal", '"arousal,valence"'),
    (f"{SEVEN}\n0\n", "line 1", "expression files", "Neutral"),
    ("", "line 1", "empty", "unpack it again"),
]


@pytest.mark.parametrize(("text", "line", "rule", "received"), VALENCE_AROUSAL_FAULTS)
def test_faulty_valence_arousal_files(tmp_path, text, line, rule, received):
    path = write(tmp_path / "video.txt", text)
    with pytest.raises(AnnotationError) as caught:
        annotations.read_valence_arousal(path)
    message = str(caught.value)
    for part in (str(path), line, rule, received):
        assert part in message


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        annotations.read_expression(tmp_path / "nowhere.txt")


def test_a_seven_class_file_read_as_third_edition_names_an_edition_that_fits(tmp_path):
    path = write(tmp_path / "a.txt", f"{SEVEN}\n0\n")
    with pytest.raises(AnnotationError, match=r'wrong edition.*edition="abaw[12]"'):
        annotations.read_expression(path, "abaw3")


def test_editions_of_a_header(tmp_path):
    assert annotations.editions_of(write(tmp_path / "a.txt", f"{EIGHT}\n7\n"), "expression") == ("abaw3",)
    assert "abaw2" in annotations.editions_of(write(tmp_path / "b.txt", f"\ufeff{SEVEN}\r\n"), "expression")
    assert annotations.editions_of(write(tmp_path / "c.txt", "0\n1\n"), "expression") == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1, 6), max_size=40))
def test_expression_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    annotations.write_expression(path, np.array(values, np.int64))
    assert annotations.read_expression(path).tolist() == values
    assert annotations.count_rows(path) == len(values)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1, 1, width=32) | st.just(np.nan)] * 2), max_size=40))
def test_valence_arousal_round_trip_is_exact_and_masks_both(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    values = np.array(values, np.float32).reshape(-1, 2)
    annotations.write_valence_arousal(path, values)
    expected = values.copy()
    expected[np.isnan(values).any(axis=1)] = np.nan
    np.testing.assert_array_equal(annotations.read_valence_arousal(path), expected)


def test_written_files_look_official(tmp_path):
    annotations.write_expression(tmp_path / "e.txt", [7, -1], "abaw3")
    annotations.write_valence_arousal(tmp_path / "v.txt", [[0.25, -0.5], [np.nan, 0.1]])
    assert (tmp_path / "e.txt").read_text() == f"{EIGHT}\n7\n-1\n"
    assert (tmp_path / "v.txt").read_text() == "valence,arousal\n0.25,-0.5\n-5,-5\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.txt", "v.txt"]


def test_refuses_to_write_what_it_could_not_read(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(ValueError, match=r"frame 1.*Received: 7"):
        annotations.write_expression(path, [0, 7])
    with pytest.raises(ValueError, match="dtype float64"):
        annotations.write_expression(path, [0.0, 1.0])
    with pytest.raises(ValueError, match=r"frame 1.*1.5"):
        annotations.write_valence_arousal(path, [[0, 0], [1.5, 0]])
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        annotations.write_valence_arousal(path, [0, 0, 0])
    assert not path.exists()


def test_thirty_thousand_rows_are_read_quickly(tmp_path):
    rng = np.random.default_rng(0)
    annotations.write_valence_arousal(tmp_path / "v.txt", rng.uniform(-1, 1, (30000, 2)))
    annotations.write_expression(tmp_path / "e.txt", rng.integers(-1, 7, 30000))
    start = time.process_time()
    assert annotations.read_valence_arousal(tmp_path / "v.txt").shape == (30000, 2)
    assert annotations.read_expression(tmp_path / "e.txt").shape == (30000,)
    assert time.process_time() - start < 1.0


def test_does_not_import_tensorflow():
    code = (
        "import sys, abaw_tf.data.annotations, abaw_tf.data.affwild2, abaw_tf.data.windows, abaw_tf.data.folds, "
        "abaw_tf.data.balance, abaw_tf.data.doctor; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
