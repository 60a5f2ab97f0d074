"""The challenge's label files: one header line, then one line per video frame.

The official sentinels (-1 for expression, -5 for valence and arousal) exist only here: everywhere else a missing expression is
``-1`` and a missing valence or arousal is ``NaN``. Row *i* (0-based, header excluded) belongs to frame *i*, so no row is ever dropped.
"""

from pathlib import Path

import numpy as np

from abaw_tf import labels
from abaw_tf.files import replacing


class AnnotationError(ValueError):
    """A label file that cannot be trusted; the message names the file, the line and the remedy."""


def read_expression(path, edition="abaw2"):
    """Read an expression file.

    Parameters
    ----------
    path : path-like
        Text file: the class names as header, then one integer per frame.
    edition : str or Edition
        Decides the header and the number of classes (7, or 8 for ``"abaw3"``).

    Returns
    -------
    numpy.ndarray of int64, shape (n_frames,)
        Official class index of each frame, -1 where missing. Empty when the file holds nothing but its header.

    Raises
    ------
    AnnotationError
        Wrong header, blank line between rows, text that is not an integer, or a class that the edition does not have.
    FileNotFoundError
        There is no such file.
    """
    edition = labels.edition(edition)
    rows = _rows(path, "expression", edition)
    n_classes, sentinel = len(edition.classes), int(edition.sentinels["expression"])
    try:
        values = np.array([int(row) for row in rows], dtype=np.int64)
    except (ValueError, OverflowError):
        values = None
    valid = None if values is None else ((values >= 0) & (values < n_classes)) | (values == sentinel)
    if valid is None or not valid.all() or "_" in "".join(rows):
        _explain_expression(path, rows, n_classes, sentinel)
    return np.where(values == sentinel, labels.MISSING_EXPRESSION, values)


def read_valence_arousal(path, edition="abaw2"):
    """Read a valence-arousal file.

    Parameters
    ----------
    path : path-like
        Text file: ``valence,arousal``, then two comma-separated numbers per frame.
    edition : str or Edition
        The edition that the file belongs to.

    Returns
    -------
    numpy.ndarray of float32, shape (n_frames, 2)
        Valence and arousal in [-1, 1]. Both are NaN where either holds the sentinel -5: half a label is no label.

    Raises
    ------
    AnnotationError
        Wrong header, blank line between rows, not exactly two numbers in a row, or a value outside [-1, 1] that is not -5.
    FileNotFoundError
        There is no such file.
    """
    edition = labels.edition(edition)
    rows = _rows(path, "valence_arousal", edition)
    if not rows:
        return np.empty((0, 2), np.float32)
    sentinel = float(edition.sentinels["valence_arousal"])
    text = ",".join(rows)
    values = None
    if "_" not in text and all(row.count(",") == 1 for row in rows):
        try:
            values = np.array([float(part) for part in text.split(",")]).reshape(-1, 2)
        except ValueError:
            values = None
    # Written so that NaN ("nan" is a number to Python) fails the test.
    valid = None if values is None else (np.abs(values) <= 1.0) | (values == sentinel)
    if valid is None or not valid.all():
        _explain_valence_arousal(path, rows, sentinel)
    values[(values == sentinel).any(axis=1)] = np.nan
    return values.astype(np.float32)


def write_expression(path, expression, edition="abaw2"):
    """Write an expression file that `read_expression` reads back unchanged.

    Parameters
    ----------
    path : path-like
        File to write; replaced as a whole, so that an interruption never leaves half a file.
    expression : array-like of int, shape (n_frames,)
        Official class index of each frame, -1 where missing.
    edition : str or Edition
        Decides header and number of classes.

    Raises
    ------
    ValueError
        Not one-dimensional, not integer, or a class that the edition does not have.
    """
    edition = labels.edition(edition)
    expression = np.asarray(expression)
    if expression.ndim != 1 or (expression.size and expression.dtype.kind not in "iu"):
        raise ValueError(
            "expression must be a one-dimensional array of integers, one per frame. "
            f"Received: shape {expression.shape}, dtype {expression.dtype}"
        )
    valid = ((expression >= 0) & (expression < len(edition.classes))) | (expression == labels.MISSING_EXPRESSION)
    if not valid.all():
        frame = int(np.flatnonzero(~valid)[0])
        raise ValueError(
            f"{path}: frame {frame}: edition {edition.name} has classes 0…{len(edition.classes) - 1} and "
            f"{labels.MISSING_EXPRESSION} for missing. Received: {expression[frame]}"
        )
    sentinel = str(int(edition.sentinels["expression"]))
    rows = [sentinel if value == labels.MISSING_EXPRESSION else str(value) for value in expression.tolist()]
    _write(path, edition.headers["expression"], rows)


def write_valence_arousal(path, valence_arousal, edition="abaw2"):
    """Write a valence-arousal file that `read_valence_arousal` reads back unchanged (to float32).

    Parameters
    ----------
    path : path-like
        File to write; replaced as a whole, so that an interruption never leaves half a file.
    valence_arousal : array-like of float, shape (n_frames, 2)
        Values in [-1, 1]; a frame with a NaN in either column is written as ``-5,-5``.
    edition : str or Edition
        Decides the header and the sentinel.

    Raises
    ------
    ValueError
        Wrong shape, or a value outside [-1, 1].
    """
    edition = labels.edition(edition)
    values = np.asarray(valence_arousal, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"valence_arousal must have shape (n_frames, 2). Received: shape {values.shape}")
    missing = np.isnan(values).any(axis=1)
    outside = ~missing & (np.abs(values) > 1).any(axis=1)
    if outside.any():
        frame = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"{path}: frame {frame}: valence and arousal must lie in [-1, 1], or be NaN where missing. "
            f"Received: {values[frame].tolist()}"
        )
    sentinel = f"{edition.sentinels['valence_arousal']:g}"
    # The shortest text that is the same float32 again.
    text = np.where(missing[:, None], sentinel, values.astype(str))
    _write(path, edition.headers["valence_arousal"], [f"{valence},{arousal}" for valence, arousal in text.tolist()])


