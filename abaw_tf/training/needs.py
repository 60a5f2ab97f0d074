"""What a recipe can ask of the runner: plain declarations, so that a model never has to know how data are read."""

from dataclasses import dataclass, field


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
    """

    store: str
    fill: str = "previous"
    run: str = ""
    layer: str = ""


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
    """

    size: int
    stride: int
    target: str = "frames"
    tail: str = "last"
    across_gaps: bool = False
    missing_image: str = "black"


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
        Draw the classes in turn instead of every frame once: single frames, or windows by the class of their last frame.
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
