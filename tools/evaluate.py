#!/usr/bin/env python
"""Score prediction files: official score and variants, per class, per trial, intervals over videos; compare two.

  tools/evaluate.py predictions.parquet --labels /data/affwild2 --edition abaw2 --split validation
  tools/evaluate.py mine.parquet theirs.csv --labels labels.csv --out scores/
  tools/evaluate.py submission_folder/ --labels /data/affwild2/annotations/EXPR_Set/Validation_Set

Predictions are a prediction table (.parquet, .csv), a py-feat CSV or a folder of them, a folder of submission files, or any CSV with
a column map. Labels are the dataset's root, a folder of annotation files, or a table (.parquet, .csv) with trial, frame, expression,
valence, arousal.
"""

import argparse
import sys


def parse(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", metavar="PRED", help="predictions to score")
    parser.add_argument("other", metavar="PRED_B", nargs="?", help="a second model's, to compare with the first")
    parser.add_argument("--labels", required=True, help="dataset root, folder of annotations, or label table")
    parser.add_argument("--edition", help="abaw1, abaw2 or abaw3 (default: told by the predictions, else abaw2)")
    parser.add_argument("--split", default="validation", help="split of the dataset root (default: validation)")
    parser.add_argument("--task", choices=("expression", "valence_arousal"), help="score only this task")
    parser.add_argument("--variant", help="another formula of the expression score, e.g. do2020")
    parser.add_argument("--format", default="auto", help="of the predictions: auto, table, pyfeat, submission, columns")
    parser.add_argument(
        "--columns", metavar="MAP", help="column map of a plain table: 'trial=video,frame=idx,...' or a file"
    )
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples of videos, 0 for no intervals"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resampling")
    parser.add_argument(
        "--missing",
        choices=("error", "drop"),
        default="error",
        help="labelled frames without a prediction: refuse (default), or leave out and say so",
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores as JSON")
    parser.add_argument("--report", metavar="FILE", help="write an HTML report")
    parser.add_argument("--out", metavar="DIR", help="write scores.json, per_trial.csv and report.html there")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Score, print, write."""
    args = parse(argv)
    from abaw_tf import evaluation, predictions
    from abaw_tf.evaluation.output import model_names, write_outputs

    paths = [path for path in (args.predictions, args.other) if path]
    tables = [predictions.load(path, args.edition, args.format, columns=args.columns) for path in paths]
    edition = args.edition or predictions.edition_of(tables[0]).name
    labels = evaluation.read_labels(args.labels, edition, args.split, args.task)
    options = {"edition": edition, "variant": args.variant, "bootstrap": args.bootstrap}
    options |= {"seed": args.seed, "missing": args.missing}
    names = model_names(paths)
    evaluations = {name: evaluation.evaluate(table, labels, **options) for name, table in zip(names, tables)}
    for name, result in evaluations.items():
        print(f"== {name}\n{result.format()}\n")
    comparison = None
    if args.other:
        comparison = evaluation.compare(*tables, labels, names=names, **options)
        print(comparison.format())
    for path in write_outputs(
        evaluations, dict(zip(names, tables)), labels, comparison, out=args.out, json_path=args.json, report=args.report
    ):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    from abaw_tf.cli import run_tool

    sys.exit(run_tool(main))
