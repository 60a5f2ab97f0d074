"""Reader of the ``.mat`` files in which MatConvNet keeps a SimpleNN network: a linear sequence of layers.

Such a file holds the fields of the network, or one variable ``net`` with them: ``layers``, a cell (or struct) array with one struct per
layer, and ``meta``. The layout has changed over the years, and all of its forms are read:

=======================  ============================================  ===================================
what                     since version 1.0-beta12 or so                before
=======================  ============================================  ===================================
weights of a layer       ``weights``: a cell {filters, biases}         ``filters`` and ``biases``
average image            ``meta.normalization.averageImage``           ``normalization.averageImage``
classes                  ``meta.classes``                              ``classes``
=======================  ============================================  ===================================

Filters are (height, width, in, out), as the kernels of Keras. Fully connected layers are convolutions that cover their whole input.
Nothing in such a file is executed.

References
----------
A. Vedaldi, K. Lenc, "MatConvNet: Convolutional Neural Networks for MATLAB", ACM Multimedia 2015, and its manual, "SimpleNN".
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from abaw_tf.backbones.hdf5 import REMEDY_BROKEN

_MAGIC = b"MATLAB"


@dataclass(frozen=True)
class MatConvNetLayer:
    """One layer of a SimpleNN network.

    Attributes
    ----------
    name : str
        Empty where the file names none.
    type : str
        ``"conv"``, ``"relu"``, ``"pool"``, ``"softmax"``, …
    weights : tuple of numpy.ndarray
        Filters (height, width, in, out) and biases (out,) of a convolution; empty for a layer without weights.
    """

    name: str
    type: str
    weights: tuple = ()


@dataclass(frozen=True)
class MatConvNet:
    """A SimpleNN network as a file holds it.

    Attributes
    ----------
    layers : tuple of MatConvNetLayer
        In their order.
    average_image : numpy.ndarray of float32, shape (1, 1, channels) or (height, width, channels), or None
        What is subtracted from an image in 0–255: one number per channel, or one per pixel and channel. None where the file has none.
    classes : tuple of str
        What the outputs stand for: the descriptions, or else the names; empty where the file says nothing.
    """

    layers: tuple
    average_image: np.ndarray | None
    classes: tuple


def is_mat_file(path):
    """Whether a file begins as MATLAB's do (version 5 to 7.3)."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_matconvnet(path):
    """Read a SimpleNN network.

    Parameters
    ----------
    path : str or Path
        A ``.mat`` file of version 5 to 7 (those that MATLAB's ``save`` writes unless it is asked for ``-v7.3``).

    Returns
    -------
    MatConvNet

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, is damaged, or does not hold such a network.
    """
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file")
    if not is_mat_file(path):
        with open(path, "rb") as file:
            raise ValueError(
                f"{path}: not a MATLAB file; {REMEDY_BROKEN}. Received: a file that begins with {file.read(16)!r}"
            )
    try:
        content = loadmat(path, variable_names=("net", "layers", "meta", "normalization", "classes"))
    except NotImplementedError as error:
        raise ValueError(
            f"{path}: a MATLAB file of version 7.3, which is not read; in MATLAB, load it and save it again with '-v7'. "
            f"Received: {error}"
        ) from error
    except (MatReadError, zlib.error, ValueError, TypeError, OSError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read; {REMEDY_BROKEN}. Received: {error}") from error
    net = _fields(content["net"]) if "net" in content else content
    if "layers" not in net:
        known = list(net) if "net" in content else [name for name, _, _ in whosmat(path)]
        raise ValueError(
            f"{path}: no SimpleNN network of MatConvNet, which has `layers`, at the top or in `net`. "
            f"Received: variables {known[:8]}"
        )
    meta = {**net, **_fields(net.get("meta"))}
    return MatConvNet(
        layers=tuple(_layer(path, i, _fields(struct)) for i, struct in enumerate(net["layers"].reshape(-1), start=1)),
        average_image=_average_image(path, _fields(meta.get("normalization")).get("averageImage")),
        classes=_class_names(_fields(meta.get("classes"))),
    )


def _fields(struct):
    """The fields of a 1×1 struct by name; nothing for what is absent or no struct."""
    if struct is None or struct.dtype.names is None or struct.size == 0:
        return {}
    first = struct.reshape(-1)[0]
    return {name: first[name] for name in struct.dtype.names}


def _text(array):
    return str(array.reshape(-1)[0]) if array is not None and array.dtype.kind == "U" and array.size else ""


def _layer(path, number, fields):
    name, kind = _text(fields.get("name")), _text(fields.get("type"))
    if not kind or kind.startswith("dagnn."):
        raise ValueError(
            f"{path}: layer {number} is not one of a SimpleNN network, which is the only kind that is read (no DagNN). "
            f"Received: type={kind!r}, fields {list(fields)[:8]}"
        )
    if "weights" in fields:
        weights = list(fields["weights"].reshape(-1))
    else:
        weights = [fields[key] for key in ("filters", "biases") if key in fields]
    where = f"{path}: layer {number} ({name or kind})"
    if any(array.dtype.kind not in "fiu" for array in weights):
        raise ValueError(
            f"{where}: weights that are not plain numbers (gpuArrays?); in MATLAB, save the network after vl_simplenn_move(net, 'cpu'). "
            f"Received: {[str(array.dtype) for array in weights]}"
        )
    weights = [array.astype(np.float32, copy=False) for array in weights]  # hundreds of megabytes
    if kind == "conv":
        if len(weights) != 2:
            raise ValueError(f"{where}: a convolution must have filters and biases. Received: {len(weights)} arrays")
        # MATLAB drops trailing dimensions of size one.
        filters = weights[0].reshape(weights[0].shape + (1,) * (4 - weights[0].ndim))
        biases = weights[1].reshape(-1)
        if len(biases) != filters.shape[-1]:
            raise ValueError(
                f"{where}: there must be one bias per filter. Received: filters {filters.shape}, {len(biases)} biases"
            )
        weights = [filters, biases]
    return MatConvNetLayer(name, kind, tuple(weights))


def _average_image(path, array):
    if array is None or array.size == 0:
        return None
    if array.dtype.kind not in "fiu" or not (array.size == 3 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(
            f"{path}: `averageImage` must be three numbers, or an image (height, width, 3). Received: {array.dtype} {array.shape}"
        )
    array = array.astype(np.float32, copy=False)
    return array.reshape(1, 1, 3) if array.size == 3 else array


def _class_names(fields):
    names = fields.get("description", fields.get("name"))
    return () if names is None or names.dtype != object else tuple(_text(name) for name in names.reshape(-1))
