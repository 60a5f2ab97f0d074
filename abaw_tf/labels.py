"""Expression classes, their orders in different data sets, and what the three ABAW editions put on disk.

Inside the toolkit the order is the official one of Aff-Wild2 and a missing expression is ``-1``. Every other order (the weights of
Do et al. speak EmotiW, many face networks speak AffectNet or FER-2013) is mapped here, at the boundary.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

MISSING_EXPRESSION = -1
"""Value of a missing expression label in every array of the toolkit (missing valence and arousal are NaN)."""

TASKS = ("expression", "valence_arousal")
SPLITS = ("train", "validation", "test")

EXPRESSIONS_7 = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
"""Official classes of the first and second ABAW competitions, in official order."""

EXPRESSIONS_8 = (*EXPRESSIONS_7, "Other")
"""Official classes of the third ABAW competition, in official order."""

_AFFECTNET = ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Contempt")
_ALPHABETICAL = tuple(sorted(EXPRESSIONS_7))

CLASS_ORDERS: dict[str, tuple[str, ...]] = {
    "affwild2": EXPRESSIONS_7,
    "affwild2_8": EXPRESSIONS_8,
    # Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise: the alphabetical order under EmotiW's names
    "emotiw": _ALPHABETICAL,
    "alphabetical": _ALPHABETICAL,
    "affectnet": _AFFECTNET,
    "affectnet7": _AFFECTNET[:7],
    # the labels 1 … 7 of RAF-DB's basic part
    "rafdb": ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"),
    "fer2013": ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral"),
    # the columns Neutral, Happy, Sad, Surprise, Fear, Disgust, Anger of py-feat's MPDetector
    "pyfeat": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger"),
}
"""Orders by name, each in the official names (and Contempt, which only AffectNet has)."""

_SYNONYMS = {
    "Neutral": ("neutral", "neutrality"),
    "Anger": ("anger", "angry"),
    "Disgust": ("disgust", "disgusted"),
    "Fear": ("fear", "fearful", "afraid", "scared"),
    "Happiness": ("happiness", "happy", "joy", "joyful"),
    "Sadness": ("sadness", "sad"),
    "Surprise": ("surprise", "surprised"),
    "Other": ("other", "others"),
    "Contempt": ("contempt", "contemptuous"),
}
_OFFICIAL_NAME = {synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms}


@dataclass(frozen=True)
class Edition:
    """What one ABAW competition put on disk and how it names and scores expressions.

    Where several folder names are listed, a reader accepts any of them and a writer uses the first.

    Attributes
    ----------
    name : str
        ``"abaw1"``, ``"abaw2"`` or ``"abaw3"``.
    title : str
        Name of the competition and the conference it belonged to.
    year : int
    classes : tuple of str
        Expression classes; the label on disk is the position in this tuple.
    annotation_roots : tuple of str
        Names of the folder that holds the task folders.
    task_folders, split_folders : dict of tuple of str
        Folder names by task (``TASKS``) and by split (``SPLITS``).
    headers : dict of str
        First line of a label file and of a submission file, by task.
    sentinels : dict of float
        Value on disk of a missing label, by task. Only ``abaw_tf.data.annotations`` and the submission files see it.
    """

    name: str
    title: str
    year: int
    classes: tuple[str, ...]
    annotation_roots: tuple[str, ...]
    task_folders: Mapping[str, tuple[str, ...]] = field(hash=False)
    split_folders: Mapping[str, tuple[str, ...]] = field(hash=False)
    headers: Mapping[str, str] = field(hash=False)
    sentinels: Mapping[str, float] = field(hash=False)

    @property
    def n_classes(self) -> int:
        """Number of expression classes (7, or 8 in the third edition)."""
        return len(self.classes)


def _make_edition(name, title, year, classes, annotation_roots, expression, valence_arousal, train):
    return Edition(
        name=name,
        title=title,
        year=year,
        classes=classes,
        annotation_roots=annotation_roots,
        task_folders={"expression": expression, "valence_arousal": valence_arousal},
        split_folders={"train": train, "validation": ("Validation_Set",), "test": ("Test_Set",)},
        headers={"expression": ",".join(classes), "valence_arousal": "valence,arousal"},
        sentinels={"expression": -1, "valence_arousal": -5.0},
    )


EDITIONS: dict[str, Edition] = {
    "abaw1": _make_edition(
        "abaw1",
        "First Affective Behavior Analysis in-the-wild Competition (FG 2020)",
        2020,
        EXPRESSIONS_7,
        ("annotations",),
        ("EXPR_Set",),
        ("VA_Set",),
        ("Training_Set", "Train_Set"),
    ),
    "abaw2": _make_edition(
        "abaw2",
        "Second Affective Behavior Analysis in-the-wild Competition (ICCV 2021)",
        2021,
        EXPRESSIONS_7,
        ("annotations",),
        ("EXPR_Set",),
        ("VA_Set",),
        ("Train_Set", "Training_Set"),
    ),
    "abaw3": _make_edition(
        "abaw3",
        "Third Affective Behavior Analysis in-the-wild Competition (CVPR 2022)",
        2022,
        EXPRESSIONS_8,
        ("Third ABAW Annotations", "annotations"),
        ("EXPR_Classification_Challenge", "EXPR Classification Challenge"),
        ("VA_Estimation_Challenge", "VA Estimation Challenge"),
        ("Train_Set", "Training_Set"),
    ),
}
"""The editions by name."""


def suggestion(value, known: Sequence[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest of `known`, or an empty string when nothing is close."""
    folded = {str(name).lower(): str(name) for name in known}
    close = difflib.get_close_matches(str(value).strip().lower(), list(folded), n=1, cutoff=0.5)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def edition(name) -> Edition:
    """Return the edition called `name`.

    Parameters
    ----------
    name : str or Edition
        ``"abaw1"``, ``"abaw2"`` or ``"abaw3"`` (capitals, spaces, ``-`` and ``_`` do not matter), or an edition, which is
        returned as it is.

    Raises
    ------
    ValueError
        If there is no such edition.

    Examples
    --------
    >>> edition("ABAW3").classes[-1]
    'Other'
    """
    if isinstance(name, Edition):
        return name
    if isinstance(name, str):
        found = EDITIONS.get(name.strip().lower().translate(str.maketrans("", "", " -_")))
        if found is not None:
            return found
    raise ValueError(f"edition must be one of {', '.join(EDITIONS)}.{suggestion(name, EDITIONS)} Received: {name!r}")


