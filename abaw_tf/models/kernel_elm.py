"""Model 3 of Dresvyanskiy et al. (2020): functionals of VGG-FER features over short windows, told apart by a kernel ELM.

References
----------
D. Dresvyanskiy et al., arXiv 2010.03692, 2020, §3.1.2. Their code of this model is not published; "JCS" is that of earlier systems,
which the paper says it follows: github.com/frkngrpnr/jcs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from abaw_tf.features.functionals import majority_label, mean_and_std
from abaw_tf.models.kernel_elm_estimator import KERNELS, KernelELM
from abaw_tf.training.fields import RecipeError, check_choices
from abaw_tf.training.needs import Track
from abaw_tf.training.recipe import EstimatorRecipe

LAYERS = ("fc6", "relu6")


@dataclass(frozen=True)
class KernelElmRecipe(EstimatorRecipe):
    """Recipe of the kernel ELM. What the paper leaves open (window length, kernel, cost, normalisation) is our choice.

    Windows of 2 s that do not overlap (paper: "e.g. 2s-4s"); a frame has the probabilities of its window; frames without a face take the
    features of the previous one.

    Attributes
    ----------
    vgg_fer_run : str
        Run folder of a trained `vgg_fer`, whose 4096-d `layer` gives the features; empty: the caller hands the runner a feature store
        named ``vgg_fer``, such as ``tools/extract_features.py`` makes with the published network.
    layer : str
        Of the run. ``"fc6"``: before the ReLU (JCS); ``"relu6"``: after it, the 33rd layer of the paper if counted literally.
    ddof : int
        Of the standard deviation: 0 (our choice, as in model 2) or 1 (JCS).
    C : float or "auto"
        Cost; ``"auto"`` takes the best one of 10^-4 … 10^2 on held-out videos (our choice).
    kernel : str
        ``"linear"`` (JCS's default), ``"rbf"`` or ``"poly"``.
    gamma : float, optional
        Of the kernel; by default 1, or without `normalize` 1 / number of functionals.
    class_weight : float or "balanced", optional
        Weighted ELM; a number is the ratio r of the paper's eq. 1. None (the paper has weights in its other models only).
    normalize : bool
        Each functional to mean 0 and variance 1, then each window to norm 1 (our choice).
    """

    name = "kernel_elm"
    runs: ClassVar = {"vgg_fer_run": "vgg_fer"}
    # The synthetic trials are seconds long: windows of 2 s would be too few.
    presets: ClassVar = {"paper": {}, "small": {"window_seconds": 0.5}}

    window_seconds: float = 2.0
    overlap: float = 0.0
    vgg_fer_run: str = ""
    layer: str = "fc6"
    ddof: int = 0
    C: float | str = "auto"
    kernel: str = "linear"
    gamma: float | None = None
    class_weight: float | str | None = None
    normalize: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_choices(self, layer=LAYERS, kernel=KERNELS)
        for key, word in (("C", "auto"), ("class_weight", "balanced")):
            value = getattr(self, key)
            if value not in (word, None) and (isinstance(value, str) or not 0 < value < np.inf):
                raise RecipeError(f'`{key}` must be a positive number or "{word}". Received: {key}={value!r}')
        if self.gamma is not None and not 0 < self.gamma < np.inf:
            raise RecipeError(f"`gamma` must be positive. Received: gamma={self.gamma}")
        if self.ddof not in (0, 1):
            raise RecipeError(f"`ddof` must be 0 or 1. Received: ddof={self.ddof}")

    def track(self):
        return Track("vgg_fer", run=self.vgg_fer_run, layer=self.layer, layers=LAYERS)

    def functionals(self, track, windows):
        return mean_and_std(track, windows, self.ddof)

    def window_labels(self, labels, windows):
        return majority_label(labels, windows)

    def build(self):
        return KernelELM(
            self.C, self.kernel, self.gamma, self.class_weight, normalize=self.normalize, random_state=self.seed
        )

    @staticmethod
    def load(path):
        return KernelELM.load(path)
