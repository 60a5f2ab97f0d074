"""What is known of every published weight file: where it comes from, what it expects, under which terms.

:mod:`abaw_tf.backbones.checkpoints` finds the files on this machine.
"""

from dataclasses import dataclass


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
    input_size : tuple of int or None
        (height, width); None of a network that hears.
    color_order : {"rgb", "bgr", "grey"} or None
        Channel order the network was trained on.
    normalization : str
        What is done to values in 0–255, or to sound.
    classes : str or None
        Name of the class order of its output in :data:`abaw_tf.labels.CLASS_ORDERS`; None for identities or features.
    sample_rate : int or None
        Samples per second of the sound that the network was trained on; None of a network that sees.
    """

    name: str
    file: str
    url: str
    licence: str
    citation: str
    architecture: str
    input_size: tuple[int, int] | None
    color_order: str | None
    normalization: str
    classes: str | None = None
    sha256: str | None = None
    direct: bool = True
    sample_rate: int | None = None


_VGGFACE2 = "Cao et al., VGGFace2: A dataset for recognising faces across pose and age, FG 2018"
_VGGFACE2_TERMS = "code MIT (rcmalli/keras-vggface); the weights fall under the terms of the VGGFace2 data (research)"
_VGGFACE = "Parkhi, Vedaldi, Zisserman, Deep Face Recognition, BMVC 2015"
_VGGFACE_TERMS = "for non-commercial research (Visual Geometry Group, University of Oxford)"
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


_PANNS = (
    "Kong et al., PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition, IEEE/ACM TASLP 28, 2020 "
    "(arXiv 1912.10211)"
)


def _cnn14(name, file, sample_rate):
    """A checkpoint of CNN14, trained on AudioSet."""
    return Weights(
        name=name,
        file=file,
        url=f"https://zenodo.org/records/3987831/files/{file}",
        licence="CC BY 4.0 (Zenodo record 3987831); code MIT (qiuqiangkong/audioset_tagging_cnn)",
        citation=_PANNS,
        architecture=f"build_cnn14(sample_rate={sample_rate})",
        input_size=None,
        color_order=None,
        normalization="sound in [-1, 1]",
        sample_rate=sample_rate,
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
    Weights(
        name="vggface_vgg16_top",
        file="rcmalli_vggface_tf_vgg16.h5",
        url=_RCMALLI + "rcmalli_vggface_tf_vgg16.h5",
        licence=_VGGFACE_TERMS,
        citation=_VGGFACE,
        architecture="build_vgg_fer(classes=2622)",
        input_size=(224, 224),
        color_order="bgr",
        normalization="minus the mean blue, green, red of VGG-Face (vggface2.preprocess, version 1)",
    ),
    Weights(
        name="vggface_matconvnet",
        file="vgg-face.mat",
        url="https://www.vlfeat.org/matconvnet/models/vgg-face.mat",
        licence=_VGGFACE_TERMS,
        citation=_VGGFACE,
        architecture="build_vgg_fer(classes=2622)",
        input_size=(224, 224),
        color_order="rgb",
        normalization="minus the average image in the file (vgg_fer.VggFerPreprocessing)",
    ),
    Weights(
        name="vgg_fer",
        file="vggfer.mat",
        url="https://drive.google.com/open?id=0B2KpGwIOmPOieURkZE5aX3VIaFE",
        direct=False,
        licence="none given for the file (the code beside it, github.com/frkngrpnr/jcs, is GPL-3); it is derived from VGG-Face, whose "
        "models are for non-commercial research",
        citation="Kaya, Gürpınar, Salah, Video-based emotion recognition in the wild using deep transfer learning and score fusion, "
        "Image and Vision Computing 65, 2017",
        architecture="build_vgg_fer(classes=7)",
        input_size=(224, 224),
        color_order="rgb",
        normalization="minus the average image in the file (vgg_fer.VggFerPreprocessing)",
        classes="fer2013",
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
    _cnn14("cnn14_32k", "Cnn14_mAP=0.431.pth", 32000),
    _cnn14("cnn14_16k", "Cnn14_16k_mAP=0.438.pth", 16000),
)

REGISTRY: dict[str, Weights] = {entry.name: entry for entry in _ENTRIES}
