"""Training and prediction of recipes that are Keras models."""

import contextlib
import hashlib
import sys

import keras
import numpy as np
import tensorflow as tf

from abaw_tf.data import pipelines
from abaw_tf.data.balance import class_counts, log_class_weights, thin
from abaw_tf.data.sources import ImageSource, TrackSource
from abaw_tf.data.windows import stitch_frames
from abaw_tf.features.extractors import weights_hash
from abaw_tf.files import replacing
from abaw_tf.training.callbacks import Recorder, Replayable, Reseed
from abaw_tf.training.needs import Images, Track
from abaw_tf.training.run import RunError
from abaw_tf.training.tracks import finished_run, open_store

STRATEGIES = ("default", "mirrored")


def fit(run, dataset, train_table, validation_table, stores, strategy, progress):
    """Train the run's model to its end, from its checkpoint if there is one; return entries for the run card."""
    recipe, unreadable = run.recipe, {}
    train_table, validation_table = (_usable(recipe, table) for table in (train_table, validation_table))
    if recipe.needs_every_label():
        train_table = _labelled(recipe, train_table, "train", every=True)
        validation_table = _labelled(recipe, validation_table, "validation", every=True)
    train_table, class_weights, counts = _balanced(recipe, train_table)
    labelled = _labelled(recipe, validation_table, "validation")
    if recipe.windows() is None:
        validation_table = labelled
    # Tracks last: they may take hours, and what is wrong with the labels or the network is known before.
    model = _compiled(recipe, strategy)
    stores = _open_stores(run, dataset, (train_table, validation_table), stores, progress)
    tracks = {name: _identity(store) for name, store in stores.items()}
    recorder = Recorder(run, _fingerprint(tracks, train_table, validation_table))
    start_epoch = recorder.restore(model)
    schedules = recipe.callbacks()
    for schedule in schedules:
        schedule.set_model(model)
        if start_epoch and isinstance(schedule, Replayable):
            schedule.replay(recorder.history)
    training = _Feed(recipe, train_table, stores, unreadable, class_weights, training=True)
    training.check(model)
    if not start_epoch:
        in_order = _Feed(recipe, train_table, stores, unreadable).dataset()
        recipe.adapt(model, in_order.map(lambda inputs, targets, weights: inputs))
    if not recorder.done:
        model.fit(
            training.dataset(start_epoch),
            steps_per_epoch=pipelines.n_batches(training.examples_per_epoch(), recipe.batch_size),
            validation_data=_Feed(recipe, validation_table, stores, unreadable).dataset(),
            initial_epoch=start_epoch,
            epochs=recipe.epochs,
            shuffle=False,  # the pipeline has shuffled
            callbacks=[Reseed(recipe.seed), *schedules, recorder],
            verbose=(1 if sys.stdout.isatty() else 2) if progress else 0,
        )
    if recorder.best_epoch is None:
        raise RunError(f"{run.folder}: `{recipe.monitor}` was never a finite number; see {run.history_path.name}")
    best = run.load_model()
    with replacing(run.model_path) as path:
        best.save(path)  # loaded without its optimiser, whose state is two thirds of the file
    return {
        "epochs": len(recorder.history),
        "best_epoch": recorder.best_epoch,
        "best_value": recorder.history[recorder.best_epoch][recipe.monitor],
        "seconds": round(recorder.seconds, 1),
        "parameters": int(best.count_params()),
        "weights_hash": weights_hash(best),
        "training_examples": training.examples_per_epoch(),
        "training_frames": {name: int(n) for name, n in zip(recipe.classes, counts)},
        "class_weights": None if class_weights is None else [round(float(w), 4) for w in class_weights],
        "unreadable_images": list(unreadable.values()),
        "tracks": tracks,
        "untrained_outputs": [name for name in recipe.outputs() if not pipelines.labelled(train_table, [name]).any()],
    }


def predict(run, dataset, table, stores, progress):
    """Outputs of the trained model for the frames that it can see.

    Returns
    -------
    rows : pandas.DataFrame
        Their rows of the frame table.
    outputs : dict of str to numpy.ndarray
        One row per row of `rows`.
    """
    recipe, unreadable = run.recipe, {}
    stores = _open_stores(run, dataset, (table,), stores, progress)
    _check_identities(run, stores)
    table = _usable(recipe, table)
    feed = _Feed(recipe, table, stores, unreadable, every_frame=True)
    model = run.load_model()
    feed.check(model)
    _without_xla_on_cpu(model)
    verbose = (1 if sys.stdout.isatty() else 2) if progress else 0
    outputs = model.predict(feed.dataset().map(lambda inputs, targets, weights: inputs), verbose=verbose)
    if feed.spans is not None and feed.target == "frames":
        outputs = {name: stitch_frames(feed.spans, values, len(table)) for name, values in outputs.items()}
    seen = np.ones(len(table), bool)
    if feed.spans is None or feed.windows.missing_image == "skip":
        seen &= ~table["path"].isin(unreadable).to_numpy()
    for values in outputs.values():
        seen &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    return table[seen], {name: values[seen] for name, values in outputs.items()}, list(unreadable.values())


