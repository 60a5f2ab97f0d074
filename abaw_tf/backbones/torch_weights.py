"""Weights of a PyTorch network assigned to the same network built in Keras 3.

PyTorch keeps convolution kernels as (out, in, height, width) and matrices as (out, in), Keras as (height, width, in, out) and (in, out). A
matrix that follows a flattened map is not reordered here: PyTorch flattens channels first.
"""

from abaw_tf.backbones.hdf5 import assign_finite
from abaw_tf.backbones.layer_match import match_layers

# Variables of batch normalisation; `weight` of every other layer is its kernel.
_NORMALIZATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_COUNTER = "num_batches_tracked"


def assign_torch_weights(model, arrays, source, rename, ignore=()):
    """Assign the arrays of a PyTorch state dict to a Keras 3 model, by name.

    Parameters
    ----------
    model : keras.Model
        A built model of convolutions, dense layers and batch normalisations.
    arrays : dict of str to array
        As of :func:`abaw_tf.backbones.torch_checkpoint.read_torch_checkpoint`.
    source : str or Path
        Where they come from, for error messages.
    rename : callable
        From a PyTorch module's name (``"conv_block1.bn2"``) to the name of a layer of the model.
    ignore : sequence of str
        Names of layers, of the model or as renamed, that are left alone.

    Returns
    -------
    LoadReport
        Layers loaded, in the model's order.

    Raises
    ------
    ValueError
        If a layer is missing, unexpected, of another shape or not finite. The model is left unchanged then.
    """
    stored = {}  # layer -> {name in PyTorch: array}
    for name, array in arrays.items():
        module, _, variable = name.rpartition(".")
        layer = rename(module)
        if variable != _COUNTER:
            stored.setdefault(layer, {})[variable] = array

    stored = {layer: _as_keras(variables) for layer, variables in stored.items()}
    shapes = {layer: {key: array.shape for key, array in variables.items()} for layer, variables in stored.items()}
    report, pairs = match_layers(model, shapes, source, ignore)
    assign_finite([(variable, stored[layer][name]) for variable, layer, name in pairs], source)
    return report


def _as_keras(variables):
    """Variables of one layer under Keras' names and in Keras' layout."""
    if "running_mean" in variables:
        return {_NORMALIZATION.get(name, name): array for name, array in variables.items()}
    found = {"kernel" if name == "weight" else name: array for name, array in variables.items()}
    kernel = found.get("kernel")
    if kernel is not None and kernel.ndim > 1:
        # (out, in, *places) to (*places, in, out)
        found["kernel"] = kernel.transpose(*range(2, kernel.ndim), 1, 0)
    return found
