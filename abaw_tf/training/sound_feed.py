"""What a network of sound windows is fed with: pieces of the videos' sound, labels at regular instants."""

import numpy as np

from abaw_tf.data import pipelines, sound_windows
from abaw_tf.data.windows import stitch, stitch_frames
from abaw_tf.features.waveforms import Waveforms, extract_waveforms
from abaw_tf.training.feeding import count_classes, identity, recipe_class_weights, without_prediction
from abaw_tf.training.needs import Sound
from abaw_tf.training.run import RunError


class SoundTraining:
    """Training and validation windows of a run; see `abaw_tf.training.feeding.Training`.

    Trials without sound are left out, and so are windows without any label, and those behind the end of the sound.
    """

    @property
    def counted(self):
        return "training_windows" if self.training.need.target == "window" else "training_labels"

    def __init__(self, run, dataset, train_table, validation_table):
        self.run, self.dataset, self.tables = run, dataset, (train_table, validation_table)
        for table, split in zip(self.tables, ("train", "validation")):
            if not pipelines.labelled(table, run.recipe.outputs()).any():
                raise _nothing_labelled(run.recipe, table, split)

    def open(self, stores, progress):
        recipe = self.run.recipe
        sounds = _open_sounds(self.run, self.dataset, self.tables, stores, progress)
        self.training, self.validation = (SoundFeed(recipe, table, sounds, labelled=True) for table in self.tables)
        for feed, split in ((self.training, "train"), (self.validation, "validation")):
            if not len(feed.spans):
                raise _nothing_labelled(recipe, feed.table, split)
        self.counts = count_classes(recipe, self.training.examples())
        self.class_weights = recipe_class_weights(recipe, self.counts)
        self.training.class_weights, self.training.training = self.class_weights, True
        self.tracks = self.training.tracks

    def findings(self):
        silent = {*self.training.soundless, *self.validation.soundless}
        heard = {trial for table in self.tables for trial in table["trial"].unique()} - silent
        found = {trial: self.training.sounds.findings(trial) for trial in sorted(heard)}
        return {"trials_without_sound": sorted(silent), "sound": {trial: said for trial, said in found.items() if said}}


class SoundFeed:
    """The pipeline of the sound of one frame table; see `abaw_tf.training.feeding.Feed`."""

    training, class_weights = False, None

    def __init__(self, recipe, table, sounds, labelled=False):
        ((self.name, self.need),) = recipe.inputs().items()
        self.recipe, self.sounds, need = recipe, sounds, self.need
        self.batch_size = recipe.batch_size if labelled else recipe.prediction_windows()[1]
        self.tracks = {self.name: identity(sounds.sounds)}
        self.soundless = [trial for trial in table["trial"].unique() if sounds.read(trial).is_absent]
        self.table = table[~table["trial"].isin(self.soundless)]
        if not len(self.table):
            raise RunError(
                f"none of the videos has sound, which is all that {recipe.name} hears. "
                f"Received: {table['trial'].nunique()} trials"
            )
        self.instants = sound_windows.instant_table(self.table, sounds.times, need.label_rate)
        # The tail is covered by a window that ends with the trial; one window is longer than a short trial.
        self.spans = pipelines.window_spans(self.instants, need.size, need.stride, tail="last")
        self.source = sound_windows.SoundSource(sounds.read, self.instants, need.rate, need.label_rate, need.samples)
        if labelled:
            known = sound_windows.labelled_windows(self.instants, self.spans, recipe.outputs())
            self.spans = self.spans[known & self.source.is_heard(self.spans[:, 0])]

    @classmethod
    def for_prediction(cls, run, dataset, table, stores, progress):
        return cls(run.recipe, table, _open_sounds(run, dataset, (table,), stores, progress))

    def check(self, model):
        wanted = model.input[self.name].shape[1]
        if wanted not in (None, self.need.samples):
            raise RunError(
                f"the model takes {wanted} samples as `{self.name}`: give the recipe the length and the rate of its windows. "
                f"Received: windows of {self.need.samples} samples"
            )

    def examples(self):
        """Table of what has a target: windows, or the instants that windows cover."""
        if self.need.target == "window":
            return sound_windows.window_table(self.instants, self.spans)
        covered = np.zeros(len(self.instants) + 1, np.int64)
        np.add.at(covered, self.spans[:, 0], 1)
        np.add.at(covered, self.spans[:, 1], -1)
        return self.instants[np.cumsum(covered)[:-1] > 0]

    def examples_per_epoch(self):
        balance = self.recipe.balance()
        return sound_windows.examples_per_epoch(
            self.instants,
            self.spans,
            self.need.target,
            balance.class_balanced,
            balance.epoch_length,
            self.recipe.outputs(),
        )

    def inputs_in_order(self):
        return self._batches(training=False).map(lambda inputs, targets, weights: inputs)

    def dataset(self, start_epoch=0):
        return self._batches(self.training, start_epoch)

    def _batches(self, training, start_epoch=0):
        balance = self.recipe.balance()
        return sound_windows.batches(
            self.source,
            self.instants,
            self.spans,
            self.need.size,
            self.need.target,
            self.recipe.outputs(),
            self.batch_size,
            training,
            self.recipe.seed,
            start_epoch,
            self.class_weights,
            training and balance.class_balanced,
            balance.epoch_length,
            self.name,
        )

    def to_frames(self, outputs):
        """Instants are means of the windows that cover them; frames lie between instants. Every frame of a trial with sound has a row."""
        back = stitch if self.need.target == "window" else stitch_frames
        outputs = {name: back(self.spans, values, len(self.instants)) for name, values in outputs.items()}
        instants = self.instants.groupby("trial", sort=False).indices
        parts = {name: [] for name in outputs}
        for trial, rows in self.table.groupby("trial", sort=False):
            times = self.sounds.times(trial)[rows["frame"].to_numpy()]
            for name, values in outputs.items():
                parts[name].append(sound_windows.to_frames(values[instants[trial]], self.need.label_rate, times))
        outputs = {name: np.concatenate(values) for name, values in parts.items()}
        return self.table, outputs, [*without_prediction("sound", self.soundless), *self._predicted_from_silence()]

    def _predicted_from_silence(self):
        """Note that names the trials with windows behind the end of their sound."""
        begins = self.spans[:, 0]
        trials = self.instants["trial"].iloc[begins[~self.source.is_heard(begins)]].unique()
        told = "the sound ends before the picture, and what follows is predicted from silence"
        return [f"{told}: {', '.join(trials)}"] if len(trials) else []


def hears(recipe):
    """Whether a recipe's model takes windows of sound."""
    return any(isinstance(need, Sound) for need in recipe.inputs().values())


def _open_sounds(run, dataset, tables, stores, progress):
    """The sounds in the folder that the caller gives for the input, otherwise in the run's own; decoded where they are not there yet."""
    ((name, need),) = run.recipe.inputs().items()
    folder = (stores or {}).get(name, run.folder / "features")
    trials = sorted({trial for table in tables for trial in table["trial"].unique()})
    extract_waveforms(dataset, folder, need.rate, need.voice, trials, progress=progress)
    return Waveforms(dataset, folder, need.rate, need.voice)


def _nothing_labelled(recipe, table, split):
    return RunError(
        f"no window of the {split} split has both sound and a label of {' or '.join(recipe.outputs())}; look at the dataset with "
        f"tools/doctor.py. Received: {len(table)} frames of {table['trial'].nunique()} trials"
    )
