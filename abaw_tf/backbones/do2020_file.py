"""The weight files that Do et al. (2020) published: what lies where in them, under the layer names of this toolkit.

A file holds one group per outer layer of the network, as Keras 2 stored it:

- the base (:mod:`abaw_tf.backbones.vggface2`) under its own layer names or, in the networks on top of it, inside other groups.
  The networks over frames use it three times (inside ``time_distributed_1``, cut off at its features in ``model_1``, on the current
  image in ``model_2``) and therefore store it three times; the copies must agree.
- ``bidirectional_1`` and ``bidirectional_2`` in the network with LSTM.
- the heads: ``…_class_feature1``, ``…_aro_feature1``, ``…_val_feature2``, ``…_aroval_feature2``, …, ``…_predictions_class``,
  ``…_predictions_aro…``, ``…_predictions_val…``, ``…_predictions_aroval…`` (names from the summaries that the authors' notebooks
  print; arousal comes before valence). Numbered names such as ``dense_7`` are read in the order in which the layers were made: class,
  arousal, valence, vector.

The arrays are given as they are stored; :func:`abaw_tf.backbones.do2020_weights.load_do2020_weights` maps their classes.
"""

import json
import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np

from abaw_tf.backbones.hdf5 import read_hdf5_weights

# Outputs of the heads in the order in which the authors made them: widths, and the words for them in layer names of the files.
HEADS = {"expression": 7, "arousal": 1, "valence": 1, "va_vector": 5}
_WORDS = {"class": "expression", "aro": "arousal", "val": "valence", "aroval": "va_vector"}

_BASE_LAYER = (
    r"conv1_7x7_s2(?:_bn)?|conv[2-5]_\d+_(?:1x1_reduce|3x3|1x1_increase|1x1_proj)(?:_bn)?|features|predictions"
)
_HIDDEN = re.compile(r"(?:^|_)(class|aroval|aro|val)_feature(\d+)$")
_OUTPUT = re.compile(r"(?:^|_)predictions_(class|aroval|aro|val)(?:_|$)")


@dataclass(frozen=True)
class Do2020File:
    """Content of one file.

    Attributes
    ----------
    path : Path
        The file.
    layers : dict of str to dict of str to numpy.ndarray
        Layer to variable to array, classes in EmotiW's order. Layers: those of the base, ``lstm_1``, ``lstm_2`` (variables
        ``"forward/kernel"``, …), and of each head ``expression_dense_1``, …, ``expression``.
    network : str
        ``"base"``, or the preset of the network: ``"image_va"``, ``"frames_va"``, ``"lstm_va"``, ``"image"``, ``"frames"``,
        ``"lstm"``, with `` (stat="v1")`` behind it where the mean of the block's features is used too.
    recurrent_activation : {"sigmoid", "hard_sigmoid_keras2", None}
        What the gates of its LSTM compute; None if there is no LSTM or the file does not tell.
    keras_version : str or None
        Version of Keras that wrote the file.
    """

    path: Path
    layers: dict[str, dict[str, np.ndarray]]
    network: str
    recurrent_activation: str | None
    keras_version: str | None


def read_do2020_file(path, rename=None):
    """Read a weight file of Do et al. (2020).

    Parameters
    ----------
    path : str or Path
        Weights, or a whole model, in the HDF5 format of Keras 2.
    rename : dict of str to str, optional
        Layer of a head in the file to its name here (``"expression_dense_1"``, …, ``"va_vector"``), for files whose names tell
        nothing.

    Returns
    -------
    Do2020File

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or holds another network, if copies of the base differ, or if the heads cannot be told apart.
    """
    path = Path(path)
    layers, recurrent, dense = {}, {}, {}
    for group, arrays in read_hdf5_weights(path).items():
        for name, array in arrays.items():
            layer, _, variable = name.removesuffix(":0").rpartition("/")
            base = None if group in (rename or {}) else base_layer(group, layer)
            if base is not None:
                _put(path, layers, base, variable, array)
            elif any(other.removesuffix(":0").endswith("/recurrent_kernel") for other in arrays):
                _put(path, recurrent, group, f"{_direction(path, group, layer)}/{variable}", array)
            else:
                _put(path, dense, group, variable, array)
    if "features" not in layers:
        raise ValueError(
            f"{path}: not a network of Do et al. (2020): no layer `features` of the base. Other files are read by "
            f"abaw_tf.backbones.checkpoints.load_hdf5_weights. Received: layers {[*layers, *recurrent, *dense][:6]}"
        )
    layers |= {f"lstm_{i}": recurrent[group] for i, group in enumerate(sorted(recurrent, key=_number), start=1)}
    layers |= _heads(path, dense, rename or {})
    shapes = {layer: {key: array.shape for key, array in arrays.items()} for layer, arrays in layers.items()}
    version, config = _origin(path)
    return Do2020File(
        path=path,
        layers=layers,
        network=network_of(shapes, where=path),
        recurrent_activation=_recurrent_activation(version, config) if recurrent else None,
        keras_version=version,
    )


