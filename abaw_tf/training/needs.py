"""What a recipe can ask of the runner: plain declarations, so that a model never has to know how data are read."""

from dataclasses import dataclass, field

EPOCH_LENGTHS = ("average", "max", "min")
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
        What stands in for a frame without a face: ``"previous"`` or ``"zeros"``.
    run, layer : str
        Run folder of a trained model, and the layer of it whose output is the track; the runner then computes the store.
    extractor : {"", "frame_audio", "openface"}
        What the runner computes the store with, in the folder of the run, where neither a store nor a run is given: the sound around every
        frame, or what OpenFace has measured.
    kind : str
        Which crops it was made from, as of `Images`: frames without one count as missing.
    context : bool
        Whether the input has the context of the windows, or their own frames alone.
    """

    store: str
    fill: str = "previous"
    run: str = ""
    layer: str = ""
    extractor: str = ""
    kind: str = "cropped_aligned"
    context: bool = True


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
        r of the class weights max(1, ln(r·N/n_i)); ``None`` for no weights.
    class_balanced : bool
        Draw the classes in turn instead of every frame once: single frames; windows by the class of their last frame, or, where they have
        a target per frame, by the rarest of their classes.
    epoch_length : {"average", "max", "min"}
        How often a class is then drawn in an epoch, see :func:`abaw_tf.data.balance.balanced_indices`.
    """

    every: dict[str, int] = field(default_factory=dict)
    log_weight_ratio: float | None = None
    class_balanced: bool = False
    epoch_length: str = "average"


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
