#!/usr/bin/env python
"""Predict every frame of a split with a trained run.

  python tools/predict.py runs/frame_cnn /data/affwild2 --split validation --out validation.parquet
  python tools/predict.py runs/frame_cnn /data/affwild2 --split test --out test.parquet --submission submission/
  python tools/predict.py runs/gru /data/affwild2 --out validation.parquet --silenced missing.csv

The table holds a row per frame, frames without a face filled from the previous ones; tools/evaluate.py scores it.
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def parse(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder of tools/train.py")
    parser.add_argument("root", metavar="ROOT", type=Path, help="the dataset's folder")
    parser.add_argument("--split", choices=("train", "validation", "test", "all"), default="validation")
    parser.add_argument("--out", type=Path, required=True, help="prediction table to write, .parquet or .csv")
    parser.add_argument("--submission", type=Path, help="folder for the challenge's submission files")
    parser.add_argument(
        "--silenced",
        type=Path,
        metavar="FILE",
        help="CSV to write: scores of the split with each modality of gru_fusion silenced, and each few of them",
    )
    parser.add_argument(
        "--store", action="append", default=[], metavar="NAME=FOLDER", help="feature store of a track; may be repeated"
    )
    arguments = parser.parse_args(argv)
    stores = dict(item.partition("=")[::2] for item in arguments.store)
    if not all(stores.values()):
        parser.error(f"--store must be NAME=FOLDER. Received: {' '.join(arguments.store)}")
    if arguments.silenced and arguments.split in ("test", "all"):
        parser.error(f"--silenced needs labels: --split train or validation. Received: --split {arguments.split}")
    if arguments.out.suffix not in (".parquet", ".csv"):
        parser.error(f"--out must end in .parquet or .csv. Received: {arguments.out}")
    return arguments, stores


def main(argv=None) -> int:
    """Predict and write."""
    arguments, stores = parse(argv)
    from abaw_tf import predictions
    from abaw_tf.data import AffWild2
    from abaw_tf.files import replacing
    from abaw_tf.training import Run, predict
    from abaw_tf.training.tracks import check_names

    run = Run(arguments.run)
    check_names(run.recipe, stores)
    dataset = AffWild2(arguments.root, run.recipe.edition)
    split = None if arguments.split == "all" else arguments.split
    table = predict(run, dataset, split, stores=stores)
    predictions.write(table, arguments.out)
    print(f"{arguments.out}: {len(table)} frames of {table['trial'].nunique()} trials")
    for note in table.attrs["notes"]:
        print(f"  {note}")
    if arguments.silenced:
        from abaw_tf.training.silencing import missing_modality_table

        scores = missing_modality_table(run, dataset, split, stores, progress=False)
        with replacing(arguments.silenced) as path:
            scores.to_csv(path)
        print(
            f"{arguments.silenced}: scores with modalities silenced\n{scores.to_string(float_format='{:.4f}'.format)}"
        )
    if arguments.submission:
        for task, column in (("expression", "expression"), ("valence_arousal", "valence")):
            if column not in table:
                continue
            folder = arguments.submission / task
            predictions.write_submission(table, folder, task, run.recipe.edition)
            print(f"{folder}: submission files")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
