"""Reader of TensorFlow 1 checkpoints of networks that were converted from Caffe, for networks built in Keras 3.

Such a checkpoint holds variables ``<scope>/<layer>/<variable>``. The converter caffe-tensorflow ("kaffe") calls them ``weights``,
``biases``, ``scale``, ``offset``, ``mean`` and ``variance``; convolution kernels are (height, width, in, out) as in Keras. Both
formats are read: ``x.ckpt.index`` with ``x.ckpt.data-…`` (since TensorFlow 0.12), and the single file ``x.ckpt`` before that.
"""

import re
from pathlib import Path

from abaw_tf.backbones.hdf5 import REMEDY_BROKEN, assign_finite
from abaw_tf.backbones.layer_match import match_layers

# Name in the checkpoint -> name in Keras.
VARIABLES = {
    "weights": "kernel",
    "biases": "bias",
    "scale": "gamma",
    "offset": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}


def checkpoint_prefix(path):
    """The name that the files of a checkpoint share, given that name or one of the files.

    Raises
    ------
    FileNotFoundError
        If there is no such checkpoint.
    """
    prefix = Path(re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", str(path)))
    if prefix.is_file() or Path(f"{prefix}.index").is_file():
        return prefix
    raise FileNotFoundError(
        f"{prefix}: no such checkpoint; its files are {prefix.name}.index and {prefix.name}.data-00000-of-00001, or one file "
        f"{prefix.name}. Received: {str(path)!r}"
    )


def read_tf1_checkpoint(path, scope=None):
    """Read the variables of a TensorFlow checkpoint.

    Parameters
    ----------
    path : str or Path
        Prefix of the checkpoint, or one of its files.
    scope : str, optional
        Only variables below this scope, with ``<scope>/`` taken off their names.

    Returns
    -------
    dict of str to numpy.ndarray
        Sorted by name, without the slots of an optimizer (``<variable>/Momentum``).

    Raises
    ------
    FileNotFoundError
        If there is no such checkpoint.
    ValueError
        If it is damaged, or nothing is in that scope.
    """
    reader, names = _open(path, scope)
    return {name: _read(reader, path, stored) for name, stored in names.items()}


def load_tf1_checkpoint(model, path, scope, ignore=()):
    """Assign the variables of a TensorFlow 1 checkpoint to a Keras 3 model, by name.

    Parameters
    ----------
    model : keras.Model
        A built model whose layers are named as in the checkpoint (``/`` replaced by ``_``), wherever they are nested.
    path : str or Path
        Prefix of the checkpoint, or one of its files.
    scope : str
        Scope of the network in the checkpoint, e.g. ``"exprCNN"``.
    ignore : sequence of str
        Names of layers, of the model or of the checkpoint, that are left alone: a top that is not wanted, a preprocessing.

    Returns
    -------
    LoadReport
        Layers loaded, in the model's order.

    Raises
    ------
    FileNotFoundError
        If there is no such checkpoint.
    ValueError
        If it cannot be read, or a layer is missing, unexpected, of another shape or not finite. The model is left unchanged then.
    """
    reader, names = _open(path, scope)
    shapes = reader.get_variable_to_shape_map()
    stored = {}  # layer -> {Keras variable: name in the checkpoint}
    for name, full_name in names.items():
        layer, _, variable = name.rpartition("/")
        stored.setdefault(layer.replace("/", "_"), {})[VARIABLES.get(variable, variable)] = full_name
    sizes = {
        layer: {variable: tuple(shapes[full_name]) for variable, full_name in variables.items()}
        for layer, variables in stored.items()
    }
    report, pairs = match_layers(model, sizes, path, ignore)
    arrays = [_read(reader, path, stored[layer][name]) for _, layer, name in pairs]  # all, before the first is assigned
    assign_finite([(variable, array) for (variable, _, _), array in zip(pairs, arrays)], path)
    return report


def _open(path, scope):
    """A reader, and {name below the scope: full name} of the variables that belong to the network."""
    import tensorflow as tf

    prefix = checkpoint_prefix(path)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        everything = sorted(reader.get_variable_to_shape_map())
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ValueError(f"{prefix}: cannot read the checkpoint; {REMEDY_BROKEN}. Received: {_first(error)}") from error
    known = set(everything)
    start = f"{scope}/" if scope else ""
    names = {
        name.removeprefix(start): name
        for name in everything
        if name.startswith(start) and name.rpartition("/")[0] not in known
    }
    if not names:
        scopes = sorted({name.partition("/")[0] for name in everything})
        raise ValueError(
            f"{prefix}: no variable in the scope {scope!r}, so these are weights of another network. "
            f"Received: scopes {', '.join(scopes[:6])}{' …' if len(scopes) > 6 else ''}"
        )
    return reader, names


def _read(reader, path, name):
    import tensorflow as tf

    try:
        return reader.get_tensor(name)
    except (tf.errors.OpError, RuntimeError, IndexError) as error:  # IndexError: a data file that ends early
        raise ValueError(
            f"{path}: cannot read the variable {name}; {REMEDY_BROKEN}. Received: {_first(error)}"
        ) from error


def _first(error):
    """The first line of an error of TensorFlow."""
    return str(error).partition("\n")[0][:200]
