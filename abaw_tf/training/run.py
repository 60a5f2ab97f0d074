"""A run folder: everything about one training, and enough to go on with it or to predict with it.

=====================  =================================================================================
``recipe.yaml``        the recipe, all fields
``run.json``           the run card: versions, data, scores, times
``history.csv``        one row per epoch (Keras models)
``best.keras``         the model of the selected epoch; ``estimator.npz`` for estimators
``validation.parquet`` predictions of every validation frame
``checkpoint/``        weights, optimiser and epoch from which training goes on; removed at the end
=====================  =================================================================================
"""

import datetime
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from abaw_tf.files import replacing
from abaw_tf.training.recipe import Recipe

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "pandas")


class RunError(ValueError):
    """A run folder that does not hold what is asked of it."""


class Run:
    """An existing run folder.

    Parameters
    ----------
    folder : path-like
        As returned by `abaw_tf.training.train`, or its path.

    Attributes
    ----------
    folder : Path
    recipe : Recipe

    Raises
    ------
    FileNotFoundError
        The folder does not exist or holds no recipe.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.recipe_path.is_file():
            near = sorted(str(path.parent) for path in self.folder.parent.glob("*/recipe.yaml"))
            hint = f"runs beside it: {', '.join(near[:5])}" if near else "train one with tools/train.py"
            raise FileNotFoundError(f"{self.folder}: not a run folder (it holds no recipe.yaml); {hint}")
        self.recipe = Recipe.from_yaml(self.recipe_path)

    def __repr__(self):
        return f"Run({str(self.folder)!r}): {self.recipe.name}, preset {self.recipe.preset}, {self.card.get('status')}"

    @classmethod
    def create(cls, folder, recipe):
        """Make the folder of a new run."""
        with replacing(Path(folder) / "recipe.yaml") as path:
            recipe.to_yaml(path)
        return cls(folder)

    @property
    def recipe_path(self):
        """The recipe, YAML."""
        return self.folder / "recipe.yaml"

    @property
    def card_path(self):
        """The run card, JSON."""
        return self.folder / "run.json"

    @property
    def history_path(self):
        """Losses and metrics of each epoch, CSV."""
        return self.folder / "history.csv"

    @property
    def predictions_path(self):
        """Predictions of the validation frames, parquet."""
        return self.folder / "validation.parquet"

    @property
    def model_path(self):
        """The trained Keras model, or the fitted estimator."""
        return self.folder / ("best.keras" if hasattr(self.recipe, "compile") else "estimator.npz")

    @property
    def card(self):
        """Content of the run card; empty before training has begun."""
        if not self.card_path.is_file():
            return {}
        try:
            return json.loads(self.card_path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise RunError(
                f"{self.card_path}: damaged run card; delete it and train again. Received: {error}"
            ) from error

    @property
    def begun(self):
        """Whether anything has been learned: an epoch, a model, or their predictions. (Tracks are the same for every recipe.)"""
        learned = (self.history_path, self.model_path, self.predictions_path, self.folder / "checkpoint" / "state.json")
        return any(path.exists() for path in learned)

    @property
    def finished(self):
        """Whether training came to its end."""
        return self.card.get("status") == "finished"

    def update_card(self, **entries):
        """Set entries of the run card."""
        content = {**self.card, **entries}
        with replacing(self.card_path) as path:
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")

    def load_model(self):
        """Load the trained `keras.Model` (not compiled), or the fitted estimator.

        Raises
        ------
        RunError
            Training has not got as far as a first model.
        """
        if not self.model_path.is_file():
            raise RunError(
                f"{self.model_path}: no trained model in this run yet; start the same training again, it resumes"
            )
        if not hasattr(self.recipe, "compile"):
            return self.recipe.load(self.model_path)
        import keras

        # Reading the recipe has imported the module in which the model's own layers are registered.
        return keras.saving.load_model(self.model_path, compile=False)


def environment():
    """Versions and machine, for the run card."""
    versions = {"python": platform.python_version()}
    for name in ("abaw_tf", *PACKAGES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "versions": versions,
        "commit": _commit(),
        "platform": f"{platform.system()} {platform.machine()}",
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _commit():
    """Commit of the toolkit where it is a git checkout, with ``+`` if files differ from it; None elsewhere."""
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
