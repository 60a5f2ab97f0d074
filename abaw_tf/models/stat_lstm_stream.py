"""The STAT/LSTM network of Do et al. (2020) on a stream: one frame at a time, or some, with the outputs of the whole trial at once."""

import keras
import numpy as np

from abaw_tf.models.stat_lstm_heads import block_of, takes_block_features


class StatLstmStream:
    """Causal predictor that runs the base once per frame and remembers what the next blocks need of it.

    It keeps the probabilities of the last `block` - 1 frames (and their features with ``stat="v1"``), nothing else, however long the
    stream is. The first frame after :meth:`reset` stands in for those before it, as in the batch run.

    Parameters
    ----------
    model : keras.Model
        From :func:`abaw_tf.models.stat_lstm.build_stat_lstm` or ``rewire``, in any wiring. A model of tracks has no base: it takes
        features and probabilities only.

    Examples
    --------
    >>> from abaw_tf.models.stat_lstm import build_stat_lstm
    >>> model = build_stat_lstm("frames_va", image_size=32, blocks=(1, 1, 1, 1), width=4)
    >>> stream = StatLstmStream(model)
    >>> stream.step(np.zeros((32, 32, 3)))["expression"].shape
    (7,)
    """

    def __init__(self, model):
        layers = {layer.name: layer for layer in model.layers}
        base, head = layers.get("base"), layers["head"]
        self.block = block_of(head)
        self._reaching_back = [
            key for key in head.input if key == "probabilities" or (key == "features" and takes_block_features(head))
        ]
        self._base = None if base is None else _program(base)
        self._head = _program(head)
        self.reset()

    def reset(self):
        """Forget the frames seen: the next one is the first of a trial, or, where a recipe has ``across_gaps=False``, follows a gap."""
        self._context = {}

    def step(self, image=None, *, features=None, probabilities=None):
        """Predict one frame.

        Parameters
        ----------
        image : array, (H, W, 3)
            RGB in 0–255. Or else what the base gives for it:
        features : array, (2048,)
        probabilities : array, (n_classes,)

        Returns
        -------
        dict of str to numpy.ndarray
            The model's outputs without the batch axis: ``expression`` (n_classes,), ``arousal`` (1,) …
        """
        given = (None if x is None else np.asarray(x)[None] for x in (image, features, probabilities))
        images, features, probabilities = given
        outputs = self.predict(images, features=features, probabilities=probabilities)
        return {key: y[0] for key, y in outputs.items()}

    def predict(self, images=None, *, features=None, probabilities=None):
        """Predict the next frames of the stream.

        Parameters
        ----------
        images : array, (n, H, W, 3)
            RGB in 0–255. Or else `features` (n, 2048) and `probabilities` (n, n_classes), as stored tracks hold them.

        Returns
        -------
        dict of str to numpy.ndarray
            The model's outputs, (n, …).

        Raises
        ------
        ValueError
            Neither or both are given, or the model has no base for images.
        """
        found = self._frames(images, features, probabilities)
        if not len(found["features"]):
            return {key: np.empty((0, *y.shape[1:]), np.float32) for key, y in self._head.output.items()}
        for key in self._reaching_back:
            found[key] = self._blocks(key, found[key])
        return {key: np.asarray(y) for key, y in self._head.predict_on_batch(found).items()}

    def _frames(self, images, features, probabilities):
        """What the base gives for the frames, by name."""
        given = {"features": features, "probabilities": probabilities}
        wanted = set(self._head.input)
        given = {key: np.asarray(x, np.float32) for key, x in given.items() if x is not None}
        if images is None and set(given) == wanted:
            return given
        if images is None or given:
            raise ValueError(
                f"give images, or {' and '.join(sorted(wanted))} of the frames. "
                f"Received: {', '.join(sorted([*given, *(['images'] if images is not None else [])])) or 'nothing'}"
            )
        if self._base is None:
            raise ValueError("a model of tracks has no base to look at images: give features and probabilities")
        images = np.asarray(images, np.float32)
        if not len(images):
            return {key: np.empty((0, *x.shape[1:]), np.float32) for key, x in self._base.output.items()}
        return {key: np.asarray(x, np.float32) for key, x in self._base.predict_on_batch(images).items()}

    def _blocks(self, key, rows):
        """The block that ends with each of the new rows, (n, block, k); remembers what the next ones need."""
        before = self._context.get(key)
        if before is None:
            before = np.repeat(rows[:1], self.block - 1, axis=0)
        rows = np.concatenate([before, rows])
        self._context[key] = rows[len(rows) - self.block + 1 :].copy()
        return np.moveaxis(np.lib.stride_tricks.sliding_window_view(rows, self.block, axis=0), -1, 1)


def _program(network):
    """A sub-model as a model of its own, so that compiling it for prediction leaves the given one as it is."""
    program = keras.Model(network.input, network.output)
    if keras.backend.backend() == "tensorflow":
        program.jit_compile = False  # on a processor, XLA takes minutes to compile a ResNet-50 and runs it no faster
    return program
