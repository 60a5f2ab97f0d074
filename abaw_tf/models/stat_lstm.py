"""STAT/LSTM multitask network of Do et al. (2020): expression, valence and arousal of a frame from the block that ends with it.

The network is a `base`, which looks at one image (a VGGFace2 ResNet-50 with the probabilities of the expressions), and a `head`: statistics
of these probabilities over a block of frames (STAT), a bidirectional LSTM over them, and one branch per output. Six derivations have
all of it or less. They are trained on images, the upper part of the base with them, or on stored tracks of a base that stays as it is::

    python tools/train.py stat_lstm /data/affwild2 --run-dir runs/lstm_va --preset lstm_va
    python tools/train.py stat_lstm /data/affwild2 --run-dir runs/frames_va --preset frames_va --reads tracks --face-run runs/face_rafdb

References
----------
N.-T. Do, T.-T. Nguyen-Quynh, S.-H. Kim, "Affective Expression Analysis in-the-wild using Multi-Task Temporal Statistical Deep Learning
Model", arXiv 2002.09120, 2020, §II and table I. Where it is silent or differs, "code" means the authors' notebooks for inference.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras

from abaw_tf.models import stat_lstm_parts as parts
from abaw_tf.models.face_model_weights import copy_face_model
from abaw_tf.models.stat_lstm_heads import PRESETS, REGRESSIONS, STATS, Derivation, build_stat_lstm_head
from abaw_tf.models.stat_lstm_losses import LOSS_WEIGHTS, compile_stat_lstm, multitask_losses
from abaw_tf.models.stat_lstm_network import build_stat_lstm, join, rewire, set_trainable
from abaw_tf.training.balanced_faces import Do2020FacesRecipe
from abaw_tf.training.callbacks import ChallengeScore
from abaw_tf.training.fields import check_choices
from abaw_tf.training.needs import Images, Track, Windows
from abaw_tf.training.recipe import RecipeError

__all__ = [
    "LOSS_WEIGHTS",
    "PRESETS",
    "Derivation",
    "StatLstmRecipe",
    "build_stat_lstm",
    "build_stat_lstm_head",
    "compile_stat_lstm",
    "join",
    "multitask_losses",
    "rewire",
    "set_trainable",
]

READS = ("images", "tracks")
OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
FEATURES, PROBABILITIES = "features", "probabilities"


# The same graph on the tracks of a face model that was trained at its own preset "small".
_SMALL = {
    "reads": "tracks",
    "weights": None,
    "image_size": 64,
    "image_kind": "cropped_aligned",
    "blocks": (1, 1, 1, 1),
    "width": 16,
    "expression_units": (64,),
    "regression_units": (64,),
    "lstm_units": 32,
    "batch_size": 32,
    # So few people are learned by heart within a few epochs: slower, and with more dropout than the paper's.
    "learning_rate": 3e-4,
    "dropout": 0.3,
    "recurrent_dropout": 0.3,
    "epochs": 30,
    "patience": 10,
}


def _presets():
    """Those of the paper by derivation (its best one, model 6, is "paper"), and each at a size for two processor cores."""
    paper, small = {}, {}
    for name, derivation in PRESETS.items():
        # Neither batch is stated: 8 blocks, which are 128 images, and as usual 32 where an example is one image.
        paper[name] = {"derivation": name, "batch_size": 8 if derivation.frames else 32}
        small[f"small_{name}"] = {**_SMALL, "derivation": name}
    return {"paper": {}, **paper, "small": _SMALL, **small}


@dataclass(frozen=True)
class StatLstmRecipe(Do2020FacesRecipe):
    """Recipe of the STAT/LSTM network. Defaults: model 6 of the paper; the training itself was not published.

    Attributes
    ----------
    derivation : str
        Which of the six networks (paper, table I): ``"lstm_va"``, ``"lstm"``, ``"frames_va"``, ``"frames"``, ``"image_va"``, ``"image"``.
    reads : str
        ``"images"``: face crops; the base is trained from `trainable_from` on (paper, code). ``"tracks"``: the base stays as it is, and
        what it makes of every frame is computed once and stored (our addition).
    face_run : str
        Run folder of the recipe ``face_model``: the weights of the base, or with ``reads="tracks"`` the base itself. Instead of it,
        tracks may come from stores named ``features`` and ``probabilities``.
    weights : str, optional
        Weights of the base where no `face_run` is named: the authors' ResNet-50 after AffectNet and RAF-DB (paper, code); ``None`` for
        random ones.
    n_features : int, optional
        Features per frame of tracks that come from stores of another network (our addition); 32 · `width` otherwise.
    trainable_from : str, optional
        First layer of the base that is trained: ``"conv4_1_1x1_reduce"`` (code; the paper says "the last stage"), see `set_trainable`.
    batch_norm : str
        ``"fixed"``: stored statistics in training, too (our choice), or ``"batch"`` (Keras 2's behaviour).
    block : int
        Frames per block: 16 (paper, code), or 32 (paper).
    stat : str
        ``"v0"``: statistics of the probabilities (code, as submitted), or ``"v1"``: of the features, too (paper; code).
    expression_units : tuple of int, optional
        Dense layers of the branch of the expression; by default those of the derivation (code).
    regression_units : tuple of int, optional
        Those of the other branches.
    dropout : float
        Before every dense layer and on the inputs of the LSTM: .1 (code).
    recurrent_dropout : float
        On the state of the LSTM: .1 (code).
    lstm_units : int
        Per direction: 1024 (code).
    lstm_layers : int
        2 (code), or 1 (paper: "one or two").
    chunk : int
        Consecutive frames with targets per example. 1: an example is one block (paper). More: the base runs once per frame of the
        chunk, which is 10 to 14 times as fast, but frames of an example are then alike (our addition).
    prediction_chunk : int
        The same outside training, where it changes speed, memory and, as a mean over chunks, ``val_loss``, but no prediction and no
        score: 112 (our choice).
    both_labels : bool
        Train and validate only on frames that have both an expression, and valence and arousal (code); blocks are formed of these. False:
        mask what is missing (our choice); with `class_balanced`, what has valence and arousal alone is one class more.
    across_gaps : bool
        Blocks take the last frames that have a face, whatever lies between them (code), or begin anew after a gap.
    optimizer : str
        ``"adam"`` or ``"sgd"`` (paper: both, not for which network; our choice: Adam).
    """

    name = "stat_lstm"
    runs: ClassVar = {"face_run": "face_model"}
    presets: ClassVar = _presets()

    # The mean of the challenge's scores of the tasks that a network has: see `abaw_tf.training.callbacks.ChallengeScore`.
    monitor: str = "val_score"
    mode: str = "max"
    batch_size: int = 8
    patience: int = 10

    derivation: str = "lstm_va"
    reads: str = "images"
    face_run: str = ""
    weights: str | None = "vggface2_resnet50_rafdb"
    n_features: int | None = None
    trainable_from: str | None = "conv4_1_1x1_reduce"
    batch_norm: str = "fixed"
    block: int = 16
    stat: str = "v0"
    expression_units: tuple[int, ...] | None = None
    regression_units: tuple[int, ...] | None = None
    dropout: float = 0.1
    recurrent_dropout: float = 0.1
    lstm_units: int = 1024
    lstm_layers: int = 2
    chunk: int = 1
    prediction_chunk: int = 112
    both_labels: bool = False
    across_gaps: bool = True
    optimizer: str = "adam"

    def __post_init__(self):
        super().__post_init__()
        check_choices(
            self,
            derivation=tuple(PRESETS),
            reads=READS,
            optimizer=tuple(OPTIMIZERS),
            batch_norm=parts.BATCH_NORM,
            stat=STATS,
        )
        for key in ("block", "chunk", "prediction_chunk", "n_features"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise RecipeError(f"`{key}` must be at least 1. Received: {key}={getattr(self, key)}")
        if self.reads == "images" and self.n_features is not None:
            raise RecipeError(
                f"`n_features` is for tracks of another network: give reads='tracks' with it. Received: n_features={self.n_features}"
            )

    @property
    def _single_images(self):
        return self.reads == "images" and not PRESETS[self.derivation].frames

    def inputs(self):
        if self.reads == "images":
            return {"image" if self._single_images else "frames": Images(self.image_size, self.image_kind)}
        names = {FEATURES: FEATURES, PROBABILITIES: "predictions"}  # by the layers of the face model
        derivation = PRESETS[self.derivation]
        return {
            name: Track(
                name,
                run=self.face_run,
                layer=layer,
                kind=self.image_kind,
                context=name == PROBABILITIES or self.stat == "v1",
            )
            for name, layer in names.items()
            if name == FEATURES or derivation.frames
        }

    def outputs(self):
        return ("expression", *(REGRESSIONS if PRESETS[self.derivation].valence_arousal else ()))

    def needs_every_label(self):
        return self.both_labels

    def windows(self):
        return None if self._single_images else self._chunks(self.chunk)

    def prediction_windows(self):
        if self._single_images:
            return None, self.batch_size
        return self._chunks(self.prediction_chunk), 1

    def _chunks(self, size):
        return Windows(
            size,
            size,
            tail="short",
            across_gaps=self.across_gaps,
            missing_image="skip",
            context=self.block - 1 if PRESETS[self.derivation].frames else 0,
        )

    def augmentation(self):
        return super().augmentation() if self.reads == "images" else None

    def build(self):
        head = {key: getattr(self, key) for key in ("block", "stat", "expression_units", "regression_units", "dropout")}
        head |= {key: getattr(self, key) for key in ("lstm_units", "lstm_layers", "recurrent_dropout")}
        if self.reads == "tracks":
            n_features = 32 * self.width if self.n_features is None else self.n_features
            upper = build_stat_lstm_head(self.derivation, n_features, len(self.classes), **head)
            return parts.wire_tracks(upper, None, f"{self.derivation}_tracks")
        model = build_stat_lstm(
            self.derivation,
            len(self.classes),
            self.image_size,
            self.batch_norm,
            self.trainable_from,
            None if self.face_run else self.weights,
            self.blocks,
            self.width,
            **head,
        )
        if self.face_run:
            copy_face_model(self.face_run, model.get_layer("base"))
        return model if self._single_images else rewire(model, "chunk")

    def compile(self, model):
        compile_stat_lstm(model, OPTIMIZERS[self.optimizer](self.learning_rate), self.edition)

    def callbacks(self):
        return [ChallengeScore()]
