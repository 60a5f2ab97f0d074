#!/usr/bin/env python
"""Repeat an experiment of the documentation: print its table, write table and picture.

  tools/reproduce.py fusion_votes --realdata /data/real --out results/
  ABAW_TF_REALDATA=/data/real tools/reproduce.py fusion_raters
  tools/reproduce.py do2020                                      # no material needed: renders and trains
  tools/reproduce.py do2020_real --realdata /data/real --work runs/real

fusion_votes           voice-only and face-only votes of people on CREMA-D, fused, against their audio-visual vote
fusion_raters          ten raters of one video, fused, against the objective truth (CCC)
fusion_networks        three published expression networks on real face videos, two fused against the third
do2020                 the six derivations of the STAT/LSTM network on synthetic videos, beside the paper's table (some minutes)
do2020_real            two of them on tracks of real faces, against a teacher; frame by frame and in one go (some minutes)
rasipuram2020          GRU fusion of sound, ExpNet and OpenFace on synthetic videos, beside the paper's; branches silenced (some minutes)
rasipuram2020_real     arousal of acted speech (Emo-DB) from sound alone; clips with sound and faces, against a teacher (some minutes)
dresvyanskiy2020       five models of faces and voices on synthetic videos and their fusions, beside the paper's; held out (some minutes)
dresvyanskiy2020_real  expressions of acted speech (Emo-DB) by four methods and their fusions; clips to prediction tables (some minutes)
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def parse(argv=None):
    """The command line."""
    from abaw_tf.studies import STUDIES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", metavar="STUDY", choices=sorted(STUDIES), help=", ".join(sorted(STUDIES)))
    parser.add_argument(
        "--realdata", type=Path, metavar="DIR", help="folder of the real material (default: $ABAW_TF_REALDATA)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("reproduced"),
        help="folder for STUDY.csv, STUDY.md and STUDY.png",
    )
    parser.add_argument(
        "--work", type=Path, metavar="DIR",
        help="folder of data and runs of a study that trains; what is finished is used again (default: reproduced/STUDY)",
    )  # fmt: skip
    parser.add_argument("--draws", type=int, metavar="N", help="draws of each weight search (default: the study's)")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="resamples of the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of draws, folds, trainings and resamples")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Run, print, write."""
    arguments = parse(argv)
    from abaw_tf.studies import run_study

    given = vars(arguments)
    out = given.pop("out")
    result = run_study(given.pop("study"), **given)
    print(result.format())
    for path in result.write(out):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