def base_layer(*names):
    """Name of a layer of the base here, from its names in a file (which Keras 2 may have numbered or put into a scope), or None."""
    for name in names:
        segments = name.split("/")
        for start in range(len(segments)):  # the longest tail first: ".../conv1/7x7_s2/bn" is conv1_7x7_s2_bn
            tail = "_".join(segments[start:])
            if match := re.fullmatch(_BASE_LAYER, tail) or re.fullmatch(rf"({_BASE_LAYER})_\d+", tail):
                return match[match.lastindex or 0]
    return None


def network_of(shapes, feature_size=None, where="the model"):
    """Which of the networks has layers of these shapes.

    Parameters
    ----------
    shapes : dict of str to dict of str to tuple
        Layer to variable to shape, under the names of :class:`Do2020File`.
    feature_size : int, optional
        Width of `features`, for networks without their base.
    where : object
        Named by the error.

    Returns
    -------
    str
        See :attr:`Do2020File.network`.
    """
    if "expression" not in shapes:
        return "base"
    size = shapes["features"]["kernel"][1] if "features" in shapes else feature_size
    inputs = {shapes[first_layer(shapes, head)]["kernel"][0] for head in HEADS if head in shapes}
    recurrent = [layer for layer in shapes if layer.startswith("lstm_")]
    summary = 2 * shapes[recurrent[-1]]["forward/recurrent_kernel"][0] if recurrent else 0
    known = {size + 28 + summary: "", 2 * size + 28 + summary: ' (stat="v1")'}
    if not recurrent:
        known[size] = "image"
    if len(inputs) != 1 or inputs.isdisjoint(known):
        raise ValueError(
            f"{where}: not a network of Do et al. (2020): its heads read {sorted(inputs)} values; known are {sorted(known)} "
            f"for {size} features and {len(recurrent)} LSTM layer(s). Received: heads {[h for h in HEADS if h in shapes]}"
        )
    kind = known[inputs.pop()]
    name = ("lstm" if recurrent else kind if kind == "image" else "frames") + ("_va" if "arousal" in shapes else "")
    return name + (kind if kind != "image" else "")


def first_layer(layers, head):
    """The layer of a head that reads the features."""
    return f"{head}_dense_1" if f"{head}_dense_1" in layers else head


# -- the groups of a file ---------------------------------------------------------------------------------------------------


def _put(path, layers, layer, variable, array):
    """Add an array; a second copy of it must be the same."""
    known = layers.setdefault(layer, {}).setdefault(variable, array)
    if known is not array and not np.array_equal(known, array):
        raise ValueError(
            f"{path}: the file holds {variable} of layer {layer} twice, with different values; in the networks of Do et al. (2020) "
            f"all copies of the base are one. Received: shapes {known.shape} and {array.shape}"
        )


def _direction(path, group, layer):
    for direction in ("forward", "backward"):
        if any(segment.startswith(direction) for segment in layer.split("/")):
            return direction
    raise ValueError(
        f"{path}: layer {group} is recurrent but not bidirectional: not a network of Do et al. (2020). Received: {layer!r}"
    )


def _number(name):
    """Number at the end of a name that Keras gave: ``dense`` (0), ``dense_1``, …"""
    match = re.search(r"_(\d+)$", name)
    return int(match[1]) if match else 0


