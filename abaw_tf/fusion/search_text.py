"""What a search for fusion weights found, as text for a terminal."""

from abaw_tf.fusion.weights_file import FITTED


def search_text(search) -> str:
    """Scores, held-out estimates, weights and notes of a `FusionSearch`."""
    blocks = []
    for task in search.weights.tasks:
        scores = [search.held_out[task].format()] if task in search.held_out else _scores(search.weights, task)
        blocks.append("\n".join([task, *scores, *_weights(search.weights, task)]))
    notes = [f"note: {note}" for note in search.weights.notes]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _scores(weights, task) -> list:
    one = weights.tasks[task]
    rows = {**one.found["single_scores"], "equal weights": one.found["equal_score"]}
    if one.method != "average":
        level = "per model" if one.level == "model" else "per model and column"
        rows["majority" if one.method == "majority" else f"{one.method} ({level})"] = one.found["score"]
    width = max(map(len, rows))
    lines = [f"{one.found['metric']} on {one.found['frames']:,} frames of {one.found['videos']} videos"]
    lines += [f"  {name:<{width}}  {'undefined' if s is None else f'{s:.4f}'}" for name, s in rows.items()]
    if one.method in FITTED or one.temperatures is not None:
        lines.append(
            "The score of a fusion on the frames that it is fitted to is optimistic: judge it on held-out videos."
        )
    return lines


def _weights(weights, task) -> list:
    one = weights.tasks[task]
    lines = []
    if one.temperatures is not None:
        found = ", ".join(f"{model} {value:.3f}" for model, value in zip(weights.models, one.temperatures))
        lines += ["", f"temperatures: {found}"]
    if one.method in FITTED:
        columns = ["all"] if one.level == "model" else weights.columns(task)
        rows = one.weights[:, None] if one.level == "model" else one.weights
        widths = [max(6, len(name)) for name in columns]
        first = max(map(len, [*weights.models, "weights"]))
        lines += ["", f"  {'weights':<{first}}" + "".join(f"  {name:>{w}}" for name, w in zip(columns, widths))]
        for model, row in zip(weights.models, rows):
            lines.append(f"  {model:<{first}}" + "".join(f"  {value:>{w}.3f}" for value, w in zip(row, widths)))
    return lines
