#!/usr/bin/env python
"""Search fusion weights on validation predictions, judge them on held-out videos, or fuse new predictions with them.

  tools/search_fusion.py cnn.parquet svm.csv --labels /data/affwild2 --level model_class --out weights.json
  tools/search_fusion.py cnn=val.parquet detector=pyfeat_csvs/ other=theirs.csv --columns other:map.yaml --labels labels.csv --out w.json
  tools/search_fusion.py cnn=cnn_test.parquet svm=svm_test.csv --apply weights.json --out fused.parquet

Predictions are prediction tables (.parquet, .csv), py-feat CSVs or folders of them, folders of submission files, or plain tables with a
column map. Both tasks are fused where tables and labels have both.
"""

import argparse
import sys

POLICIES = ("error", "drop", "hold", "uniform", "mean")


def parse(argv):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "predictions",
        nargs="+",
        metavar="[NAME=]PATH",
        help="predictions of each model; NAME: what to call it (default: file name)",
    )
    add("--labels", help="to search: dataset root, folder of annotations, or label table")
    add("--apply", metavar="WEIGHTS", help="fuse with these weights instead of searching")
    add(
        "--out",
        required=True,
        help="weights (.json); with --apply the fused table (.parquet, .csv) or a folder for submission files",
    )
    data = parser.add_argument_group("predictions and labels").add_argument
    data("--edition", help="abaw1, abaw2 or abaw3 (default: told by the predictions, else abaw2)")
    data("--split", default="validation", help="split of the dataset root (default: validation)")
    data(
        "--task", choices=("auto", "expression", "valence_arousal"), default="auto", help="default: all that both have"
    )
    data(
        "--columns",
        action="append",
        default=[],
        metavar="[NAME:]MAP",
        help=(
            "column map of a plain table: 'trial=video,frame=idx,p_Neutral=neutral,...,index_base=1', or a YAML or JSON file; without NAME "
            "for every file that is no prediction table, py-feat CSV or submission; may be repeated"
        ),
    )
    data(
        "--missing",
        choices=POLICIES,
        default="error",
        help=(
            "frames that a model lacks: refuse (default), drop for all, hold the model's last frame, uniform, mean of the others"
        ),
    )
    data("--align", choices=("frame", "time"), default="frame", help="match by frame number, or by the nearest time")
    data(
        "--tolerance", type=float, metavar="SECONDS", help="for --align time (default: half a frame of the other model)"
    )
    data(
        "--fps",
        action="append",
        default=[],
        metavar="[NAME:]RATE",
        help="frames per second, for times; without NAME where unknown",
    )
    data(
        "--reference",
        metavar="NAME",
        help="model whose frames are wanted (default: all frames; by time the first model's)",
    )
    data(
        "--map-classes",
        action="store_true",
        help="let 7-class models into an 8-class fusion, class Other with probability 0",
    )
    search = parser.add_argument_group("search").add_argument
    search(
        "--level",
        choices=("model", "model_class"),
        default="model",
        help="a weight per model (SWF), or per model and class (MCWF)",
    )
    search(
        "--method",
        choices=("search", "optimum", "average", "majority"),
        help=(
            "Dirichlet search (default for expressions), exact optimum of the CCC (default for valence and arousal), equal weights, vote"
        ),
    )
    search(
        "--metric",
        help="of expressions: abaw2, abaw3, do2020, macro_f1, accuracy, module:function (default: the edition's)",
    )
    search("--draws", type=int, help="Dirichlet draws (default: 1,000 per model, 10,000 per model and class)")
    search("--concentration", type=float, default=1.0, help="of the Dirichlet distribution (default: 1)")
    search(
        "--refine", type=int, default=0, metavar="ROUNDS", help="rounds of search around the best draws (default: 0)"
    )
    search("--calibrate", action="store_true", help="fit a temperature for each model before fusing")
    search("--pool", choices=("probability", "logit"), default="probability", help="what is averaged")
    search("--seed", type=int, default=0)
    judge = parser.add_argument_group("held-out estimate").add_argument
    judge("--folds", type=int, default=5, help="folds of videos (default: 5)")
    judge("--bootstrap", type=int, default=1000, metavar="N", help="resamples of videos for the intervals")
    judge("--no-held-out", action="store_true", help="search only")
    judge("--fused", metavar="FILE", help="write the fused table of the searched frames")
    judge("--report", metavar="DIR", help="write an HTML report")
    args = parser.parse_args(argv)
    if (args.labels is None) == (args.apply is None):
        parser.error("give either --labels (to search) or --apply (to fuse)")
    if args.folds < 2 or args.bootstrap < 0:
        parser.error(f"--folds must be at least 2, --bootstrap not negative. Received: {args.folds}, {args.bootstrap}")
    return args


def main(argv=None) -> int:
    """Search or fuse, print, write."""
    args = parse(argv)
    from tqdm.auto import tqdm

    from abaw_tf.evaluation import read_labels
    from abaw_tf.fusion import command, search, weights_file

    alignment = {"missing": args.missing, "by": args.align, "tolerance": args.tolerance, "reference": args.reference}
    alignment |= {"map_classes": args.map_classes, "task": None if args.task == "auto" else args.task}
    if args.apply:
        command.check_outputs(fused=args.out)
        weights = weights_file.FusionWeights.load(args.apply)
        tables = command.load_tables(args.predictions, args.edition, args.columns, args.fps)
        fused = weights.apply(tables, **alignment)
        for path in command.write_fused(fused, args.out):
            print(f"wrote {path}")
        print(f"fused {len(tables)} models, {len(fused):,} frames of {fused['trial'].nunique()} trials")
        for note in fused.attrs["notes"]:
            print(f"note: {note}")
        return 0
    command.check_outputs(args.out, args.fused, args.report)
    tables = command.load_tables(args.predictions, args.edition, args.columns, args.fps)
    labels = read_labels(args.labels, args.edition or command.edition(tables), args.split, alignment["task"])
    options = {
        name: getattr(args, name)
        for name in ("level", "method", "metric", "concentration", "refine", "calibrate", "pool", "seed")
    }
    found = search.search_tables(tables, labels, n_draws=args.draws, progress=tqdm, **options, **alignment)
    # Written before the estimate, which takes longer: what was found is not lost.
    found.weights.save(args.out)
    print(f"wrote {args.out}", flush=True)
    if args.fused:
        for path in command.write_fused(found.fused(), args.fused):
            print(f"wrote {path}")
    if not args.no_held_out:
        try:
            found = found.estimate(args.folds, args.bootstrap, args.seed, progress=tqdm)
        except ValueError:
            print(found.format(), flush=True)
            raise
        found.weights.save(args.out)
    print(found.format())
    if args.report:
        print(f"wrote {command.write_report(args.report, found)}")
    return 0


if __name__ == "__main__":
    from abaw_tf.cli import run_tool

    sys.exit(run_tool(main))
