"""What a recipe can ask of the runner: plain declarations, so that a model never has to know how data are read."""

from dataclasses import dataclass, field

from abaw_tf.data.balance import MODES, RULES
from abaw_tf.labels import check_option
from abaw_tf.media.voice_separation import VOICES
from abaw_tf.targets import SOUND_TARGETS

CLASS_WEIGHTS = ("none", *RULES)
EPOCH_LENGTHS = MODES
"""How often a class is drawn in an epoch of balanced sampling: the modes of :func:`abaw_tf.data.balance.balanced_indices`."""


@dataclass(frozen=True)
class Images:
    """A model input of face crops, uint8 or float RGB in 0–255.

    Attributes
    ----------
    size : int
        Height and width in pixels to which each crop is resized.
    kind : str
        Which crops: ``"cropped_aligned"`` or ``"cropped"``.
    """

    size: int
    kind: str = "cropped_aligned"


@dataclass(frozen=True)
class Track:
    """A model input of stored feature tracks, one row per frame.

    Attributes
    ----------
    store : str
        Name of the feature store that the caller hands to the runner (unless `run` is given).
    fill : str
        What stands in for a frame without a face, or without sound: ``"previous"``, ``"zeros"``, or ``"nan"``, which the model must take.
    run, layer : str
        Run folder of a trained model, and the layer of it whose output is the track; the runner then computes the store.
    layers : tuple of str
        Layers between which the recipe tells apart: of a store that is given, another of them than `layer` is refused.
    extractor : {"", "frame_audio", "openface"}
        What the runner computes the store with, in the folder of the run, where neither a store nor a run is given: the sound around every
        frame, or what OpenFace has measured.
    kind : str
        Which crops it was made from, as of `Images`: frames without one count as missing.
    context : bool
        Whether the input has the context of the windows, or their own frames alone.
    optional : bool
        Whether a trial of which the track has no row at all is predicted from the other inputs: it is NaN here, which the model must take.
    """

    store: str
    fill: str = "previous"
    run: str = ""
    layer: str = ""
    layers: tuple[str, ...] = ()
    extractor: str = ""
    kind: str = "cropped_aligned"
    context: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Sound:
    """A model input of mono sound in windows by time, (batch, round(seconds · rate)) samples in [-1, 1]; the only input of its model.

    Labels are taken `label_rate` times a second, each from the nearest frame; windows begin and end with such an instant.

    Attributes
    ----------
    rate : int
        Samples per second, to which every sound is resampled.
    seconds, step : float
        Length of a window, and from one window's start to the next; whole multiples of 1 / `label_rate`.
    label_rate : float
        Labels per second.
    target : {"window", "steps"}
        One target per window, the majority of its labels (of valence and arousal their mean); or one per label (sequence to sequence).
    voice : {"mixture", "vocals"}
        The sound of the video, or the voice that has been separated from it, see :mod:`abaw_tf.media.voice_separation`.

    Raises
    ------
    ValueError
        A value is out of range.
    """

    rate: int
    seconds: float
    step: float
    label_rate: float = 5.0
    target: str = "window"
    voice: str = "mixture"

    def __post_init__(self):
        check_option("target", self.target, SOUND_TARGETS)
        check_option("voice", self.voice, VOICES)
        if self.rate < 1 or self.label_rate <= 0 or not 0 < self.step <= self.seconds:
            raise ValueError(
                "sound windows need a positive rate and label_rate, and 0 < step <= seconds. "
                f"Received: rate={self.rate}, label_rate={self.label_rate}, step={self.step}, seconds={self.seconds}"
            )
        for name in ("seconds", "step"):
            count = getattr(self, name) * self.label_rate
            if round(count) < 1 or abs(count - round(count)) > 1e-6:
                raise ValueError(
                    f"`{name}` of sound windows must be a whole number of labels, a multiple of {1 / self.label_rate:g} s. "
                    f"Received: {name}={getattr(self, name)}"
                )

    @property
    def samples(self) -> int:
        """Samples per window."""
        return round(self.seconds * self.rate)

    @property
    def size(self) -> int:
        """Labels per window."""
        return round(self.seconds * self.label_rate)

    @property
    def stride(self) -> int:
        """Labels from one window's start to the next."""
        return round(self.step * self.label_rate)


@dataclass(frozen=True)
class Windows:
    """Runs of consecutive frames instead of single frames.

    Attributes
    ----------
    size, stride : int
        Frames per window, and frames from one window's start to the next.
    target : str
        ``"frames"``: one target per frame (sequence to sequence); ``"last"``: that of the window's last frame (causal blocks).
    tail : str
        The frames after a run's last whole window: ``"last"``, ``"short"`` or ``"drop"``, see `abaw_tf.data.windows.sliding_windows`.
    across_gaps : bool
        Whether windows span holes in the frame numbers.
    missing_image : {"black", "skip"}
        Whether frames without a crop are frames of a window (black, or filled in tracks), or do not count.
    context : int
        Further frames in front of a window, seen but without targets; where a run does not reach back so far, its first frame repeated.
    """

    size: int
    stride: int
    target: str = "frames"
    tail: str = "last"
    across_gaps: bool = False
    missing_image: str = "black"
    context: int = 0


@dataclass(frozen=True)
class Balance:
    """How a skewed class distribution is countered in training (never in validation).

    Attributes
    ----------
    every : dict of str to int
        Keep every k-th frame of a class, per video; classes not named are kept whole.
    log_weight_ratio : float, optional
        r of the class weights max(1, ln(r·N/n_i)); ``None`` for no such weights.
    class_weights : {"none", "balanced", "max"}
        Weights in inverse proportion to the size of a class instead, see :func:`abaw_tf.data.balance.inverse_class_weights`.
    class_balanced : bool
        Draw the classes in turn instead of every frame once: single frames; windows by the class of their last frame, or, where they have
        a target per frame, by the rarest of their classes.
    epoch_length : {"average", "max", "min"}
        How often a class is then drawn in an epoch, see :func:`abaw_tf.data.balance.balanced_indices`.
    """

    every: dict[str, int] = field(default_factory=dict)
    log_weight_ratio: float | None = None
    class_weights: str = "none"
    class_balanced: bool = False
    epoch_length: str = "average"

    def __post_init__(self):
        check_option("class_weights", self.class_weights, CLASS_WEIGHTS)
        if self.class_weights != "none" and self.log_weight_ratio is not None:
            raise ValueError(
                "class weights are either logarithmic or in inverse proportion. "
                f"Received: class_weights={self.class_weights!r}, log_weight_ratio={self.log_weight_ratio}"
            )


@dataclass(frozen=True)
class Augmentation:
    """Random image transforms in training.

    Attributes
    ----------
    rotation : float
        Largest rotation to either side, degrees.
    flip : bool
        Mirror half of the images left to right.
    brightness : (float, float)
        Range of the factor that multiplies all pixel values.
    shift : float
        Largest shift in either direction, as a share of width and height.
    scale : float
        Largest change of size: factors from 1 - scale to 1 + scale.
    share : float
        Share of the images that are rotated, resized and shifted.
    centre : float
        Side of the central part of every image that is kept and enlarged, as a share of the image's side.
    border : str
        What is seen beyond the picture: ``"nearest"`` (its border pixels) or ``"reflect"`` (its mirror image).
    """

    rotation: float = 0.0
    flip: bool = False
    brightness: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    scale: float = 0.0
    share: float = 1.0
    centre: float = 1.0
    border: str = "nearest"
