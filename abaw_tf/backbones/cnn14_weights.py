"""The published checkpoints of CNN14: found, held to the sample rate that they were trained with, and read into the Keras network."""

import numpy as np

from abaw_tf.backbones.checkpoints import REGISTRY, locate
from abaw_tf.backbones.log_mel import front_end, mel_filters
from abaw_tf.backbones.torch_checkpoint import read_torch_checkpoint
from abaw_tf.backbones.torch_weights import assign_torch_weights

MELS = 64
HEAD = "head"
# Sample rate -> the front end that the network of that rate was trained with.
FRONT_ENDS = {
    32000: {"n_fft": 1024, "hop_length": 320, "f_min": 50.0, "f_max": 14000.0},
    16000: {"n_fft": 512, "hop_length": 160, "f_min": 50.0, "f_max": 8000.0},
}
# Name -> (rate of the sound that is fed, rate of the front end that hears it).
MISMATCHES = {"dresvyanskiy2020": (16000, 32000)}
# Name in the weights registry -> sample rate of the network.
RATES = {name: REGISTRY[name].sample_rate for name in ("cnn14_32k", "cnn14_16k")}
_FILTERS = "logmel_extractor.melW"
# Windows, cosines and filters of the published front end; ours are computed.
_CONSTANTS = ("spectrogram_extractor.", "logmel_extractor.")
_LAYERS = {"fc1": "embedding", "fc_audioset": HEAD}


def locate_cnn14_weights(weights, rate):
    """Find a checkpoint, having held its name to the sample rate of the front end.

    Parameters
    ----------
    weights : str or Path
        A name in the weights registry, or the path of a checkpoint.
    rate : int
        Sample rate of the front end.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the file is nowhere.
    ValueError
        If the checkpoint of this name is of another sample rate.
    """
    trained = RATES.get(str(weights), rate)
    if trained != rate:
        raise ValueError(_wrong_rate(repr(weights), trained, rate))
    return locate(weights)


def load_cnn14_weights(model, path, head=True):
    """Read a published checkpoint into a network of :func:`abaw_tf.backbones.cnn14.build_cnn14`.

    Parameters
    ----------
    model : keras.Model
    path : str or Path
        The file, with the state dict under ``model``.
    head : bool
        Whether to load the head, too.

    Returns
    -------
    LoadReport

    Raises
    ------
    ValueError
        If the file cannot be read, or is of another sample rate or network. The model is left unchanged then.
    """
    arrays = read_torch_checkpoint(path, key="model")
    trained, rate = _trained_rate(arrays, path), front_end(model).sample_rate
    if trained != rate:
        raise ValueError(_wrong_rate(path, trained, rate))
    arrays = {name: array for name, array in arrays.items() if not name.startswith(_CONSTANTS)}
    ignore = () if head else (HEAD,)
    return assign_torch_weights(model, arrays, path, lambda name: _LAYERS.get(name, name.replace(".", "_")), ignore)


def _trained_rate(arrays, path):
    """Sample rate of the network whose checkpoint this is, by the mel filters that lie in it."""
    found = arrays.get(_FILTERS)
    if found is None:
        raise ValueError(
            f"{path}: without `{_FILTERS}`, which tells the sample rate, so this is no checkpoint of CNN14. "
            f"Received: {', '.join(list(arrays)[:4])} …"
        )
    for rate, settings in FRONT_ENDS.items():
        filters = mel_filters(rate, settings["n_fft"], MELS, settings["f_min"], settings["f_max"])
        if found.shape == filters.shape and np.allclose(found, filters, rtol=0, atol=1e-3 * filters.max()):
            return rate
    raise ValueError(
        f"{path}: mel filters of none of the sample rates {', '.join(map(str, FRONT_ENDS))}; take one of the checkpoints "
        f"{', '.join(RATES)}. Received: filters of shape {found.shape}"
    )


def _wrong_rate(what, trained, rate):
    same = [name for name, other in RATES.items() if other == rate]
    named = [name for name, pair in MISMATCHES.items() if pair == (rate, trained)]
    remedies = [f"resample the sound and build with sample_rate={trained}", f"take weights={same[0]!r}"]
    remedies += [f"ask for this mismatch by its name, mismatch={name!r}" for name in named]
    return (
        f"{what} is a network for sound of {trained} samples per second, which hears other sound at a wrong pitch and speed: "
        f"{', or '.join(remedies)}. Received: a network for {rate} samples per second"
    )
