"""Recipes: one frozen dataclass per published system, with presets, YAML in and out, and helpful refusals.

A recipe says everything that distinguishes one training from another except where the data lie. It *declares* what it
needs (`abaw_tf.training.needs`); the runner wires it. Recipes are found in the modules of `abaw_tf.models`: adding a
system means adding one file there.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from abaw_tf.training.fields import RecipeError, coerce, plain, refusal, unknown
from abaw_tf.training.needs import Augmentation, Balance, Images, Sound, Track, Windows
from abaw_tf.training.registry import RECIPES

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Recipe:
    """What all recipes share. The field defaults of a recipe are its preset ``"paper"``.

    Attributes
    ----------
    preset : str
        Name of the preset from which the values were taken.
    edition : str
        Edition of the challenge (``abaw_tf.labels.EDITIONS``): it fixes the classes and the score.
    seed : int
        Seed of weight initialisation, shuffling, augmentation and dropout. Our choice: 0.
    """

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}}
    dataset: ClassVar[str] = "affwild2"  # what it is trained on: "affwild2", or "faces" (AffectNet, RAF-DB)
    runs: ClassVar[Mapping[str, str]] = {}  # fields that name the run folder of another recipe, and that recipe

    preset: str = "paper"
    edition: str = "abaw2"
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            expected = typing.get_type_hints(type(self))[field.name]
            object.__setattr__(self, field.name, coerce(getattr(self, field.name), expected, f"`{field.name}`"))
        if self.preset not in self.presets:
            raise RecipeError(f"{unknown('preset', self.preset, self.presets)} of recipe `{self.name}`")
        from abaw_tf.labels import edition

        edition(self.edition)

    @property
    def classes(self) -> tuple[str, ...]:
        """Expression classes of the edition, in the official order."""
        from abaw_tf.labels import edition

        return edition(self.edition).classes

    def replace(self, **changes) -> "Recipe":
        """Return a copy with some fields changed; an unknown field raises `RecipeError` with a suggestion."""
        for key in changes:
            _check_field(type(self), key)
        return dataclasses.replace(self, **changes)

    @staticmethod
    def from_preset(name: str, preset: str = "paper", **changes) -> "Recipe":
        """Return recipe `name` with the values of `preset`, some fields changed.

        Parameters
        ----------
        name : str
            A key of `RECIPES`, for example ``"frame_cnn"``.
        preset : str
            A key of the recipe's ``presets``.
        **changes
            Values of single fields.

        Raises
        ------
        RecipeError
            Unknown recipe, preset, field, or a value of the wrong type.

        Examples
        --------
        >>> Recipe.from_preset("frame_cnn", "small", epochs=2).epochs
        2
        """
        cls = RECIPES[name]
        if preset not in cls.presets:
            raise RecipeError(f"{unknown('preset', preset, cls.presets)} of recipe `{name}`")
        for key in changes:
            _check_field(cls, key)
        return cls(**{"preset": preset, **cls.presets[preset], **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"recipe": name, field: value, …}`` with plain lists, dictionaries, strings and numbers."""
        return {"recipe": self.name, **plain(dataclasses.asdict(self))}

    def to_yaml(self, path: str | Path | None = None) -> str:
        """Return the recipe as YAML text, and write it to `path` if given."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @staticmethod
    def from_yaml(path: str | Path) -> "Recipe":
        """Read a recipe; fields that the file does not name come from its preset.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        RecipeError
            No valid YAML, unknown recipe, preset or field, or a value that does not fit; names the file and the line.
        """
        path = Path(path)
        text = path.read_text(encoding="utf-8")
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"{path}: not valid YAML: {error}") from error
        if not isinstance(content, dict) or "recipe" not in content:
            raise RecipeError(
                f"{path}: a recipe file is a mapping with the key `recipe` (one of {', '.join(RECIPES)}) "
                f"and any fields of that recipe. Received: {str(content)[:80]}"
            )
        lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
        name, preset = content.pop("recipe"), content.pop("preset", "paper")
        try:
            try:
                recipe = Recipe.from_preset(name, preset)
            except RecipeError as error:
                line = lines["recipe"] if name not in RECIPES else lines.get("preset", lines["recipe"])
                raise RecipeError(f"{path}, line {line}: {error}") from None
            fields = {str(key): value for key, value in content.items()}
            try:
                recipe = recipe.replace(**fields)  # together: what fits depends on other fields, whatever their order
            except ValueError as error:
                wrong = [key for key, value in fields.items() if refusal(recipe, key, value) == str(error)]
                raise RecipeError(f"{path}{f', line {lines[wrong[0]]}' if wrong else ''}: {error}") from None
        except TypeError as error:
            raise RecipeError(f"{path}: {error}") from error
        return recipe


@dataclass(frozen=True)
class KerasRecipe(Recipe):
    """A system that is a Keras model, trained by gradient descent on frames or windows.

    Attributes
    ----------
    batch_size : int
        Frames (or windows) per step.
    epochs : int
        Largest number of passes over the training frames.
    patience : int
        Epochs without a better `monitor` after which training ends.
    monitor : str
        Quantity that selects the epoch to keep, as in the history: ``val_loss``, ``val_macro_recall`` …
    mode : str
        ``"min"`` or ``"max"``: which way `monitor` is better.
    precision : str
        Keras dtype policy: ``float32`` (our choice), ``mixed_float16``, ``mixed_bfloat16``.
    batch_norm_momentum : float, optional
        Of all batch normalisations; by default that of the published network. Keras' .99 keeps 60 % of the arbitrary
        first statistics after 50 steps, and so spoils the validation scores of a short training: it needs a smaller one.
    """

    batch_size: int = 32
    epochs: int = 60
    patience: int = 6
    monitor: str = "val_loss"
    mode: str = "min"
    precision: str = "float32"
    batch_norm_momentum: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.batch_norm_momentum is not None and not 0 <= self.batch_norm_momentum < 1:
            raise RecipeError(
                "`batch_norm_momentum` must be from 0 to below 1. "
                f"Received: batch_norm_momentum={self.batch_norm_momentum}"
            )
        for name in ("batch_size", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise RecipeError(f"`{name}` must be at least 1. Received: {name}={getattr(self, name)}")
        for name, known in (("mode", ("min", "max")), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise RecipeError(unknown(f"`{name}`", getattr(self, name), known))
        if self.monitor.endswith("loss") and self.mode == "max":
            raise RecipeError(
                f"a loss is better where it is smaller: give mode='min' with it. Received: monitor={self.monitor!r}, mode='max'"
            )
        if not self.monitor.startswith("val_"):
            raise RecipeError(f"`monitor` must be measured on validation: `val_…`. Received: monitor={self.monitor!r}")

    def inputs(self) -> Mapping[str, Images | Track | Sound]:
        """Return what each model input is fed with, by input name."""
        raise NotImplementedError

    def outputs(self) -> tuple[str, ...]:
        """Return the model's outputs, of ``expression``, ``valence``, ``arousal``, ``valence_arousal``, ``va_vector``."""
        return ("expression",)

    def needs_every_label(self) -> bool:
        """Return whether frames that lack the label of some output are left out of training and validation, not just masked."""
        return False

    def windows(self) -> Windows | None:
        """Return the window geometry; ``None`` for single frames."""
        return None

    def prediction_windows(self) -> tuple[Windows | None, int]:
        """Return the window geometry, and the windows per batch, outside training, where targets and classes do not matter."""
        return self.windows(), self.batch_size

    def balance(self) -> Balance:
        """Return how the training frames are balanced."""
        return Balance()

    def augmentation(self) -> Augmentation | None:
        """Return the random transforms of training images; ``None`` for none."""
        return None

    def build(self):
        """Return the `keras.Model`: inputs named as in `inputs`, outputs a dictionary with the keys of `outputs`."""
        raise NotImplementedError

    def adapt(self, model, inputs) -> None:
        """Set what a new model takes from the training data before it is trained, such as mean and variance.

        Parameters
        ----------
        model : keras.Model
            From `build`.
        inputs : tf.data.Dataset
            Batches of the inputs of the training frames by name, in order, one pass.
        """

    def compile(self, model) -> None:
        """Compile `model` with the system's optimiser, losses and (weighted) metrics."""
        raise NotImplementedError

    def callbacks(self) -> list:
        """Return further Keras callbacks (schedules, unfreezing); see `abaw_tf.training.callbacks.Replayable`."""
        return []


