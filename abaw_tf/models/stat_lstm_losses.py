"""What the STAT/LSTM network of Do et al. (2020) is trained for: losses and metrics; for targets see :mod:`abaw_tf.targets`."""

import keras

from abaw_tf.keras_metrics import ConcordanceCorrelation, ExpressionScore, MacroF1
from abaw_tf.losses import ConcordanceLoss, MaskedMeanSquaredError, MaskedSparseCategoricalCrossentropy

LOSS_WEIGHTS = {"expression": 1.0, "arousal": 0.4, "valence": 0.4, "va_vector": 0.2}


def multitask_losses(outputs):
    """Losses and their weights by output, for ``compile``: cross-entropy 1, CCC 0.4 each, mean squared error 0.2 (paper, §II-D).

    Missing labels (-1, NaN) and frames of weight 0 are left out per output; everything is computed in float32.

    Parameters
    ----------
    outputs : iterable of str
        The model's outputs, for example ``model.output``.

    Returns
    -------
    losses : dict of str to keras.losses.Loss
    weights : dict of str to float
    """
    known = {
        "expression": MaskedSparseCategoricalCrossentropy(),
        "arousal": ConcordanceLoss(),
        "valence": ConcordanceLoss(),
        "va_vector": MaskedMeanSquaredError(),
    }
    return {key: known[key] for key in outputs}, {key: LOSS_WEIGHTS[key] for key in outputs}


def compile_stat_lstm(model, optimizer=None, edition="abaw2", **options):
    """Compile a network in any wiring with the paper's losses and the challenge's metrics.

    Parameters
    ----------
    model : keras.Model
    optimizer : keras.optimizers.Optimizer, optional
        Adam with the paper's learning rate of 1e-4 by default (the paper names SGD and Adam, not for which network).
    edition : str
        Which weights the metric ``expression_score`` has.
    **options
        Further arguments of ``model.compile``.
    """
    losses, weights = multitask_losses(model.output)
    n_classes = model.output["expression"].shape[-1]
    metrics = {
        "expression": [
            MacroF1(n_classes, name="macro_f1"),
            ExpressionScore(edition, name="expression_score"),
        ],
        "arousal": [ConcordanceCorrelation(name="ccc")],
        "valence": [ConcordanceCorrelation(name="ccc")],
    }
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4) if optimizer is None else optimizer,
        loss=losses,
        loss_weights=weights,
        weighted_metrics={key: metrics[key] for key in losses if key in metrics},
        **options,
    )
