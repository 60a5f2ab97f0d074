"""The face model of Do et al. (2020): a VGGFace2 ResNet-50, fine-tuned to tell the expression of a single face image.

It is the lower half of their STAT/LSTM network (:mod:`abaw_tf.models.stat_lstm`), trained beforehand: first on AffectNet, then, from
the result, on RAF-DB::

    python tools/train.py face_model /data/AffectNet --run-dir runs/face_affectnet
    python tools/train.py face_model /data/RAF-DB --run-dir runs/face_rafdb --initial-run runs/face_affectnet

References
----------
N.-T. Do, T.-T. Nguyen-Quynh, S.-H. Kim, "Affective Expression Analysis in-the-wild using Multi-Task Temporal Statistical Deep Learning
Model", FG 2020 (arXiv 2002.09120), §II-B and §III-A. "Code" means what the authors published: notebooks and their modules, without
the training; "file name" that of the weights that they published.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import keras

from abaw_tf.backbones.vggface2 import build_vggface2_resnet50
from abaw_tf.models.face_model_weights import FEATURES, PROBABILITIES, RECIPE, copy_face_model, load_base_weights
from abaw_tf.training.balanced_faces import Do2020FacesRecipe


def build_face_model(
    n_classes=7, image_size=224, weights=None, blocks=(3, 4, 6, 3), width=64, l2=0.0, name="face_model"
):
    """Build the face model: ResNet-50 → Dense `features` (ReLU) → softmax `predictions` without bias.

    Parameters
    ----------
    n_classes : int
        Expression classes.
    image_size : int
        Height and width of the RGB input in pixels; 224 as published, at least 32.
    weights : str, Path or None
        Weights to begin with: a name in :data:`abaw_tf.backbones.checkpoints.REGISTRY` or a Keras 2 file (in either case the two dense
        layers may be new), or None for random ones.
    blocks, width, l2
        Size and penalty of the trunk, see :func:`abaw_tf.backbones.vggface2.build_vggface2_resnet50`.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``image`` (batch, image_size, image_size, 3), RGB in 0–255, to ``{"expression": (batch, n_classes)}`` probabilities in the
        official class order, float32 under any dtype policy. 27,771,840 parameters as published.

    Raises
    ------
    ValueError
        An argument is out of range, or the weight file does not fit.
    FileNotFoundError
        The weight file is not on this machine.
    """
    # Checks
    if n_classes < 2:
        raise ValueError(f"`n_classes` must be at least 2. Received: n_classes={n_classes}")

    # The functional graph
    trunk = build_vggface2_resnet50(
        "weidi_xie",
        include_top=True,
        input_shape=(image_size, image_size, 3),
        classes=n_classes,
        blocks=blocks,
        width=width,
        preprocessing=2,
        l2=l2,
    )
    image = keras.Input((image_size, image_size, 3), name="image")
    trunk = keras.models.clone_model(trunk, input_tensors=image)  # the same layers, on an input of this name
    model = keras.Model({"image": image}, {"expression": trunk.output}, name=name)

    # Its weights
    if weights is not None:
        load_base_weights(model, weights)
    return model


def features_and_probabilities(model):
    """The face model with both of its results, as the STAT/LSTM network uses it.

    Parameters
    ----------
    model : keras.Model
        As from `build_face_model`, or the trained model of a run.

    Returns
    -------
    keras.Model
        ``image`` to ``{"features": (batch, 32 * width), "probabilities": (batch, n_classes)}``; shares the weights of `model`.
    """
    outputs = {"features": model.get_layer(FEATURES).output, "probabilities": model.get_layer(PROBABILITIES).output}
    return keras.Model(model.inputs, outputs, name="base")


@dataclass(frozen=True)
class FaceModelRecipe(Do2020FacesRecipe):
    """Recipe of the face model. Defaults: the paper, where it says anything; the training itself was not published. Optimiser: Adam.

    Attributes
    ----------
    weights : str, optional
        Weights to begin with: the trunk of VGGFace2 (paper, §II-B), ``features`` new (its 2048 units are in no published
        VGGFace2 file); ``None`` for random ones.
    initial_run : str
        Run folder of a face model to begin with instead of `weights`: that of AffectNet when training on RAF-DB (file name).
    l2 : float
        Penalty on the kernels: 0, our choice (1e-4 in the trunk's own code; whether the authors kept it is unknown).
    """

    name = RECIPE
    dataset = "faces"
    presets: ClassVar = {
        "paper": {},
        # The same graph at a size that two processor cores train in about a minute on the synthetic datasets: random weights need
        # larger and more steps than pretrained ones, and so small a network and dataset bear less distortion. The aligned faces of RAF-DB
        # are framed as the aligned crops of Aff-Wild2, and weights that have seen few faces do not bear another frame.
        "small": {
            "weights": None,
            "image_size": 64,
            "image_kind": "cropped_aligned",
            "blocks": (1, 1, 1, 1),
            "width": 16,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "rotation": 10.0,
            "epochs": 20,
            "patience": 8,
        },
    }

    # The file name holds epoch 28, val_loss 0.70 and val_acc 0.87; a loss that high at this accuracy is that of a later epoch than the
    # one with the smallest loss, so accuracy has selected it.
    monitor: str = "val_accuracy"
    mode: str = "max"
    patience: int = 10

    weights: str | None = "vggface2_resnet50"
    initial_run: str = ""
    l2: float = 0.0

    def build(self):
        model = build_face_model(
            n_classes=len(self.classes),
            image_size=self.image_size,
            weights=None if self.initial_run else self.weights,
            blocks=self.blocks,
            width=self.width,
            l2=self.l2,
        )
        if self.initial_run:
            copy_face_model(Path(self.initial_run), model)
        return model

    def compile(self, model):
        from abaw_tf.keras_metrics import compile_expression

        optimizer = keras.optimizers.Adam(self.learning_rate)
        compile_expression(model, optimizer, len(self.classes), self.edition)
