"""From prediction tables and labels to fusion weights: align, search, judge on held-out videos."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from abaw_tf import labels as class_names
from abaw_tf import metrics
from abaw_tf.evaluation.label_tables import TASK_COLUMNS
from abaw_tf.evaluation.scores import plain
from abaw_tf.fusion.alignment import Aligned, AlignedLabels, align, align_labels
from abaw_tf.fusion.calibration import CalibratedFusion
from abaw_tf.fusion.continuous import CCCFusion
from abaw_tf.fusion.dirichlet import LEVELS, N_DRAWS, DirichletFusion
from abaw_tf.fusion.objectives import objective
from abaw_tf.fusion.search_text import search_text
from abaw_tf.fusion.tables import fuse_aligned, fuse_probabilities
from abaw_tf.fusion.weights_file import FITTED, METHODS, FusionWeights, TaskWeights


@dataclass(frozen=True)
class FusionSearch:
    """What :func:`search_tables` found.

    Attributes
    ----------
    weights : FusionWeights
        To be saved, and applied to other predictions.
    aligned : Aligned
    labels : AlignedLabels
    fusions : dict of fitted estimator by task
        `DirichletFusion` or `CCCFusion` with the scores of every model alone, of equal weights and, where they were searched, of the
        weights and their history.
    held_out : dict of HeldOut by task
        Empty until :meth:`estimate`.
    """

    weights: FusionWeights
    aligned: Aligned
    labels: AlignedLabels
    fusions: dict
    held_out: dict

    def estimate(self, n_folds=5, bootstrap=1000, seed=0, progress=None) -> "FusionSearch":
        """The same with the held-out estimate of each task whose weights were fitted; see :func:`abaw_tf.fusion.held_out`.

        Parameters
        ----------
        n_folds, bootstrap, seed
            As for `held_out`.
        progress : callable, optional
            As for :func:`search_tables`.
        """
        from abaw_tf.fusion.held_out_estimate import held_out

        found, tasks = {}, {}
        for task, one in self.weights.tasks.items():
            tasks[task] = one
            if one.method not in FITTED:
                continue
            if one.found["videos"] < 2:
                raise ValueError(
                    f"{task}: a held-out estimate needs labelled frames of at least two videos; the weights themselves are found, leave "
                    f"the estimate out (--no-held-out). Received: {one.found['videos']} video"
                )
            n_fits = min(n_folds, one.found["videos"]) + 1
            with _bar(
                progress, self.fusions[task], f"held-out estimate: {task}", len(self.weights.models), n_fits
            ) as bar:
                found[task] = held_out(
                    *self._data(task),
                    self.labels.videos,
                    fusion=self.fusions[task],
                    n_folds=n_folds,
                    bootstrap=bootstrap,
                    seed=seed,
                    names=self.weights.models,
                    progress=None if bar is None else bar.update,
                )
            tasks[task] = replace(one, held_out=plain(found[task].to_dict()))
        return replace(self, held_out=found, weights=replace(self.weights, tasks=tasks))

    def fused(self) -> pd.DataFrame:
        """The prediction table of the fusion of the frames that were searched on, labelled or not."""
        tasks = tuple(self.weights.tasks)
        weights = {task: self.weights.tasks[task].weights for task in tasks}
        return fuse_aligned(self.aligned, weights, **self.weights.options(tasks))

    def format(self) -> str:
        """Scores on the frames of the search, the held-out estimates and the weights as text for a terminal."""
        return search_text(self)

    def _data(self, task):
        return task_arrays(self.aligned, self.labels, task)


def search_tables(
    tables,
    labels,
    level="model",
    task=None,
    method=None,
    metric=None,
    n_draws=None,
    concentration=1.0,
    refine=0,
    calibrate=False,
    pool="probability",
    seed=0,
    missing="error",
    by="frame",
    tolerance=None,
    reference=None,
    map_classes=False,
    progress=None,
) -> FusionSearch:
    """Search fusion weights for prediction tables.

    Parameters
    ----------
    tables : mapping of model name to prediction table
    labels : pandas.DataFrame
        Label table, see `abaw_tf.evaluation.read_labels`.
    level : {"model", "model_class"}
        One weight per model, or per model and class (of valence and arousal: always one per model and output).
    task : {"expression", "valence_arousal"}, optional
        Default: every task that all tables predict and that is labelled.
    method : {"search", "optimum", "average", "majority"}, optional
        Dirichlet search, exact optimum (of the CCC only), equal weights, vote (on classes only; valence and arousal are then averaged).
        Default: expressions are searched, of valence and arousal the optimum is taken.
    metric : str or callable, optional
        Of expressions, see :class:`abaw_tf.fusion.DirichletFusion`. Default: the score of the edition.
    n_draws, concentration, refine, pool, seed
        See :class:`abaw_tf.fusion.DirichletFusion`, :class:`abaw_tf.fusion.CCCFusion`.
    calibrate : bool
        Divide each model's logits by a temperature before fusing (expressions only), fitted to the same frames.
    missing, by, tolerance, reference, map_classes
        See :func:`abaw_tf.fusion.align`. Labelled frames that are not predicted by any model are an error under ``missing="error"``; under
        every other policy they are left out (noted).
    progress : callable, optional
        Makes a progress bar from ``total`` and ``desc``, for instance `tqdm.auto.tqdm`.

    Returns
    -------
    FusionSearch

    Raises
    ------
    PredictionError, LabelError
        As :func:`abaw_tf.fusion.align`, :func:`abaw_tf.fusion.align_labels`.
    ValueError
        An option is not known or does not fit the task.
    """
    class_names.check_option("method", method, (None, *METHODS))
    class_names.check_option("level", level, tuple(LEVELS))
    if len(tables) < 2:
        raise ValueError(
            f"give the predictions of two models or more, or there is nothing to fuse. Received: {', '.join(tables)}"
        )
    if metric is not None:
        objective(metric)
    aligned = align(tables, missing, by, tolerance, task, reference, map_classes)
    truth = align_labels(aligned, labels, "error" if missing == "error" else "drop")
    tasks = [one for one in aligned.tasks if task_arrays(aligned, truth, one)[1] is not None]
    _check_method(method, calibrate, tasks)
    found, fusions = {}, {}
    for one in tasks:
        how = _method(method, one)
        if one == "expression":
            draws = n_draws if how == "search" else 0
            rounds = 0 if draws == 0 else refine
            fusion = DirichletFusion(level, draws, concentration, metric or aligned.edition, rounds, pool, seed=seed)
            fusion = CalibratedFusion(fusion) if calibrate else fusion
        else:
            draws = {"n_draws": 0} if how == "average" else {} if n_draws is None else {"n_draws": n_draws}
            fusion = CCCFusion(
                "optimum" if how == "optimum" else "search", concentration=concentration, seed=seed, **draws
            )
        values, target = task_arrays(aligned, truth, one)
        with _bar(progress, fusion, f"search weights: {one}", len(tables)) as bar:
            fusion.fit(values, target, progress=None if bar is None else bar.update)
        fusions[one] = fusion
        found[one] = _task_weights(fusion, one, how, values, target, tuple(tables), truth.videos)
    notes = tuple(dict.fromkeys([*aligned.notes, *truth.notes]))
    return FusionSearch(FusionWeights(tuple(tables), aligned.edition, found, notes), aligned, truth, fusions, {})


def _check_method(method, calibrate, tasks) -> None:
    if method == "optimum" and "valence_arousal" not in tasks:
        raise ValueError(
            f"method 'optimum' is for valence and arousal; search instead. Received: tasks {', '.join(tasks)}"
        )
    if calibrate and ("expression" not in tasks or method == "majority"):
        raise ValueError(
            "calibration is for averages of class probabilities; leave it out. "
            f"Received: tasks {', '.join(tasks)}, method={method!r}"
        )


def _method(method, task) -> str:
    """What a method comes to for a task, see `search_tables`."""
    if task == "expression":
        return "search" if method in (None, "optimum") else method
    return {None: "optimum", "majority": "average"}.get(method, method)


def task_arrays(aligned, labels, task):
    """Predictions (models, frames, columns) and truth of a task as the estimators take them."""
    if task == "expression":
        return aligned.probabilities, labels.expression
    return aligned.continuous, labels.continuous


def _task_weights(fusion, task, how, values, target, names, videos) -> TaskWeights:
    is_expression = task == "expression"
    known = target != class_names.MISSING_EXPRESSION if is_expression else ~np.isnan(target).all(axis=1)
    score = {"average": fusion.equal_score_, "majority": None}.get(how, fusion.score_)
    if how == "majority":
        decided, _ = fuse_probabilities(values[:, known], method="majority")
        score = float(fusion.score_sums(metrics.confusion_matrix(target[known], decided, values.shape[2])))
    inner = getattr(fusion, "fusion", fusion)
    settings = ("n_draws", "concentration", "refine", "seed") if how == "search" else ()
    found = {
        "metric": fusion.metric_name if is_expression else "mean CCC of " + " and ".join(TASK_COLUMNS[task]),
        "score": score,
        "single_scores": dict(zip(names, fusion.single_scores_.tolist())),
        "equal_score": fusion.equal_score_,
        "frames": int(known.sum()),
        "videos": len(set(videos[known])),
        **{name: getattr(inner, name) for name in settings if hasattr(inner, name)},
    }
    if found.get("n_draws", 0) is None:
        found["n_draws"] = N_DRAWS[inner.level]
    temperatures = getattr(fusion, "temperatures_", None)
    return TaskWeights(
        fusion.weights_ if how in FITTED else np.full(len(names), 1 / len(names)),
        how,
        inner.pool if is_expression else "probability",
        None if temperatures is None else tuple(temperatures.tolist()),
        plain(found),
    )


def _bar(progress, fusion, what, n_models, n_fits=1):
    if progress is None:
        return nullcontext()
    # Folds share the draws of a Dirichlet search, but not its refinement, and not what is calibrated for each.
    shared, fusion = hasattr(fusion, "fit_folds"), getattr(fusion, "fusion", fusion)
    if isinstance(fusion, DirichletFusion):
        draws = N_DRAWS[fusion.level] if fusion.n_draws is None else fusion.n_draws
        tried = n_models + 1 + draws  # single models and equal weights first
        total = tried * (1 if shared else n_fits) + n_fits * fusion.refine * max(100, draws // 10)
    else:
        total = n_fits * (fusion.n_draws if fusion.method == "search" else 1)
    return progress(total=total, desc=what, unit="draw", leave=False)
