#!/usr/bin/env python
"""The whole way on synthetic data: render a small Aff-Wild2, train every model, predict, fuse, score, write reports.

  python tools/demo.py                                          # everything, into synthetic_*/ and runs/demo/
  python tools/demo.py --recipes frame_cnn --out runs/quick     # some of the models

What is already there is reused: the datasets, and finished training. The data is synthetic, so the scores show that
everything works, not how well it would work on people.
"""

import argparse
import sys
import time
from pathlib import Path

from abaw_tf.cli import run_tool

NOTE = (
    "SYNTHETIC DATA: the faces, voices and labels of this demonstration are rendered by abaw_tf. The scores show that every step "
    "runs and that the models learn; they say nothing about accuracy on people."
)


def parse(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("synthetic_affwild2"), help="where the synthetic dataset is made"
    )
    parser.add_argument(
        "--faces", type=Path, default=Path("synthetic_faces"), help="where face images are made, if a model needs them"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where runs, predictions and the report go")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help="models to train (default: all there are)")
    parser.add_argument("--preset", default="small", help="preset of the recipes (default: small, for two cores)")
    parser.add_argument("--seed", type=int, default=0, help="of the dataset and of the training")
    return parser.parse_args(argv)


def clock():
    """A function that says what comes next, and how long it took to get here."""
    started = time.perf_counter()
    return lambda text: print(f"\n[{time.perf_counter() - started:5.0f} s] {text}", flush=True)


def train_all(arguments, dataset, step):
    """Runs and prediction tables of the validation split by recipe."""
    from abaw_tf import training
    from abaw_tf.data import FaceImages, make_synthetic_faces

    recipes = training.ordered_recipes(arguments.recipes, arguments.preset, arguments.out, seed=arguments.seed)
    sources = {"affwild2": dataset}
    if any(recipe.dataset == "faces" for recipe in recipes):
        step(f"face images: {arguments.faces}")
        # More of them than the dataset's default: a face model that has seen few people is of little use on others.
        sources["faces"] = FaceImages(make_synthetic_faces(arguments.faces, n_train=1400, seed=arguments.seed))
    runs, tables = {}, {}
    for recipe in recipes:
        step(f"train {recipe.name} ({recipe.preset})")
        runs[recipe.name] = training.train(recipe, sources[recipe.dataset], arguments.out / recipe.name)
        step(f"predict with {recipe.name}")
        tables[recipe.name] = training.predict(runs[recipe.name], dataset, "validation")
    return runs, tables


def fuse(tables, labels, folder):
    """The fusion with equal weights; report and print what searched weights gain on held-out videos."""
    from abaw_tf import fusion, report

    found = fusion.search_tables(tables, labels).estimate()
    print(found.format())
    report.write_fusion_report(folder / "fusion.html", found, "Fusion of the demonstration's models", NOTE)
    return fusion.fuse_tables(tables)


def overview(dataset, table, labels):
    """Faces and predicted expressions of the first labelled validation trial."""
    import cv2

    from abaw_tf import plots

    trial = labels.loc[labels["expression"] >= 0, "trial"].iloc[0]
    paths = {int(frame): dataset.image_path(trial, int(frame)) for frame in dataset.image_frames(trial)}
    images = {frame: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for frame, path in paths.items()}
    return plots.plot_overview(table, labels, trial, images)


def print_scores(evaluations):
    """One line per model of expressions."""
    print(f"\n{'model':<16}{'expression score':>18}{'95 % interval':>20}{'macro F1':>10}{'accuracy':>10}")
    for name, result in evaluations.items():
        low, high = result.intervals["expression_score"]
        scores = result.scores
        print(
            f"{name:<16}{scores['expression_score']:>18.3f}{f'{low:.3f} to {high:.3f}':>20}"
            f"{scores['macro_f1']:>10.3f}{scores['accuracy']:>10.3f}"
        )
    print("(0.67·macro F1 + 0.33·accuracy, on synthetic validation videos)")


def print_traces(evaluations):
    """One line per model of valence and arousal."""
    for name, result in evaluations.items():
        valence, arousal = (result.scores[f"ccc_{which}"] for which in ("valence", "arousal"))
        print(f"{name}: CCC of valence {valence:.3f}, of arousal {arousal:.3f}")


def main(argv=None) -> int:
    """Make, train, predict, score, report."""
    arguments, step = parse(argv), clock()
    print(NOTE)
    step(f"dataset: {arguments.data}")
    from abaw_tf import evaluation, predictions, report
    from abaw_tf.data import AffWild2, make_synthetic

    dataset = AffWild2(make_synthetic(arguments.data, seed=arguments.seed), "abaw2")
    labels = evaluation.label_table(dataset, "validation", task="expression")
    affect = evaluation.label_table(dataset, "validation", task="valence_arousal")
    runs, tables = train_all(arguments, dataset, step)
    traces = {
        name: evaluation.evaluate(table, affect, edition="abaw2")
        for name, table in tables.items()
        if "valence" in table
    }
    tables = {  # the same frames of every model
        name: table[table["trial"].isin(labels["trial"])] for name, table in tables.items() if "expression" in table
    }
    if not tables:  # models of valence and arousal alone: neither faces with expressions nor a fusion to show
        print_traces(traces)
        return 0
    runs, last = {name: runs[name] for name in tables}, list(tables)[-1]
    if len(tables) > 1:
        step("fuse: with equal weights, and with searched ones judged on held-out videos")
        last = "average fusion"
        tables[last] = fuse(tables, labels, arguments.out)

    step("score and report")
    overview(dataset, tables[last], labels).savefig(arguments.out / "overview.png", dpi=110)
    for name, table in tables.items():
        predictions.write(table, arguments.out / f"{name.replace(' ', '_')}_validation.parquet")
    evaluations = {name: evaluation.evaluate(table, labels, edition="abaw2") for name, table in tables.items()}
    page = report.write_report(
        arguments.out / "report.html",
        "abaw_tf demonstration",
        evaluations,
        tables,
        labels,
        history={name: run.history_path for name, run in runs.items() if run.history_path.is_file()},
        run_card={name: run.card for name, run in runs.items()},
        notes=NOTE,
    )
    print_scores(evaluations)
    print_traces(traces)
    step(f"picture: {arguments.out / 'overview.png'}   report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
