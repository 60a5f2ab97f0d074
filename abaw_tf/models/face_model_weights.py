"""Where the weights of the face model of Do et al. (2020) come from, alone or as the base of their STAT/LSTM network."""

from pathlib import Path

from abaw_tf.backbones.checkpoints import REGISTRY, load_hdf5_weights, locate
from abaw_tf.backbones.do2020_weights import load_do2020_weights
from abaw_tf.training.run import Run, RunError

RECIPE = "face_model"
FEATURES = "features"
PROBABILITIES = "predictions"
"""Names of the recipe, and of the layers of its two results."""


def load_base_weights(base, weights):
    """Read a published Keras-2 file, or a trained face model, into the base; the last two dense layers may be new where a file lacks them.

    Parameters
    ----------
    base : keras.Model
        The sub-model ``base``.
    weights : str or Path
        A name in :data:`abaw_tf.backbones.checkpoints.REGISTRY`, a file, or the folder of a finished run of ``face_model``.
        Of the files of Do et al., under whatever folder, the base alone is taken, and its classes are brought into the official order;
        other files must hold them in that order.

    Raises
    ------
    FileNotFoundError, ValueError
        The file is absent, or lacks one of the convolutional layers.
    """
    if Path(weights).is_dir():
        copy_face_model(weights, base)
        return
    path = locate(weights)
    if "emotiw" in [entry.classes for entry in REGISTRY.values() if entry.file == path.name]:
        load_do2020_weights(base, path, part="base")
        return
    report = load_hdf5_weights(base, path, skip_mismatch=True)
    unfit = [name for name in report.missing + report.mismatched if name not in (FEATURES, PROBABILITIES)]
    if unfit:
        raise ValueError(f"{path}: not the weights of this ResNet-50. Received: no fitting weights for {unfit[:5]}")


def copy_face_model(run, model):
    """Copy the weights of a trained face model to the layers of the same names in another model.

    Parameters
    ----------
    run : Run or path-like
        A finished run of the recipe ``face_model``.
    model : keras.Model
        A face model, or the sub-model ``base`` of a STAT/LSTM network (with or without the probabilities), of the same size.

    Raises
    ------
    ValueError
        The run is not finished or of another recipe, or the models differ in their layers or sizes.
    FileNotFoundError
        There is no such run.
    """
    run = run if isinstance(run, Run) else Run(run)
    if run.recipe.name != RECIPE or not run.finished:
        raise RunError(
            f"{run.folder}: must be a finished run of the recipe {RECIPE}; train it to its end first. "
            f"Received: recipe {run.recipe.name}, status {run.card.get('status')}"
        )
    source = {layer.name: layer for layer in run.load_model().layers if layer.weights}
    target = {layer.name: layer for layer in model.layers if layer.weights}
    unlike = (set(source) ^ set(target)) - ({PROBABILITIES} - set(target))
    if unlike:
        raise ValueError(
            f"{run.folder}: its layers are not those of model {model.name!r}; give both the same `blocks` (and outputs). "
            f"Received: only in one of them {sorted(unlike)[:5]}"
        )
    for name, layer in target.items():
        shapes = [[tuple(weight.shape) for weight in one.weights] for one in (source[name], layer)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{run.folder}: layer {name!r} has another size than in model {model.name!r}; give both the same `width` and number of "
                f"classes. Received: {shapes[0]} and {shapes[1]}"
            )
        layer.set_weights(source[name].get_weights())
