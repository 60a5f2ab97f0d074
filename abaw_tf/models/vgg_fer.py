"""The network behind model 3 of Dresvyanskiy et al. (2020): VGG-Face, fine-tuned to tell the expression of a single face image.

The authors take it from earlier work, where Kaya et al. fine-tuned it on FER-2013, and publish the result (``vggfer.mat``) without the
training. With that file no training is needed::

    python tools/extract_features.py /data/Aff-Wild2 --extractor vgg_fer --out features

This recipe makes such a network where the file is not at hand, or from other face images; the layer ``fc6`` (or ``relu6``) of the run is
then a feature track, as the recipe ``kernel_elm`` takes it::

    python tools/train.py vgg_fer /data/RAF-DB --run-dir runs/vgg_fer

References
----------
D. Dresvyanskiy, E. Ryumina, H. Kaya, M. Markitantov, A. Karpov, W. Minker, "An Audio-Video Deep and Transfer Learning Framework for
Multimodal Emotion Recognition in the wild", arXiv 2010.03692, 2020, §3.1.2.
H. Kaya, F. Gürpınar, A. A. Salah, "Video-based emotion recognition in the wild using deep transfer learning and score fusion", Image and
Vision Computing 65, 2017.
O. M. Parkhi, A. Vedaldi, A. Zisserman, "Deep Face Recognition", BMVC 2015 ("VGG-Face").
"""

from dataclasses import dataclass
from typing import ClassVar

import keras

from abaw_tf.backbones.vgg_fer import build_vgg_fer
from abaw_tf.training.balanced_faces import BalancedFacesRecipe


def build_vgg_fer_model(
    n_classes=7, image_size=224, weights=None, width=64, fc_units=4096, dropout=0.5, name="vgg_fer_model"
):
    """Build VGG-Face as a classifier of expressions, to be trained.

    Parameters
    ----------
    n_classes : int
        Expression classes.
    image_size : int
        Height and width of the RGB input in pixels; 224 as published, at least 32.
    weights : str, Path or None
        Weights to begin with, see :func:`abaw_tf.backbones.vgg_fer.build_vgg_fer`; ``fc8`` is new if the file has other outputs. None for
        random ones.
    width, fc_units, dropout
        Size and dropout, see there.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``image`` (batch, image_size, image_size, 3), RGB in 0–255, to ``{"expression": (batch, n_classes)}`` probabilities in the
        official class order, float32 under any dtype policy. The features are the layers ``fc6`` and ``relu6`` (batch, fc_units).

    Raises
    ------
    ValueError
        An argument is out of range, or the weight file does not fit.
    FileNotFoundError
        The weight file is not on this machine.
    """
    network = build_vgg_fer(n_classes, image_size, width, fc_units, dropout, weights=weights)
    return keras.Model({"image": network.input}, {"expression": network.output}, name=name)


@dataclass(frozen=True)
class VggFerRecipe(BalancedFacesRecipe):
    """Recipe of VGG-FER. Its training was not published: all values are our choice, except where a source is named.

    Attributes
    ----------
    image_size : int
        224 pixels (VGG-Face; Kaya et al.).
    image_kind : str
        Crops of Aff-Wild2 from which its features are taken: aligned (Dresvyanskiy et al.).
    weights : str, optional
        Weights to begin with: VGG-Face (Dresvyanskiy et al., Kaya et al.); ``None`` for random ones.
    width : int
        Filters of the first block: 64 (VGG-Face).
    fc_units : int
        Units of ``fc6`` and ``fc7``: 4096 (VGG-Face).
    dropout : float
        After ``relu6`` and ``relu7``: .5 (VGG-Face).
    learning_rate : float
        Of AdamW: 1e-5, as in model 1 of Dresvyanskiy et al.
    weight_decay : float
        Of AdamW, decoupled: 1e-5, as there.
    class_balanced : bool
        Draw the classes in turn: disgust is one image in fifty of FER-2013, and one in seventeen of RAF-DB.
    rotation : float
        Up to 10° to either side; the faces are aligned.
    shift : float
        Up to .05 of the side.
    scale : float
        Size from .9 to 1.1.
    flip : bool
        Mirror half of the images (VGG-Face).
    """

    name = "vgg_fer"
    dataset = "faces"
    presets: ClassVar = {
        "paper": {},
        # The same graph at a size that two processor cores train in about a minute on rendered faces: random weights need larger and more
        # steps than pretrained ones.
        "small": {
            "weights": None,
            "image_size": 64,
            "width": 8,
            "fc_units": 128,
            "dropout": 0.2,
            "batch_size": 16,
            "learning_rate": 5e-4,
            "epochs": 20,
            "patience": 8,
        },
    }

    monitor: str = "val_macro_f1"
    mode: str = "max"

    image_kind: str = "cropped_aligned"
    weights: str | None = "vggface_vgg16_top"
    width: int = 64
    fc_units: int = 4096
    dropout: float = 0.5
    learning_rate: float = 1e-5
    weight_decay: float = 1e-5
    rotation: float = 10.0
    shift: float = 0.05

    def build(self):
        return build_vgg_fer_model(
            n_classes=len(self.classes),
            image_size=self.image_size,
            weights=self.weights,
            width=self.width,
            fc_units=self.fc_units,
            dropout=self.dropout,
        )

    def compile(self, model):
        from abaw_tf.keras_metrics import compile_expression

        optimizer = keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay)
        compile_expression(model, optimizer, len(self.classes), self.edition)
