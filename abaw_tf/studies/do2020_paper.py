"""What Do et al. (2020) printed in Table II, and the confusion matrices from which the official score of the same networks follows.

N.-T. Do, T.-T. Nguyen-Quynh, S.-H. Kim, "Affective Expression Analysis in-the-wild using Multi-Task Temporal Statistical Deep Learning
Model", arXiv 2002.09120, 2020. The matrices stand in the outputs of the notebooks that the authors published; their names of the networks
(t8, t12, …) are kept. All are on the frames of the validation set that have both an expression, and valence and arousal.
"""

from dataclasses import dataclass

import numpy as np

from abaw_tf import metrics


@dataclass(frozen=True)
class Printed:
    """A row of Table II; NaN where it has a dash.

    Attributes
    ----------
    expression : float
        The printed expression score, which is `abaw_tf.metrics.VARIANTS["do2020"]`.
    arousal, valence, mean : float
        Concordance correlation coefficients, and the mean of the two.
    network : str
        Which network of the notebooks has the row's expression score; empty where no matrix was published.
    """

    expression: float = np.nan
    arousal: float = np.nan
    valence: float = np.nan
    mean: float = np.nan
    network: str = ""


# The expression and the VA score of model 2 are of two networks, t15 and t12. A third one, t8, has no row, but is part of the fusion.
TABLE_II = {
    "ABAW baseline": Printed(0.36, 0.14, 0.24, 0.19),
    "1 image": Printed(0.409),
    "2 image_va": Printed(0.501, 0.484, 0.484, 0.484, "t15"),
    "2 image_va, second": Printed(network="t8"),
    "3 frames": Printed(0.405),
    "4 frames_va": Printed(0.492, 0.564, 0.504, 0.534, "t31"),
    "5 lstm": Printed(0.399),  # printed as a second model 3
    "6 lstm_va": Printed(0.432, 0.57, 0.458, 0.514, "t45"),
    "fusion": Printed(0.543, 0.56, 0.495, 0.527, "fusion"),
}
"""Table II, by row of our table. The fusions are t15 + t31 + t8 (expression) and t12 + t31 + t45 (valence and arousal)."""

NETWORKS = {
    "t8": "image_va",
    "t12": "image_va",
    "t15": "image_va",
    "t31": "frames_va",
    "t45": "lstm_va",
    "fusion": "fusion",
}
"""Derivation of each network whose confusion matrix was published."""

# fmt: off
CONFUSIONS = {
    "t8": (
        (59594, 11581, 2283, 6152, 20050, 15092, 41317),
        (750, 1913, 160, 299, 671, 1911, 1099),
        (60, 86, 354, 12, 116, 299, 50),
        (1445, 434, 978, 1419, 185, 2576, 1115),
        (3197, 264, 322, 75, 25518, 2064, 5165),
        (7693, 265, 913, 1048, 1314, 18921, 1032),
        (2148, 254, 163, 732, 980, 524, 11090),
    ),
    "t12": (
        (38552, 14380, 2671, 6448, 35487, 27205, 31326),
        (456, 2424, 88, 65, 496, 2878, 396),
        (43, 166, 266, 5, 195, 149, 153),
        (596, 519, 806, 711, 374, 3816, 1330),
        (1550, 315, 140, 119, 27643, 4002, 2836),
        (3721, 646, 1567, 610, 2123, 21517, 1002),
        (1441, 1344, 282, 243, 1653, 987, 9941),
    ),
    "t15": (
        (82772, 7517, 971, 2331, 20396, 20202, 21880),
        (4229, 1162, 10, 10, 479, 850, 63),
        (204, 299, 27, 0, 170, 225, 52),
        (1148, 245, 444, 595, 518, 3854, 1348),
        (6567, 179, 66, 222, 25337, 2375, 1859),
        (11596, 2323, 416, 1033, 4405, 10519, 894),
        (5903, 1047, 39, 675, 1935, 627, 5665),
    ),
    "t31": (
        (65952, 11013, 2984, 4616, 25735, 14656, 31113),
        (691, 2114, 37, 164, 599, 2515, 683),
        (129, 145, 243, 11, 132, 145, 172),
        (1371, 195, 449, 418, 230, 3717, 1772),
        (3367, 540, 115, 135, 25381, 2771, 4296),
        (6166, 791, 1318, 829, 1856, 18260, 1966),
        (2107, 1159, 153, 175, 1713, 497, 10087),
    ),
    "t45": (
        (48558, 14946, 3618, 6564, 33801, 19146, 29436),
        (560, 2856, 97, 106, 699, 1980, 505),
        (37, 103, 386, 20, 124, 206, 101),
        (873, 441, 902, 825, 360, 3244, 1507),
        (1446, 389, 191, 133, 28336, 2903, 3207),
        (5659, 786, 1178, 554, 3099, 18792, 1118),
        (1520, 1453, 244, 417, 1959, 504, 9794),
    ),
    "fusion": (
        (80328, 8376, 1299, 3788, 22263, 14211, 25804),
        (1908, 1917, 16, 79, 579, 1886, 418),
        (114, 158, 212, 0, 154, 246, 93),
        (1286, 80, 471, 416, 306, 3971, 1622),
        (3900, 184, 54, 123, 27123, 2105, 3116),
        (8893, 1247, 828, 771, 2010, 16696, 741),
        (3015, 723, 44, 217, 1561, 510, 9821),
    ),
}
"""Frames by true (row) and predicted (column) class, in the official order of the classes."""
# fmt: on


def worth(network, variant="abaw2") -> float:
    """Expression score of a published network, from its confusion matrix.

    Parameters
    ----------
    network : str
        A key of `CONFUSIONS`; empty for NaN.
    variant : str
        A key of `abaw_tf.metrics.VARIANTS`: the official score of ABAW1 and ABAW2, or ``"do2020"``, which the paper printed.
    """
    return float(metrics.scores_from_confusion(CONFUSIONS[network], variant)["score"]) if network else np.nan
