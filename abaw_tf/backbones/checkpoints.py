"""Registry of published weight files: where each comes from, what it expects and how to find it on this machine.

No weights are shipped and nothing is downloaded unless asked for: most files have no licence that allows passing them on.
"""

import difflib
import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from abaw_tf.backbones.hdf5 import LoadReport, load_hdf5_weights, read_hdf5_weights
from abaw_tf.files import replacing

__all__ = [
    "REGISTRY",
    "LoadReport",
    "Weights",
    "file_hash",
    "load_hdf5_weights",
    "locate",
    "read_hdf5_weights",
    "search_folders",
]

ENVIRONMENT_VARIABLE = "ABAW_TF_WEIGHTS"
DEFAULT_FOLDER = Path("~/.cache/abaw_tf/weights")


@dataclass(frozen=True)
class Weights:
    """A published weight file.

    Parameters
    ----------
    name : str
        Key in :data:`REGISTRY`.
    file : str
        File name as published; the file is searched under this name. With a folder in front: as an unpacked archive has it. Of a
        TensorFlow checkpoint: the name without ``.index`` and ``.data-…``.
    url : str
        Address of the file, or of the page or archive that offers it (see `direct`).
    direct : bool
        Whether `url` answers with the file itself, so that it can be downloaded by program.
    sha256 : str or None
        Checksum where it is known.
    licence, citation : str
        Terms of use, and what to cite.
    architecture : str
        Builder and arguments that the file fits.
    input_size : tuple of int
        (height, width).
    color_order : {"rgb", "bgr", "grey"}
        Channel order the network was trained on.
    normalization : str
        What is done to values in 0–255.
    classes : str or None
        Name of the class order of its output in :data:`abaw_tf.labels.CLASS_ORDERS`; None for identities or features.
    """

    name: str
    file: str
    url: str
    licence: str
    citation: str
    architecture: str
    input_size: tuple[int, int]
    color_order: str
    normalization: str
    classes: str | None = None
    sha256: str | None = None
    direct: bool = True


_VGGFACE2 = "Cao et al., VGGFace2: A dataset for recognising faces across pose and age, FG 2018"
_VGGFACE2_TERMS = "code MIT (rcmalli/keras-vggface); the weights fall under the terms of the VGGFace2 data (research)"
_MINUS_MEANS = "minus the mean blue, green, red of VGGFace2 (vggface2.preprocess, version 2)"
_RCMALLI = "https://github.com/rcmalli/keras-vggface/releases/download/v2.0/"
_ARRIAGA = "https://raw.githubusercontent.com/oarriaga/face_classification/master/trained_models/emotion_models/"
_ARRIAGA_PAPER = "Arriaga et al., Real-time Convolutional Neural Networks for Emotion and Gender Classification, 2017"

_DO2020_FOLDER = "https://drive.google.com/drive/folders/1rJB2viPCxw93qFSaga3uqC6OfWMKRHn2"
_DO2020_TERMS = "none given (all rights reserved by the authors)"
_DO2020 = (
    "Do, Nguyen-Quynh, Kim, Affective Expression Analysis in-the-wild using Multi-Task Temporal Statistical "
    "Deep Learning Model, FG 2020 (arXiv 2002.09120)"
)


def _do2020(name, file, architecture):
    """A file of Do et al. (2020). Its classes are in EmotiW's order; do2020_weights.load_do2020_weights maps them."""
    return Weights(
        name=name,
        file=file,
        url=_DO2020_FOLDER,
        direct=False,
        licence=_DO2020_TERMS,
        citation=_DO2020,
        architecture=architecture,
        input_size=(224, 224),
        color_order="bgr",
        normalization=_MINUS_MEANS,
        classes="emotiw",
    )


_EXPNET = "Chang et al., ExpNet: Landmark-Free, Deep, 3D Facial Expressions, FG 2018 (arXiv 1802.00542)"
_SHAPENET = (
    "Tran et al., Regressing Robust and Discriminative 3D Morphable Models with a very Deep Neural Network, CVPR 2017"
)


def _expnet(name, file, url, citation, architecture):
    """A file of the ExpNet release, github.com/fengju514/Expression-Net: an archive whose folder goes beside the other weights."""
    return Weights(
        name=name,
        file=file,
        url=url,
        direct=False,
        licence="none given (all rights reserved by the authors)",
        citation=citation,
        architecture=architecture,
        input_size=(224, 224),
        color_order="bgr",
        normalization="minus the mean face image of the identity network (expnet.ExpNetPreprocessing)",
    )


