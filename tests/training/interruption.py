"""A training that is stopped in the middle."""

import pytest

from abaw_tf.training import train
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
            train(recipe, dataset, folder, progress=False, **options)
