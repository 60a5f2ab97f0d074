"""Training and prediction of recipes that are Keras models."""

import contextlib
import hashlib
import sys

import keras
import numpy as np
import tensorflow as tf

from abaw_tf.data.pipelines import labelled, n_batches
from abaw_tf.features.extractors import weights_hash
from abaw_tf.files import replacing
from abaw_tf.training.callbacks import Recorder, Replayable, Reseed
from abaw_tf.training.feeding import check_identities
from abaw_tf.training.frame_feed import FrameFeed, FrameTraining
from abaw_tf.training.run import RunError
from abaw_tf.training.sound_feed import SoundFeed, SoundTraining, hears

STRATEGIES = ("default", "mirrored")


def fit(run, dataset, train_table, validation_table, stores, strategy, progress):
    """Train the run's model to its end, from its checkpoint if there is one; return the best model and entries for the run card."""
    recipe = run.recipe
    data = (SoundTraining if hears(recipe) else FrameTraining)(run, dataset, train_table, validation_table)
    # Opened last: that may take hours, and what is wrong with the labels or the network is known before.
    model = _compiled(recipe, strategy)
    data.open(stores, progress)
    recorder = Recorder(run, _fingerprint(data.tracks, *data.tables))
    _train(model, recipe, data, recorder, progress)
    if recorder.best_epoch is None:
        raise RunError(f"{run.folder}: `{recipe.monitor}` was never a finite number; see {run.history_path.name}")
    best = run.load_model()
    with replacing(run.model_path) as path:
        best.save(path)  # loaded without its optimiser, whose state is two thirds of the file
    weights = data.class_weights
    return best, {
        "epochs": len(recorder.history),
        "best_epoch": recorder.best_epoch,
        "best_value": recorder.history[recorder.best_epoch][recipe.monitor],
        "seconds": round(recorder.seconds, 1),
        "parameters": int(best.count_params()),
        "weights_hash": weights_hash(best),
        "training_examples": data.training.examples_per_epoch(),
        data.counted: {name: int(n) for name, n in zip(recipe.classes, data.counts)},
        "class_weights": None if weights is None else [round(float(w), 4) for w in weights],
        **data.findings(),
        "tracks": data.tracks,
        "untrained_outputs": [name for name in recipe.outputs() if not labelled(data.tables[0], [name]).any()],
    }


def _train(model, recipe, data, recorder, progress):
    """Train a compiled model to its end, from the checkpoint of `recorder` if there is one."""
    start_epoch = recorder.restore(model)
    schedules = recipe.callbacks()
    for schedule in schedules:
        schedule.set_model(model)
        if start_epoch and isinstance(schedule, Replayable):
            schedule.replay(recorder.history)
    data.training.check(model)
    if not start_epoch:
        recipe.adapt(model, data.training.inputs_in_order())
    if recorder.done:
        return
    # Variables of optimiser and metrics that are only made in the first step cost a second tracing of it, half of a short training.
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    model.evaluate(data.validation.dataset().take(1), verbose=0)
    model.fit(
        data.training.dataset(start_epoch),
        steps_per_epoch=n_batches(data.training.examples_per_epoch(), recipe.batch_size),
        validation_data=data.validation.dataset(),
        initial_epoch=start_epoch,
        epochs=recipe.epochs,
        shuffle=False,  # the pipeline has shuffled
        callbacks=[Reseed(recipe.seed), *schedules, recorder],
        verbose=_verbosity(progress),
    )


def predict(run, dataset, table, stores, progress, model=None):
    """Outputs of the trained model for the frames that it can see or hear; of `model`, where that is in memory already.

    Returns
    -------
    rows : pandas.DataFrame
        Their rows of the frame table.
    outputs : dict of str to numpy.ndarray
        One row per row of `rows`.
    notes : list of str
    """
    kind = SoundFeed if hears(run.recipe) else FrameFeed
    feed = kind.for_prediction(run, dataset, table, stores, progress)
    check_identities(run, feed.tracks)
    model = run.load_model() if model is None else model
    feed.check(model)
    _without_xla_on_cpu(model)
    return feed.to_frames(model.predict(feed.inputs_in_order(), verbose=_verbosity(progress)))


def _verbosity(progress):
    """Keras' number for a bar on a terminal, lines in a file, or nothing."""
    return (1 if sys.stdout.isatty() else 2) if progress else 0


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
            if recipe.batch_norm_momentum is not None:
                _set_batch_norm_momentum(model, recipe.batch_norm_momentum)
            recipe.compile(model)
    finally:
        keras.config.set_dtype_policy(policy)
    _without_xla_on_cpu(model)
    return model


def _set_batch_norm_momentum(model, momentum):
    for layer in model._flatten_layers():  # those of the models within it, too
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def _without_xla_on_cpu(model):
    """Left to itself Keras compiles with XLA, which on a CPU costs minutes and gains nothing."""
    if not tf.config.list_physical_devices("GPU"):
        model.jit_compile = False