_ENTRIES = (
    Weights(
        name="vggface2_resnet50",
        file="rcmalli_vggface_tf_notop_resnet50.h5",
        url=_RCMALLI + "rcmalli_vggface_tf_notop_resnet50.h5",
        licence=_VGGFACE2_TERMS,
        citation=_VGGFACE2,
        architecture='build_vggface2_resnet50("keras_vggface", include_top=False)',
        input_size=(224, 224),
        color_order="bgr",
        normalization=_MINUS_MEANS,
    ),
    Weights(
        name="vggface2_resnet50_top",
        file="rcmalli_vggface_tf_resnet50.h5",
        url=_RCMALLI + "rcmalli_vggface_tf_resnet50.h5",
        licence=_VGGFACE2_TERMS,
        citation=_VGGFACE2,
        architecture='build_vggface2_resnet50("keras_vggface", include_top=True)',
        input_size=(224, 224),
        color_order="bgr",
        normalization=_MINUS_MEANS,
    ),
    _do2020(
        "vggface2_resnet50_rafdb",
        "rafdb_affectnetweight_vggface2_resnes50_ft_01_weights_190513200935_epoch-28_val_loss-0.70_val_acc-0.87.h5",
        'build_vggface2_resnet50("weidi_xie", include_top=True)',
    ),
    _do2020(
        "do2020_image_va_t8",
        "t8_affwild2_expr_va_image_weights_200222104851_epoch-05_loss-3.57_class-0.55_0.47_0.32_reg-0.03_0.02_0.06.h5",
        'build_stat_lstm("image_va")',
    ),
    _do2020(
        "do2020_image_va_t12",
        "t12_affwild2_expr_va_image_weights_200222115759_epoch-31_loss-4.47_class-0.54_0.52_0.35_reg-0.04_0.02_0.12.h5",
        'build_stat_lstm("image_va", expression_units=(2048,), regression_units=(2048,))',
    ),
    _do2020(
        "do2020_image_va_t15",
        "t15_affwild2_expr_va_image_weights_200222212717_epoch-29_loss-2.70_class-0.63_0.63_0.42_reg-0.02_0.03_0.05.h5",
        'build_stat_lstm("image_va")',
    ),
    _do2020(
        "do2020_frames_va",
        "t31_affwild2_expr_va_frames_weights_200224012214_epoch-58_loss-1.70_class-0.82_0.80_0.54_reg-0.00_-0.00_0.03.h5",
        'build_stat_lstm("frames_va")',
    ),
    _do2020(
        "do2020_lstm_va",
        "t45_affwild2_expr_va_frames_lstm_weights_200224131427_epoch-33_loss-1.65_class-0.83_0.82_0.55_reg--0.00_-0.00_0.06.h5",
        'build_stat_lstm("lstm_va")',
    ),
    Weights(
        name="fer2013_mini_xception",
        file="fer2013_mini_XCEPTION.102-0.66.hdf5",
        url=_ARRIAGA + "fer2013_mini_XCEPTION.102-0.66.hdf5",
        sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        licence="MIT",
        citation=_ARRIAGA_PAPER,
        architecture="build_mini_xception()",
        input_size=(64, 64),
        color_order="grey",
        normalization="x / 127.5 - 1",
        classes="fer2013",
    ),
    Weights(
        name="fer2013_big_xception",
        file="fer2013_big_XCEPTION.54-0.66.hdf5",
        url=_ARRIAGA + "fer2013_big_XCEPTION.54-0.66.hdf5",
        sha256="2c7ed52bc381077b5099afdfa392efb754516db91575f3f8ea120e81bc55db37",
        licence="MIT",
        citation=_ARRIAGA_PAPER,
        architecture="build_big_xception()",
        input_size=(64, 64),
        color_order="grey",
        normalization="x / 127.5 - 1",
        classes="fer2013",
    ),
    _expnet(
        "expnet",
        "Expression_Model/ini_exprNet_model.ckpt",
        "https://www.dropbox.com/s/frq7u7z5kgxnz9e/Expression_Model.tar.gz?dl=0",
        _EXPNET,
        "build_expnet(include_top=True)",
    ),
    _expnet(
        "expnet_expression_mean",
        "Expression_Model/3DMM_expr_mean.npy",
        "https://www.dropbox.com/s/frq7u7z5kgxnz9e/Expression_Model.tar.gz?dl=0",
        _EXPNET,
        'build_expnet(mean_image="expression")',
    ),
    _expnet(
        "expnet_shape_mean",
        "Shape_Model/3DMM_shape_mean.npy",
        "https://www.dropbox.com/s/ej80o9lnj0k49qu/Shape_Model.tar.gz?dl=0",
        _SHAPENET,
        'build_expnet(mean_image="shape")',
    ),
)

