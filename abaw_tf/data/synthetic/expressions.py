"""How an expression looks: prototypical action units of each class (after Ekman & Friesen's EMFACS), as intensities 0-1."""

import numpy as np

from abaw_tf.data.synthetic.geometry import ACTION_UNITS

_PROTOTYPES = {
    "Neutral": [{}],
    "Anger": [
        {"AU04": 1.0, "AU05": 0.3, "AU07": 0.9, "AU23": 1.0, "AU17": 0.5, "AU15": 0.25},
        {"AU04": 1.0, "AU05": 0.4, "AU07": 0.8, "AU10": 0.75, "AU20": 0.3, "AU25": 0.9, "AU15": 0.2},
    ],
    "Disgust": [
        {"AU09": 1.0, "AU10": 1.0, "AU17": 0.7, "AU07": 0.5, "AU04": 0.35, "AU15": 0.35},
        {"AU09": 0.9, "AU10": 1.0, "AU25": 0.5, "AU07": 0.7, "AU06": 0.4, "AU15": 0.45},
    ],
    "Fear": [
        {"AU01": 1.0, "AU02": 0.35, "AU04": 0.65, "AU05": 1.0, "AU20": 1.0, "AU25": 0.8},
        {"AU01": 1.0, "AU02": 0.5, "AU04": 0.6, "AU05": 1.0, "AU20": 0.8, "AU25": 0.6, "AU26": 0.25},
    ],
    "Happiness": [
        {"AU06": 0.9, "AU12": 1.0, "AU25": 0.7},
        {"AU06": 0.7, "AU12": 0.9},
        {"AU06": 1.0, "AU12": 1.0, "AU25": 0.8, "AU26": 0.3},
    ],
    "Sadness": [
        {"AU01": 1.0, "AU04": 0.55, "AU15": 1.0, "AU17": 0.4, "AU45": 0.2},
        {"AU01": 0.9, "AU04": 0.5, "AU15": 0.8, "AU07": 0.3, "AU45": 0.35},
    ],
    "Surprise": [
        {"AU01": 1.0, "AU02": 1.0, "AU05": 0.85, "AU25": 0.5, "AU26": 1.0},
        {"AU01": 0.9, "AU02": 1.0, "AU05": 1.0, "AU25": 0.4, "AU26": 0.55},
    ],
    # Everything else: a doubtful look, one brow up and the mouth drawn to one side (see `SKEW`).
    "Other": [{"AU02": 0.55, "AU01": 0.3, "AU14": 1.0, "AU12": 0.3, "AU07": 0.4, "AU23": 0.6}],
}
SKEW = {"Other": 0.9, "Disgust": 0.15}

# What valence and arousal add whatever the class: (action unit, weight of +valence, of -valence, of +arousal, of -arousal).
_SHADES = (
    ("AU12", 0.32, 0.0, 0.0, 0.0),
    ("AU06", 0.22, 0.0, 0.05, 0.0),
    ("AU15", 0.0, 0.25, 0.0, 0.05),
    ("AU04", 0.0, 0.22, 0.05, 0.0),
    ("AU05", 0.0, 0.0, 0.28, 0.0),
    ("AU45", 0.0, 0.0, 0.0, 0.38),
    ("AU02", 0.05, 0.0, 0.12, 0.0),
    ("AU25", 0.0, 0.0, 0.12, 0.0),
)


def variants(name: str) -> np.ndarray:
    """The prototypes (n_variants, 17) of the class called `name`."""
    table = np.zeros((len(_PROTOTYPES[name]), len(ACTION_UNITS)))
    for row, units in enumerate(_PROTOTYPES[name]):
        for unit, value in units.items():
            table[row, ACTION_UNITS.index(unit)] = value
    return table


def shades(valence, arousal) -> np.ndarray:
    """Action units (n, 17) that valence and arousal (n,) add to any expression."""
    units = np.zeros((len(valence), len(ACTION_UNITS)))
    signed = np.stack(
        [np.maximum(valence, 0), np.maximum(-valence, 0), np.maximum(arousal, 0), np.maximum(-arousal, 0)], 1
    )
    for unit, *weights in _SHADES:
        units[:, ACTION_UNITS.index(unit)] = signed @ np.array(weights)
    return units
