"""Valence and arousal from sound, ExpNet and OpenFace (Rasipuram et al. 2020): three branches over sequences of frames, then one head.

References
----------
S. Rasipuram, J. H. Bhat, A. Maitra, "Multi-modal Sequence-to-sequence Model for Continuous Affect Prediction in the Wild Using Deep 3D
Features", FG 2020 (arXiv 2002.12766), §I-C and figure 1. No code was published.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import keras
from keras import layers, ops

from abaw_tf.labels import check_option
from abaw_tf.models.layers import ModalityDropout, Standardization
from abaw_tf.training.needs import Track, Windows
from abaw_tf.training.recipe import KerasRecipe, RecipeError

DIMENSIONS = {"audio": 168, "expnet": 2048, "openface": 709}
UNITS = {"audio": (128, 64), "expnet": (256, 256, 64), "openface": (128, 64)}
CELLS = ("gru", "bilstm")


def build_gru_fusion(
    modalities=tuple(DIMENSIONS),
    sequence=15,
    dimensions=None,
    cell="gru",
    units=None,
    fusion_units=64,
    dropout=0.25,
    modality_dropout=0.0,
    name="gru_fusion",
):
    """Build the network: a branch per modality, concatenation, two dense layers; one output per frame.

    Parameters
    ----------
    modalities : sequence of {"audio", "expnet", "openface"}
        Branches, any subset; all three as published.
    sequence : int or None
        Frames per sequence: 15 (paper); None for any number.
    dimensions : dict of str to int, optional
        Features per frame where they are not those of :data:`DIMENSIONS`: 40 MFCC and 128 mel bands; ExpNet's pooled 2048; OpenFace's 714
        columns without the five that are no measurements (with them, as in the paper: 714).
    cell : {"gru", "bilstm"}
        Recurrent layers of the branches of sound and ExpNet (paper: bidirectional LSTMs "give similar results"; as many units in either
        direction, our choice).
    units : dict of str to tuple of int, optional
        Widths of a branch's layers where they are not those of :data:`UNITS` (paper).
    fusion_units : int
        Width of the first dense layer after the concatenation: 64 (paper); its activation is not stated, ours is ReLU.
    dropout : float
        Rate in the branches of sound and OpenFace: .25 (paper, which mentions none for ExpNet).
    modality_dropout : float
        Rate at which whole branches are silenced in training, see :class:`abaw_tf.models.layers.ModalityDropout` (our addition; off).
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``audio`` (batch, sequence, 168), ``expnet`` (batch, sequence, 2048), ``openface`` (batch, sequence, 709), those of `modalities`, to
        ``valence_arousal`` (batch, sequence, 2) in (-1, 1), float32 under any dtype policy. Each input is standardised inside the
        model by the layer ``<modality>_normalization``; its statistics are set by :func:`adapt`. Frames that are NaN count as average ones.

    Raises
    ------
    ValueError
        An argument is out of range.

    Notes
    -----
    Order after each layer: activation, dropout, batch normalisation (the order in the text). Each GRU has its own tanh, and a PReLU after
    it whose slopes are shared by the frames; the hidden activation of the OpenFace branch is ReLU (neither is stated: our choice).
    """
    check_option("cell", cell, CELLS)
    if not modalities or len(set(modalities)) < len(tuple(modalities)):
        raise ValueError(f"`modalities` must name at least one, none twice. Received: modalities={modalities}")
    for modality in modalities:
        check_option("modalities", modality, tuple(DIMENSIONS))
    for key, rate in (("dropout", dropout), ("modality_dropout", modality_dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"`{key}` must be in [0, 1). Received: {key}={rate}")
    if sequence is not None and sequence < 1:
        raise ValueError(f"`sequence` must be at least 1, or None. Received: sequence={sequence}")
    sizes, widths = {**DIMENSIONS, **(dimensions or {})}, {**UNITS, **(units or {})}

    inputs = {key: keras.Input((sequence, sizes[key]), name=key) for key in modalities}
    branches = {key: _branch(key, sequence, sizes[key], widths[key], cell, dropout) for key in modalities}
    coded = [branches[key](x) for key, x in inputs.items()]
    if modality_dropout:
        coded = ModalityDropout(modality_dropout, name="modality_dropout")(coded)
    head = _head([branch.output_shape[-1] for branch in branches.values()], sequence, fusion_units)
    return keras.Model(inputs, {"valence_arousal": head(coded)}, name=name)


def adapt(model, inputs):
    """Set the mean and variance by which a network standardises its inputs, from training data.

    Parameters
    ----------
    model : keras.Model
        From :func:`build_gru_fusion`, before it is trained.
    inputs : tf.data.Dataset
        Batches of the model's inputs by name, one pass; frames that are NaN do not count.
    """
    for key in model.input:
        normalization = model.get_layer(f"{key}_branch").get_layer(f"{key}_normalization")
        normalization.adapt(inputs.map(lambda batch, key=key: batch[key]))


def silenced(model, modalities):
    """The network without some of its branches: what they say is replaced by zero, as :class:`ModalityDropout` does in training.

    Parameters
    ----------
    model : keras.Model
        From :func:`build_gru_fusion`.
    modalities : sequence of str
        Branches to silence.

    Returns
    -------
    keras.Model
        With the same inputs and outputs; shares the weights of `model`.
    """
    for modality in modalities:
        check_option("modalities", modality, tuple(model.input))
    inputs = {key: keras.Input(x.shape[1:], name=key) for key, x in model.input.items()}
    coded = [model.get_layer(f"{key}_branch")(x) for key, x in inputs.items()]
    coded = [ops.zeros_like(x) if key in modalities else x for key, x in zip(inputs, coded)]
    output = model.get_layer("head")(coded)
    return keras.Model(inputs, {"valence_arousal": output}, name=f"{model.name}_without_{'_'.join(modalities)}")


def _branch(modality, sequence, dimension, widths, cell, dropout):
    """One modality, (sequence, dimension) to (sequence, last width)."""
    given = keras.Input((sequence, dimension), name=modality)
    x = Standardization(name=f"{modality}_normalization")(given)
    for i, width in enumerate(widths, start=1):
        if modality == "openface":
            # What the paper calls a time-distributed layer: on its last axis, for every frame alike.
            x = layers.Dense(width, activation="relu", name=f"openface_dense_{i}")(x)
        else:
            x = _recurrent(cell, width, f"{modality}_{cell}_{i}")(x)
            x = layers.PReLU(shared_axes=[1], name=f"{modality}_prelu_{i}")(x)
        if modality != "expnet":
            x = layers.Dropout(dropout, name=f"{modality}_dropout_{i}")(x)
        x = layers.BatchNormalization(name=f"{modality}_bn_{i}")(x)
    return keras.Model(given, x, name=f"{modality}_branch")


def _recurrent(cell, units, name):
    if cell == "gru":
        return layers.GRU(units, return_sequences=True, name=name)
    return layers.Bidirectional(layers.LSTM(units, return_sequences=True), name=name)


def _head(widths, sequence, units):
    coded = [keras.Input((sequence, width), name=f"branch_{i}") for i, width in enumerate(widths, start=1)]
    x = layers.Concatenate(name="fusion")(coded) if len(coded) > 1 else coded[0]
    x = layers.Dense(units, activation="relu", name="dense")(x)
    x = layers.Dense(2, activation="tanh", dtype="float32", name="valence_arousal")(x)
    return keras.Model(coded, x, name="head")


@dataclass(frozen=True)
class GruFusionRecipe(KerasRecipe):
    """Recipe of the GRU fusion network. Defaults: the paper; no code was published, and the paper leaves much open.

    Attributes
    ----------
    modalities : tuple of str
        Branches, any of ``"audio"``, ``"expnet"``, ``"openface"``: all (paper).
    sequence : int
        Frames per sequence: 15 (paper).
    stride : int
        Frames from one sequence's start to the next: 10, the literal reading of "an overlap of 5" (paper); 5 is the other reading.
        Predictions of overlapping sequences are averaged (our choice).
    cell : str
        ``"gru"`` (paper), or ``"bilstm"`` (paper: similar results).
    units : dict of str to tuple of int
        Widths of a branch's layers, by modality, where they are not the paper's.
    fusion_units : int
        Dense layer after the concatenation: 64 (paper).
    dropout : float
        In the branches of sound and OpenFace: .25 (paper).
    modality_dropout : float
        Rate at which whole branches are silenced in training: 0 (our addition).
    dimensions : dict of str to int
        Features per frame, by modality, where they are not those of :data:`DIMENSIONS`.
    face_run : str
        Run folder of a trained face network whose layer `face_layer` stands in for ExpNet (our addition). Otherwise the store ``expnet``
        must be given.
    face_layer : str
        Its layer: ``"features"``.
    image_kind : str
        Crops that this network looks at: ``"cropped_aligned"``, or ``"cropped"``.
    drop_unlabelled : bool
        Leave frames without labels out, with no sequence across the gap (our reading of the dataset's -5), or keep them as frames without
        a target (our choice).
    learning_rate : float
        Of RMSprop: 1e-4 (paper).
    """

    name = "gru_fusion"
    runs: ClassVar = {"face_run": "face_model"}
    presets: ClassVar = {
        "paper": {},
        # Two processor cores train it in about a minute, with the small face model for ExpNet. Scores vary much from epoch to epoch.
        "small": {
            "units": {"audio": (32, 16), "expnet": (32, 32, 16), "openface": (32, 16)},
            "fusion_units": 32,
            "dimensions": {"expnet": 512},
            "batch_size": 16,
            "learning_rate": 1e-3,
            "epochs": 80,
            "patience": 20,
        },
    }

    # Neither batch size, nor epochs, nor the end of training are stated: our choice.
    monitor: str = "val_ccc"
    mode: str = "max"
    batch_size: int = 64
    epochs: int = 100
    patience: int = 10
    modalities: tuple[str, ...] = tuple(DIMENSIONS)
    sequence: int = 15
    stride: int = 10
    cell: str = "gru"
    units: dict[str, tuple[int, ...]] = field(default_factory=dict)
    fusion_units: int = 64
    dropout: float = 0.25
    modality_dropout: float = 0.0
    dimensions: dict[str, int] = field(default_factory=dict)
    face_run: str = ""
    face_layer: str = "features"
    image_kind: str = "cropped_aligned"
    drop_unlabelled: bool = False
    learning_rate: float = 1e-4

    def __post_init__(self):
        super().__post_init__()
        unknown = {key for keys in (self.modalities, self.units, self.dimensions) for key in keys} - set(DIMENSIONS)
        if unknown or not self.modalities:
            raise RecipeError(
                f"`modalities`, `units` and `dimensions` must be by {', '.join(DIMENSIONS)}, and at least one modality must be there. "
                f"Received: {sorted(unknown) or 'none'}"
            )
        if not 1 <= self.stride <= self.sequence:
            raise RecipeError(
                f"`stride` must be from 1 to `sequence`. Received: stride={self.stride}, sequence={self.sequence}"
            )

    def inputs(self):
        tracks = {
            "audio": Track("audio", fill="nan", extractor="frame_audio", optional=True),
            "expnet": Track("expnet", run=self.face_run, layer=self.face_layer, kind=self.image_kind, optional=True),
            "openface": Track("openface", extractor="openface", optional=True),
        }
        return {key: tracks[key] for key in self.modalities}

    def outputs(self):
        return ("valence_arousal",)

    def needs_every_label(self):
        return self.drop_unlabelled

    def windows(self):
        return Windows(self.sequence, self.stride)

    def build(self):
        return build_gru_fusion(
            self.modalities,
            self.sequence,
            self.dimensions,
            self.cell,
            self.units,
            self.fusion_units,
            self.dropout,
            self.modality_dropout,
        )

    def adapt(self, model, inputs):
        adapt(model, inputs)

    def compile(self, model):
        from abaw_tf.keras_metrics import ConcordanceCorrelation
        from abaw_tf.losses import MaskedMeanSquaredError

        model.compile(
            optimizer=keras.optimizers.RMSprop(self.learning_rate),
            loss={"valence_arousal": MaskedMeanSquaredError()},
            weighted_metrics={"valence_arousal": [ConcordanceCorrelation(dimensions=2, name="ccc")]},
        )