class _Feed:
    """The pipeline of one frame table."""

    def __init__(self, recipe, table, stores, unreadable, class_weights=None, training=False, every_frame=False):
        self.recipe, self.table, self.class_weights, self.training = recipe, table, class_weights, training
        windows, self.batch_size = (recipe.windows(), recipe.batch_size) if training else recipe.prediction_windows()
        self.windows, self.spans = windows, None
        if windows is not None:
            stride = 1 if every_frame and windows.target == "last" else windows.stride
            tail = "last" if every_frame and windows.tail == "drop" else windows.tail
            self.spans = pipelines.window_spans(table, windows.size, stride, windows.target, tail, windows.across_gaps)
        self.sources = {
            name: ImageSource.of(table, need.size, unreadable)
            if isinstance(need, Images)
            else TrackSource(stores[name], table, need.fill)
            for name, need in recipe.inputs().items()
        }
        self.target = "frames" if windows is None else windows.target

    def check(self, model):
        """Refuse tracks that are not as wide as the model's inputs."""
        widths = {tensor.name: tensor.shape[-1] for tensor in model.inputs}
        for name, source in self.sources.items():
            if not source.is_image and source.shape[-1] != widths[name]:
                raise RunError(
                    f"the model takes {widths[name]} numbers per frame as `{name}`: give the recipe the sizes (and the edition) of the "
                    f"network that the tracks come from. Received: tracks of {source.shape[-1]}"
                )

    def examples_per_epoch(self):
        """Examples in an epoch of training."""
        balance = self.recipe.balance()
        return pipelines.examples_per_epoch(
            self.table, self.spans, self.target, balance.class_balanced, balance.epoch_length, self.recipe.outputs()
        )

    def dataset(self, start_epoch=0):
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
            training=self.training,
            seed=recipe.seed,
            start_epoch=start_epoch,
            class_weights=self.class_weights,
            class_balanced=self.training and recipe.balance().class_balanced,
            augmentation=None if augmentation is None else vars(augmentation),
            epoch_length=recipe.balance().epoch_length,
        )


def _open_stores(run, dataset, tables, stores, progress):
    recipe = run.recipe
    trials = sorted({trial for table in tables for trial in table["trial"].unique()})
    needs = {name: need for name, need in recipe.inputs().items() if not isinstance(need, Images)}
    for need in needs.values():
        if need.run and need.store not in (stores or {}):
            _check_run(need)
    folder = run.folder / "features"
    return {name: open_store(need, dataset, trials, stores, progress, folder) for name, need in needs.items()}


def _check_run(need):
    """Refuse a run that is not finished, or makes its tracks from other crops than those that count."""
    run = finished_run(need.run)
    kinds = {other.kind for other in run.recipe.inputs().values() if isinstance(other, Images)}
    if kinds and need.kind not in kinds:
        raise RunError(
            f"{run.folder}: its tracks are made from other crops; give both recipes the same `image_kind`. "
            f"Received: {need.kind!r} and {', '.join(map(repr, kinds))}"
        )


def _identity(store):
    """What made a store's tracks: extractor, configuration and weights; None of a reader that does not say."""
    return store.folder.name if hasattr(store, "folder") else None


def _check_identities(run, stores):
    """Refuse tracks that something else has made than those of the training: the face model trained anew, another layer …"""
    for name, then in run.card.get("tracks", {}).items():
        now = _identity(stores[name])
        if then is not None and now is not None and now != then:
            raise RunError(
                f"{run.folder}: trained on tracks `{name}` of {then}, which another network or configuration has made than these; "
                f"give those, or train again. Received: {now}"
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
    counts = class_counts(table["expression"].to_numpy(), len(recipe.classes))
    if balance.log_weight_ratio is None or "expression" not in recipe.outputs():
        return table, None, counts
    return table, log_class_weights(counts, balance.log_weight_ratio), counts


def _fingerprint(tracks, *tables):
    """Hash of frames, labels and what made the tracks; paths do not count, so that a dataset may move."""
    digest = hashlib.sha256()
    if tracks:
        digest.update(repr(sorted(tracks.items())).encode())
    for table in tables:
        digest.update("\n".join(table["trial"].unique()).encode())
        for column in ("frame", "expression", "valence", "arousal"):
            digest.update(np.ascontiguousarray(table[column].to_numpy()).tobytes())
    return digest.hexdigest()


def _compiled(recipe, strategy):
    if strategy not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: strategy={strategy!r}")
    keras.utils.set_random_seed(recipe.seed)
    policy = keras.config.dtype_policy()
    scope = tf.distribute.MirroredStrategy().scope() if strategy == "mirrored" else contextlib.nullcontext()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with scope:
            model = recipe.build()
            recipe.compile(model)
    finally:
        keras.config.set_dtype_policy(policy)
    _without_xla_on_cpu(model)
    return model


def _without_xla_on_cpu(model):
    """Left to itself Keras compiles with XLA, which on a CPU costs minutes and gains nothing."""
    if not tf.config.list_physical_devices("GPU"):
        model.jit_compile = False
