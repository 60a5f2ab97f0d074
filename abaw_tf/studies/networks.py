"""Three published expression networks on real face videos without labels: two fused, against the third."""

from itertools import combinations

import numpy as np
import pandas as pd

from abaw_tf import predictions
from abaw_tf.fusion.alignment import align
from abaw_tf.fusion.averaging import weighted_average
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.fusion.held_out_result import BEST
from abaw_tf.studies.held_out_rows import chosen_inside, fusion_rows, held_out_decisions, row, rows_table
from abaw_tf.studies.network_predictions import NETWORKS, predict_networks
from abaw_tf.studies.result import StudyResult
from abaw_tf.studies.scoring import group_confusions
from abaw_tf.studies.stability import mean_entropy, switches_per_second

METRIC = "accuracy"
SHOWN = "WolfgangLanger_Pexels"
SAME_PERSON = {"pwij3p": "id2_vcd_swwp2s"}
"""Two clips of one speaker (seen by eye): one group, so that no person is on both sides of a fold."""


def run(realdata, draws=None, bootstrap=1000, seed=0, tables=None) -> StudyResult:
    """Fuse two networks and ask how often they decide like the third, and how restless all of them are.

    Nothing here is truth: the third network errs too. What the agreement tells is whether a fusion comes nearer to an independent opinion
    than either part does; what two networks trained on the same pictures share is not visible to it.

    Parameters
    ----------
    realdata : path-like
        Folder that holds ``models``, ``video_grid`` and ``video_pyfeat``.
    draws : int, optional
        Draws of each search. Default: 1,000 for SWF and 10,000 for MCWF, as in the paper's code.
    bootstrap : int
        Resamples of people for the intervals, 0 for none.
    seed : int
    tables : mapping of str to pandas.DataFrame, optional
        Predictions of the networks by name. Default: made anew (`predict_networks`).

    Returns
    -------
    StudyResult
        Table: by third network (``against``) and method, the share of frames on which the method decides like the third network, on the
        search set and held out over people, with its interval; its gain over the one of the two that is better on the other folds;
        switches of the decided class per second; mean entropy in bits.
    """
    tables = predict_networks(realdata) if tables is None else tables
    aligned = align(tables)
    probabilities = dict(zip(aligned.names, aligned.probabilities))
    people = aligned.keys["trial"].replace(SAME_PERSON).to_numpy(str)
    options = {"bootstrap": bootstrap, "seed": seed}
    rows, verdicts = {}, []
    for third in NETWORKS[::-1]:
        pair = [name for name in NETWORKS if name != third]
        found, fused = _against(third, pair, probabilities, people, draws, options)
        for method, values in found.items():
            rows[third, method] = values | _restlessness(aligned.keys, *fused[method])
        verdicts.append(
            f"{' + '.join(pair)} against {third}: nothing is clearly nearer to it than {fused['recommended']}"
        )
    everything = weighted_average(np.stack(list(probabilities.values())))
    rows["–", "all three, equal weights"] = _restlessness(aligned.keys, everything.argmax(axis=1), everything)
    table = _table(rows)
    notes = _notes(aligned, people, probabilities, verdicts, bootstrap)
    title = "Three published networks on real faces: agreement of two, fused, with the third (share of frames)"
    return StudyResult("fusion_networks", title, table, notes, _figure(tables, aligned, everything, table))


