"""Render a small synthetic Aff-Wild2 in the official layout, or face images in the layouts of RAF-DB and AffectNet.

python tools/make_synthetic.py data/synthetic
python tools/make_synthetic.py data/synthetic3 --edition abaw3 --train 20 --validation 8 --seconds 12 --seed 7
python tools/make_synthetic.py data/synthetic_rafdb --kind rafdb --train 700 --validation 210
"""

import argparse
import sys

from abaw_tf.cli import run_tool


def main(argv=None) -> int:
    """Make the dataset that the command line asks for, or reuse an identical one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="folder to make; an identical dataset that is already there is reused")
    parser.add_argument(
        "--kind", choices=("affwild2", "rafdb", "affectnet", "affectnet_npy"), default="affwild2",
        help="affectnet: pictures with lists; affectnet_npy: cropped faces (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--edition", default="abaw2", help="abaw1, abaw2 or abaw3 (default: %(default)s)")
    parser.add_argument("--train", type=int, help="training videos (default: 12) or images (420)")
    parser.add_argument("--validation", type=int, help="validation videos (default: 6) or images (140)")
    parser.add_argument("--test", type=int, default=2, help="unlabelled test videos (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a video (default: %(default)s)")
    parser.add_argument(
        "--fps", type=float, help="frame rate of all videos (default: a mixture of 24, 25, 29.97 and 30)"
    )
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"), help="in pixels")
    parser.add_argument("--seed", type=int, default=0, help="decides everything random (default: %(default)s)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a synthetic dataset made with other arguments"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)

    from abaw_tf.data import make_synthetic, make_synthetic_faces

    common = {"seed": args.seed, "overwrite": args.overwrite, "progress": not args.quiet}
    counts = {"n_train": args.train, "n_validation": args.validation}
    common |= {name: count for name, count in counts.items() if count is not None}
    if args.kind == "affwild2":
        root = make_synthetic(
            args.root,
            args.edition,
            n_test=args.test,
            seconds=args.seconds,
            fps=args.fps,
            size=tuple(args.size),
            **common,
        )
        what = f"Aff-Wild2 ({args.edition})"
    else:
        root, what = make_synthetic_faces(args.root, args.kind, **common), args.kind
    print(f"{root}: synthetic {what}; what is in it: {root / 'synthetic.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
