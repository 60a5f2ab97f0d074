#!/usr/bin/env python
"""Train a system from its recipe; predictions and scores of the validation split are made at the end.

  python tools/train.py frame_cnn /data/affwild2 --run-dir runs/frame_cnn                       # the paper's values
  python tools/train.py frame_cnn synthetic_affwild2 --run-dir runs/small --preset small --epochs 5
  python tools/train.py windowed_svm /data/affwild2 --run-dir runs/svm --frame-cnn-run runs/frame_cnn
  python tools/train.py face_model /data/AffectNet --run-dir runs/affectnet                     # faces, not videos
  python tools/train.py face_model /data/RAF-DB --run-dir runs/rafdb --initial-run runs/affectnet
  python tools/train.py stat_lstm /data/affwild2 --run-dir runs/lstm_va --preset lstm_va --face-run runs/rafdb
  python tools/train.py gru_fusion /data/affwild2 --run-dir runs/gru --store expnet=features/expnet-KEY
  python tools/train.py my_recipe.yaml /data/affwild2 --run-dir runs/mine                       # a recipe file

Any field of the recipe is a flag: `python tools/train.py RECIPE --fields` lists them, with their values in the preset.
Started again with the same arguments, training goes on where it was stopped.
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def parse(argv=None):
    """The command line, and what is left of it for the recipe's fields."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    from abaw_tf.training import RECIPES

    parser.add_argument("recipe", metavar="RECIPE", help=f"{', '.join(RECIPES)}; or a YAML file")
    parser.add_argument("root", metavar="ROOT", type=Path, nargs="?", help="the dataset's folder")
    parser.add_argument("--run-dir", type=Path, help="folder of this run: model, history, scores, predictions")
    parser.add_argument("--preset", help="values of the recipe: paper (default), small, … (not with a YAML file)")
    parser.add_argument(
        "--folds", type=Path, help="CSV of folds (data.folds.write_folds) instead of the official split"
    )
    parser.add_argument("--fold", type=int, help="the fold held out (default: 0)")
    parser.add_argument(
        "--store", action="append", default=[], metavar="NAME=FOLDER", help="feature store of a track; may be repeated"
    )
    parser.add_argument("--strategy", choices=("default", "mirrored"), default="default", help="mirrored: all GPUs")
    parser.add_argument("--no-resume", action="store_true", help="refuse a run folder that holds a run already")
    parser.add_argument("--fields", action="store_true", help="list the recipe's fields and stop")
    arguments, rest = parser.parse_known_args(argv)
    if not arguments.fields and (arguments.root is None or arguments.run_dir is None):
        parser.error("ROOT and --run-dir are needed")
    if arguments.preset and arguments.recipe.endswith((".yaml", ".yml")):
        parser.error("--preset cannot be combined with a recipe file, which names its preset itself")
    if arguments.fold is not None and arguments.folds is None:
        parser.error("--fold needs --folds, the CSV that says which trials are in it")
    stores = dict(item.partition("=")[::2] for item in arguments.store)
    if not all(stores.values()):
        parser.error(f"--store must be NAME=FOLDER. Received: {' '.join(arguments.store)}")
    return arguments, stores, rest


def main(argv=None) -> int:
    """Read the recipe, train it, print the scores."""
    arguments, stores, rest = parse(argv)
    import tyro

    from abaw_tf.training import Recipe

    if arguments.recipe.endswith((".yaml", ".yml")):
        recipe = Recipe.from_yaml(arguments.recipe)
    else:
        recipe = Recipe.from_preset(arguments.recipe, arguments.preset or "paper")
    prog = f"train.py {arguments.recipe} ROOT --run-dir DIR"
    recipe = tyro.cli(type(recipe), default=recipe, args=["--help"] if arguments.fields else rest, prog=prog)

    from abaw_tf.data.folds import read_folds
    from abaw_tf.training import open_dataset, train
    from abaw_tf.training.tracks import check_names

    check_names(recipe, stores)
    run = train(
        recipe,
        open_dataset(recipe, arguments.root),
        arguments.run_dir,
        resume=not arguments.no_resume,
        folds=arguments.folds and read_folds(arguments.folds),
        fold=arguments.fold or 0,
        stores=stores,
        strategy=arguments.strategy,
    )
    print(f"\n{run.folder}: {recipe.name} ({recipe.preset}), scores on validation")
    for name, value in run.card["scores"].items():
        print(f"  {name:<24}{value:8.4f}")
    if run.card["dataset"]["synthetic"]:
        print("  (synthetic data: this says nothing about accuracy on people)")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
