"""Examine a copy of Aff-Wild2: what is missing, damaged or out of step, and what to do about it.

tools/doctor.py ROOT                           quick: some images per trial, videos decoded
tools/doctor.py ROOT --images all              every image
tools/doctor.py ROOT --videos header           do not decode the videos
Exit status: 0 nothing serious, 1 errors found, 2 the dataset cannot be opened.
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds annotations, videos and crops")
    parser.add_argument("--edition", default="abaw2", choices=["abaw1", "abaw2", "abaw3"])
    parser.add_argument("--images", default="sample", choices=["all", "sample", "none"], help="which crops to decode")
    parser.add_argument("--videos", default="decode", choices=["decode", "header"], help="how to count video frames")
    parser.add_argument("--all", action="store_true", help="print every trial and every finding")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the table here and the findings to FILE_findings.csv"
    )
    return parser.parse_args(argv)


def main(argv=None) -> int:
    arguments = parse(argv)
    from abaw_tf.data import AffWild2
    from abaw_tf.data.doctor import examine

    if arguments.csv:
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)  # now, not after an hour of examining
    dataset = AffWild2(arguments.root, arguments.edition)
    diagnosis = examine(dataset, arguments.images, decode=arguments.videos == "decode", progress=True)
    print(diagnosis.format(arguments.all))
    if arguments.csv:
        findings = arguments.csv.with_name(f"{arguments.csv.stem}_findings.csv")
        diagnosis.table.to_csv(arguments.csv, index=False)
        diagnosis.findings_table().to_csv(findings, index=False)
        print(f"table -> {arguments.csv}, findings -> {findings}")
    return 1 if diagnosis.has_errors else 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