def expression_name(name) -> str:
    """Return the official name of an expression (``"happy"``, ``"Joy"`` and ``"HAPPINESS"`` all give ``"Happiness"``).

    Raises
    ------
    ValueError
        If the expression is unknown; the message suggests the closest one.
    """
    official = _OFFICIAL_NAME.get(str(name).strip().lower())
    if official is None:
        raise ValueError(
            f"unknown expression; known are {', '.join(_SYNONYMS)} and their adjectives.{suggestion(name, _OFFICIAL_NAME)} "
            f"Received: {name!r}"
        )
    return official


def class_order(order) -> tuple[str, ...]:
    """Return a class order as a tuple of official names.

    Parameters
    ----------
    order : str, Edition or sequence of str
        A name in :data:`CLASS_ORDERS`, an edition (or its name), or the classes themselves under official names or synonyms.

    Returns
    -------
    tuple of str
        Class *i* of that order is element *i*.

    Raises
    ------
    ValueError
        If the name or one of the classes is unknown, or a class occurs twice.

    Examples
    --------
    >>> class_order("fer2013")
    ('Anger', 'Disgust', 'Fear', 'Happiness', 'Sadness', 'Surprise', 'Neutral')
    >>> class_order(["joy", "sad"])
    ('Happiness', 'Sadness')
    """
    if isinstance(order, Edition):
        return order.classes
    if isinstance(order, str):
        key = order.strip().lower()
        if key in CLASS_ORDERS:
            return CLASS_ORDERS[key]
        if key in EDITIONS:
            return EDITIONS[key].classes
        known = (*CLASS_ORDERS, *EDITIONS)
        raise ValueError(
            f"class order must be one of {', '.join(known)}, or a sequence of class names.{suggestion(order, known)} "
            f"Received: {order!r}"
        )
    names = tuple(expression_name(name) for name in order)
    twice = [name for position, name in enumerate(names) if name in names[:position]]
    if twice or not names:
        what = f"{twice[0]} occurs twice" if twice else "it is empty"
        raise ValueError(f"a class order lists each class once, but {what}. Received: {tuple(order)!r}")
    return names


