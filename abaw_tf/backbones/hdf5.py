"""Reader of the HDF5 weight files that Keras 2 wrote, for networks built in Keras 3.

Such a file (``model.save_weights("x.h5")``, or ``model.save`` with the weights below ``model_weights``) holds one group per layer
with an attribute ``weight_names``. Three things keep Keras 3 from reading the published ones: ``/`` in layer names, the numbers
that Keras 2 appended to variable names (``conv2d_1_1/kernel:0``), and networks nested in ``TimeDistributed`` or in one another,
whose weights all lie in the outer layer's group. Nothing is ever unpickled.
"""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

REMEDY_BROKEN = "the file is damaged or was only partly downloaded: fetch it again"
_REMEDY_UNLIKE = (
    "build the variant (top, classes, blocks, width) that the file was written for, map names with `rename`, or load what fits with "
    "`skip_mismatch=True`"
)


@dataclass
class LoadReport:
    """What :func:`load_hdf5_weights` did: names of layers, in the model's or the file's order."""

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def refusal(self, source, model, complaints, remedy, kind="file"):
        """Text of an error: how the weights of `source` differ from those of `model`, layer by layer, and what to do about it."""
        lines = [f"{source}: these weights do not belong to the model {model.name!r}", *complaints[:4]]
        for what, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                shown = f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}"
                lines.append(f"{len(names)} layer(s) {what} in the {kind}: {shown}")
        return "; ".join([*lines, f"{remedy}. Received: {len(self.loaded)} matching layer(s)"])


