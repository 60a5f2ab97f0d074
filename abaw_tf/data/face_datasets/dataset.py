"""A dataset of single face images as a table, whatever its layout on disk."""

import warnings
from pathlib import Path

import numpy as np

from abaw_tf import labels
from abaw_tf.data.face_datasets import affectnet, rafdb
from abaw_tf.data.face_datasets.records import FaceDatasetError, Presence
from abaw_tf.data.sources import BOX

# Name -> what finds the layout, what reads it, and the module that knows its classes; in the order in which they are looked for.
_READERS = {
    "rafdb": (rafdb.find_list, rafdb.read_list, rafdb),
    "affectnet": (affectnet.find_lists, affectnet.read_lists, affectnet),
    "affectnet_npy": (affectnet.find_sets, affectnet.read_sets, affectnet),
    "rafdb_folders": (rafdb.find_folders, rafdb.read_folders, rafdb),
}
LAYOUTS = tuple(_READERS)
SPLITS = ("train", "validation")


class FaceImages:
    """A copy of RAF-DB or AffectNet, or of anything laid out like one of them.

    Images that show none of the seven expressions (contempt, no face, …) are left out and counted. Images that are listed but not
    there are reported by a warning and in `missing`; they stay in the table, without a path.

    Parameters
    ----------
    root : path-like
        Folder of the dataset; how its parts are nested below is found out.
    layout : {"rafdb", "affectnet", "affectnet_npy", "rafdb_folders"}, optional
        See the modules :mod:`~abaw_tf.data.face_datasets.rafdb` and :mod:`~abaw_tf.data.face_datasets.affectnet`. By default it
        is recognised.

    Attributes
    ----------
    root : Path
    layout : str
    table : pandas.DataFrame
        One row per image, in the dataset's order: ``image`` (its name in the dataset), ``split`` (train or validation), ``path``
        (str, None where the image is missing), ``expression`` (int64, official order), ``valence``, ``arousal`` (float32, NaN where
        absent), ``left``, ``top``, ``right``, ``bottom`` (the face in the picture, pixels; NaN: the whole picture).
    missing : pandas.DataFrame
        Listed images that are not there: ``image, split, file, source`` (the label file), ``line``.
    left_out : dict of str to dict of str to int
        By split: how many images of other classes were left out.

    Raises
    ------
    FileNotFoundError
        `root` does not exist, or holds none of the layouts.
    FaceDatasetError
        A label file is not as it should be (file, line and remedy are named), or not one image is there.

    Examples
    --------
    >>> faces = FaceImages("/data/RAF-DB")                              # doctest: +SKIP
    >>> faces.table.groupby(["split", "expression"]).size()             # doctest: +SKIP
    """

    def __init__(self, root, layout=None):
        labels.check_option("layout", layout, (None, *LAYOUTS))
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root}: no such folder; give the folder of RAF-DB or AffectNet")
        self.layout, found = self._find(layout)
        _, read, module = _READERS[self.layout]
        records = read(found, self.root)
        names = labels.CLASS_ORDERS[module.CLASSES]
        expression = np.where(records["code"] < len(names), records["code"], labels.MISSING_EXPRESSION)
        records["expression"] = labels.map_labels(expression, module.CLASSES, missing="mask")
        known = records["expression"] >= 0
        others = records[~known]
        self.left_out = {
            split: {
                getattr(module, "NAMES", {})[code]: int(n)
                for code, n in own["code"].value_counts().sort_index().items()
            }
            for split, own in others.groupby("split")
        }
        records = records[known].reset_index(drop=True)
        presence = Presence()
        there = np.array([path in presence for path in records["file"]], bool)
        self.missing = records.loc[~there, ["image", "split", "file", "source", "line"]].reset_index(drop=True)
        self._report_missing(len(records))
        records.insert(2, "path", records["file"].astype(object).where(there, None))
        self.table = records[["image", "split", "path", "expression", "valence", "arousal", *BOX]]

    def __repr__(self):
        counts = self.table["split"].value_counts()
        numbers = " and ".join(f"{counts.get(split, 0):,} {split}" for split in SPLITS)
        lacking = f", {len(self.missing):,} missing" if len(self.missing) else ""
        return f"FaceImages({str(self.root)!r}, layout={self.layout!r}): {numbers} images{lacking}"

    def frame_table(self, split=None):
        """The images as a frame table, for the pipelines and the runner: every image is frame 0 of a trial of its own.

        Parameters
        ----------
        split : {"train", "validation"}, optional

        Returns
        -------
        pandas.DataFrame
            ``trial`` (the image's name), ``frame, path, expression, valence, arousal, left, top, right, bottom``.

        Raises
        ------
        ValueError
            Unknown split, or one without images.
        """
        labels.check_option("split", split, (None, *SPLITS))
        table = self.table if split is None else self.table[self.table["split"] == split]
        if not len(table):
            raise ValueError(f"{self.root}: no image in split {split!r} of layout {self.layout!r}")
        table = table.drop(columns="split").rename(columns={"image": "trial"}).reset_index(drop=True)
        # One picture of AffectNet may be listed for two faces.
        table.insert(1, "frame", table.groupby("trial").cumcount().to_numpy())
        return table

    def _find(self, layout):
        for name in [layout] if layout else LAYOUTS:
            found = _READERS[name][0](self.root)
            if found:
                return name, found
        raise FileNotFoundError(
            f"{self.root}: {f'not in the layout {layout!r}' if layout else 'neither RAF-DB nor AffectNet'}; looked for "
            f"{rafdb.LIST_NAMES[0]} (RAF-DB), train/1 … test/7 (RAF-DB in folders), training.csv or validation.csv (AffectNet), "
            "train_set/annotations or val_set/annotations (AffectNet, cropped faces)"
        )

    def _report_missing(self, listed):
        if not len(self.missing):
            return
        first = self.missing.iloc[0]
        text = f"{self.root}: {len(self.missing):,} of {listed:,} listed images are not there, the first one is {first['file']}"
        if len(self.missing) == listed:
            raise FaceDatasetError(f"{text} ({first['source']}); unpack the images there")
        warnings.warn(f"{text}; FaceImages.missing lists them", stacklevel=3)