def count_rows(path):
    """Count the label rows of a file (header and trailing blank lines excluded) without parsing them.

    Parameters
    ----------
    path : path-like
        Label file of either kind.

    Returns
    -------
    int
        Number of rows, that is, of labelled frames.

    Raises
    ------
    AnnotationError
        The file is empty.
    """
    return len(_lines(path)) - 1


def editions_of(path, task):
    """Names of the editions whose header a label file has, judged by its first line alone.

    Parameters
    ----------
    path : path-like
        Label file.
    task : str
        ``"expression"`` or ``"valence_arousal"``.

    Returns
    -------
    tuple of str
        Edition names; empty where the first line is no edition's header.
    """
    with open(path, "rb") as file:
        header = _names(file.readline(4096).decode("utf-8-sig", errors="replace").strip())
    return tuple(name for name, edition in labels.EDITIONS.items() if _names(edition.headers[task]) == header)


def _decode(path, data):
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AnnotationError(
            f"{path}, line {line}: not UTF-8 text; save the file as plain text. "
            f"Received: byte {data[error.start : error.start + 1]!r}"
        ) from error


def _lines(path):
    lines = _decode(path, Path(path).read_bytes()).rstrip().split("\n")
    if lines == [""]:
        raise AnnotationError(
            f"{path}, line 1: the file is empty; unpack it again from the annotation archive, "
            "or delete it so that the trial counts as unlabelled"
        )
    return lines


def _rows(path, task, edition):
    lines = _lines(path)
    _check_header(path, lines[0].strip(), task, edition)
    return lines[1:]


def _names(header):
    return tuple(name.strip().casefold() for name in header.split(","))


def _check_header(path, header, task, edition):
    expected = edition.headers[task]
    if _names(header) == _names(expected):
        return
    where = f"{path}, line 1: "
    received = f'Received: "{header[:120]}"'
    for other in labels.EDITIONS.values():
        if _names(header) == _names(other.headers[task]):
            raise AnnotationError(
                f"{where}this is the header of another edition ({len(other.classes)} classes); wrong edition? "
                f'Pass edition="{other.name}" instead of "{edition.name}". {received}'
            )
        for other_task in labels.TASKS:
            if _names(header) == _names(other.headers[other_task]):
                raise AnnotationError(
                    f"{where}this is the header of {other_task.replace('_', '-')} files, not of "
                    f"{task.replace('_', '-')}; move the file to the folder of its task. {received}"
                )
    raise AnnotationError(
        f'{where}the header of a {task.replace("_", "-")} file of edition {edition.name} must be "{expected}"; '
        f"restore the header line, or pass the edition that the file belongs to. {received}"
    )


def _explain_expression(path, rows, n_classes, sentinel):
    """Find the first row that the fast path refused, and say what is wrong with it."""
    for line, row in enumerate(rows, start=2):
        text = row.strip()
        received = f'Received: "{text[:120]}"'
        if not text:
            raise AnnotationError(_blank(path, line))
        try:
            value = int("" if "_" in text else text)
        except ValueError as error:
            raise AnnotationError(
                f"{path}, line {line}: a row must be one integer, the class of the frame; correct the row, or write "
                f"{sentinel} to mark the frame as unlabelled. {received}"
            ) from error
        if value != sentinel and not 0 <= value < n_classes:
            hint = ' (wrong edition? "abaw3" has 8 classes)' if n_classes == 7 and value == 7 else ""
            raise AnnotationError(
                f"{path}, line {line}: class out of range: this edition has classes 0…{n_classes - 1} and {sentinel} for "
                f"unlabelled frames{hint}; correct the row. {received}"
            )
    raise AssertionError("the row-by-row reader must find what the fast reader refused")


def _explain_valence_arousal(path, rows, sentinel):
    for line, row in enumerate(rows, start=2):
        text = row.strip()
        received = f'Received: "{text[:120]}"'
        remedy = f"correct the row, or write {sentinel:g},{sentinel:g} to mark the frame as unlabelled"
        if not text:
            raise AnnotationError(_blank(path, line))
        parts = text.split(",")
        if len(parts) != 2:
            raise AnnotationError(
                f"{path}, line {line}: a row must be two comma-separated numbers, valence and arousal, not {len(parts)}; "
                f"{remedy}. {received}"
            )
        for part in parts:
            try:
                value = float("" if "_" in part else part)
            except ValueError as error:
                raise AnnotationError(f"{path}, line {line}: not a number; {remedy}. {received}") from error
            if not abs(value) <= 1 and value != sentinel:
                raise AnnotationError(
                    f"{path}, line {line}: valence and arousal must lie in [-1, 1], or be {sentinel:g} where missing; "
                    f"{remedy}. {received}"
                )
    raise AssertionError("the row-by-row reader must find what the fast reader refused")


def _blank(path, line):
    return (
        f"{path}, line {line}: a blank line between rows would shift every later label by one frame; delete it if it was "
        'added by mistake, or write the frame\'s label in its place. Received: ""'
    )


def _write(path, header, rows):
    with replacing(path) as temporary:
        temporary.write_bytes(("\n".join([header, *rows]) + "\n").encode("utf-8"))
