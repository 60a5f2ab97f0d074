"""Truth, weights and predictions of partly labelled frames, brought to fitting shapes as float32 Keras tensors."""

from keras import ops


def as_float(x):
    """`x` as a float32 tensor."""
    return ops.cast(ops.convert_to_tensor(x), "float32")


def truth_like(y_true, like):
    """Give the truth the rank of `like`, by a last axis of size 1 more or less, and never broadcast.

    Raises
    ------
    ValueError
        If the shapes still differ.
    """
    shape, wanted = tuple(y_true.shape), tuple(like.shape)
    if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif len(shape) == len(wanted) + 1 and shape[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    if len(y_true.shape) != len(wanted) or _differ(y_true.shape, wanted):
        raise ValueError(f"truth and prediction must have the same shape. Received: truth {shape}, prediction {wanted}")
    return y_true


def weights_like(like, *factors):
    """Product of masks and weights (None for none), broadcast to the shape of `like`.

    Each has one value per element of `like` or one per sample (its trailing axes absent or of size 1).

    Raises
    ------
    ValueError
        If a shape does not fit.
    """
    weights = ops.ones_like(like)
    for factor in factors:
        if factor is None:
            continue
        x = as_float(factor)
        while len(x.shape) < len(like.shape):
            x = ops.expand_dims(x, -1)
        while len(x.shape) > len(like.shape) and x.shape[-1] == 1:
            x = ops.squeeze(x, axis=-1)
        if len(x.shape) != len(like.shape) or _differ(x.shape, like.shape, allowed=(1, None)):
            raise ValueError(
                "a sample_weight or mask must have one value per element or per sample. "
                f"Received: weights of shape {tuple(factor.shape)} for values of shape {tuple(like.shape)}"
            )
        weights = weights * x
    return weights


def check_dimensions(shape, dimensions: int) -> None:
    """Refuse the shape of a regression output that does not hold `dimensions` affect dimensions.

    With one dimension any of (n,), (n, 1), (n, t), (n, t, 1) will do, but not (n, 2): that is far more often valence and arousal side
    by side than windows of two frames.

    Raises
    ------
    ValueError
    """
    rank, last = len(shape), shape[-1] if len(shape) else None
    if dimensions > 1:
        fits = rank in (2, 3) and last in (dimensions, None)
        wanted = f"(n, {dimensions}) or (n, t, {dimensions})"
    else:
        fits = rank == 1 or (rank == 2 and last != 2) or (rank == 3 and last in (1, None))
        wanted = "(n,), (n, 1), (n, t) or (n, t, 1)"
    if not fits:
        raise ValueError(
            f"with dimensions={dimensions} the prediction must have shape {wanted}; valence and arousal side by side on the last axis "
            f"need dimensions=2. Received: shape={tuple(shape)}"
        )


def _differ(shape, wanted, allowed=(None,)) -> bool:
    return any(a not in allowed and b is not None and a != b for a, b in zip(shape, wanted, strict=True))
