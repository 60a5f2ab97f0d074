"""The FER-2013 networks: published sizes, real weights on real faces."""

import cv2
import keras
import numpy as np
import pytest

from abaw_tf import labels
from abaw_tf.backbones import fer_xception
from abaw_tf.backbones.checkpoints import REGISTRY, locate
from abaw_tf.backbones.fer_xception import build_big_xception, build_mini_xception, predict_expression, preprocess


@pytest.fixture
def weights(realdata, monkeypatch):
    """The registry finds the real files."""
    monkeypatch.setenv("ABAW_TF_WEIGHTS", str(realdata / "models" / "oarriaga_fer"))


def detect_faces(realdata, path):
    """RGB crops of the faces of a picture, from left to right, with the margin that FER-2013 crops have."""
    image = cv2.imread(str(path))
    detector = cv2.FaceDetectorYN.create(
        str(realdata / "models" / "yunet" / "yunet_n_640_640.onnx"), "", image.shape[1::-1]
    )
    crops = []
    for x, y, w, h in sorted(detector.detect(image)[1][:, :4].tolist()):
        left, top, width, height = (max(0, round(value)) for value in (x - 0.1 * w, y - 0.05 * h, 1.2 * w, 1.1 * h))
        crops.append(image[top : top + height, left : left + width, ::-1].copy())
    return crops


def shade(scale):
    return np.full((60, 50, 3), scale, np.uint8)


@pytest.mark.parametrize(("build", "parameters"), [(build_mini_xception, 58_423), (build_big_xception, 208_871)])
def test_published_sizes(build, parameters, tmp_path):
    model = build()
    assert model.count_params() == parameters
    assert model.input_shape == (None, 64, 64, 1)
    assert model.output_shape == (None, 7)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype("float32")
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "m.keras")(images), model(images), atol=1e-6)


def test_other_sizes_and_classes():
    assert build_mini_xception((48, 80, 1), classes=8).output_shape == (None, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (64, 64, 3)}, "`input_shape` must be"),
        ({"input_shape": (8, 8, 1)}, "at least 16"),
        ({"input_shape": (None, None, 1)}, "fixed sides"),
        ({"classes": 1}, "`classes` must be"),
    ],
)
@pytest.mark.parametrize("build", [build_mini_xception, build_big_xception])
def test_wrong_arguments(build, options, message):
    with pytest.raises(ValueError, match=f"{message}.*Received"):
        build(**options)


def test_preprocessing_is_opencvs_grey_at_minus_one_to_one():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype("uint8")
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_allclose(
        np.asarray(preprocess(image))[..., 0], grey / 127.5 - 1, atol=0.6 / 127.5
    )  # OpenCV rounds
    np.testing.assert_allclose(np.asarray(preprocess(grey[..., None]))[..., 0], grey / 127.5 - 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"1 or 3 channels.*Received: shape=\(9, 7\)"):
        preprocess(grey)


@pytest.mark.parametrize(
    ("name", "build"), [("fer2013_mini_xception", build_mini_xception), ("fer2013_big_xception", build_big_xception)]
)
def test_a_laughing_portrait_is_happy_at_any_size(name, build, weights, realdata):
    assert locate(name).name == REGISTRY[name].file
    [face] = detect_faces(realdata, realdata / "pose_tfjs" / "portrait.jpg")
    larger = cv2.resize(face, None, fx=1.5, fy=1.5)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    probabilities = predict_expression([face, larger, grey, face[:, ::-1]], build(weights=name))
    assert probabilities.shape == (4, 7)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities[:, labels.EXPRESSIONS_7.index("Happiness")].min() > 0.9


def test_the_one_who_does_not_smile(weights, realdata):
    """Five people, of whom four laugh and one, found by looking at the picture, keeps a straight face."""
    faces = detect_faces(realdata, realdata / "video_pyfeat" / "multi_face.jpg")
    found = [labels.EXPRESSIONS_7[i] for i in predict_expression(faces).argmax(axis=1)]
    assert sorted(found) == ["Happiness"] * 4 + ["Neutral"]


def test_classes_come_in_the_official_order(monkeypatch):
    """A network that says "happy" (4th of FER-2013) must be read as Happiness (5th of Aff-Wild2)."""
    model = build_mini_xception()
    model.get_layer("conv2d_7").kernel.assign(np.zeros((3, 3, 128, 7), "float32"))
    order = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    official = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral")
    for i, expression in enumerate(official):
        model.get_layer("conv2d_7").bias.assign(10.0 * np.eye(7, dtype="float32")[i])
        probabilities = predict_expression([shade(90)], model)
        assert labels.EXPRESSIONS_7[int(probabilities.argmax())] == expression, order[i]
        assert probabilities.max() > 0.99


def test_batches_and_nothing():
    model = build_mini_xception()
    faces = [shade(value) for value in (0, 60, 120, 180, 240)]
    whole = predict_expression(faces, model)
    np.testing.assert_allclose(predict_expression(faces, model, batch_size=2), whole, atol=1e-6)
    assert predict_expression([], model).shape == (0, 7)


@pytest.mark.parametrize("face", [np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8), np.zeros(5, np.uint8)])
def test_a_face_must_be_bytes(face):
    with pytest.raises(ValueError, match=r"a face must be a uint8 array.*Received"):
        fer_xception.resize_face(face)