def _against(third, pair, probabilities, people, draws, options):
    """Rows by method with the decisions of `third` as label; decisions and probabilities by method, and the verdict."""
    stacked = np.stack([probabilities[name] for name in pair])
    y, n_classes = probabilities[third].argmax(axis=1), stacked.shape[2]
    fusions = {
        "SWF": DirichletFusion("model", n_draws=draws, metric=METRIC, seed=options["seed"]),
        "MCWF": DirichletFusion("model_class", n_draws=draws, metric=METRIC, seed=options["seed"]),
    }
    found = held_out(stacked, y, people, fusions, names=pair, unit="people", **options)
    fused = {name: (probabilities[name].argmax(axis=1), probabilities[name]) for name in pair}
    mean = weighted_average(stacked)
    fused["equal weights"] = (mean.argmax(axis=1), mean)
    confusions = {name: group_confusions(y, decisions, people, n_classes) for name, (decisions, _) in fused.items()}
    inside = chosen_inside(found, stacked, people)
    fused[BEST] = (inside, None)
    best = group_confusions(y, inside, people, n_classes)
    score = {"metric": METRIC, **options}
    rows = {name: row(each, best, **score) for name, each in confusions.items()}
    rows[BEST] = row(best, None, **score, search_set=found.table.loc[BEST, "search_score"])
    rows |= fusion_rows(found, fusions, stacked, y, people, best, **score)
    for label, fusion in fusions.items():
        decisions = held_out_decisions(found, label, fusion, stacked, y, people)
        fused[label] = (decisions, weighted_average(stacked, found.weights[label]))
    return rows, {**fused, "recommended": found.recommended}


def _restlessness(keys, decisions, probabilities) -> dict:
    switches = switches_per_second(keys["trial"].to_numpy(), keys["time"].to_numpy(), decisions)
    entropy = np.nan if probabilities is None else mean_entropy(probabilities)
    return {"switches_per_second": switches, "entropy_bits": entropy}


def _table(rows) -> pd.DataFrame:
    scores = rows_table({number: values for number, values in enumerate(rows.values())}).drop(columns="accuracy")
    more = pd.DataFrame(list(rows.values()))[["switches_per_second", "entropy_bits"]]
    table = pd.concat([scores.astype(float), more], axis=1)
    table.index = pd.MultiIndex.from_tuples(rows, names=["against", "method"])
    return table


def _notes(aligned, people, probabilities, verdicts, bootstrap) -> list:
    decided = {name: values.argmax(axis=1) for name, values in probabilities.items()}
    pairs = ", ".join(f"{a} and {b} {np.mean(decided[a] == decided[b]):.1%}" for a, b in combinations(NETWORKS, 2))
    trials = aligned.keys["trial"].nunique()
    return [
        f"{len(aligned.keys):,} frames with a face (YuNet, aligned crops) of {trials} clips, {len(set(people))} people; no clip has labels",
        "the label of each block is the decision of the network that is not fused: it measures agreement, not correctness",
        f"{' and '.join(NETWORKS[:2])} were trained on FER-2013 (Arriaga et al. 2017), what {NETWORKS[2]} was trained on is not published",
        f"frames decided alike: {pairs}",
        *verdicts,
        "held out: weights from other people; entropy of the searched fusions: under the weights from all frames",
        f"{np.mean(people == SHOWN):.0%} of the frames show one woman who weeps, then laughs ({SHOWN}), most others calm speech",
        *([f"intervals: {bootstrap:,} resamples of people; with so few they are rough"] if bootstrap else []),
    ]


def _figure(tables, aligned, everything, table):
    from matplotlib.figure import Figure

    from abaw_tf.plots.bands import plot_expression_bands
    from abaw_tf.plots.fusion import plot_held_out

    keys = aligned.keys
    fused = predictions.make_table(keys["trial"], keys["frame"], keys["time"], everything, edition=aligned.edition)
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    shown = SHOWN if SHOWN in set(keys["trial"]) else keys["trial"].iloc[0]
    title = (
        "A real clip without labels: weeping, a hand before the face, from 9.5 s on laughing"
        if shown == SHOWN
        else None
    )
    plot_expression_bands({**tables, "equal weights": fused}, shown, upper.subplots(), title)
    for ax, third in zip(lower.subplots(1, len(NETWORKS), sharex=True), NETWORKS[::-1]):
        part = table.loc[third].rename(columns={"search_set": "search_score", "held_out": "held_out_score"})
        plot_held_out(part.rename(index={BEST: "best single"}), ax, title=f"against {third}")
        ax.set_xlabel("frames decided alike")
        handles = ax.get_legend_handles_labels()
        ax.get_legend().remove()
    lower.legend(*handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure
