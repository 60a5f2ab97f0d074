"""Separate the voices of a dataset's videos from music and noise, with a separator that is installed. Start it again: it goes on.

tools/separate_voices.py ROOT                              spleeter or demucs, whichever is found first
tools/separate_voices.py ROOT --command demucs
tools/separate_voices.py ROOT --command "/opt/env/bin/spleeter separate -p spleeter:2stems -d {seconds} -o {folder} {input}"
Voices go to ROOT/vocals/VIDEO.wav; what is there already, also in the separators' own layouts, is left as it is.
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="root of Aff-Wild2")
    parser.add_argument(
        "--command", default="auto", metavar="SEPARATOR", help="auto, spleeter, demucs, or a command line (see above)"
    )
    parser.add_argument("--edition", default="abaw2", choices=["abaw1", "abaw2", "abaw3"])
    parser.add_argument("--trials", nargs="+", help="only the videos of these trials")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    arguments = parse(argv)
    from abaw_tf.data import AffWild2
    from abaw_tf.media.voice_separation import separate_voices

    dataset = AffWild2(arguments.root, arguments.edition)
    paths = {trial: dataset.video_path(trial) for trial in arguments.trials or dataset.index["trial"]}
    videos = sorted({path for path in paths.values() if path})
    print(separate_voices(videos, dataset.root, arguments.command).format())
    if None in paths.values():
        print(f"without a video: {', '.join(trial for trial, path in paths.items() if path is None)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
