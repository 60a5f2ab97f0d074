"""Arrays of a checkpoint and variables of a Keras 3 model, paired layer by layer: all of them, or none."""

from abaw_tf.backbones.hdf5 import LoadReport, weighted_layers

_REMEDY = "build the network (classes or top, blocks, widths) that the checkpoint was written for"


def match_layers(model, shapes, source, ignore=()):
    """Pair the variables of a model with the arrays of a checkpoint.

    Parameters
    ----------
    model : keras.Model
        A built model.
    shapes : dict of str to dict of str to tuple
        Layer to variable to shape of what the checkpoint holds, under Keras' names and in Keras' layout.
    source : str or Path
        The checkpoint, for error messages.
    ignore : sequence of str
        Names of layers, of the model or of the checkpoint, that are left alone.

    Returns
    -------
    report : LoadReport
        Layers that match, in the model's order.
    pairs : list of (keras.Variable, str, str)
        A variable, and the layer and the variable in `shapes` that it is to take.

    Raises
    ------
    ValueError
        If a layer is missing, unexpected or of another shape.
    """
    report, complaints, pairs = LoadReport(), [], []
    rest = [layer for layer in shapes if layer not in ignore]
    for name, layer in weighted_layers(model):
        if name in ignore:
            continue
        if name not in rest:
            report.missing.append(name)
            continue
        rest.remove(name)
        expected = {variable.name: tuple(variable.shape) for variable in layer.weights}
        if expected != shapes[name]:
            report.mismatched.append(name)
            complaints.append(
                f"layer {name}: the model has {_listed(expected)}, the checkpoint {_listed(shapes[name])}"
            )
            continue
        report.loaded.append(name)
        pairs += [(variable, name, variable.name) for variable in layer.weights]
    report.unexpected = rest
    if complaints or report.missing or report.unexpected:
        raise ValueError(report.refusal(source, model, complaints, _REMEDY, "checkpoint"))
    return report, pairs


def _listed(shapes):
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