REGISTRY: dict[str, Weights] = {entry.name: entry for entry in _ENTRIES}


def search_folders():
    """Folders in which :func:`locate` looks: ``$ABAW_TF_WEIGHTS`` if it is set, then ``~/.cache/abaw_tf/weights``."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    return [Path(folder).expanduser() for folder in ([chosen] if chosen else []) + [DEFAULT_FOLDER]]


def file_hash(path):
    """SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def locate(weights, path=None, download=False):
    """Find a weight file on this machine and check that it is the published one.

    Parameters
    ----------
    weights : str or Path
        A name in :data:`REGISTRY`, or the path of a weight file (which is taken as it is).
    path : str or Path, optional
        The file, or the folder that holds it under its published name, looked at instead of :func:`search_folders`.
    download : bool
        Fetch the file into the first of those folders if it is in none of them.

    Returns
    -------
    Path
        An existing file, whose SHA-256 is right where the registry knows it; of a TensorFlow checkpoint the name that its files share.

    Raises
    ------
    FileNotFoundError
        If the file is nowhere; the message says which file to put where.
    ValueError
        If the name is unknown, or the file is not the published one.
    ConnectionError
        If the download fails.
    """
    entry = REGISTRY.get(str(weights))
    if entry is None:
        return _plain_file(weights, path)
    if path is not None:
        path = Path(path).expanduser()
        candidates = [path / entry.file if path.is_dir() else path]
    else:
        candidates = [folder / entry.file for folder in search_folders()]
    for candidate in candidates:
        if _is_there(candidate):
            _check(candidate, entry)
            return candidate
    if download:
        return _download(entry, candidates[0])
    raise FileNotFoundError(
        f"weights {entry.name!r} not found: {_by_hand(entry, candidates[0])}"
        + (" (or ask for it: download=True)" if entry.direct else "")
        + f". Received: looked at {', '.join(map(str, candidates))}"
    )


def _is_there(path):
    """Whether `path` is a file, or the name that the files of a TensorFlow checkpoint share."""
    return path.is_file() or Path(f"{path}.index").is_file()


def _plain_file(weights, path):
    """A path instead of a name."""
    found = Path(weights).expanduser()
    if path is None and _is_there(found):
        return found
    near = difflib.get_close_matches(str(weights), REGISTRY, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if path is None and (found.suffix or len(found.parts) > 1):
        raise FileNotFoundError(f"{found}: no such weight file{hint}")
    raise ValueError(
        f"unknown weights{hint} Known: {', '.join(REGISTRY)}, or the path of a file. Received: {str(weights)!r}"
    )


def _by_hand(entry, target):
    how = "get" if entry.direct else "get, by hand from the page,"
    folder, _, unpacked = entry.file.rpartition("/")
    if folder and target.parts[-2:] == (folder, unpacked):
        return f"{how} {entry.url} and unpack it in {target.parents[1]} or ${ENVIRONMENT_VARIABLE}, as {entry.file}"
    return f"{how} {entry.url} and put the file {entry.file} into {target.parent} or ${ENVIRONMENT_VARIABLE}"


def _check(path, entry):
    if entry.sha256 is not None and (received := file_hash(path)) != entry.sha256:
        raise ValueError(
            f"{path}: not the published file of {entry.name!r} (damaged, or another version); delete it and "
            f"{_by_hand(entry, path)}. Expected SHA-256 {entry.sha256}. Received: {received}"
        )


def _download(entry, target):
    """Fetch under a temporary name, check, rename: a file under its own name is always whole."""
    if not entry.direct:
        raise ConnectionError(f"{entry.name!r} cannot be downloaded by program: {_by_hand(entry, target)}")
    from tqdm.auto import tqdm

    try:
        with replacing(target) as partial:
            with urllib.request.urlopen(entry.url, timeout=30) as response, open(partial, "wb") as file:
                size = int(response.headers.get("Content-Length") or 0)
                with tqdm(total=size or None, unit="B", unit_scale=True, desc=entry.file) as bar:
                    while block := response.read(1 << 18):
                        file.write(block)
                        bar.update(len(block))
            if size and partial.stat().st_size != size:
                raise ConnectionError(f"the transfer ended after {partial.stat().st_size} of {size} bytes")
            _check(partial, entry)
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"downloading {entry.name!r} failed: {_by_hand(entry, target)}. Received: {error}"
        ) from error
    return target