def read_hdf5_weights(path):
    """Read every weight of a Keras-2 HDF5 file.

    Parameters
    ----------
    path : str or Path
        A file written by ``save_weights`` or ``save`` of Keras 2 or tf-keras.

    Returns
    -------
    dict of str to dict of str to numpy.ndarray
        Layer name (as published, with ``/``) to weight name (as stored, e.g. ``"conv1/7x7_s2/kernel:0"``) to array, in the order
        of the file. Layers without weights are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an HDF5 file, is damaged, or is not in the layout of Keras 2.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file")
    if not h5py.is_hdf5(path):
        with open(path, "rb") as file:
            raise ValueError(
                f"{path}: not an HDF5 file; {REMEDY_BROKEN}. Received: a file that begins with {file.read(16)!r}"
            )
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            names = _name_list(root, "layer_names")
            if names is None:
                raise ValueError(
                    f"{path}: no attribute `layer_names`, so these are not weights of Keras 2. Files of Keras 3 (.keras, "
                    f".weights.h5) are read with keras.saving.load_model or model.load_weights. Received: groups {list(root)[:5]}"
                )
            weights = {}
            for layer in names:
                arrays = {
                    name: _read_array(root[layer], name) for name in _name_list(root[layer], "weight_names") or ()
                }
                if arrays:
                    weights[layer] = arrays
            return weights
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: cannot read the weights; {REMEDY_BROKEN}. Received: {error}") from error


def load_hdf5_weights(model, path, rename=None, skip_mismatch=False):
    """Assign the weights of a Keras-2 HDF5 file to a Keras 3 model, by name.

    A layer is found by its name with ``/`` replaced by ``_``, wherever it is nested in the model or in the file; within the layer
    the variables are matched by their own names (``kernel``, ``moving_mean``, …). No array is transposed: the layouts are the same.

    Parameters
    ----------
    model : keras.Model
        A built model.
    path : str or Path
        File to read.
    rename : dict or callable, optional
        From a layer's name in the file (with ``/``) to its name in the model; names that a dict lacks stay as they are.
    skip_mismatch : bool
        Load what fits and report the rest, e.g. for another number of classes. A file of which nothing fits remains an error.

    Returns
    -------
    LoadReport
        Layers loaded, and (with `skip_mismatch`) layers of the model without weights in the file, layers of the file without a
        place in the model, and layers whose shapes differ.

    Raises
    ------
    ValueError
        If the file cannot be read, or a layer is missing, unexpected, of another shape or not finite. The model is left unchanged then.
    """
    translate = rename if callable(rename) else lambda layer: (rename or {}).get(layer, layer)
    target = _Target(model)
    found = {}  # id of a layer of the model -> {variable name: [arrays]}
    report = LoadReport()
    for group, arrays in read_hdf5_weights(path).items():
        nested = len({weight_name.rpartition("/")[0] for weight_name in arrays}) > 1
        for weight_name, array in arrays.items():
            layer_path, _, variable = weight_name.removesuffix(":0").rpartition("/")
            layer = target.find(group, layer_path, translate)
            if layer is None:
                outside = layer_path if nested else group
                if outside not in report.unexpected:
                    report.unexpected.append(outside)
                continue
            found.setdefault(id(layer), {}).setdefault(variable, []).append(array)

    assignments, complaints = [], []
    for name, layer in target.layers:
        arrays = found.get(id(layer))
        if arrays is None:
            report.missing.append(name)
            continue
        pairs, complaint = _pair(name, layer, arrays)
        if complaint:
            report.mismatched.append(name)
            complaints.append(complaint)
        else:
            report.loaded.append(name)
            assignments += pairs

    troubled = bool(complaints or report.missing or report.unexpected)
    if troubled and (not skip_mismatch or not report.loaded):
        raise ValueError(report.refusal(path, model, complaints, _REMEDY_UNLIKE))
    assign_finite(assignments, path)
    return report


def assign_finite(pairs, source):
    """Give variables their arrays, or none of them, if one holds NaN or infinity: every output would.

    Parameters
    ----------
    pairs : sequence of (keras.Variable, numpy.ndarray)
    source : str or Path
        Where the arrays come from, for the error message.

    Raises
    ------
    ValueError
        An array is not finite.
    """
    for variable, array in pairs:
        wrong = np.size(array) - np.count_nonzero(np.isfinite(array))
        if wrong:
            raise ValueError(
                f"{source}: weights must be finite numbers; the training that wrote them has diverged, or the file is damaged: take "
                f"another one. Received: {wrong} of {np.size(array)} values of {variable.path} are NaN or infinite"
            )
    for variable, array in pairs:
        variable.assign(array)


class _Target:
    """The layers of a model that hold weights, and how a name in a file leads to one of them."""

    def __init__(self, model):
        self.layers = list(weighted_layers(model))
        self.by_name = {}
        for name, layer in self.layers:
            self.by_name.setdefault(name, layer)
        self.containers = {layer.name: dict(weighted_layers(layer)) for layer in model.layers if _children(layer)}

    def find(self, group, layer_path, translate):
        """The layer for a weight stored as ``group`` / ``layer_path``, or None."""
        outer = _plain(translate(group))
        if outer in self.by_name and outer not in self.containers:
            return self.by_name[outer]
        inside = self.containers.get(outer)
        if inside is not None and len(inside) == 1:
            return next(iter(inside.values()))
        candidates = self.by_name if inside is None else inside
        segments = layer_path.split("/")
        # The longest tail first: ".../conv1/7x7_s2/bn" is conv1_7x7_s2_bn, not a layer "bn".
        for start in range(len(segments)):
            name = _plain(translate("/".join(segments[start:])))
            if name in candidates:
                return candidates[name]
        return None


def _plain(name):
    return name.replace("/", "_")


def _children(layer):
    """Layers that `layer` is made of, where Keras 2 stored them under their own names (models and TimeDistributed)."""
    if hasattr(layer, "layers"):
        return list(layer.layers)
    if type(layer).__name__ == "TimeDistributed":
        return [layer.layer]
    return []


def weighted_layers(layer, seen=None):
    """Yield (name, layer) of the innermost layers with weights; a shared layer once. Recurrent wrappers count as one layer."""
    seen = set() if seen is None else seen
    children = _children(layer)
    if children:
        for child in children:
            yield from weighted_layers(child, seen)
    elif layer.weights and id(layer) not in seen:
        seen.add(id(layer))
        yield layer.name, layer


def _pair(name, layer, arrays):
    """Pair the variables of one layer with arrays, in order where a name occurs twice (two directions of a recurrent layer)."""
    variables = {}
    for variable in layer.weights:
        variables.setdefault(variable.name, []).append(variable)
    expected = {key: [tuple(v.shape) for v in group] for key, group in variables.items()}
    received = {key: [a.shape for a in group] for key, group in arrays.items()}
    if expected != received:
        return [], f"layer {name}: the model has {_shapes(expected)}, the file {_shapes(received)}"
    return [pair for key in variables for pair in zip(variables[key], arrays[key])], None


def _shapes(shapes):
    return ", ".join(f"{key} {shape}" for key, group in shapes.items() for shape in group)


def _name_list(group, attribute):
    """A list of names from an HDF5 attribute; Keras splits lists over 64 KiB into ``layer_names0``, ``layer_names1``, …"""
    if attribute in group.attrs:
        chunks = [group.attrs[attribute]]
    else:
        chunks = []
        while f"{attribute}{len(chunks)}" in group.attrs:
            chunks.append(group.attrs[f"{attribute}{len(chunks)}"])
        if not chunks:
            return None
    return [name.decode() if isinstance(name, bytes) else str(name) for chunk in chunks for name in chunk]


def _read_array(group, name):
    """The array of one weight. h5py would unpickle nothing, and a type that is not a plain number is refused."""
    data = group[name]
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu":
        raise KeyError(f"{group.name}/{name} is not an array of numbers")
    return np.asarray(data)
