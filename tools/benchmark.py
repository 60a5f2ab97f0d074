"""Measure what the toolkit promises; prints a table and writes JSON.

tools/benchmark.py features --extractor vggface2 --json features.json
"""

import argparse
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def add_audio(subparsers):
    parser = subparsers.add_parser("audio", help="audio features of frames, in the graph against librosa")
    parser.add_argument("--frames", type=int, default=1024, help="per turn")
    parser.add_argument("--seconds", type=float, default=60.0, help="of sound to resample")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the best one counts")
    parser.set_defaults(measure=measure_audio)


def measure_audio(arguments):
    from abaw_tf.benchmarks.audio import benchmark_audio

    return benchmark_audio(
        arguments.frames, min(arguments.frames, 128), seconds=arguments.seconds, repeats=arguments.repeats
    )


def add_features(subparsers):
    parser = subparsers.add_parser("features", help="feature extraction against the bare network")
    parser.add_argument("--extractor", default="vggface2", help="a name of tools/extract_features.py")
    parser.add_argument("--weights", default="random", help="the speed does not depend on them")
    parser.add_argument("--images", type=int, default=192, help="images per turn")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3, help="turns; the best one counts")
    parser.set_defaults(measure=measure_features)


def measure_features(arguments):
    from abaw_tf.benchmarks.features import benchmark_features

    return benchmark_features(
        arguments.extractor, arguments.weights, arguments.images, arguments.batch_size, arguments.repeats
    )


def add_fusion(subparsers):
    parser = subparsers.add_parser("fusion", help="search for fusion weights against the plain loop")
    parser.add_argument("--frames", type=int, default=318_503)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--classes", type=int, default=7)
    parser.add_argument("--draws", type=int, default=1000, help="ten times as many for the CCC")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the best one counts")
    parser.set_defaults(measure=measure_fusion)


def measure_fusion(arguments):
    from abaw_tf.benchmarks.fusion import benchmark_fusion

    return benchmark_fusion(arguments.frames, arguments.models, arguments.classes, arguments.draws, arguments.repeats)


def add_kernel_elm(subparsers):
    parser = subparsers.add_parser("kernel_elm", help="the kernel ELM beside scikit-learn's KernelRidge and SVC")
    parser.add_argument("--sizes", nargs="+", default=["small", "medium"], choices=["small", "medium", "full"])
    parser.add_argument("--kernels", nargs="+", default=["linear", "rbf"], choices=["linear", "rbf", "poly"])
    parser.set_defaults(measure=measure_kernel_elm)


def measure_kernel_elm(arguments):
    from abaw_tf.benchmarks.kernel_elm import benchmark_kernel_elm

    return benchmark_kernel_elm(arguments.sizes, arguments.kernels)


def add_scoring(subparsers):
    parser = subparsers.add_parser("scoring", help="scores of a million frames, with and without intervals")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.set_defaults(measure=measure_scoring)


def measure_scoring(arguments):
    from abaw_tf.benchmarks.scoring import benchmark_scoring

    return benchmark_scoring(arguments.frames, resamples=arguments.resamples)


def add_startup(subparsers):
    parser = subparsers.add_parser("startup", help="importing the package, and help texts")
    parser.set_defaults(measure=measure_startup)


def measure_startup(arguments):
    from abaw_tf.benchmarks.startup import benchmark_startup

    return benchmark_startup()


def add_pipeline(subparsers):
    parser = subparsers.add_parser("pipeline", help="windows from stored tracks")
    parser.add_argument("--trials", type=int, default=16, help="tracks of 3000 frames, 2048 features, float16")
    parser.add_argument("--repeats", type=int, default=5, help="turns; the best one counts")
    parser.set_defaults(measure=measure_pipeline)


def measure_pipeline(arguments):
    from abaw_tf.benchmarks.pipelines import benchmark_track_windows

    return benchmark_track_windows(arguments.trials, repeats=arguments.repeats)


def add_stat_lstm(subparsers):
    parser = subparsers.add_parser(
        "stat_lstm", help="the network of Do et al. over consecutive frames, as chunks against blocks"
    )
    parser.add_argument("--sizes", nargs="+", default=["small", "medium"], choices=["small", "medium", "full"])
    parser.add_argument("--preset", default="lstm_va", choices=["lstm_va", "lstm", "frames_va", "frames"])
    parser.add_argument("--block", type=int, default=16, help="frames per block")
    parser.add_argument("--blocks-per-step", type=int, default=8, help="a step has as many images in either wiring")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the best one counts")
    parser.set_defaults(measure=measure_stat_lstm)


def measure_stat_lstm(arguments):
    from abaw_tf.benchmarks.stat_lstm import benchmark_stat_lstm

    return benchmark_stat_lstm(
        arguments.sizes, arguments.preset, arguments.block, arguments.blocks_per_step, arguments.repeats
    )


# One function per subcommand: it adds the parser and sets `measure`, which takes the arguments and returns a list of
# abaw_tf.benchmarks.results.Result.
SUBCOMMANDS = (
    add_audio,
    add_features,
    add_fusion,
    add_kernel_elm,
    add_pipeline,
    add_scoring,
    add_startup,
    add_stat_lstm,
)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="benchmark", required=True)
    for add in SUBCOMMANDS:
        add(subparsers)
    for subparser in subparsers.choices.values():
        subparser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    arguments = parser.parse_args(argv)
    from abaw_tf.benchmarks.results import format_table, to_json

    results = arguments.measure(arguments)
    print(format_table(results))
    if arguments.json is not None:
        arguments.json.write_text(to_json(arguments.benchmark, results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
