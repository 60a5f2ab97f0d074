"""The lower half of the STAT/LSTM network of Do et al. (2020), and the three ways to wire it with the upper one.

The *base* sees one image; the *head* (:mod:`abaw_tf.models.stat_lstm_heads`) sees what the base made of the frames of a block. See
:mod:`abaw_tf.models.stat_lstm`.
"""

import keras
from keras import layers

from abaw_tf.backbones.vggface2 import build_vggface2_resnet50
from abaw_tf.models.face_model_weights import load_base_weights
from abaw_tf.models.layers import (
    BatchToFrames,
    CurrentFrame,
    CurrentFrames,
    FixedBatchNormalization,
    FramesToBatch,
    SlidingBlocks,
)
from abaw_tf.models.stat_lstm_heads import block_of, takes_block_features

BATCH_NORM = ("fixed", "batch")


def build_base(n_classes, image_size, blocks, width, probabilities, batch_norm, weights):
    """Image (image_size, image_size, 3), RGB in 0–255, to `features` and, if wanted, expression `probabilities`."""
    trunk = build_vggface2_resnet50(
        "weidi_xie",
        include_top=probabilities,
        input_shape=(image_size, image_size, 3),
        classes=n_classes,
        blocks=blocks,
        width=width,
        preprocessing=2,
    )
    if batch_norm == "fixed":
        trunk = keras.models.clone_model(trunk, clone_function=_with_fixed_statistics)
    outputs = {"features": trunk.get_layer("features").output}
    if probabilities:
        outputs["probabilities"] = trunk.get_layer("predictions").output
    base = keras.Model(trunk.inputs[0], outputs, name="base")
    if weights is not None:
        load_base_weights(base, weights)
    return base


def _with_fixed_statistics(layer):
    if isinstance(layer, layers.BatchNormalization):
        return FixedBatchNormalization.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())


def wire_image(base, head, name):
    """`image` (batch, H, W, 3) to the outputs."""
    image = keras.Input(base.input_shape[1:], name="image")
    return keras.Model({"image": image}, head(base(image)), name=name)


def wire_block(base, head, name):
    """`frames` (batch, block, H, W, 3) to the outputs for the last of them; the base runs on every frame, as published."""
    frames = keras.Input((block_of(head), *base.input_shape[1:]), name="frames")
    found = base(FramesToBatch(name="frames_to_batch")(frames))
    found = {key: BatchToFrames(name=f"{key}_to_frames")([x, frames]) for key, x in found.items()}
    if not takes_block_features(head):
        found["features"] = CurrentFrame(name="current_features")(found["features"])
    return keras.Model({"frames": frames}, head(found), name=name)


def wire_chunk(base, head, n_frames, name):
    """`frames` (batch, block - 1 + time, H, W, 3) to the outputs (batch, time, …); the base runs once per frame."""
    block = block_of(head)
    length = None if n_frames is None else block - 1 + n_frames
    frames = keras.Input((length, *base.input_shape[1:]), name="frames")
    found = base(FramesToBatch(name="frames_to_batch")(frames))
    found = {key: BatchToFrames(name=f"{key}_to_frames")([x, frames]) for key, x in found.items()}
    if not takes_block_features(head):
        found["features"] = CurrentFrames(block, name="current_features")(found["features"])
    return keras.Model({"frames": frames}, _over_blocks(head, found), name=name)


def wire_tracks(head, n_frames, name):
    """`features` and `probabilities` of stored tracks to the outputs (batch, time, …)."""
    block = block_of(head)
    inputs = {}
    for key, tensor in head.input.items():
        reaches_back = key == "probabilities" or takes_block_features(head)
        length = None if n_frames is None else n_frames + (block - 1 if reaches_back else 0)
        inputs[key] = keras.Input((length, tensor.shape[-1]), name=key)
    return keras.Model(inputs, _over_blocks(head, inputs), name=name)


def _over_blocks(head, found):
    """The head on every block of a chunk: (batch, block - 1 + time, k), features (batch, time, k) unless it takes the block's."""
    block, flat = block_of(head), {}
    for key, x in found.items():
        if key == "probabilities" or takes_block_features(head):
            x = SlidingBlocks(block, name=f"{key}_blocks")(x)
        flat[key] = FramesToBatch(name=f"{key}_to_batch")(x)
        like = x
    outputs = head(flat)
    return {key: BatchToFrames(name=key)([y, like]) for key, y in outputs.items()}
