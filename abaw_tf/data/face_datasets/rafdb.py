"""RAF-DB's basic part, in the two forms in which it is found.

The form of its authors (S. Li, W. Deng, J. Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression
Recognition in the Wild", CVPR 2017)::

    EmoLabel/list_patition_label.txt     lines "train_00001.jpg 5", "test_0001.jpg 7" (the file's name is spelled like this)
    Image/aligned/train_00001_aligned.jpg, test_0001_aligned.jpg, …   100×100 pixels, aligned

and folders by label, a form in which it is passed on::

    train/1/train_00001_aligned.jpg … train/7/…      test/1/test_0001_aligned.jpg … test/7/…

Labels: 1 Surprise, 2 Fear, 3 Disgust, 4 Happiness, 5 Sadness, 6 Anger, 7 Neutral. 12,271 images are for training, 3,068 for test;
Do et al. (2020, §III-A) validate on the latter, and so does this reader.
"""

import re
from pathlib import Path

from abaw_tf.data.face_datasets.records import (
    FaceDatasetError,
    find_file,
    find_folder,
    folders,
    image_files,
    make_records,
)

LIST_NAMES = ("list_patition_label.txt", "list_partition_label.txt")
SPLITS = {"train": "train", "test": "validation"}
CLASSES = "rafdb"
_LINE = re.compile(r"((train|test)_\d+)\.jpg\s+(\d+)")


def find_list(root):
    """The list of labels, or None."""
    return find_file(root, LIST_NAMES)


def read_list(path, root) -> "pandas.DataFrame":  # noqa: F821
    """Read the authors' form.

    Raises
    ------
    FaceDatasetError
        A line that is no image and label, a label outside 1–7, an image that is listed twice, or no folder of aligned images.
    """
    folder = find_folder(root, "aligned")
    if folder is None:
        raise FaceDatasetError(f"{root}: no folder Image/aligned; unpack aligned.zip of RAF-DB's basic part there")
    present = set(image_files(folder))
    names, files, splits, codes, lines, seen = [], [], [], [], [], {}
    for number, text in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not text.strip():
            continue
        match = _LINE.fullmatch(text.strip())
        if match is None or not 1 <= int(match[3]) <= 7:
            raise FaceDatasetError(
                f'{path}, line {number}: must be an image and its label, 1 to 7, as in "train_00001.jpg 5"; take the file '
                f"from RAF-DB again. Received: {text[:80]!r}"
            )
        name = match[1]
        if name in seen:
            raise FaceDatasetError(
                f"{path}, line {number}: {name} is listed twice (line {seen[name]}); keep one of them"
            )
        seen[name] = number
        plain = f"{name}.jpg" in present and f"{name}_aligned.jpg" not in present
        names.append(name)
        files.append(folder / (f"{name}.jpg" if plain else f"{name}_aligned.jpg"))
        splits.append(SPLITS[match[2]])
        codes.append(int(match[3]) - 1)
        lines.append(number)
    return make_records(names, splits, files, codes, source=str(path), line=lines)


def find_folders(root):
    """The folder that holds ``train/1`` … ``train/7`` and ``test/1`` … ``test/7``, or None."""
    for folder in folders(root):
        if all((folder / split / str(label)).is_dir() for split in SPLITS for label in range(1, 8)):
            return folder
    return None


def read_folders(folder, root) -> "pandas.DataFrame":  # noqa: F821
    """Read the form of folders by label.

    Raises
    ------
    FaceDatasetError
        An image lies in the folders of two labels.
    """
    names, files, splits, codes, seen = [], [], [], [], {}
    for part, split in SPLITS.items():
        for label in range(1, 8):
            for file in image_files(folder / part / str(label)):
                path = folder / part / str(label) / file
                name = Path(file).stem.removesuffix("_aligned")
                if (part, name) in seen:
                    raise FaceDatasetError(f"{path}: the same image is at {seen[part, name]}; keep one of them")
                seen[part, name] = path
                names.append(name)
                files.append(path)
                splits.append(split)
                codes.append(label - 1)
    return make_records(names, splits, files, codes, source=[str(path.parent) for path in files])
