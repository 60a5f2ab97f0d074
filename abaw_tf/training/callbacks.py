"""Keras callbacks that make a training resumable: what happens in an epoch depends on the seed and the epoch's number alone."""

import csv
import json
import time

import keras
import numpy as np

from abaw_tf.files import replacing
from abaw_tf.training.run import RunError


class Replayable(keras.callbacks.Callback):
    """A callback whose state is a function of the history, such as a schedule that looks at past scores.

    A resumed run calls `replay` with the rows of the finished epochs, before training goes on. Weights and optimiser
    variables are restored by then.
    """

    def replay(self, history):
        """Bring the state to the end of the epochs in `history`, a list of ``{"epoch": …, "loss": …, …}``."""
        raise NotImplementedError


class Reseed(keras.callbacks.Callback):
    """Set the state of all random layers (dropout, noise) from (seed, epoch) when an epoch begins."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for number, state in enumerate(states):
            words = np.random.SeedSequence([self.seed, epoch, number]).generate_state(2, np.uint32)
            state.assign(words.astype(np.uint32))


class Recorder(keras.callbacks.Callback):
    """Keep history, checkpoint and best model of a run, and stop when the score no longer gets better.

    After each epoch the weights and the optimiser go to ``checkpoint/epoch-NNNN.weights.h5``, and one small file,
    ``checkpoint/state.json``, is replaced as a whole: it names that checkpoint and holds the history. A run killed at any
    moment goes on from the last epoch that this file knows.

    Parameters
    ----------
    run : Run
        Where to keep it.
    fingerprint : str
        Identifies the training data; a run does not go on with others.
    """

    def __init__(self, run, fingerprint):
        super().__init__()
        self.run, self.recipe, self.fingerprint = run, run.recipe, fingerprint
        self.folder = run.folder / "checkpoint"
        self.state_path = self.folder / "state.json"
        self.history, self.seconds, self._began = [], 0.0, None

    def restore(self, model):
        """Load the last checkpoint into a compiled model; return the number of finished epochs.

        Raises
        ------
        RunError
            The checkpoint is of other data.
        """
        if not self.state_path.is_file():
            return 0
        state = json.loads(self.state_path.read_text(encoding="utf-8"))
        if state["fingerprint"] != self.fingerprint:
            raise RunError(
                f"{self.run.folder}: this run was started on other training data (frames, labels or tracks differ); use another "
                "run folder, or restore the data"
            )
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / state["checkpoint"])
        self.history, self.seconds = state["history"], state["seconds"]
        self._write_history()
        return len(self.history)

    @property
    def best_epoch(self):
        """Number of the epoch with the best monitored value, the first at a tie; None before the first with a finite one."""
        sign = 1.0 if self.recipe.mode == "min" else -1.0
        values = [sign * row[self.recipe.monitor] for row in self.history]
        finite = [value if np.isfinite(value) else np.inf for value in values]
        return int(np.argmin(finite)) if finite and np.isfinite(min(finite)) else None

    @property
    def done(self):
        """Whether all epochs are over, or as many without improvement as the recipe has patience for."""
        if len(self.history) >= self.recipe.epochs:
            return True
        since = len(self.history) - 1 - (self.best_epoch if self.best_epoch is not None else -1)
        return since >= self.recipe.patience

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {key: float(value) for key, value in (logs or {}).items()}
        if self.recipe.monitor not in logs:
            raise RunError(
                f"`monitor` must be a quantity of the history ({', '.join(logs)}). Received: {self.recipe.monitor!r}"
            )
        if not np.isfinite(logs["loss"]):
            raise RunError(
                f"the loss of epoch {epoch} is {logs['loss']}; lower the learning rate, or use precision=float32"
            )
        self.history.append({"epoch": epoch, **logs})
        self.seconds += time.perf_counter() - self._began
        if self.best_epoch == epoch:
            with replacing(self.run.model_path) as path:
                self.model.save(path)
        self._commit(f"epoch-{epoch:04d}.weights.h5")
        self._write_history()
        if self.done:
            self.model.stop_training = True

    def _commit(self, name):
        with replacing(self.folder / name) as path:
            self.model.save_weights(path)
        state = {
            "fingerprint": self.fingerprint,
            "checkpoint": name,
            "seconds": self.seconds,
            "history": self.history,
        }
        with replacing(self.state_path) as path:
            path.write_text(json.dumps(state), encoding="utf-8")
        for old in self.folder.glob("epoch-*.weights.h5"):
            if old.name != name:
                old.unlink()

    def _write_history(self):
        with replacing(self.run.history_path) as path, open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)


class ChallengeScore(keras.callbacks.Callback):
    """Add ``val_score`` to the history: the mean of the challenge's scores of the tasks that a multitask model has.

    These are the metric ``expression_score``, and the mean of the metrics ``ccc`` of valence and arousal. No metric of one output could be
    their mean, and Keras has none of several.
    """

    def on_epoch_end(self, epoch, logs=None):
        # Keras puts the output's name in front of a metric's where there are several outputs.
        tasks = ("expression_score", "ccc")
        values = [[logs[key] for key in logs if key.startswith("val_") and key.endswith(task)] for task in tasks]
        found = [np.mean(scores) for scores in values if scores]
        if not found:
            raise RunError(
                "no score of the challenge is in the history: compile the model with ExpressionScore or ConcordanceCorrelation among its "
                f"weighted metrics. Received: {', '.join(logs)}"
            )
        logs["val_score"] = float(np.mean(found))
