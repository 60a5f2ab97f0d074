"""The online predictor of the STAT/LSTM network gives what the whole trial gives at once."""

import numpy as np
import pytest
from stat_lstm_networks import WITHOUT_DROPOUT, images, random_network

from abaw_tf.models.stat_lstm import rewire
from abaw_tf.models.stat_lstm_stream import StatLstmStream

N = 9


def padded(frames, block):
    return np.concatenate([np.repeat(frames[:1], block - 1, axis=0), frames])[None]


@pytest.fixture(scope="module", params=[("lstm_va", 4, "v0"), ("frames_va", 4, "v1"), ("image_va", 1, "v0")])
def network(request):
    preset, block, stat = request.param
    model = random_network(preset, block=4, stat=stat, **WITHOUT_DROPOUT)
    batch = rewire(model, "chunk")({"frames": padded(images(N), block)}, training=False)
    return model, {key: np.asarray(y)[0] for key, y in batch.items()}


def assert_same(found, expected):
    for key, value in expected.items():
        np.testing.assert_allclose(np.stack([y[key] for y in found]), value, rtol=0, atol=1e-5, err_msg=key)


def test_a_stream_of_images_gives_the_outputs_of_the_whole_trial(network):
    model, expected = network
    stream = StatLstmStream(model)
    assert_same([stream.step(image) for image in images(N)], expected)
    stream.reset()
    assert_same([stream.step(image) for image in images(N)], expected)


def test_frames_may_come_in_portions(network):
    model, expected = network
    stream = StatLstmStream(model)
    portions = [stream.predict(images(N)[a:b]) for a, b in ((0, 1), (1, 7), (7, 7), (7, N))]
    for key, value in expected.items():
        np.testing.assert_allclose(np.concatenate([p[key] for p in portions]), value, rtol=0, atol=1e-5)


def test_a_stream_of_stored_tracks_needs_no_base(network):
    model, expected = network
    found = model.get_layer("base")(images(N))
    tracks = {key: np.asarray(x) for key, x in found.items()}
    stream = StatLstmStream(rewire(model, "tracks"))
    steps = [stream.step(**{key: x[i] for key, x in tracks.items()}) for i in range(N)]
    assert_same(steps, expected)
    with pytest.raises(ValueError, match="has no base"):
        stream.step(images(1)[0])


def test_it_remembers_a_block_however_long_the_stream(network):
    model, _ = network
    stream = StatLstmStream(rewire(model, "tracks"))
    widths = {key: x.shape[-1] for key, x in model.get_layer("head").input.items()}
    sizes = []
    for n in (1, 3, 200):
        stream.predict(**{key: np.zeros((n, width)) for key, width in widths.items()})
        sizes.append(sum(x.nbytes if x.base is None else x.base.nbytes for x in stream._context.values()))
    assert sizes[0] == sizes[1] == sizes[2]


def test_images_or_tracks_but_not_both(network):
    model, _ = network
    stream = StatLstmStream(model)
    with pytest.raises(ValueError, match="Received: nothing"):
        stream.step()
    with pytest.raises(ValueError, match="Received: features, images"):
        stream.step(images(1)[0], features=np.zeros(128))
