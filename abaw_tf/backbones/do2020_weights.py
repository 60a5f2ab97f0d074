"""Load the published weights of Do et al. (2020) into the networks of this toolkit, classes in official order.

References
----------
N.-T. Do, T.-T. Nguyen-Quynh, S.-H. Kim, "Affective Expression Analysis in-the-wild using Multi-Task Temporal Statistical Deep
Learning Model", FG 2020 (arXiv 2002.09120). Files: :data:`abaw_tf.backbones.checkpoints.REGISTRY`, names ``do2020_…``.
"""

import math

import keras
import numpy as np
from keras import ops

from abaw_tf import labels
from abaw_tf.backbones.do2020_file import HEADS, base_layer, first_layer, network_of, read_do2020_file
from abaw_tf.backbones.hdf5 import LoadReport, weighted_layers

PARTS = ("all", "base", "head")

# Position in EmotiW's order of each official class: `values[..., OFFICIAL]` is in official order.
OFFICIAL = np.array([labels.CLASS_ORDERS["emotiw"].index(name) for name in labels.EXPRESSIONS_7])

# What the gates of an LSTM compute, told by their value at 1 (Keras 3's own hard_sigmoid gives 2/3).
_GATES = {"sigmoid": 1 / (1 + math.exp(-1)), "hard_sigmoid_keras2": 0.7}


