"""What the recipes of networks on windows of sound share: the geometry of the windows, class weights, loss and metrics."""

from dataclasses import dataclass

from abaw_tf.training.fields import RecipeError
from abaw_tf.training.needs import Balance, Sound
from abaw_tf.training.recipe import KerasRecipe


@dataclass(frozen=True)
class SoundRecipe(KerasRecipe):
    """Recipe of an expression network on windows of sound.

    Attributes
    ----------
    sample_rate : int
        Samples per second: 16,000 (paper).
    window_seconds : float
        Length of a window.
    step_seconds : float
        From one window's start to the next.
    label_rate : float
        Labels per second: 5 (paper, §3.2.2), each that of the nearest frame.
    target : str
        ``"window"``: one label per window, its most frequent one; ``"steps"``: one per label (sequence to sequence).
    voice : str
        ``"vocals"``: the voice that a separator has taken out of the sound (paper: Spleeter), which must be there already, see
        :mod:`abaw_tf.media.voice_separation`; or ``"mixture"``: the sound as it is.
    class_weights : str
        ``"balanced"``: N / (K·n_i); ``"max"``: max(n) / n_i; ``"none"``; counted on the windows.
    """

    sample_rate: int = 16000
    window_seconds: float = 4.0
    step_seconds: float = 2.0
    label_rate: float = 5.0
    target: str = "window"
    voice: str = "vocals"
    class_weights: str = "none"

    def __post_init__(self):
        super().__post_init__()
        try:
            self.inputs()
            self.balance()
        except ValueError as error:
            raise RecipeError(str(error)) from None

    def inputs(self):
        return {
            "sound": Sound(
                self.sample_rate, self.window_seconds, self.step_seconds, self.label_rate, self.target, self.voice
            )
        }

    def balance(self):
        return Balance(class_weights=self.class_weights)

    def optimizer(self):
        """Return the optimiser."""
        raise NotImplementedError

    def compile(self, model):
        from abaw_tf.keras_metrics import compile_expression
        from abaw_tf.losses import MaskedSparseCategoricalCrossentropy

        loss = MaskedSparseCategoricalCrossentropy()
        compile_expression(model, self.optimizer(), len(self.classes), self.edition, loss)
