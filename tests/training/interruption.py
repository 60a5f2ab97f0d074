"""A training that is stopped in the middle."""

import pytest
from eager import train_eagerly

from abaw_tf import predictions
from abaw_tf.training.callbacks import Recorder


def train_interrupted(recipe, dataset, folder, after=0, **options):
    """Train until the checkpoint of epoch `after` is written, then as if interrupted from the keyboard."""
    commit = Recorder._commit

    def stopping(self, name):
        commit(self, name)
        if name == f"epoch-{after:04d}.weights.h5":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "_commit", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_eagerly(recipe, dataset, folder, **options)


def train_whole_and_resumed(recipe, dataset, folder, whole=None, **options):
    """Train in one go, unless the run of that is given, and again with an interruption: the same history and weights."""
    whole = whole or train_eagerly(recipe, dataset, folder / "whole", **options)
    train_interrupted(recipe, dataset, folder / "resumed", **options)
    resumed = train_eagerly(recipe, dataset, folder / "resumed", **options)
    assert (whole.card["resumed"], resumed.card["resumed"]) == (0, 1)
    assert resumed.history_path.read_bytes() == whole.history_path.read_bytes()
    assert resumed.card["weights_hash"] == whole.card["weights_hash"]
    assert predictions.read(resumed.predictions_path).equals(predictions.read(whole.predictions_path))
    return whole
