"""Model 1 of Dresvyanskiy et al. (2020): a VGGFace2 ResNet-50, fine-tuned to tell the expression of a single face.

References
----------
D. Dresvyanskiy, E. Ryumina, H. Kaya, M. Markitantov, A. Karpov, W. Minker, "An Audio-Video Deep and Transfer Learning Framework
for Multimodal Emotion Recognition in the wild", arXiv 2010.03692, 2020, §III. Where it is silent or differs, "code" means the notebook
that the authors published.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import keras
from keras import layers

from abaw_tf.backbones.vggface2 import VggFacePreprocessing, build_vggface2_resnet50
from abaw_tf.training.needs import Augmentation, Balance, Images
from abaw_tf.training.recipe import KerasRecipe, RecipeError

EMBEDDING = "dense"


def build_frame_cnn(
    n_classes=7,
    image_size=224,
    weights=None,
    preprocessing_version=2,
    units=1024,
    dropout=0.5,
    dropout_layers=2,
    blocks=(3, 4, 6, 3),
    width=64,
    name="frame_cnn",
):
    """Build the frame CNN: ResNet-50 → Dense (`dense`, ReLU) → softmax over the expressions.

    Parameters
    ----------
    n_classes : int
        Expression classes: 7, or 8 in the third edition.
    image_size : int
        Height and width of the RGB input in pixels; 224 as published, at least 32.
    weights : str, Path or None
        Pretrained trunk: a name in :data:`abaw_tf.backbones.checkpoints.REGISTRY`, a file, or None for random weights.
    preprocessing_version : {2, 1}
        Channel means subtracted inside the model: 2 is right for the ResNet-50; 1 is what the published code did and its
        weights expect.
    units : int
        Width of the layer ``dense``, whose output is the face embedding that model 2 uses.
    dropout : float
        Rate of the dropout layers.
    dropout_layers : {1, 2}
        2: dropout before each of the last two layers (paper); 1: only before the last (code).
    blocks, width
        Size of the trunk, see :func:`abaw_tf.backbones.vggface2.build_vggface2_resnet50`.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``image`` (batch, image_size, image_size, 3), RGB in 0–255, to ``{"expression": (batch, n_classes)}`` probabilities
        in the official class order, float32 under any dtype policy.

    Raises
    ------
    ValueError
        An argument is out of range, or the weight file does not fit.

    Notes
    -----
    The inputs are integers or floats; images need no normalisation outside the model.
    """
    # Checks
    if n_classes < 2:
        raise ValueError(f"`n_classes` must be at least 2. Received: n_classes={n_classes}")
    if dropout_layers not in (1, 2):
        raise ValueError(f"`dropout_layers` must be 1 or 2. Received: dropout_layers={dropout_layers}")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")

    # The functional graph
    trunk = build_vggface2_resnet50(
        input_shape=(image_size, image_size, 3), pooling="avg", blocks=blocks, width=width, weights=weights
    )
    image = keras.Input((image_size, image_size, 3), name="image")
    x = VggFacePreprocessing(preprocessing_version, name="preprocessing")(image)
    x = trunk(x)
    if dropout_layers == 2:
        x = layers.Dropout(dropout, name="features_dropout")(x)
    x = layers.Dense(units, activation="relu", name=EMBEDDING)(x)
    x = layers.Dropout(dropout, name="dense_dropout")(x)
    expression = layers.Dense(n_classes, activation="softmax", dtype="float32", name="expression")(x)
    return keras.Model({"image": image}, {"expression": expression}, name=name)


@dataclass(frozen=True)
class FrameCnnRecipe(KerasRecipe):
    """Recipe of the frame CNN. Defaults: the paper; ``published_notebook``: what the authors' notebook does instead.

    Attributes
    ----------
    weights : str, optional
        Pretrained trunk: VGGFace2 (paper); ``None`` for random weights.
    image_size : int
        224 pixels (paper, code).
    image_kind : str
        Aligned crops (paper, code), or ``"cropped"``.
    preprocessing_version : int
        2: the means that the weights were trained with (our choice: the paper does not say); 1 in the code.
    units : int
        Width of the embedding: 1024 (code).
    dropout : float
        .5 (paper, code).
    dropout_layers : int
        2: dropout before each of "the last 2 layers" (paper); 1 in the code.
    blocks : tuple of int
        Residual blocks per stage: those of ResNet-50 (paper, code).
    width : int
        Filters of the first stage: those of ResNet-50 (paper, code).
    learning_rate : float
        Of AdamW: 1e-5 (code; the paper names AdamW).
    weight_decay : float
        Of AdamW, decoupled: 1e-5 (code).
    amsgrad : bool
        On in the code, not in the paper.
    rotation : float
        Augmentation: up to 40° to either side (paper, code).
    flip : bool
        Augmentation: mirror half of the images (paper, code).
    brightness : (float, float)
        Augmentation: factor .2–1 (paper, code).
    thinning : dict
        Keep every k-th frame per class and trial (paper, code).
    log_weight_ratio : float, optional
        r of the class weights max(1, ln(r·N/n)), counted after thinning: .34 (paper, eq. 1; code).
    """

    name = "frame_cnn"
    presets: ClassVar = {
        "paper": {},
        "published_notebook": {
            "preprocessing_version": 1,
            "dropout_layers": 1,
            "amsgrad": True,
            "monitor": "val_macro_recall",
            "mode": "max",
        },
        # The same graph at a size that two processor cores train in about a minute on the synthetic dataset; thinning is
        # milder because that dataset is small, augmentation because so small a network cannot spare the capacity, and random
        # weights need a larger step than pretrained ones.
        "small": {
            "weights": None,
            "image_size": 64,
            "blocks": (1, 1, 1, 1),
            "width": 16,
            "units": 128,
            "dropout": 0.2,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "weight_decay": 1e-4,
            "rotation": 8.0,
            "brightness": (0.7, 1.0),
            "thinning": {"Neutral": 2},
            "epochs": 12,
            "patience": 5,
            "monitor": "val_macro_f1",
            "mode": "max",
        },
    }

    weights: str | None = "vggface2_resnet50"
    image_size: int = 224
    image_kind: str = "cropped_aligned"
    preprocessing_version: int = 2
    units: int = 1024
    dropout: float = 0.5
    dropout_layers: int = 2
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    learning_rate: float = 1e-5
    weight_decay: float = 1e-5
    amsgrad: bool = False
    rotation: float = 40.0
    flip: bool = True
    brightness: tuple[float, float] = (0.2, 1.0)
    thinning: dict[str, int] = field(
        default_factory=lambda: {
            "Neutral": 10,
            "Anger": 2,
            "Disgust": 2,
            "Fear": 2,
            "Happiness": 5,
            "Sadness": 5,
            "Surprise": 2,
        }
    )
    log_weight_ratio: float | None = 0.34

    def __post_init__(self):
        super().__post_init__()
        unknown = set(self.thinning) - set(self.classes)
        if unknown or any(k < 1 for k in self.thinning.values()):
            raise RecipeError(
                f"`thinning` must map classes ({', '.join(self.classes)}) to numbers of at least 1. "
                f"Received: thinning={self.thinning}"
            )

    def inputs(self):
        return {"image": Images(self.image_size, self.image_kind)}

    def balance(self):
        return Balance(self.thinning, self.log_weight_ratio)

    def augmentation(self):
        return Augmentation(self.rotation, self.flip, self.brightness)

    def build(self):
        return build_frame_cnn(
            n_classes=len(self.classes),
            image_size=self.image_size,
            weights=self.weights,
            preprocessing_version=self.preprocessing_version,
            units=self.units,
            dropout=self.dropout,
            dropout_layers=self.dropout_layers,
            blocks=self.blocks,
            width=self.width,
        )

    def compile(self, model):
        from abaw_tf.keras_metrics import compile_expression

        optimizer = keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay, amsgrad=self.amsgrad)
        compile_expression(model, optimizer, len(self.classes), self.edition)