def _heads(path, dense, rename):
    """The layers of the heads under their names here."""
    for group, arrays in dense.items():
        if set(arrays) != {"kernel", "bias"} or arrays["kernel"].ndim != 2:
            found = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
            raise ValueError(f"{path}: layer {group} is none of a network of Do et al. (2020). Received: {found}")
    names = {group: rename.get(group) or _published_name(group) for group in dense}
    if dense and not any(names.values()):
        names = _names_by_creation(path, dense)
    unknown = [group for group, name in names.items() if name is None]
    if unknown or len(set(names.values())) < len(names):
        raise _ambiguous(path, dense, unknown or "two layers of one name")
    heads = {names[group]: dense[group] for group in dense}
    for head in {name.partition("_dense_")[0] for name in heads}:
        chain = [*sorted((name for name in heads if name.startswith(f"{head}_dense_")), key=_number), head]
        shapes = [heads[name]["kernel"].shape if name in heads else (0, 0) for name in chain]
        if head not in HEADS or not _chains(shapes, range(len(chain)), HEADS[head]):
            raise _ambiguous(path, dense, f"the layers of {head} do not read one another: {dict(zip(chain, shapes))}")
    return heads


def _published_name(group):
    if match := _HIDDEN.search(group):
        return f"{_WORDS[match[1]]}_dense_{match[2]}"
    if match := _OUTPUT.search(group):
        return _WORDS[match[1]]
    return None


def _names_by_creation(path, dense):
    """Names of numbered layers: the order of the numbers, cut into heads in the one way that fits the shapes."""
    order = sorted(dense, key=_number)
    if len({_number(group) for group in order}) < len(order):
        raise _ambiguous(path, dense, "names without different numbers")
    shapes = [dense[group]["kernel"].shape for group in order]
    found = []
    for heads in (tuple(HEADS), ("expression",)):
        for cuts in combinations(range(1, len(order)), len(heads) - 1):
            chains = [range(start, end) for start, end in zip((0, *cuts), (*cuts, len(order)))]
            if all(_chains(shapes, chain, HEADS[head]) for head, chain in zip(heads, chains)):
                found.append(dict(zip(heads, chains)))
    if len(found) != 1:
        raise _ambiguous(path, dense, f"{len(found)} ways to cut the layers into heads")
    return {
        order[i]: head if i == chain[-1] else f"{head}_dense_{i - chain[0] + 1}"
        for head, chain in found[0].items()
        for i in chain
    }


def _chains(shapes, chain, outputs):
    """Whether consecutive dense layers read one another, the first what all heads read, and end in so many outputs."""
    fits = all(shapes[i][1] == shapes[i + 1][0] for i in chain[:-1])
    return fits and shapes[chain[0]][0] == shapes[0][0] and shapes[chain[-1]][1] == outputs


def _ambiguous(path, dense, problem):
    found = ", ".join(f"{group} {arrays['kernel'].shape}" for group, arrays in dense.items())
    return ValueError(
        f"{path}: cannot tell which layer belongs to which head ({problem}); name them by hand: "
        'rename={"<layer in the file>": "expression_dense_1", …}, with expression, arousal, valence, va_vector for the outputs. '
        f"Received: {found}"
    )


# -- where the file comes from ------------------------------------------------------------------------------------------------


def _origin(path):
    """Version of Keras and configuration of the model (parsed as JSON, nothing in it is run), each None if absent."""
    with h5py.File(path, "r") as file:
        roots = [file, *([file["model_weights"]] if "model_weights" in file else [])]
        version, config = (
            next((root.attrs[key] for root in roots if key in root.attrs), None)
            for key in ("keras_version", "model_config")
        )
    version, config = (value.decode() if isinstance(value, bytes) else value for value in (version, config))
    return version, None if config is None else json.loads(config)


def _recurrent_activation(version, config):
    """Keras 2.3 changed the default from hard_sigmoid to sigmoid; a whole model states which one it uses."""
    stated = {"sigmoid": "sigmoid", "hard_sigmoid": "hard_sigmoid_keras2"}
    activations = set(_values(config, "recurrent_activation"))
    if len(activations) == 1:
        return stated.get(activations.pop())
    match = re.match(r"(\d+)\.(\d+)", version or "")
    if activations or match is None:
        return None
    if (int(match[1]), int(match[2])) >= (2, 3):
        return "sigmoid"
    # 2.2.4-tf was written by TensorFlow 1 (hard_sigmoid) and by TensorFlow 2.0 and 2.1 (sigmoid).
    return None if "tf" in version else "hard_sigmoid_keras2"


def _values(config, key):
    """All values of a key in nested dictionaries and lists."""
    if isinstance(config, dict):
        if key in config:
            yield config[key]
        config = list(config.values())
    for value in config if isinstance(config, list) else ():
        yield from _values(value, key)
