"""What every published Keras model must be able to do; a test class per model inherits from `ModelContract`.

What it must do under JAX and with replicas is in test_models_other_backends.py, which finds these classes by itself.
"""

import functools
import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf
from unchanged import unchanged


def needs(extra, *packages):
    """Skip a test where packages of an extra are not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f'not installed: {", ".join(missing)}; pip install -e ".[{extra}]"')


def without_xla(model):
    """Without XLA, whose compilation takes longer than all that is tested here."""
    model.jit_compile = False
    return model


@functools.cache
def shared_network(contract):
    """The network of a test class, built and traced once: the tests that share it leave its weights as they are."""
    return contract().seeded()


class ModelContract:
    """Subclasses give a small model, a batch of inputs by name, and the outputs' shapes without the batch axis."""

    def build(self):
        raise NotImplementedError

    def inputs(self, n):
        raise NotImplementedError

    outputs: dict

    def seeded(self):
        """A new network, the same every time."""
        keras.utils.set_random_seed(0)
        return without_xla(self.build())

    @pytest.fixture
    def model(self):
        return shared_network(type(self))

    def test_inputs_and_outputs_are_named_and_shaped(self, model):
        assert set(self.inputs(1)) == {tensor.name for tensor in model.inputs}
        assert {name: tensor.shape[1:] for name, tensor in model.output.items()} == self.outputs

    def test_layer_names_can_be_saved(self, model):
        assert not [layer.name for layer in model.layers if "/" in layer.name]
        assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Lambda)]

    def test_saving_and_loading_keeps_the_outputs(self, model, tmp_path):
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        before, after = (network(self.inputs(3), training=False) for network in (model, loaded))
        for name in self.outputs:
            np.testing.assert_allclose(np.asarray(after[name]), np.asarray(before[name]), atol=1e-6)

    def test_arrays_and_datasets_are_predicted_alike(self, model):
        x = self.inputs(5)
        dataset = tf.data.Dataset.from_tensor_slices(x).batch(2)
        by_array, by_dataset = model.predict(x, verbose=0, batch_size=5), model.predict(dataset, verbose=0)
        for name, shape in self.outputs.items():
            assert by_array[name].shape == (5, *shape)
            np.testing.assert_allclose(by_dataset[name], by_array[name], atol=1e-5)

    def test_mixed_precision_computes_in_half_and_answers_in_float32(self):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            model = self.build()
        finally:
            keras.config.set_dtype_policy("float32")
        assert {layer.compute_dtype for layer in model.layers} >= {"bfloat16"}
        for values in model(self.inputs(2), training=False).values():
            assert np.asarray(values).dtype == np.float32
            assert np.isfinite(values).all()

    def test_training_changes_every_trainable_weight(self):
        """Step by step: to compile the gradients of an LSTM takes ten times as long as to compute them.

        Compiled ones train in test_models_other_backends.py.
        """
        keras.utils.set_random_seed(0)
        model = self.build()
        before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
        losses = dict.fromkeys(self.outputs, "mse")
        model.compile(keras.optimizers.SGD(0.1), losses, jit_compile=False, run_eagerly=True)
        rng = np.random.default_rng(0)
        targets = {name: rng.uniform(size=(4, *shape)).astype("float32") for name, shape in self.outputs.items()}
        model.fit(self.inputs(4), targets, verbose=0, epochs=2)
        assert not unchanged(model, before)

    @pytest.mark.slow
    def test_the_exported_saved_model_agrees(self, model, tmp_path):
        model.export(tmp_path / "exported", verbose=False)
        exported = tf.saved_model.load(str(tmp_path / "exported"))
        self.assert_exported(model, lambda x: {name: y.numpy() for name, y in exported.serve(x).items()})

    @pytest.mark.slow
    @needs("export", "onnx", "tf2onnx", "onnxruntime")
    def test_the_exported_onnx_file_agrees(self, model, tmp_path):
        import onnxruntime

        model.predict(self.inputs(1), verbose=0)  # Keras exports to ONNX only what was called before
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        assert {given.name for given in session.get_inputs()} == set(self.inputs(1))
        names = [output.name for output in session.get_outputs()]
        self.assert_exported(model, lambda x: dict(zip(names, session.run(None, x))))

    def assert_exported(self, model, run):
        """The same outputs by name, for several sizes of batch."""
        for n in (1, 3):
            inputs = {name: x.astype("float32") for name, x in self.inputs(n).items()}
            expected, found = model(inputs, training=False), run(inputs)
            assert set(found) == set(self.outputs)
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], np.asarray(values), atol=1e-4)
