"""What the runner of Keras models asks of its data, whatever they are: frames and windows of them, or windows of sound."""

from typing import Protocol

from abaw_tf.data.balance import class_counts, inverse_class_weights, log_class_weights
from abaw_tf.training.run import RunError


class Feed(Protocol):
    """Batches of one table of frames.

    Attributes
    ----------
    table : pandas.DataFrame
        Where the labels come from.
    tracks : dict of str to str
        What made the inputs that were computed, by input name; see `identity`.
    """

    def check(self, model):
        """Refuse data that the model cannot take."""

    def examples_per_epoch(self) -> int:
        """Examples in an epoch of training."""

    def inputs_in_order(self):
        """One pass over the inputs, as they are."""

    def dataset(self, start_epoch=0):
        """Batches for training, endlessly, or for validation and prediction, one pass."""

    def to_frames(self, outputs):
        """The predicted rows of the frame table, the outputs by frame, and notes, from the outputs for `inputs_in_order`."""


class Training(Protocol):
    """The data of a training: made from the labels alone, then opened.

    Attributes
    ----------
    tables : tuple of pandas.DataFrame
        Training and validation frames, for a fingerprint.
    counts, class_weights
        Examples per class, and what they are weighted with (or None); after `open`.
    counted : str
        What `counts` counts, for the run card.
    training, validation : Feed
        After `open`.
    tracks : dict of str to str
        As of a `Feed`; after `open`.
    """

    def open(self, stores, progress):
        """Compute or open what is read from disk; this may take hours, so labels and network are checked before."""

    def findings(self) -> dict:
        """What was odd about the data, for the run card."""


def identity(store):
    """What made a store's tracks: extractor, configuration and weights; None of a reader that does not say."""
    return store.folder.name if hasattr(store, "folder") else None


def check_identities(run, tracks):
    """Refuse tracks that something else has made than those of the training: the face model trained anew, another layer …"""
    for name, then in run.card.get("tracks", {}).items():
        now = tracks[name]
        if then is not None and now is not None and now != then:
            raise RunError(
                f"{run.folder}: trained on tracks `{name}` of {then}, which another network or configuration has made than these; "
                f"give those, or train again. Received: {now}"
            )


def without_prediction(what, trials):
    """Note that names the trials that lack what a prediction needs; none where none does."""
    return [f"no {what}, hence no prediction: {', '.join(trials)}"] if trials else []


def count_classes(recipe, table):
    """Rows of a table per expression."""
    return class_counts(table["expression"].to_numpy(), len(recipe.classes))


def recipe_class_weights(recipe, counts):
    """Weight of each class by its number of examples, as the recipe wants it; None for no weights."""
    balance = recipe.balance()
    if "expression" not in recipe.outputs():
        return None
    if balance.class_weights != "none":
        return inverse_class_weights(counts, balance.class_weights)
    return None if balance.log_weight_ratio is None else log_class_weights(counts, balance.log_weight_ratio)
