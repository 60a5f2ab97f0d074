"""The picture that shows a trial's faces above its expression timeline."""

import numpy as np
import pandas as pd
import pytest

from abaw_tf import plots, predictions


def tables(n=50):
    truth = np.repeat([0, 4, -1, 5, 6], n // 5)
    predicted = np.maximum(truth, 0)
    predicted[:5] = 2
    table = predictions.make_table(np.full(n, "a"), np.arange(n), probabilities=np.eye(7)[predicted])
    return table, pd.DataFrame({"trial": "a", "frame": np.arange(n), "expression": truth})


def test_faces_are_titled_with_prediction_and_truth():
    table, labels = tables()
    images = {frame: np.full((112, 112, 3), frame, np.uint8) for frame in (0, 12, 24, 49)}
    figure = plots.plot_overview(table, labels, "a", images, columns=4)
    faces = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in faces] == [
        "frame 0\nDisgust",
        "frame 12\nHappiness",
        "frame 24\nNeutral",
        "frame 49\nSurprise",
    ]
    assert [ax.get_xlabel() for ax in faces] == ["true: Neutral", "true: Happiness", "true: –", "true: Surprise"]


def test_fewer_faces_than_columns_are_all_shown():
    table, labels = tables()
    figure = plots.plot_overview(table, labels, "a", {3: np.zeros((8, 8, 3), np.uint8)})
    assert sum(bool(ax.images) for ax in figure.axes) == 1


def test_no_image_and_an_unknown_trial_are_refused():
    table, labels = tables()
    with pytest.raises(ValueError, match="no image of the trial"):
        plots.plot_overview(table, labels, "a", {})
    with pytest.raises(ValueError, match="no such trial"):
        plots.plot_overview(table, labels, "b", {0: np.zeros((8, 8, 3), np.uint8)})
