"""Class weights of estimators: what `class_weight` may be, as one number per class."""

from numbers import Real

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from abaw_tf.data.balance import log_class_weights


def estimator_class_weights(class_weight, classes, index):
    """Weight of each class in the loss of an estimator.

    Parameters
    ----------
    class_weight : None, "balanced", float or dict
        ``None``: 1. ``"balanced"``: N / (K·n_i). A number r: max(1, ln(r·N/n_i)), Dresvyanskiy et al. (2020), eq. 1. A dictionary:
        weights by class label, 1 for labels that it does not name.
    classes : array, shape (n_classes,)
        Class labels.
    index : array of int, shape (n,)
        Position in `classes` of each sample's label; every class occurs.

    Returns
    -------
    numpy.ndarray of float64, shape (n_classes,)

    Raises
    ------
    ValueError
        Another value, a label that is no class, or a weight that is not positive.
    """
    if isinstance(class_weight, Real) and not isinstance(class_weight, bool):
        if not 0 < class_weight < np.inf:
            raise ValueError(f"the ratio of logarithmic class weights must be positive. Received: {class_weight!r}")
        return log_class_weights(np.bincount(index, minlength=len(classes)), float(class_weight))
    if not (class_weight is None or class_weight == "balanced" or isinstance(class_weight, dict)):
        raise ValueError(
            '`class_weight` must be None, "balanced", the ratio r of logarithmic weights, or a dictionary of weights by class. '
            f"Received: class_weight={class_weight!r}"
        )
    weights = compute_class_weight(class_weight, classes=classes, y=classes[index]).astype(np.float64)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"class weights must be positive. Received: class_weight={class_weight!r}")
    return weights
