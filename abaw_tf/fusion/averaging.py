"""Weighted averages of the class probabilities of several models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from abaw_tf import predictions


def weighted_average(probabilities, weights=None) -> np.ndarray:
    """Average the class probabilities of several models.

    Parameters
    ----------
    probabilities : array-like of shape (models, frames, classes)
    weights : array-like of shape (models,) or (models, classes), optional
        One weight per model (SWF) or per model and class (MCWF) of Dresvyanskiy et al. 2020, section 3.3; non-negative, each
        column with a positive sum. Columns are scaled to sum to one. Equal weights (Do et al. 2020) where None.

    Returns
    -------
    numpy.ndarray of shape (frames, classes)
        Rows sum to one under per-model weights. Under weights per model and class they are scaled to sum to one; the class with
        the highest fused score stays the same.

    Raises
    ------
    ValueError
        When a shape does not fit or a weight is negative or not finite.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3:
        raise ValueError(
            f"probabilities must have shape (models, frames, classes). Received: shape={probabilities.shape}"
        )
    n_models, _, n_classes = probabilities.shape
    weights = np.full(n_models, 1 / n_models) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape not in {(n_models,), (n_models, n_classes)}:
        raise ValueError(
            f"weights must have shape ({n_models},) or ({n_models}, {n_classes}): one per model, or one per model and class. "
            f"Received: shape={weights.shape}"
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(axis=0) <= 0).any():
        raise ValueError(
            f"weights must be finite and non-negative, with a positive sum over the models. Received: {weights.tolist()}"
        )
    weights = weights / weights.sum(axis=0)
    fused = fused_scores(probabilities, weights)
    total = fused.sum(axis=1, keepdims=True)
    # A row can only sum to zero when class-wise weights cancel every class that any model finds possible.
    return np.divide(fused, total, out=np.full_like(fused, 1 / n_classes), where=total > 0)


def fused_scores(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of `probabilities` (models, frames, classes) times `weights` (models,) or (models, classes), in float64, not scaled.

    Added up model by model, so that the result is the same to the last bit wherever it is computed.
    """
    total = np.zeros(probabilities.shape[1:])
    for model, weight in zip(probabilities, weights):
        total += model * np.asarray(weight, np.float64)
    return total


def align(tables: Mapping[str, pd.DataFrame], missing: str = "error") -> tuple[pd.DataFrame, np.ndarray]:
    """Bring the prediction tables of several models to the same frames and classes.

    Parameters
    ----------
    tables : mapping of model name to prediction table
        Each with class probabilities (``p_<class>`` columns).
    missing : {"error", "drop"}
        What to do with a frame that some model lacks: raise, or leave it out for all.

    Returns
    -------
    keys : pandas.DataFrame
        ``trial``, ``frame`` and ``time`` of the common frames, in the order of the first table.
    probabilities : numpy.ndarray of shape (models, frames, classes)

    Raises
    ------
    ValueError
        When a table has no probabilities, the classes differ, or frames are missing and `missing` is "error".
    """
    if missing not in {"error", "drop"}:
        raise ValueError(f"missing must be 'error' or 'drop'. Received: missing={missing!r}")
    if not tables:
        raise ValueError("give at least one prediction table to fuse. Received: none")
    classes, indexed = None, {}
    for name, table in tables.items():
        found = predictions.classes_of(table)
        if not found:
            raise ValueError(f"{name}: the table has no class probabilities (p_<class> columns), which fusion needs")
        if classes is not None and found != classes:
            raise ValueError(
                f"{name}: its classes differ from the first table's {list(classes)}. Received: {list(found)}"
            )
        classes = found
        indexed[name] = table.set_index(["trial", "frame"])
    common = next(iter(indexed.values())).index
    for table in indexed.values():
        common = common.intersection(table.index, sort=False)
    for name, table in indexed.items():
        extra = table.index.difference(common)
        if len(extra) and missing == "error":
            trial, frame = extra[0]
            raise ValueError(
                f"{name}: {len(extra)} frames are not in every table, the first is frame {frame} of trial {trial}; predict the same "
                "frames with every model, or use missing='drop'"
            )
    if not len(common):
        raise ValueError(f"the tables {list(tables)} have no frame in common; check that they are of the same split")
    columns = [f"p_{name}" for name in classes]
    probabilities = np.stack([table.loc[common, columns].to_numpy(np.float64) for table in indexed.values()])
    first = next(iter(indexed.values())).loc[common].reset_index()
    return first[[c for c in ("trial", "frame", "time") if c in first]], probabilities


def fuse_tables(tables: Mapping[str, pd.DataFrame], weights=None, missing: str = "error") -> pd.DataFrame:
    """Fuse prediction tables into one prediction table by :func:`weighted_average`.

    Parameters
    ----------
    tables : mapping of model name to prediction table
        In the order of the rows of `weights`.
    weights : array-like of shape (models,) or (models, classes), optional
    missing : {"error", "drop"}

    Returns
    -------
    pandas.DataFrame
        The prediction table of the fused model.
    """
    keys, probabilities = align(tables, missing)
    first = next(iter(tables.values()))
    return predictions.make_table(
        keys["trial"],
        keys["frame"],
        time=keys.get("time"),
        probabilities=weighted_average(probabilities, weights),
        classes=predictions.classes_of(first),
        edition=first.attrs.get("edition", "abaw2"),
        model="fusion of " + ", ".join(tables),
    )
