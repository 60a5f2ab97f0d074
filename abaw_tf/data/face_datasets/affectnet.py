"""AffectNet, in the two forms in which it is given out (A. Mollahosseini, B. Hasani, M. H. Mahoor, "AffectNet: A Database for Facial
Expression, Valence, and Arousal Computing in the Wild", IEEE Transactions on Affective Computing 10(1), 2019).

The manually annotated pictures with two lists, whatever the nesting::

    Manually_Annotated_file_lists/training.csv, validation.csv
    Manually_Annotated_Images/<subDirectory_filePath>      whole pictures; the list has the face's box

The lists' columns: subDirectory_filePath, face_x, face_y, face_width, face_height (pixels), facial_landmarks, expression, valence,
arousal; a list without the line of names is read in this order. Faces are cut out by their boxes when they are read.

Cropped faces with a file per annotation (the later, smaller edition)::

    train_set/images/0.jpg …      train_set/annotations/0_exp.npy, 0_val.npy, 0_aro.npy, 0_lnd.npy …      val_set/…

Expressions: 0 Neutral, 1 Happiness, 2 Sadness, 3 Surprise, 4 Fear, 5 Disgust, 6 Anger, 7 Contempt, 8 None, 9 Uncertain, 10 No-Face.
Valence and arousal lie in [-1, 1]; -2 where a picture has none. AffectNet-7, on which Do et al. (2020, §III-A) train, is 0 to 6:
283,901 training and 3,500 validation images.
"""

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from abaw_tf.data.face_datasets.records import FaceDatasetError, find_file, folders, image_files, make_records

CLASSES = "affectnet"
NAMES = {7: "Contempt", 8: "None", 9: "Uncertain", 10: "No-Face"}
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
LISTS = {"train": ("training.csv",), "validation": ("validation.csv",)}
SETS = {"train": "train_set", "validation": "val_set"}
_NUMBERS = [name for name in COLUMNS if name not in ("subDirectory_filePath", "facial_landmarks")]
_NO_AFFECT = -2
_LOOKED_AT = 50


def find_lists(root):
    """The lists by split, or None where neither is there."""
    found = {split: find_file(root, names) for split, names in LISTS.items()}
    return {split: path for split, path in found.items() if path} or None


def read_lists(lists, root) -> pd.DataFrame:
    """Read the pictures with lists.

    Raises
    ------
    FaceDatasetError
        A list without one of the columns or with a value that cannot be, or no folder in which the listed pictures are.
    """
    parts = []
    for split, path in lists.items():
        table, first_line = _read_csv(path)
        files = table["subDirectory_filePath"].str.replace("\\", "/", regex=False)
        folder = _picture_folder(root, path, files)
        box = table[["face_x", "face_y", "face_width", "face_height"]].to_numpy(np.float64)
        boxes = np.column_stack([box[:, :2], box[:, :2] + box[:, 2:]])
        boxes[~(box[:, 2:] > 0).all(axis=1)] = np.nan
        parts.append(
            make_records(
                [name.rsplit(".", 1)[0] for name in files],
                split,
                [f"{folder}/{name}" for name in files],
                table["expression"].to_numpy(),
                *(_affect(table[name].to_numpy()) for name in ("valence", "arousal")),
                boxes=boxes,
                source=str(path),
                line=np.arange(len(table)) + first_line,
            )
        )
    return pd.concat(parts, ignore_index=True)


