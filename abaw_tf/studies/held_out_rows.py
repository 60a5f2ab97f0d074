"""Rows of a study's table: fixed decisions and held-out fusions, scored alike."""

import numpy as np
import pandas as pd
from sklearn.base import clone

from abaw_tf.fusion.averaging import fused_scores, pooled
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.studies.scoring import gain, group_confusions, scored

COLUMNS = ("search_set", "held_out", "low", "high", "accuracy", "gain", "gain_low", "gain_high")


def row(confusions, baseline, metric, bootstrap, seed, search_set=None) -> dict:
    """One row of decisions that are scored as they are.

    Parameters
    ----------
    confusions : array, shape (groups, k, k)
        Of the held-out decisions, or of decisions that nothing was fitted for.
    baseline : array, shape (groups, k, k), or None
        What the gain is measured against; the baseline itself has none.
    metric, bootstrap, seed
        See `abaw_tf.studies.scoring.scored`.
    search_set : float, optional
        Score on the search set. Default: the same, for nothing was searched.

    Returns
    -------
    dict
        By `COLUMNS`.
    """
    found = scored(confusions, metric, bootstrap, seed)
    values = {
        "search_set": found["score"] if search_set is None else search_set,
        "held_out": found.pop("score"),
        **found,
    }
    if baseline is None or np.array_equal(confusions, baseline):
        return values
    return values | gain(confusions, baseline, metric, bootstrap, seed)


def fusion_rows(found, fusions, probabilities, y, groups, baseline, metric, bootstrap, seed) -> dict:
    """A row for every fusion of a held-out estimate.

    Parameters
    ----------
    found : HeldOut
    fusions : mapping of str to estimator
        What it examined.
    probabilities, y, groups
        What it was given.
    baseline, metric, bootstrap, seed
        As for `row`.
    """
    rows = {}
    for label, fusion in fusions.items():
        decisions = held_out_decisions(found, label, fusion, probabilities, y, groups)
        confusions = group_confusions(y, decisions, groups, probabilities.shape[2])
        search_set = found.table.loc[label, "search_score"]
        rows[label] = row(confusions, baseline, metric, bootstrap, seed, search_set)
    return rows


def held_out_decisions(found, label, fusion, probabilities, y, groups) -> np.ndarray:
    """Class of every frame by the fusion that was fitted without its group; -1 in groups without any label."""
    probabilities, fold_of = np.asarray(probabilities, float), _folds(found, groups)
    decisions = np.full(len(fold_of), -1)
    for fold, weights in enumerate(found.fold_weights[label]):
        inside = fold_of == fold
        if isinstance(fusion, DirichletFusion):
            decisions[inside] = fused_scores(pooled(probabilities[:, inside], fusion.pool), weights).argmax(axis=1)
        else:
            fitted = clone(fusion).fit(probabilities[:, ~inside], y[~inside])
            decisions[inside] = fitted.predict(probabilities[:, inside])
    return decisions


def chosen_inside(found, probabilities, groups) -> np.ndarray:
    """Class of every frame by the single model that is best on the other folds; -1 in groups without any label."""
    fold_of, single = _folds(found, groups), dict(zip(found.names, np.asarray(probabilities).argmax(axis=2)))
    decisions = np.full(len(fold_of), -1)
    for fold, name in enumerate(found.chosen):
        decisions[fold_of == fold] = single[name][fold_of == fold]
    return decisions


def _folds(found, groups) -> np.ndarray:
    return pd.Series(groups).map(found.folds["fold"]).fillna(-1).to_numpy(int)


def rows_table(rows, index_name="method") -> pd.DataFrame:
    """Rows by name as a table with `COLUMNS`."""
    return pd.DataFrame(rows).T.reindex(columns=list(COLUMNS)).rename_axis(index_name)