def load_do2020_weights(model, path, part="all", recurrent_activation=None, rename=None):
    """Assign a published weight file to a network.

    Layers are found by name and shape (see :mod:`abaw_tf.backbones.do2020_file`). The files count classes in EmotiW's order; every
    axis over classes is permuted on the way: the softmax of the base, the rows of the heads that read the base's probabilities
    and their maxima, minima and means, the rows of the first LSTM, the class head. The loaded network speaks the official order
    throughout and gives the original's outputs up to that order.

    Parameters
    ----------
    model : keras.Model
        What ``build_stat_lstm`` or ``build_vggface2_resnet50("weidi_xie")`` returns, or one of its parts, built.
    path : str or Path
        The file.
    part : {"all", "base", "head"}
        ``"base"``: only the face network, e.g. that of another preset or of the file of the face model; the model's other layers
        keep their values. ``"head"``: all but the face network, e.g. for a head that reads stored tracks.
    recurrent_activation : {None, "sigmoid", "hard_sigmoid_keras2"}
        What the gates of the file's LSTM compute. None: what the file says (the configuration of a whole model, else the version
        of Keras: hard sigmoid before 2.3).
    rename : dict of str to str, optional
        Layer of a head in the file to its layer in the model, where the names tell nothing.

    Returns
    -------
    LoadReport
        `loaded`: layers in the model's order. `unexpected`: ``["predictions"]`` if the model ends at the features of the face
        network and the file does not, else empty.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, holds another network, tells nothing of its heads or of its LSTM's gates, or the gates of the
        model compute something else. The model is left unchanged then.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be one of {PARTS}. Received: part={part!r}")
    if recurrent_activation is not None and recurrent_activation not in _GATES:
        raise ValueError(
            f"`recurrent_activation` must be one of {(None, *_GATES)}. Received: recurrent_activation={recurrent_activation!r}"
        )
    file = read_do2020_file(path, rename)
    slots = {layer: variables for layer, variables in _slots(model).items() if _belongs(layer, part)}
    arrays = {layer: a for layer, a in to_official_order(file.layers, file.network).items() if _belongs(layer, part)}
    report = LoadReport(loaded=list(slots))
    if (
        part != "head"
        and "features" in slots
        and "predictions" not in slots
        and arrays.pop("predictions", None) is not None
    ):
        report.unexpected.append("predictions")
    _compare(model, file, slots, arrays, part)
    if part != "base":
        _compare_gates(model, file, recurrent_activation)
    for layer, variables in slots.items():
        for key, variable in variables.items():
            variable.assign(arrays[layer][key])
    return report


def to_official_order(layers, network):
    """Put every axis over classes from EmotiW's into the official order.

    Parameters
    ----------
    layers : dict of str to dict of str to numpy.ndarray
        As in :attr:`abaw_tf.backbones.do2020_file.Do2020File.layers`.
    network : str
        As in :attr:`abaw_tf.backbones.do2020_file.Do2020File.network`.

    Returns
    -------
    dict of str to dict of str to numpy.ndarray
        The same layers; the arrays of `layers` stay as they are.
    """
    layers = {layer: dict(arrays) for layer, arrays in layers.items()}
    for layer in ("predictions", "expression"):
        if layer in layers:
            layers[layer] = {key: array[..., OFFICIAL] for key, array in layers[layer].items()}
    if "lstm_1" in layers:
        for key in ("forward/kernel", "backward/kernel"):
            layers["lstm_1"][key] = layers["lstm_1"][key][OFFICIAL]
    if network.startswith(("frames", "lstm")):
        # Maxima, minima, means of the block's probabilities; [means of the block's features]; features and probabilities of the
        # current frame; [summary of the LSTM].
        features = layers["features"]["kernel"].shape[1] * (2 if "v1" in network else 1)
        rows = np.concatenate(
            [OFFICIAL, 7 + OFFICIAL, 14 + OFFICIAL, 21 + np.arange(features), 21 + features + OFFICIAL]
        )
        for head in HEADS:
            if head in layers:
                first = layers[first_layer(layers, head)]
                first["kernel"] = np.concatenate([first["kernel"][rows], first["kernel"][len(rows) :]])
    return layers


def _belongs(layer, part):
    return part == "all" or (base_layer(layer) is None) == (part == "head")


def _slots(model):
    """Layer to variable to what the arrays of a file are assigned to, under the names of the reader."""
    slots, recurrent, strange = {}, 0, []
    for name, layer in weighted_layers(model):
        if isinstance(layer, keras.layers.Bidirectional):
            recurrent += 1
            slots[f"lstm_{recurrent}"] = {
                f"{direction}/{key}": getattr(cell, key)
                for direction, cell in (("forward", layer.forward_layer.cell), ("backward", layer.backward_layer.cell))
                for key in ("kernel", "recurrent_kernel", "bias")
            }
        elif base_layer(name) == name or name.partition("_dense_")[0] in HEADS:
            slots[name] = {variable.name: variable for variable in layer.weights}
        else:
            strange.append(name)
    if strange or not slots:
        raise ValueError(
            f"{model.name}: not a network of Do et al. (2020): build it with build_stat_lstm or "
            f'build_vggface2_resnet50("weidi_xie"). Received: unknown layer(s) {", ".join(strange[:6])}'
        )
    return slots


def _shapes(layers):
    return {layer: {key: tuple(array.shape) for key, array in arrays.items()} for layer, arrays in layers.items()}


def _compare(model, file, slots, arrays, part):
    """Refuse a file whose layers or shapes are not those of the model."""
    expected, found = _shapes(slots), _shapes(arrays)
    if expected == found and expected:
        return
    complaints = [
        f"layer {layer}: the model has {_describe(expected.get(layer))}, the file {_describe(found.get(layer))}"
        for layer in [*expected, *(layer for layer in found if layer not in expected)]
        if expected.get(layer) != found.get(layer)
    ]
    wanted = network_of(
        _shapes(_slots(model)), feature_size=file.layers["features"]["kernel"].shape[1], where=model.name
    )
    if part != "base" and wanted != file.network:
        remedy = f"build the network of the file: {_builder(file.network)}"
        if file.network == "base":
            remedy += '; or load the face network alone: part="base"'
        elif wanted == "base":
            remedy += ' before its weights, or take its face network alone: part="base"'
    elif not any(base_layer(layer) for layer in expected):
        remedy = (
            'the model has no face network: load its head alone, part="head"'
            if part == "all"
            else 'part="all" or "head"'
        )
    else:
        remedy = f"build it with the sizes of the file: {_sizes(file)}"
    raise ValueError(
        f"{file.path}: these weights do not belong to the model {model.name!r}; "
        + "; ".join(complaints[:3])
        + (f"; and {len(complaints) - 3} more" if len(complaints) > 3 else "")
        + f"; {remedy}. Received: a file of the network {file.network!r}, a model of {wanted!r}"
    )


def _describe(shapes):
    return "none" if shapes is None else ", ".join(f"{key} {shape}" for key, shape in shapes.items())


def _builder(network):
    if network == "base":
        return 'build_vggface2_resnet50("weidi_xie", include_top=True)'
    preset, _, stat = network.partition(" (")
    return f'build_stat_lstm(preset="{preset}"' + (f", {stat}" if stat else ")")


def _sizes(file):
    """Sizes of the network in a file, in words."""
    blocks = [sum(f"conv{stage}_{i}_3x3" in file.layers for i in range(1, 100)) for stage in (2, 3, 4, 5)]
    sizes = [f"blocks={tuple(blocks)}", f"width={file.layers['conv1_7x7_s2']['kernel'].shape[-1]}"]
    if "lstm_1" in file.layers:
        sizes.append(f"{file.layers['lstm_1']['forward/recurrent_kernel'].shape[0]} LSTM units")
    for head in HEADS:
        if head in file.layers:
            hidden = [name for name in file.layers if name.startswith(f"{head}_dense_")]
            sizes.append(f"{head} {[file.layers[name]['kernel'].shape[1] for name in sorted(hidden)]}")
    return ", ".join(sizes)


def _compare_gates(model, file, stated):
    """Refuse an LSTM whose gates compute something else than the file's."""
    cells = [
        direction.cell
        for _, layer in weighted_layers(model)
        if isinstance(layer, keras.layers.Bidirectional)
        for direction in (layer.forward_layer, layer.backward_layer)
    ]
    if not cells:
        return
    needed = stated or file.recurrent_activation
    if needed is None:
        raise ValueError(
            f"{file.path}: the file does not tell what the gates of its LSTM compute; say so: recurrent_activation="
            f'"hard_sigmoid_keras2" (default of Keras before 2.3) or "sigmoid". Received: keras_version={file.keras_version!r}'
        )
    one = ops.ones((1,), dtype="float32")
    for cell in cells:
        value = float(ops.convert_to_numpy(cell.recurrent_activation(one))[0])
        if abs(value - _GATES[needed]) > 1e-5:
            raise ValueError(
                f"{file.path}: the gates of the file's LSTM compute {needed} (Keras {file.keras_version}), the model's something "
                f'else; build it with recurrent_activation="{needed}". Received: {value:.4f} at 1 instead of {_GATES[needed]:.4f}'
            )
