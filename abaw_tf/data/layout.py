"""Finds the parts of an Aff-Wild2 copy on disk, whatever way its archives were unpacked.

One walk over the upper levels of the tree recognises folders by name (upper and lower case alike): the tasks' annotation folders,
`cropped` and `cropped_aligned`, videos, test-set lists, and what other tools wrote (`openface`, `openpose`, `asr`). Folders of
pictures are never walked through, so the cost is the number of folders, not of frames.
"""

import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from abaw_tf import labels
from abaw_tf.data import annotations

KINDS = ("cropped", "cropped_aligned")
SIDECARS = ("openface", "openpose", "asr")
# In the order in which one is preferred when several exist. Aff-Wild2 has the first two; one's own videos come as any.
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".flv")
MAX_DEPTH = 3
_VIDEO_FOLDER = re.compile(r"video|batch")
_BATCH = re.compile(r"batch[ _-]?\d+")
_TEST_LIST = re.compile(r"test[ _-]?set.*\.txt$")
_OTHER_TASKS = re.compile(r"action[ _-]?unit|multi[ _-]?task|^au[ _-]|^mtl[ _-]")


@dataclass
class Layout:
    """Where everything of a dataset is.

    Attributes
    ----------
    root : Path
    label_files : dict
        ``[task][split][trial]`` -> path of the label file.
    test_lists : dict
        ``[task]`` -> paths of the lists of test trials.
    videos : dict
        Video name -> path.
    crops : dict
        ``[kind][trial]`` -> folder of images.
    sidecars : dict
        ``"openface"``, ``"openpose"``, ``"asr"`` -> folder.
    duplicates : list of (str, Path, Path)
        What, the file or folder that is used, and the one that is not.
    other_annotations : dict
        Edition name -> annotation folder found that only another edition has.
    """

    root: Path
    label_files: dict = field(default_factory=lambda: {task: {s: {} for s in labels.SPLITS} for task in labels.TASKS})
    test_lists: dict = field(default_factory=lambda: {task: [] for task in labels.TASKS})
    videos: dict = field(default_factory=dict)
    crops: dict = field(default_factory=lambda: {kind: {} for kind in KINDS})
    sidecars: dict = field(default_factory=dict)
    duplicates: list = field(default_factory=list)
    other_annotations: dict = field(default_factory=dict)

    @property
    def has_annotations(self):
        """Whether any label file was found."""
        return any(files for splits in self.label_files.values() for files in splits.values())


def is_litter(name):
    """Whether a file or folder name is an operating system's leftover rather than data."""
    return name.startswith(".") or name.casefold() in ("thumbs.db", "desktop.ini", "__macosx")


def crop_kind(name):
    """``"cropped_aligned"`` or ``"cropped"`` where a folder's name says so, else None."""
    name = name.casefold()
    if not name.startswith("cropped"):
        return None
    return "cropped_aligned" if name[len("cropped") :].lstrip(" _-").startswith("aligned") else "cropped"


def find_layout(root, edition="abaw2"):
    """Look over the upper levels of a folder for the parts of a dataset.

    Parameters
    ----------
    root : path-like
        Folder of the dataset.
    edition : str or Edition
        Decides the names of the annotation folders.

    Returns
    -------
    Layout
        What was found; parts that are absent are empty.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        `root` is not an existing folder.
    """
    edition, root = labels.edition(edition), Path(root)
    if not root.exists():
        raise FileNotFoundError(
            f"{root}: there is no such folder; pass the folder that holds annotations/, videos/ and cropped_aligned/"
        )
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: this is a file; pass the folder that holds the dataset")
    layout, task_folders = Layout(root), []
    known = {
        name.casefold() for other in labels.EDITIONS.values() for names in other.task_folders.values() for name in names
    }
    queue = deque([(root, 0, True)])
    while queue:
        folder, depth, may_hold_videos = queue.popleft()
        for entry in _listing(folder):
            name = entry.name.casefold()
            if not entry.is_dir():
                _note_file(layout, Path(entry.path), may_hold_videos)
            elif name in known:
                task_folders.append((Path(entry.path), depth))
            elif crop_kind(name):
                _note_crops(layout, Path(entry.path), crop_kind(name))
            elif name in SIDECARS:
                layout.sidecars.setdefault(name, Path(entry.path))
            elif depth < MAX_DEPTH:
                videos_inside = bool(_VIDEO_FOLDER.search(name)) or (may_hold_videos and depth > 0)
                queue.append((Path(entry.path), depth + 1, videos_inside))
    _note_annotations(layout, task_folders, edition)
    return layout


def check_edition(layout, edition):
    """Refuse a tree that is another edition's, or nothing of the dataset at all.

    Parameters
    ----------
    layout : Layout
        As from `find_layout`.
    edition : Edition
        The edition that it was looked over for.

    Raises
    ------
    ValueError
        Annotation folders or headers of another edition; the message suggests the right one.
    FileNotFoundError
        Neither annotations nor videos nor crops nor lists of test trials.
    """
    name = edition.name
    if not layout.has_annotations and layout.other_annotations:
        folder = next(iter(layout.other_annotations.values()))
        raise ValueError(
            f"{folder}: the annotations are laid out as in another edition; wrong edition? "
            f'Pass {_editions(layout.other_annotations)}. Received: edition="{name}"'
        )
    for task, splits in layout.label_files.items():
        for files in splits.values():
            for path in sorted(files.values())[:1]:  # one per folder: whole files are checked when they are read
                fits = annotations.editions_of(path, task)
                if fits and name not in fits:
                    raise ValueError(
                        f"{path}, line 1: this is the header of another edition; wrong edition? "
                        f'Pass {_editions(fits)}. Received: edition="{name}"'
                    )
    found = layout.has_annotations or layout.videos or any(layout.crops.values()) or any(layout.test_lists.values())
    if not found:
        expected = "/".join((edition.annotation_roots[0], edition.task_folders["expression"][0], "Train_Set"))
        raise FileNotFoundError(
            f"{layout.root}: no annotations, videos or crops in it; pass the folder that holds {expected}/*.txt, "
            "videos/*.mp4 and cropped_aligned/<trial>/00001.jpg"
        )


