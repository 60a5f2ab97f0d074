"""Alignment and crops against other solvers and drawn points."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw_tf.media.faces import ARCFACE_TEMPLATE, align, crop, similarity_transform

rng = np.random.default_rng(0)


def umeyama(source, target):
    """Umeyama, "Least-squares estimation of transformation parameters between two point patterns", TPAMI 1991, equations 40-43."""
    ms, mt = source.mean(0), target.mean(0)
    u, d, vt = np.linalg.svd((target - mt).T @ (source - ms) / len(source))
    s = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ s @ vt
    scale = np.trace(np.diag(d) @ s) / ((source - ms) ** 2).sum(1).mean()
    return np.column_stack([scale * rotation, mt - scale * rotation @ ms])


@pytest.mark.parametrize("seed", range(20))
def test_similarity_is_umeyamas(seed):
    random = np.random.default_rng(seed)
    source = random.normal(0, 30, (5, 2)) + 200
    target = ARCFACE_TEMPLATE + random.normal(0, 5, (5, 2))
    np.testing.assert_allclose(similarity_transform(source, target), umeyama(source, target), atol=1e-9)


@given(st.floats(0.05, 20), st.floats(-3.1, 3.1), st.floats(-500, 500), st.floats(-500, 500))
def test_a_known_similarity_is_found(scale, angle, dx, dy):
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    found = similarity_transform(ARCFACE_TEMPLATE, ARCFACE_TEMPLATE @ matrix.T + (dx, dy))
    np.testing.assert_allclose(found, np.column_stack([matrix, (dx, dy)]), atol=1e-6)


def test_mirrored_points_are_not_mirrored_back():
    """The best similarity without reflection turns a mirrored face rather than flipping it."""
    found = similarity_transform(ARCFACE_TEMPLATE * (-1, 1), ARCFACE_TEMPLATE)
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((4, 2)), r"Received: \(4, 2\) and \(5, 2\)"),
        (np.full((5, 2), 3.0), "coincide"),
        (np.full((5, 2), np.nan), "finite"),
    ],
)
def test_points_that_fix_nothing_are_refused(source, words):
    with pytest.raises(ValueError, match=words):
        similarity_transform(source, ARCFACE_TEMPLATE)


def dotted(points, shape, radius):
    """A black picture with one bright disc per point, and the coordinates of the discs' centres."""
    image = np.zeros((*shape, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), round(radius * 16), (255, 255, 255), -1, cv2.LINE_AA, 4)
    return image


def centres(image):
    n, _, _, found = cv2.connectedComponentsWithStats((image[:, :, 0] > 100).astype(np.uint8))
    return found[1:n][np.lexsort((found[1:n, 0], found[1:n, 1] // 8))]


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (2.2, 0.4), (0.8, -0.5), (6.0, 0.2)])
@pytest.mark.parametrize("size", [112, 224])
def test_landmarks_come_to_lie_on_the_template(scale, angle, size):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (ARCFACE_TEMPLATE - 56) @ turn.T + 500
    aligned = align(dotted(points, (1000, 1000), 3 * scale), points, size)
    assert aligned.shape == (size, size, 3)
    expected = (ARCFACE_TEMPLATE + 0.5) * size / 112 - 0.5
    order = np.lexsort((expected[:, 0], expected[:, 1] // 8))
    np.testing.assert_allclose(centres(aligned), expected[order], atol=0.35)


def test_aligning_an_aligned_face_changes_nothing():
    image = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(align(image, ARCFACE_TEMPLATE), image)


def test_shrinking_averages_instead_of_skipping():
    """A fine checkerboard, shrunk eightfold, is grey; bilinear sampling alone would keep black and white."""
    board = np.where(np.indices((896, 896)).sum(0)[..., None] // 3 % 2, 255, 0).astype(np.uint8).repeat(3, axis=2)
    aligned = align(board, (ARCFACE_TEMPLATE + 0.5) * 8 - 0.5).astype(float)
    assert aligned.std() < 20


def test_outside_the_picture_is_black():
    aligned = align(np.full((50, 112, 3), 200, np.uint8), ARCFACE_TEMPLATE)
    assert (aligned[:50] == 200).all()
    assert (aligned[51:] == 0).all()


@pytest.mark.parametrize(
    ("box", "margin"),
    [((10, 20, 40, 50), 0), ((10, 20, 40, 50), 0.5), ((-15, -7, 30, 25), 0), ((50, 40, 90, 80), 0.25)],
)
def test_crop_pads_with_zeros(box, margin):
    image = rng.integers(1, 256, (64, 80, 3), dtype=np.uint8)
    wide = np.pad(image, ((100, 100), (100, 100), (0, 0)))
    left, top, right, bottom = box
    dx, dy = margin * (right - left), margin * (bottom - top)
    x0, x1, y0, y1 = (round(v) + 100 for v in (left - dx, right + dx, top - dy, bottom + dy))
    np.testing.assert_array_equal(crop(image, box, margin), wide[y0:y1, x0:x1])


def test_crop_wholly_outside_is_black():
    assert not crop(np.full((20, 20, 3), 9, np.uint8), (100, 100, 110, 105)).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda image: crop(image, (5, 5, 5, 9)), r"right > left.*\(5, 5, 5, 9\)"),
        (lambda image: crop(image, (0, 0, np.nan, 9)), "box must be"),
        (lambda image: crop(image, (0, 0, 9, 9), -0.1), "margin.*-0.1"),
        (lambda image: crop(image.astype(float), (0, 0, 9, 9)), "Received: float64"),
        (lambda image: align(image[:, :, 0], ARCFACE_TEMPLATE), r"image must be uint8.*\(20, 20\)"),
        (lambda image: align(image, ARCFACE_TEMPLATE[:3]), r"five landmarks.*\(3, 2\)"),
    ],
)
def test_wrong_shapes_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.zeros((20, 20, 3), np.uint8))
