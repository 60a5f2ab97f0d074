"""What a network of frames or windows of frames is fed with: face crops and stored tracks."""

import numpy as np

from abaw_tf.data import pipelines
from abaw_tf.data.balance import thin
from abaw_tf.data.sources import ImageSource, TrackSource
from abaw_tf.data.windows import stitch_frames
from abaw_tf.training.feeding import count_classes, identity, recipe_class_weights, without_prediction
from abaw_tf.training.needs import Images, Track
from abaw_tf.training.run import RunError
from abaw_tf.training.tracks import check_length, finished_run, open_store


class FrameTraining:
    """Training and validation frames of a run; see `abaw_tf.training.feeding.Training`."""

    counted = "training_frames"

    def __init__(self, run, dataset, train_table, validation_table):
        self.run, self.dataset, recipe = run, dataset, run.recipe
        train_table, validation_table = (_usable(recipe, table) for table in (train_table, validation_table))
        if recipe.needs_every_label():
            train_table = _labelled(recipe, train_table, "train", every=True)
            validation_table = _labelled(recipe, validation_table, "validation", every=True)
        train_table, self.class_weights, self.counts = _balanced(recipe, train_table)
        labelled = _labelled(recipe, validation_table, "validation")
        self.tables = (train_table, labelled if recipe.windows() is None else validation_table)

    def open(self, stores, progress):
        recipe, self._unreadable = self.run.recipe, {}
        stores = _open_stores(self.run, self.dataset, self.tables, stores, progress)
        self.tracks = {name: identity(store) for name, store in stores.items()}
        absent = _absent(recipe, stores, self.tables)
        # A model may take a trial without faces; what such a trial would teach it is not of faces.
        self._left_out = {
            trial: what
            for trial, names in absent.items()
            if (what := _lacks(recipe, names)) == "face" or _none_left(recipe, names)
        }
        if self._left_out:
            self.tables = tuple(table[~table["trial"].isin(self._left_out)] for table in self.tables)
            for split, table in zip(("train", "validation"), self.tables):
                _labelled(recipe, table, split)
            self.counts = count_classes(recipe, self.tables[0])
            self.class_weights = recipe_class_weights(recipe, self.counts)
        self.training = FrameFeed(recipe, self.tables[0], stores, self._unreadable, self.class_weights, training=True)
        self.validation = FrameFeed(recipe, self.tables[1], stores, self._unreadable)

    def findings(self):
        return {
            "unreadable_images": list(self._unreadable.values()),
            "trials_without_a_face": [trial for trial, what in self._left_out.items() if what == "face"],
            "trials_without_sound": [trial for trial, what in self._left_out.items() if what == "sound"],
        }


class FrameFeed:
    """The pipeline of one frame table; see `abaw_tf.training.feeding.Feed`."""

    notes = ()

    def __init__(self, recipe, table, stores, unreadable, class_weights=None, training=False, every_frame=False):
        self.recipe, self.table, self.class_weights, self.training = recipe, table, class_weights, training
        self.unreadable, self.tracks = unreadable, {name: identity(store) for name, store in stores.items()}
        windows, self.batch_size = (recipe.windows(), recipe.batch_size) if training else recipe.prediction_windows()
        self.windows, self.spans = windows, None
        if windows is not None:
            stride = 1 if every_frame and windows.target == "last" else windows.stride
            tail = "last" if every_frame and windows.tail == "drop" else windows.tail
            self.spans = pipelines.window_spans(table, windows.size, stride, windows.target, tail, windows.across_gaps)
        self.sources = {
            name: ImageSource.of(table, need.size, unreadable)
            if isinstance(need, Images)
            else TrackSource(stores[name], table, need.fill, need.optional)
            for name, need in recipe.inputs().items()
        }
        self.target = "frames" if windows is None else windows.target

    @classmethod
    def for_prediction(cls, run, dataset, table, stores, progress):
        stores = _open_stores(run, dataset, (table,), stores, progress)
        absent = _absent(run.recipe, stores, (table,))
        left_out = {trial: names for trial, names in absent.items() if _none_left(run.recipe, names)}
        table = table[~table["trial"].isin(left_out)]
        if left_out and table.empty:
            faces = "face" in [_lacks(run.recipe, names) for names in left_out.values()]
            what = "a face crop" if faces else "sound"
            remedy = "extract the crops first" if faces else "use a network that sees faces"
            raise RunError(
                f"no trial has {what}, so there is nothing to predict from; {remedy}. Received: {', '.join(left_out)}"
            )
        feed = cls(run.recipe, _usable(run.recipe, table), stores, {}, every_frame=True)
        feed.notes = _notes(run.recipe, absent, left_out)
        return feed

    def check(self, model):
        widths = {tensor.name: tensor.shape[-1] for tensor in model.inputs}
        for name, source in self.sources.items():
            if not source.is_image and source.shape[-1] != widths[name]:
                raise RunError(
                    f"the model takes {widths[name]} numbers per frame as `{name}`: give the recipe the sizes (and the edition) of the "
                    f"network that the tracks come from. Received: tracks of {source.shape[-1]}"
                )

    def examples_per_epoch(self):
        balance = self.recipe.balance()
        return pipelines.examples_per_epoch(
            self.table, self.spans, self.target, balance.class_balanced, balance.epoch_length, self.recipe.outputs()
        )

    def inputs_in_order(self):
        return self._batches(training=False).map(lambda inputs, targets, weights: inputs)

    def dataset(self, start_epoch=0):
        return self._batches(self.training, start_epoch)

    def _batches(self, training, start_epoch=0):
        recipe, windows, augmentation = self.recipe, self.windows, self.recipe.augmentation()
        narrow = [name for name, need in recipe.inputs().items() if isinstance(need, Track) and not need.context]
        geometry = {} if windows is None else {"context": windows.context, "across_gaps": windows.across_gaps}
        return pipelines.batches(
            self.sources,
            self.table,
            self.batch_size,
            recipe.outputs(),
            self.spans,
            None if windows is None else windows.size,
            self.target,
            without_context=narrow,
            **geometry,
            training=training,
            seed=recipe.seed,
            start_epoch=start_epoch,
            class_weights=self.class_weights,
            class_balanced=training and recipe.balance().class_balanced,
            augmentation=None if augmentation is None else vars(augmentation),
            epoch_length=recipe.balance().epoch_length,
        )

    def to_frames(self, outputs):
        table = self.table
        if self.spans is not None and self.target == "frames":
            outputs = {name: stitch_frames(self.spans, values, len(table)) for name, values in outputs.items()}
        seen = np.ones(len(table), bool)
        if self.spans is None or self.windows.missing_image == "skip":
            seen &= ~table["path"].isin(self.unreadable).to_numpy()
        for values in outputs.values():
            seen &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        return (
            table[seen],
            {name: values[seen] for name, values in outputs.items()},
            [*self.unreadable.values(), *self.notes],
        )


