"""What the scores ask of labels and predictions, and the labelled frames of those that comply."""

import numpy as np

from abaw_tf.labels import MISSING_EXPRESSION


def continuous(y_true, y_pred):
    """Return the labelled frames of truth and prediction as float64; see :func:`abaw_tf.metrics.ccc` for rules and errors."""
    truth, prediction = _vectors(y_true, y_pred)
    for name, values in (("y_true", truth), ("y_pred", prediction)):
        if values.size and not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
            raise ValueError(f"{name} must be real numbers. Received: {name}.dtype={values.dtype}")
    truth, prediction = truth.astype(np.float64), prediction.astype(np.float64)
    known = ~np.isnan(truth)
    for name, values in (("y_true", truth), ("y_pred", prediction)):
        bad = known & ~np.isfinite(values)
        if bad.any():
            first = int(np.argmax(bad))
            raise ValueError(
                f"{name} must be finite wherever a frame is labelled (predictions.fill_missing fills frames without prediction). "
                f"Received: {values[first]} at index {first} ({int(bad.sum())} such frames)"
            )
    return (truth, prediction) if known.all() else (truth[known], prediction[known])


def categorical(y_true, y_pred, n_classes):
    """Return the labelled frames of truth and prediction as int64.

    `n_classes` None allows any class; see :func:`abaw_tf.metrics.confusion_matrix` for rules and errors.
    """
    truth, prediction = _vectors(y_true, y_pred)
    for name, values in (("y_true", truth), ("y_pred", prediction)):
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"{name} must hold integer classes, -1 for a missing label (for probabilities take argmax(axis=1) first). "
                f"Received: {name}.dtype={values.dtype}"
            )
    truth, prediction = truth.astype(np.int64), prediction.astype(np.int64)
    known = truth != MISSING_EXPRESSION
    if not known.all():
        truth, prediction = truth[known], prediction[known]
    for name, values in (("y_true", truth), ("y_pred", prediction)):
        last = np.iinfo(np.int64).max if n_classes is None else n_classes - 1
        if values.size and (values.min() < 0 or values.max() > last):
            bad = (values < 0) | (values > last)
            first = int(np.argmax(bad))
            rule = "0 or more" if n_classes is None else f"0…{last}"
            remedy = (
                "-1 marks a missing label" if name == "y_true" else "predictions.fill_missing fills missing predictions"
            )
            raise ValueError(
                f"{name} must be {rule} on labelled frames ({remedy}). "
                f"Received: {int(values[first])} at index {int(np.flatnonzero(known)[first])} ({int(bad.sum())} such frames)"
            )
    return truth, prediction


def _vectors(y_true, y_pred):
    truth, prediction = np.asarray(y_true), np.asarray(y_pred)
    if truth.ndim != 1 or truth.shape != prediction.shape:
        raise ValueError(
            "y_true and y_pred must be one-dimensional and of equal length, one value per frame. "
            f"Received: y_true.shape={truth.shape}, y_pred.shape={prediction.shape}"
        )
    return truth, prediction
