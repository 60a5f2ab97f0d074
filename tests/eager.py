"""Training of tiny networks without their graph: to build it costs seconds, the few steps that follow cost far less.

That a graph can be built of a recipe is shown by the slow tests, of each recipe by one at least, and of recipes that the runner has never
seen by `test_training_sequences`.
"""

import contextlib

import tensorflow as tf

from abaw_tf.training import train


@contextlib.contextmanager
def eagerly():
    """Networks compute operation by operation. Pipelines (`tf.data`) are not concerned."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def train_eagerly(recipe, dataset, folder, **options):
    """As `train`, with the same result but for rounding."""
    with eagerly():
        return train(recipe, dataset, folder, progress=False, **options)
