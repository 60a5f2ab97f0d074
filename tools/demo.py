#!/usr/bin/env python
"""The whole way on synthetic data: render a small Aff-Wild2, train models, predict, fuse, score, write reports.

  python tools/demo.py                                          # the models that tell the story, into runs/demo/
  python tools/demo.py --all                                    # every model
  python tools/demo.py --recipes frame_cnn --out runs/quick     # the models of your choice

What is already there is reused: the datasets, finished training, and the epochs of training that was interrupted. The
data is synthetic, so the scores show that everything works, not how well it would work on people.
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
# Single faces, windows of them, and sequences of sound and measurements: both tasks, and no model but these is needed.
STORY = ("frame_cnn", "windowed_svm", "gru_fusion")
# Half as many frames of a video as usual: neighbours are nearly alike, and each costs rendering and training.
FPS = 12
# Changes to the preset "small": smaller batches of the fewer frames; more epochs teach the sound models no more.
FIELDS = {"frame_cnn": {"batch_size": 16}, "audio_cnn_lstm": {"epochs": 12}, "pann": {"epochs": 12}}
# A face model that has seen few people is of little use on others: more of them than the dataset's default.
FACES = 1000
SCORES = {
    "expression": ("expression_score", "macro_f1", "accuracy"),
    "valence_arousal": ("valence_arousal_score", "ccc_valence", "ccc_arousal"),
}


def parse(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where runs, predictions and the report go")
    parser.add_argument("--data", type=Path, help="where the synthetic dataset is made (default: OUT/affwild2)")
    parser.add_argument("--faces", type=Path, help="where face images are made, if a model needs them (OUT/faces)")
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--recipes", nargs="+", metavar="RECIPE", help=f"models to train (default: {' '.join(STORY)})")
    models.add_argument("--all", action="store_true", help="train every model there is")
    parser.add_argument("--preset", default="small", help="preset of the recipes (default: small, for two cores)")
    parser.add_argument("--seed", type=int, default=0, help="of the dataset and of the training")
    arguments = parser.parse_args(argv)
    arguments.data = arguments.data or arguments.out / "affwild2"
    arguments.faces = arguments.faces or arguments.out / "faces"
    return arguments


def clock():
    """A function that says what comes next, and how long it took to get here."""
    started = time.perf_counter()
    return lambda text: print(f"\n[{time.perf_counter() - started:5.0f} s] {text}", flush=True)


def choose(arguments):
    """The recipes to train, each after those that it builds on."""
    from abaw_tf import training

    names = arguments.recipes or (list(training.RECIPES) if arguments.all else STORY)
    others = [name for name in names if name != "gru_fusion"]
    recipes = training.ordered_recipes(others, arguments.preset, arguments.out, seed=arguments.seed)
    if len(others) < len(names):
        # Its third branch needs a face model, which takes longer than the whole story.
        fields = {"modalities": ("audio", "openface"), "seed": arguments.seed}
        recipes.append(training.Recipe.from_preset("gru_fusion", arguments.preset, **fields))
    if arguments.preset == "small":
        recipes = [recipe.replace(**FIELDS.get(recipe.name, {})) for recipe in recipes]
    return recipes


def train_all(recipes, arguments, dataset, step):
    """Runs and prediction tables of the validation split by recipe."""
    from abaw_tf import predictions, training
    from abaw_tf.data import FaceImages, make_synthetic_faces

    sources = {"affwild2": dataset}
    if any(recipe.dataset == "faces" for recipe in recipes):
        step(f"face images: {arguments.faces}")
        sources["faces"] = FaceImages(make_synthetic_faces(arguments.faces, n_train=FACES, seed=arguments.seed))
    runs, tables = {}, {}
    for recipe in recipes:
        step(f"train {recipe.name} ({recipe.preset})")
        run = training.train(recipe, sources[recipe.dataset], arguments.out / recipe.name)
        if recipe.dataset == "affwild2":  # training ends with the predictions of the validation split
            tables[recipe.name] = predictions.read(run.predictions_path)
        else:
            step(f"predict with {recipe.name}, which was trained on face images")
            tables[recipe.name] = training.predict(run, dataset, "validation")
        runs[recipe.name] = run
    return runs, tables


def fuse(task, tables, labels, page):
    """The fusion with equal weights; print, and write to a page, what searched weights gain on held-out videos."""
    from abaw_tf import fusion, report

    shared = set.intersection(*(set(table["trial"]) for table in tables.values()))
    tables = {name: table[table["trial"].isin(shared)] for name, table in tables.items()}
    found = fusion.search_tables(tables, labels[labels["trial"].isin(shared)], task=task).estimate()
    print(found.format())
    report.write_fusion_report(page, found, f"Demonstration: fusion of {task}", NOTE)
    return fusion.fuse_tables(tables, task=task)


def overview(dataset, table, labels):
    """Faces and predicted expressions of the first labelled validation trial."""
    import cv2

    from abaw_tf import plots

    trial = labels.loc[labels["expression"] >= 0, "trial"].iloc[0]
    paths = {int(frame): dataset.image_path(trial, int(frame)) for frame in dataset.image_frames(trial)}
    images = {frame: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for frame, path in paths.items()}
    return plots.plot_overview(table, labels, trial, images)


def format_scores(evaluations):
    """A table per task that was predicted, with a line per model of it."""
    lines = []
    for names in SCORES.values():
        scored = {model: item for model, item in evaluations.items() if names[0] in item.scores}
        if scored:
            first, *others = (name.replace("_", " ") for name in names)
            lines += ["", f"{'model':<24}{first:>22}{'95 % interval':>18}" + "".join(f"{name:>13}" for name in others)]
        for model, item in scored.items():
            low, high = item.intervals[names[0]]
            first, *others = (item.scores[name] for name in names)
            lines.append(
                f"{model:<24}{first:>22.3f}{f'{low:.3f} to {high:.3f}':>18}" + "".join(f"{n:>13.3f}" for n in others)
            )
    return "\n".join([*lines, "", "The scores are the challenge's, on synthetic validation videos."])


def main(argv=None) -> int:
    """Make, train, predict, fuse, score, report."""
    arguments, step = parse(argv), clock()
    print(NOTE)
    recipes = choose(arguments)
    print(f"models: {', '.join(recipe.name for recipe in recipes)}")
    step(f"dataset: {arguments.data}")
    from abaw_tf import evaluation, predictions, report
    from abaw_tf.data import AffWild2, make_synthetic

    dataset = AffWild2(make_synthetic(arguments.data, fps=FPS, seed=arguments.seed), "abaw2")
    labels = evaluation.label_table(dataset, "validation")
    runs, tables = train_all(recipes, arguments, dataset, step)
    pages = [arguments.out / "report.html"]
    for task, column in (("expression", "expression"), ("valence_arousal", "valence")):
        of_task = {name: tables[name] for name in runs if column in tables[name]}
        if len(of_task) > 1:
            step(f"fuse {task}: with equal weights, and with searched ones judged on held-out videos")
            pages.append(arguments.out / f"fusion_{task}.html")
            tables[f"{task} fusion"] = fuse(task, of_task, labels, pages[-1])

    step("score and report")
    for name, table in tables.items():
        predictions.write(table, arguments.out / f"{name.replace(' ', '_')}_validation.parquet")
    evaluations = {name: evaluation.evaluate(table, labels) for name, table in tables.items()}
    report.write_report(
        pages[0],
        "abaw_tf demonstration",
        evaluations,
        tables,
        labels,
        history={name: run.history_path for name, run in runs.items() if run.history_path.is_file()},
        run_card={name: run.card for name, run in runs.items()},
        notes=NOTE,
    )
    expressive = [table for table in tables.values() if "expression" in table]
    if expressive:  # the last one is the fusion, where there is one
        pages.append(arguments.out / "overview.png")
        overview(dataset, expressive[-1], labels).savefig(pages[-1], dpi=110)
    print(format_scores(evaluations))
    step(f"look at: {', '.join(map(str, pages))}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