@dataclass(frozen=True)
class EstimatorRecipe(Recipe):
    """A system that is a scikit-learn estimator on functionals of windows of one feature track.

    Attributes
    ----------
    window_seconds : float
        Length of a window, s.
    overlap : float
        Share of a window that it has in common with the next one.
    """

    window_seconds: float = 4.0
    overlap: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if self.window_seconds <= 0 or not 0 <= self.overlap < 1:
            raise RecipeError(
                "windows need window_seconds > 0 and 0 <= overlap < 1. "
                f"Received: window_seconds={self.window_seconds}, overlap={self.overlap}"
            )

    def track(self) -> Track:
        """Return the feature track that the estimator reads."""
        raise NotImplementedError

    def functionals(self, track, windows):
        """Return the (n_windows, n_features) functionals of a (n_frames, dim) track over (n_windows, 2) start/stop."""
        raise NotImplementedError

    def window_labels(self, labels, windows):
        """Return the (n_windows,) class per window, -1 where it has none, from (n_frames,) labels."""
        raise NotImplementedError

    def build(self):
        """Return the unfitted estimator, with ``fit(X, y, groups)``, ``predict_proba`` and ``save(path)``."""
        raise NotImplementedError

    @staticmethod
    def load(path):
        """Return the fitted estimator that ``save(path)`` wrote."""
        raise NotImplementedError


def _check_field(cls: type[Recipe], key: str) -> None:
    known = [field.name for field in dataclasses.fields(cls)]
    if key not in known:
        raise RecipeError(f"{unknown(f'field of recipe `{cls.name}`', key, known)}")
