"""Readers of the published weights of VGG-Face and of its version for FER-2013, for :func:`abaw_tf.backbones.vgg_fer.build_vgg_fer`.

Two layouts hold the same sixteen layers: that of MatConvNet (``vgg-face.mat``, ``vggfer.mat``), which sees red, green, blue and writes
fully connected layers as convolutions, and the Keras-2 file of keras-vggface, which sees blue, green, red. Both become kernels and biases
for red, green, blue.
"""

from dataclasses import dataclass

import numpy as np

from abaw_tf import labels
from abaw_tf.backbones.checkpoints import locate
from abaw_tf.backbones.hdf5 import assign_finite, read_hdf5_weights
from abaw_tf.backbones.matconvnet import is_mat_file, read_matconvnet

# Convolutions per block.
BLOCKS = (2, 2, 3, 3, 3)
# The layers with weights, in their order.
CONVOLUTIONS = tuple(f"conv{b}_{i}" for b, count in enumerate(BLOCKS, 1) for i in range(1, count + 1))
DENSE = ("fc6", "fc7", "fc8")
LAYERS = (*CONVOLUTIONS, *DENSE)
HEAD = DENSE[-1]
OFFICIAL = labels.class_order("affwild2")


@dataclass(frozen=True)
class VggWeights:
    """What a weight file holds.

    Attributes
    ----------
    path : Path
        The file, for messages.
    layers : dict of str to (numpy.ndarray, numpy.ndarray)
        Kernel and bias by layer name, as Keras has them; the seven columns of a head for expressions in the official class order.
    average_image : numpy.ndarray or None
        (1, 1, 3) or (height, width, 3), red, green, blue; None where the file has none.
    """

    path: object
    layers: dict
    average_image: np.ndarray | None

    @property
    def classes(self):
        """Number of outputs."""
        return self.layers[HEAD][1].size


def read_weights(weights, class_order=None):
    """Read a weight file of VGG-Face.

    Parameters
    ----------
    weights : str or Path
        Name in the registry, or a file; the layout is told from its content.
    class_order : str or sequence of str, optional
        Order of the expressions in a file with seven outputs. By default what the file says, and ``"fer2013"`` where its class names are
        missing or no expressions (a fine-tuned network may still list the identities of VGG-Face).

    Returns
    -------
    VggWeights

    Raises
    ------
    FileNotFoundError
        If the file is not on this machine.
    ValueError
        If it cannot be read or holds another network, or `class_order` does not hold the seven expressions.
    """
    path = locate(weights)
    if is_mat_file(path):
        stored, average_image, names = _from_matconvnet(path)
    else:
        stored, average_image, names = _from_keras_vggface(path), None, ()
    if stored[HEAD][1].size == len(OFFICIAL):
        order = class_order or _expressions(names) or "fer2013"
        stored[HEAD] = tuple(labels.map_probabilities(array, order) for array in stored[HEAD])
    elif class_order is not None:
        raise ValueError(
            f"{path}: `class_order` is for files with {len(OFFICIAL)} outputs. Received: {stored[HEAD][1].size} outputs"
        )
    return VggWeights(path, stored, average_image)


def assign(model, stored):
    """Give a model from `build_vgg_fer` the weights of a file; its head only if it has as many outputs.

    Parameters
    ----------
    model : keras.Model
    stored : VggWeights

    Raises
    ------
    ValueError
        If a layer has another shape or is not finite; the model is left unchanged then.
    """
    head = model.get_layer(HEAD)
    names = LAYERS if head.units == stored.classes else LAYERS[:-1]
    for name in names:
        expected = [tuple(variable.shape) for variable in model.get_layer(name).weights]
        received = [array.shape for array in stored.layers[name]]
        if expected != received:
            raise ValueError(
                f"{stored.path}: layer {name} has another size than in model {model.name!r}; build it with the `image_size`, `width` and "
                f"`fc_units` that the file was written for (published: 224, 64 and 4096). Expected {expected}. Received: {received}"
            )
    pairs = [pair for name in names for pair in zip(model.get_layer(name).weights, stored.layers[name])]
    assign_finite(pairs, stored.path)


def _from_matconvnet(path):
    """Kernel and bias per layer, the average image and the class names of a MatConvNet file."""
    net = read_matconvnet(path)
    # By their order: a fine-tuned network names its layers as it likes, and old files name none.
    found = [layer.weights for layer in net.layers if layer.weights]
    if len(found) != len(LAYERS) or any(len(weights) != 2 or weights[0].ndim != 4 for weights in found):
        raise ValueError(
            f"{path}: not the network VGG-Face, which has {len(LAYERS)} convolutions (three of them fully connected). "
            f"Received: {len(found)} layers with weights, of shapes {[weights[0].shape for weights in found][:4]}"
        )
    stored = dict(zip(LAYERS, found))
    for name in DENSE:  # (height, width, in, out) -> (height * width * in, out), the order in which Keras flattens maps
        kernel, bias = stored[name]
        stored[name] = kernel.reshape(-1, kernel.shape[-1]), bias
    return stored, net.average_image, net.classes


def _from_keras_vggface(path):
    """Kernel and bias per layer of a keras-vggface file."""
    groups = read_hdf5_weights(path)
    if set(groups) != set(LAYERS):
        unlike = sorted(set(groups) ^ set(LAYERS))
        raise ValueError(
            f"{path}: not the network VGG16 of keras-vggface with its top; take the file rcmalli_vggface_tf_vgg16.h5 (those with "
            f"`notop` lack fc6). Received: layers in one of them only {unlike[:6]}"
        )
    stored = {}
    for layer in LAYERS:
        arrays = {name.rpartition("/")[2].removesuffix(":0"): array for name, array in groups[layer].items()}
        if set(arrays) != {"kernel", "bias"}:
            raise ValueError(f"{path}: layer {layer} must have a kernel and a bias. Received: {list(groups[layer])}")
        stored[layer] = arrays["kernel"], arrays["bias"]
    kernel, bias = stored["conv1_1"]
    stored["conv1_1"] = np.ascontiguousarray(kernel[:, :, ::-1]), bias  # blue, green, red -> red, green, blue
    return stored


def _expressions(names):
    """The class order that these names state, or None where they are not the seven expressions."""
    try:
        order = labels.class_order(names)
    except ValueError:
        return None
    return order if set(order) == set(OFFICIAL) else None
