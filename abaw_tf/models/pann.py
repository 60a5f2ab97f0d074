"""Model 5 of Dresvyanskiy et al. (2020): CNN14, trained on the sounds of AudioSet, fine-tuned to tell the expression of a voice.

References
----------
D. Dresvyanskiy, E. Ryumina, H. Kaya, M. Markitantov, A. Karpov, W. Minker, "An Audio-Video Deep and Transfer Learning Framework
for Multimodal Emotion Recognition in the wild", arXiv 2010.03692, 2020, §3.2.3. Where it is silent or differs, "code" means the notebook
that the authors published.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras

from abaw_tf.backbones.cnn14 import FRONT_ENDS, MISMATCHES, WIDTHS, build_cnn14
from abaw_tf.training.fields import RecipeError
from abaw_tf.training.sound_recipe import SoundRecipe


def build_pann(
    n_classes=7,
    samples=48000,
    sample_rate=16000,
    weights=None,
    widths=WIDTHS,
    embedding=2048,
    mismatch=None,
    spec_augment=(64, 8),
    name="pann",
):
    """Build CNN14 with a softmax over the expressions in place of its 527 sounds; every layer is trained.

    Parameters
    ----------
    n_classes : int
        Expression classes: 7, or 8 in the third edition.
    samples : int
        Length of a window: 48,000, 3 s at 16 kHz (paper).
    sample_rate, weights, widths, embedding, mismatch, spec_augment
        See :func:`abaw_tf.backbones.cnn14.build_cnn14`. Stripes that together can silence a whole window are refused.
    name : str
        Name of the model.

    Returns
    -------
    keras.Model
        ``sound`` (batch, samples), float32 in [-1, 1], to ``{"expression": (batch, n_classes)}`` probabilities in the official class order,
        float32 under any dtype policy. 79,688,135 trainable parameters at the defaults.

    Raises
    ------
    ValueError
        An argument is out of range, or the weight file does not fit.
    FileNotFoundError
        The weights are not on this machine.
    """
    if n_classes < 2:
        raise ValueError(f"`n_classes` must be at least 2. Received: n_classes={n_classes}")
    trunk = build_cnn14(n_classes, sample_rate, samples, widths, embedding, "softmax", weights, mismatch, spec_augment)
    if spec_augment is not None:
        _check_stripes(trunk.get_layer("spec_augment"))
    return keras.Model({"sound": trunk.input}, {"expression": trunk.output}, name=name)


def _check_stripes(augmentation):
    """Refuse stripes that leave nothing: a network that is trained on silence learns nothing and does not say so."""
    frames, widest = augmentation.input.shape[1], augmentation.time_width - 1
    if frames is not None and augmentation.stripes * widest >= frames:
        raise ValueError(
            f"`spec_augment` can silence all {frames} frames of a window ({augmentation.stripes} stripes of up to {widest}): give narrower "
            f"stripes, or None. Received: spec_augment={(augmentation.time_width, augmentation.band_width)}"
        )


@dataclass(frozen=True)
class PannRecipe(SoundRecipe):
    """Recipe of the fine-tuned CNN14. Defaults: the paper; ``published_code``: what the authors' notebook does instead.

    The notebook's windows are centred on each label and mirrored at the ends of the sound; here windows lie within the sound, and a label's
    prediction is the mean of the windows that cover it.

    Attributes
    ----------
    sample_rate : int
        16,000 (paper: the vocals' rate), or 32,000.
    weights : str, optional
        ``"cnn14_16k"``: the checkpoint for sound of 16 kHz (our choice: the paper does not say); the code loads ``"cnn14_32k"``, and hears
        everything an octave too high. None for random weights.
    mismatch : str, optional
        ``"dresvyanskiy2020"``: allow and reproduce that, see :func:`abaw_tf.backbones.cnn14.build_cnn14`.
    spec_augment : (int, int), optional
        In training two stripes of so many frames and two of so many bands are silenced at most: (64, 8), as the published CNN14 does when
        it is trained. None: nothing is.
    widths : tuple of six int
        Filters of the blocks: those of CNN14 (paper).
    embedding : int
        Units of the last hidden layer: those of CNN14, 2048 (paper).
    window_seconds : float
        3 s (paper, code).
    step_seconds : float
        1 s (paper); .2 s in the code.
    learning_rate : float
        Of Adam: 1e-4 (code).
    amsgrad : bool
        On (code).
    """

    name = "pann"
    presets: ClassVar = {
        "paper": {},
        "published_code": {"weights": "cnn14_32k", "mismatch": "dresvyanskiy2020", "step_seconds": 0.2, "seed": 12},
        # The same graph, narrow and from scratch. The expressions of the synthetic dataset last about a second; stripes would silence
        # most of it. From scratch and on its dozen voices the network stays at chance: the preset shows that everything runs.
        "small": {
            "voice": "mixture",
            "weights": None,
            "spec_augment": None,
            "widths": (8, 16, 16, 32, 32, 64),
            "embedding": 64,
            "window_seconds": 1.2,
            "step_seconds": 0.2,
            "batch_size": 20,
            "learning_rate": 2e-3,
            "epochs": 30,
            "patience": 30,
        },
    }

    # The code selects epoch 45 of 50 by the score on validation; batch size and number of epochs are its own, too.
    batch_size: int = 128
    epochs: int = 50
    patience: int = 50
    monitor: str = "val_expression_score"
    mode: str = "max"
    window_seconds: float = 3.0
    step_seconds: float = 1.0
    class_weights: str = "max"  # code
    weights: str | None = "cnn14_16k"
    mismatch: str | None = None
    spec_augment: tuple[int, int] | None = (64, 8)
    widths: tuple[int, int, int, int, int, int] = WIDTHS
    embedding: int = 2048
    learning_rate: float = 1e-4
    amsgrad: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.target != "window":
            raise RecipeError(f"CNN14 says one thing per window: target='window'. Received: target={self.target!r}")
        for key, allowed in (("sample_rate", tuple(FRONT_ENDS)), ("mismatch", (None, *MISMATCHES))):
            if getattr(self, key) not in allowed:
                known = ", ".join(map(repr, allowed))
                raise RecipeError(f"`{key}` must be one of {known}. Received: {key}={getattr(self, key)!r}")

    def build(self):
        return build_pann(
            n_classes=len(self.classes),
            samples=self.inputs()["sound"].samples,
            sample_rate=self.sample_rate,
            weights=self.weights,
            widths=self.widths,
            embedding=self.embedding,
            mismatch=self.mismatch,
            spec_augment=self.spec_augment,
        )

    def optimizer(self):
        return keras.optimizers.Adam(self.learning_rate, amsgrad=self.amsgrad)
