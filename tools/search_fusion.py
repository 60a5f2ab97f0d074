"""Search fusion weights on validation predictions, or apply them to new ones.

search: tools/search_fusion.py A.parquet B.csv --labels ROOT --level model_class --out weights.json
apply:  tools/search_fusion.py A_test.parquet B_test.csv --apply weights.json --out fused.parquet
"""

import argparse
import json
import sys
from pathlib import Path

from abaw_tf.cli import run_tool


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "predictions", nargs="+", type=Path, help="prediction tables with class probabilities (.parquet or .csv)"
    )
    parser.add_argument("--labels", type=Path, help="root of Aff-Wild2, or a table with trial, frame, expression")
    parser.add_argument("--split", default="validation", help="split of the dataset that the predictions are of")
    parser.add_argument("--edition", default="abaw2", choices=["abaw1", "abaw2", "abaw3"])
    parser.add_argument(
        "--level", default="model", choices=["model", "model_class"], help="weights per model, or per model and class"
    )
    parser.add_argument("--draws", type=int, default=1000, help="number of Dirichlet draws")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--missing", default="error", choices=["error", "drop"], help="frames that one of the models lacks"
    )
    parser.add_argument("--apply", type=Path, metavar="WEIGHTS", help="fuse with these weights instead of searching")
    parser.add_argument("--out", type=Path, required=True, help="weights (.json), or the fused table with --apply")
    arguments = parser.parse_args(argv)
    if (arguments.labels is None) == (arguments.apply is None):
        parser.error("give either --labels (to search) or --apply (to fuse)")
    return arguments


def main(argv=None) -> int:
    arguments = parse(argv)
    from abaw_tf import predictions
    from abaw_tf.fusion import align, fuse_tables

    tables = {str(path): predictions.read(path) for path in arguments.predictions}
    if arguments.apply is not None:
        stored = json.loads(arguments.apply.read_text(encoding="utf-8"))
        if len(stored["weights"]) != len(tables):
            raise ValueError(
                f"{arguments.apply}: holds weights for {len(stored['weights'])} models {stored['models']}. Received: {len(tables)} tables"
            )
        fused = fuse_tables(tables, stored["weights"], arguments.missing)
        predictions.write(fused, arguments.out)
        print(f"fused {len(tables)} tables, {len(fused)} frames -> {arguments.out}")
        return 0

    from tqdm.auto import tqdm

    from abaw_tf.evaluation import read_labels
    from abaw_tf.fusion import DirichletFusion

    truth = read_labels(arguments.labels, arguments.edition, arguments.split, task="expression")
    keys, probabilities = align(tables, arguments.missing)
    expression = keys.merge(truth, on=["trial", "frame"], how="left")["expression"].fillna(-1).to_numpy(int)
    search = DirichletFusion(arguments.level, n_draws=arguments.draws, edition=arguments.edition, seed=arguments.seed)
    search.fit(probabilities, expression, progress=tqdm)
    for name, score in zip(tables, search.single_scores_):
        print(f"{score:.4f}  {name}")
    print(f"{search.equal_score_:.4f}  equal weights")
    print(f"{search.score_:.4f}  searched weights ({arguments.level}), on the frames of the search itself")
    print("The searched score is optimistic: judge the weights on videos that the search has not seen.")
    result = {
        "models": list(tables),
        "level": arguments.level,
        "edition": arguments.edition,
        "weights": search.weights_.tolist(),
        "search_score": search.score_,
        "single_scores": search.single_scores_.tolist(),
        "equal_score": search.equal_score_,
        "frames": int((expression >= 0).sum()),
        "draws": arguments.draws,
        "seed": arguments.seed,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"weights -> {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