def read_test_list(path):
    """Trial names of a test-set list: one per line, a file extension or a leading folder allowed.

    Parameters
    ----------
    path : path-like
        Text file.

    Returns
    -------
    list of str
        Names in the order of the file.

    Raises
    ------
    ValueError
        The list is empty or not text.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text; save the list as plain text, one trial per line") from error
    names = [PurePosixPath(line.split(",")[0].strip()) for line in lines if line.strip()]
    if not names:
        raise ValueError(
            f"{path}, line 1: the list of test trials is empty; write one trial per line, or delete the file"
        )
    return [name.stem if name.suffix.casefold() in (*VIDEO_SUFFIXES, ".txt") else name.name for name in names]


def _listing(folder):
    """Entries in order of name; nothing for a folder of pictures, which is left as soon as it is recognised."""
    entries, pictures = [], 0
    with os.scandir(folder) as scan:
        for entry in scan:
            if is_litter(entry.name):
                continue
            pictures += entry.name.casefold().endswith((".jpg", ".png"))
            if pictures > 20:
                return []
            entries.append(entry)
    return sorted(entries, key=lambda entry: entry.name)


def _note_file(layout, path, may_hold_videos):
    name = path.name.casefold()
    if _TEST_LIST.search(name):
        _note_test_list(layout, path)
    elif may_hold_videos and path.suffix.casefold() in VIDEO_SUFFIXES:
        used = layout.videos.get(path.stem)
        if used is None:
            layout.videos[path.stem] = path
        elif used.parent == path.parent and _preference(path) < _preference(used):
            layout.videos[path.stem] = path
            layout.duplicates.append((f"video {path.stem}", path, used))
        else:
            layout.duplicates.append((f"video {path.stem}", used, path))


def _preference(path):
    return VIDEO_SUFFIXES.index(path.suffix.casefold())


def _note_test_list(layout, path, folder_task=None):
    name = path.name.casefold()
    if _OTHER_TASKS.search(name):
        return
    if "expr" in name:
        tasks = ("expression",)
    elif "valence" in name or re.search(r"(^|[ _-])va[ _-]", name):
        tasks = ("valence_arousal",)
    else:
        tasks = (folder_task,) if folder_task else labels.TASKS
    for task in tasks:
        layout.test_lists[task].append(path)


def _note_crops(layout, folder, kind):
    for entry in _listing(folder):
        if not entry.is_dir():
            continue
        nested = crop_kind(entry.name)
        if nested or _BATCH.fullmatch(entry.name.casefold()):
            _note_crops(layout, Path(entry.path), nested or kind)
        elif entry.name in layout.crops[kind]:
            layout.duplicates.append((f"{kind} {entry.name}", layout.crops[kind][entry.name], Path(entry.path)))
        else:
            layout.crops[kind][entry.name] = Path(entry.path)


def _note_annotations(layout, task_folders, edition):
    roots = [name.casefold() for name in edition.annotation_roots]

    def rank(item):
        folder, depth = item
        parent = folder.parent.name.casefold()
        return (roots.index(parent) if parent in roots else len(roots), depth, str(folder))

    used = {}
    for folder, _ in sorted(task_folders, key=rank):
        task = _task_of(folder.name, edition)
        if task is None:
            for other in labels.EDITIONS.values():
                if _task_of(folder.name, other):
                    layout.other_annotations.setdefault(other.name, folder)
        elif task in used:
            layout.duplicates.append((f"{task} annotations", used[task], folder))
        else:
            used[task] = folder
            _note_label_files(layout, task, folder, edition)


def _task_of(name, edition):
    for task, names in edition.task_folders.items():
        if name.casefold() in (other.casefold() for other in names):
            return task
    return None


def _note_label_files(layout, task, folder, edition):
    for entry in _listing(folder):
        if not entry.is_dir():
            if _TEST_LIST.search(entry.name.casefold()):
                _note_test_list(layout, Path(entry.path), task)
            continue
        for split, names in edition.split_folders.items():
            if entry.name.casefold() in (name.casefold() for name in names):
                for file in _listing(entry.path):
                    path = Path(file.path)
                    if _TEST_LIST.search(file.name.casefold()):
                        _note_test_list(layout, path, task)
                    elif path.suffix.casefold() == ".txt" and not file.is_dir():
                        _note_label_file(layout, task, split, path)


def _note_label_file(layout, task, split, path):
    files = layout.label_files[task][split]
    if path.stem in files:
        layout.duplicates.append((f"{task} labels of {path.stem}", files[path.stem], path))
    else:
        files[path.stem] = path


def _editions(names):
    return " or ".join(f'edition="{name}"' for name in names)