def _open_stores(run, dataset, tables, stores, progress):
    recipe = run.recipe
    trials = sorted({trial for table in tables for trial in table["trial"].unique()})
    needs = {name: need for name, need in recipe.inputs().items() if not isinstance(need, Images)}
    for need in needs.values():
        if need.run and need.store not in (stores or {}):
            _check_run(need)
    folder = run.folder / "features"

    def effort(name):  # what can be refused at once comes before what is computed for hours
        need = needs[name]
        return 0 if need.store in (stores or {}) or not (need.extractor or need.run) else 1 + bool(need.extractor)

    opened = {
        name: open_store(needs[name], dataset, trials, stores, progress, folder) for name in sorted(needs, key=effort)
    }
    for name, store in opened.items():
        for trial in trials:
            check_length(store.read(trial), name, int(dataset.n_frames(trial)))
    return opened


def _absent(recipe, stores, tables):
    """Trials whose tracks have no row at all for some inputs, where nothing stands for their frames, and the names of these inputs."""
    found = {}
    for trial in sorted({trial for table in tables for trial in table["trial"].unique()}):
        for name, need in recipe.inputs().items():
            if name in stores and (need.optional or need.fill == "previous") and stores[name].read(trial).missing.all():
                found.setdefault(trial, []).append(name)
    return found


def _lacks(recipe, names):
    """What a trial without these inputs lacks most: a face, of which every frame ought to have a row, or sound."""
    return "face" if any(recipe.inputs()[name].fill == "previous" for name in names) else "sound"


def _none_left(recipe, names):
    """Whether a trial without these inputs has nothing to be predicted from."""
    needs = recipe.inputs()
    return len(names) == len(needs) or not all(needs[name].optional for name in names)


def _notes(recipe, absent, left_out):
    """Notes of a prediction that name the trials without some inputs, or without all."""
    notes = []
    for what in ("face", "sound"):
        notes += without_prediction(what, [trial for trial, names in left_out.items() if _lacks(recipe, names) == what])
    some = {}
    for trial in absent.keys() - left_out.keys():
        some.setdefault(tuple(absent[trial]), []).append(trial)
    for names, trials in sorted(some.items()):
        rest = [name for name in recipe.inputs() if name not in names]
        notes.append(
            f"no {' and no '.join(names)}, predicted from {' and '.join(rest)} alone: {', '.join(sorted(trials))}"
        )
    return notes


def _check_run(need):
    """Refuse a run that is not finished, or makes its tracks from other crops than those that count."""
    run = finished_run(need.run)
    kinds = {other.kind for other in run.recipe.inputs().values() if isinstance(other, Images)}
    if kinds and need.kind not in kinds:
        raise RunError(
            f"{run.folder}: its tracks are made from other crops; give both recipes the same `image_kind`. "
            f"Received: {need.kind!r} and {', '.join(map(repr, kinds))}"
        )


def _usable(recipe, table):
    """Frames that count: those with a crop where single crops are looked at, otherwise all of them or as the windows say."""
    windows = recipe.windows()
    if windows is not None:
        return pipelines.usable(table, windows.missing_image)
    return pipelines.usable(
        table, "skip" if any(isinstance(need, Images) for need in recipe.inputs().values()) else "black"
    )


def _labelled(recipe, table, split, every=False):
    labelled = pipelines.labelled(table, recipe.outputs(), every)
    if not labelled.any():
        joint = " and " if every else " or "
        raise RunError(
            f"no frame of the {split} split has both a face crop and a label of {joint.join(recipe.outputs())}; look at the "
            f"dataset with tools/doctor.py. Received: {len(table)} frames of {table['trial'].nunique()} trials"
        )
    return table[labelled]


def _balanced(recipe, table):
    """Training frames after thinning, the class weights, and the frames per class from which these follow."""
    balance = recipe.balance()
    labelled = _labelled(recipe, table, "train")
    if recipe.windows() is None:
        table = labelled
        if balance.every:
            table = table[thin(table["expression"].to_numpy(), table["trial"].to_numpy(), balance.every)]
    counts = count_classes(recipe, table)
    return table, recipe_class_weights(recipe, counts), counts