def _read_csv(path):
    """A list as numbers and text, checked, and the line of its first row."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file), [])
    named = COLUMNS[0] in header
    lacking = [name for name in COLUMNS if name not in header and name != "facial_landmarks"]
    if (named and lacking) or (not named and len(header) != len(COLUMNS)):
        raise FaceDatasetError(
            f"{path}, line 1: must name the columns {', '.join(COLUMNS)}, or hold {len(COLUMNS)} values in this order; take "
            f"the list from AffectNet again. Received: {','.join(header)[:200]!r}"
        )
    table = pd.read_csv(
        path,
        header=0 if named else None,
        names=None if named else COLUMNS,
        usecols=[name for name in COLUMNS if name != "facial_landmarks"],
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
    )
    first_line = 2 if named else 1
    numbers = table[_NUMBERS].apply(pd.to_numeric, errors="coerce")
    affect = numbers[["valence", "arousal"]]
    rules = {
        "a path of a picture": table["subDirectory_filePath"].str.len() > 0,
        "numbers": numbers.notna().all(axis=1),
        "an expression from 0 to 10": numbers["expression"].isin(range(11)),
        "valence and arousal from -1 to 1, or -2": ((affect.abs() <= 1) | (affect == _NO_AFFECT)).all(axis=1),
    }
    for rule, kept in rules.items():
        if not kept.all():
            row = int(np.argmin(kept))
            received = ", ".join(f"{key}={value}" for key, value in table.iloc[row].items())
            raise FaceDatasetError(
                f"{path}, line {row + first_line}: the row must have {rule}; correct or delete it. Received: {received[:300]}"
            )
    return table[["subDirectory_filePath"]].join(numbers), first_line


def _affect(values):
    return np.where(values == _NO_AFFECT, np.nan, values)


def _picture_folder(root, path, files):
    """The folder to which a list's paths are relative, found by looking for the first pictures."""
    named = [folder for folder in folders(root) if folder.name.casefold().startswith("manually_annotated")]
    for folder in [*named, path.parent, Path(root)]:
        if any((folder / name).is_file() for name in files[:_LOOKED_AT]):
            return folder
    raise FaceDatasetError(
        f"{path}: none of the first {min(_LOOKED_AT, len(files))} pictures that it lists is there; unpack AffectNet's pictures into "
        f"{Path(root) / 'Manually_Annotated_Images'}. Received: {files.iloc[0] if len(files) else 'an empty list'}"
    )


def find_sets(root):
    """The sets of cropped faces by split, or None where neither is there."""
    found = {}
    for folder in folders(root):
        for split, name in SETS.items():
            if split not in found and (folder / name / "annotations").is_dir():
                found[split] = folder / name
    return found or None


def read_sets(sets, root) -> pd.DataFrame:
    """Read cropped faces with a file per annotation; those without one of the expression are reported in a warning.

    Raises
    ------
    FaceDatasetError
        An annotation that is not one number, or cannot be.
    """
    parts = []
    for split, folder in sets.items():
        annotations = folder / "annotations"
        names = sorted(path.name[: -len("_exp.npy")] for path in annotations.glob("*_exp.npy"))
        files = {name.rsplit(".", 1)[0]: name for name in image_files(folder / "images")}
        unlabelled = sorted(set(files) - set(names))
        if unlabelled:
            warnings.warn(
                f"{annotations}: {len(unlabelled)} images have no _exp.npy and are left out, the first one is "
                f"{files[unlabelled[0]]}",
                stacklevel=4,
            )
        values = np.full((len(names), 3), np.nan)
        for i, name in enumerate(tqdm(names, desc=folder.name, unit="image", disable=len(names) < 10_000)):
            for k, (key, lowest) in enumerate((("exp", 0), ("val", -1), ("aro", -1))):
                path = annotations / f"{name}_{key}.npy"
                if k == 0 or path.is_file():
                    values[i, k] = _read_value(path, key, lowest)
        parts.append(
            make_records(
                [f"{folder.name}/{name}" for name in names],
                split,
                [folder / "images" / files.get(name, f"{name}.jpg") for name in names],
                values[:, 0],
                _affect(values[:, 1]),
                _affect(values[:, 2]),
                source=[str(annotations / f"{name}_exp.npy") for name in names],
            )
        )
    return pd.concat(parts, ignore_index=True)


def _read_value(path, key, lowest):
    """The one number in a file, which may be stored as text."""
    try:
        value = float(np.load(path, allow_pickle=False).reshape(()).item())
    except (ValueError, OSError, EOFError) as error:
        raise FaceDatasetError(
            f"{path}: must hold one number; take the file from AffectNet again. Received: {error}"
        ) from error
    if (key == "exp" and value in range(11)) or (key != "exp" and (lowest <= value <= 1 or value == _NO_AFFECT)):
        return value
    rule = "an expression from 0 to 10" if key == "exp" else "a value from -1 to 1, or -2"
    raise FaceDatasetError(f"{path}: must hold {rule}; take the file from AffectNet again. Received: {value:g}")
