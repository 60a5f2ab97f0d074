"""Extract features of a dataset, one memory-mapped track per trial. Start it again after an interruption: it resumes.

tools/extract_features.py ROOT --extractor vggface2 --out features
tools/extract_features.py ROOT --extractor frame_audio --out features
tools/extract_features.py ROOT --extractor keras --weights runs/frame_cnn/best.keras --layer dense --out features --shard 0/4
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool

# The names of abaw_tf.features.extractors.EXTRACTORS, repeated here because that module imports Keras (a test compares them).
EXTRACTORS = (
    "vggface2",
    "vggface2_weidi_xie",
    "vggface2_small",
    "fer_xception",
    "fer_big_xception",
    "expnet",
    "expnet_small",
    "vgg_fer",
    "vgg_fer_small",
    "keras",
)
# The names of abaw_tf.features.measurements.MEASUREMENTS.
MEASUREMENTS = ("frame_audio", "openface")


def shard(text):
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"must be i/n with 0 <= i < n, such as 0/4. Received: {text!r}")
    return int(index), int(count)


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="root of Aff-Wild2")
    parser.add_argument(
        "--extractor",
        required=True,
        help=f"of faces: {', '.join(EXTRACTORS)}; without a network: {', '.join(MEASUREMENTS)}",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the feature stores")
    parser.add_argument("--weights", help="weight file, registry name, or 'random'; by default the published weights")
    parser.add_argument("--layer", help="layer to take the features from instead of the usual one")
    parser.add_argument("--edition", default="abaw2", choices=["abaw1", "abaw2", "abaw3"])
    parser.add_argument("--kind", choices=["cropped_aligned", "cropped"], help="which crops (default: cropped_aligned)")
    parser.add_argument("--trials", nargs="+", help="only these trials")
    parser.add_argument("--shard", type=shard, default=(0, 1), metavar="I/N", help="every N-th trial from the I-th on")
    parser.add_argument("--batch-size", type=int, help="images per step (default: 32)")
    parser.add_argument("--dtype", choices=["float16", "float32"], help="type on disk (default: float16)")
    parser.add_argument("--workers", type=int, help="threads that decode images")
    arguments = parser.parse_args(argv)
    options = {name: getattr(arguments, name) for name in ("kind", "batch_size", "dtype", "workers")}
    options = {name: value for name, value in options.items() if value is not None}
    of_networks = [name for name in ("weights", "layer") if getattr(arguments, name) is not None] + list(options)
    if arguments.extractor in MEASUREMENTS and of_networks:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in of_networks)
        parser.error(f"{arguments.extractor} has no network and takes no images: leave out {flags}")
    return arguments, options


def main(argv=None) -> int:
    arguments, options = parse(argv)
    from abaw_tf.data import AffWild2
    from abaw_tf.features.extract import ExtractionError, extract
    from abaw_tf.features.measurements import extract_measurements

    dataset, which = AffWild2(arguments.root, arguments.edition), {"trials": arguments.trials, "shard": arguments.shard}
    try:
        if arguments.extractor in MEASUREMENTS:
            report = extract_measurements(arguments.extractor, dataset, arguments.out, **which)
        else:
            from abaw_tf.features.extractors import make_extractor

            extractor = make_extractor(arguments.extractor, arguments.weights, arguments.layer)
            report = extract(dataset, extractor, arguments.out, **which, **options)
    except ExtractionError as error:
        print(error.report.format())
        raise
    print(report.format())
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