def map_labels(labels, source, target="affwild2", missing="error"):
    """Translate class indices from one order to another.

    Parameters
    ----------
    labels : array_like of int, any shape
        Indices in `source`; ``-1`` (missing) stays ``-1``.
    source, target : str, Edition or sequence of str
        Orders, see :func:`class_order`.
    missing : {"error", "mask"}
        What happens to a label whose class `target` does not have (Contempt or Other, say): an error, or ``-1``.

    Returns
    -------
    numpy.ndarray of int64
        Same shape as `labels`.

    Raises
    ------
    ValueError
        If a label is not an integer, is outside `source`, or has no counterpart in `target` under ``missing="error"``.

    Examples
    --------
    >>> map_labels([0, 1, 2, 3, 4, 5, 6], "affwild2", "emotiw")
    array([4, 0, 1, 2, 3, 5, 6])
    >>> map_labels([3, -1, 7], "affectnet", missing="mask")
    array([ 6, -1, -1])
    """
    check_option("missing", missing, ("error", "mask"))
    source, target = class_order(source), class_order(target)
    labels = np.asarray(labels)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, with -1 for missing. Received: dtype {labels.dtype}")
    labels = labels.astype(np.int64)
    _refuse(labels, (labels < MISSING_EXPRESSION) | (labels >= len(source)), f"labels must lie in -1…{len(source) - 1}")
    # the last entry serves index -1
    table = np.array([target.index(name) if name in target else MISSING_EXPRESSION for name in source] + [-1])
    mapped = table[labels]
    if missing == "error":
        lost = (mapped == MISSING_EXPRESSION) & (labels != MISSING_EXPRESSION)
        absent = ", ".join(name for name in source if name not in target)
        _refuse(labels, lost, f"the target order has no {absent} (missing='mask' makes such labels -1)")
    return mapped


def map_probabilities(probabilities, source, target="affwild2", missing="error"):
    """Reorder the class axis of probabilities from one order to another.

    Parameters
    ----------
    probabilities : array_like of float, shape (..., len(source))
        Probabilities; not logits when classes are dropped.
    source, target : str, Edition or sequence of str
        Orders, see :func:`class_order`.
    missing : {"error", "zero"}
        What happens when the two orders do not hold the same classes. ``"error"`` refuses. ``"zero"`` gives probability 0 to a
        class that `source` lacks, and drops a class that `target` lacks: what is left of the row is then scaled to the row's
        old sum (the probabilities given that the dropped class is not it), NaN where nothing is left.

    Returns
    -------
    numpy.ndarray of float, shape (..., len(target))
        float32 stays float32; everything else that is not floating point becomes float64.

    Raises
    ------
    ValueError
        If the last axis does not match `source`, or the classes differ under ``missing="error"``.

    Examples
    --------
    >>> map_probabilities([0.5, 0.25, 0.25], ["happy", "sad", "neutral"], ["neutral", "happy", "sad"])
    array([0.25, 0.5 , 0.25])
    """
    check_option("missing", missing, ("error", "zero"))
    source, target = class_order(source), class_order(target)
    probabilities = np.asarray(probabilities)
    if not np.issubdtype(probabilities.dtype, np.floating):
        probabilities = probabilities.astype(np.float64)
    if probabilities.ndim == 0 or probabilities.shape[-1] != len(source):
        raise ValueError(
            f"the last axis of the probabilities must have the {len(source)} classes of the source order "
            f"({', '.join(source)}). Received: shape={probabilities.shape}"
        )
    if missing == "error" and set(source) != set(target):
        unequal = sorted(set(source) ^ set(target))
        raise ValueError(
            f"the orders do not hold the same classes: {', '.join(unequal)} is in one of them only (missing='zero' gives 0 to "
            f"what the source lacks and drops what the target lacks). Received: source={source}, target={target}"
        )
    mapped = np.zeros((*probabilities.shape[:-1], len(target)), probabilities.dtype)
    for position, name in enumerate(target):
        if name in source:
            mapped[..., position] = probabilities[..., source.index(name)]
    if set(source) - set(target):
        left = mapped.sum(-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            mapped = np.where(left > 0, mapped * (probabilities.sum(-1, keepdims=True) / left), np.nan)
        mapped = mapped.astype(probabilities.dtype)
    return mapped


def check_option(name: str, value, allowed: Sequence) -> None:
    """Refuse a value of the parameter `name` that is not `allowed` (None may be), with a suggestion.

    Raises
    ------
    ValueError
    """
    if value not in allowed:
        known = [option for option in allowed if option is not None]
        raise ValueError(
            f"{name} must be {' or '.join(map(repr, known))}.{suggestion(value, known)} Received: {name}={value!r}"
        )


def _refuse(labels: np.ndarray, wrong: np.ndarray, rule: str) -> None:
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = position[0] if len(position) == 1 else position
        raise ValueError(f"{rule}. Received: {int(labels[position])} at index {where} ({int(wrong.sum())} such labels)")
