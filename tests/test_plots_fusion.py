"""Pictures of fusion show the weights and scores they were given, legibly."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from abaw_tf import predictions
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.plots import fusion as plots
from abaw_tf.plots.bands import plot_expression_bands
from abaw_tf.plots.style import CLASS_COLORS

MODELS = ["one", "two", "three", "four"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def contrast(a, b):
    """Contrast of two colours, 1-21 (WCAG 2.1)."""

    def luminance(color):
        c = np.asarray(to_rgb(color))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def texts(ax):
    """Text of each cell (row, column)."""
    return {tuple(int(v) for v in reversed(text.get_position())): text.get_text() for text in ax.texts}


class TestWeights:
    def test_cells_hold_the_weights(self):
        weights = np.random.default_rng(0).dirichlet(np.ones(4), 7).T
        ax = plots.plot_weights(weights, MODELS)
        shown = texts(ax)
        assert len(shown) == 28
        assert all(shown[i, j] == f"{weights[i, j]:.2f}" for i in range(4) for j in range(7))
        np.testing.assert_array_equal(ax.images[0].get_array(), weights)
        assert ax.images[0].get_clim() == (0, 1)
        assert [label.get_text() for label in ax.get_yticklabels()] == MODELS
        assert [label.get_text() for label in ax.get_xticklabels()] == list(EXPRESSIONS_7)

    def test_one_weight_per_model_and_two_outputs(self):
        ax = plots.plot_weights([0.25, 0.75], MODELS[:2], classes=EXPRESSIONS_7)
        assert texts(ax) == {(0, 0): "0.25", (1, 0): "0.75"}
        assert [label.get_text() for label in ax.get_xticklabels()] == ["weight"]
        ax = plots.plot_weights([[0, 1], [1, 0]], MODELS[:2])
        assert [label.get_text() for label in ax.get_xticklabels()] == ["valence", "arousal"]

    def test_numbers_are_readable_on_every_shade(self):
        weights = np.stack([np.linspace(0, 1, 21), 1 - np.linspace(0, 1, 21)])
        ax = plots.plot_weights(weights, MODELS[:2], [str(k) for k in range(21)])
        for text in ax.texts:
            x, y = (int(v) for v in text.get_position())
            assert contrast(text.get_color(), ax.images[0].to_rgba(weights[y, x])) > 3.4

    def test_numbers_stay_in_their_cells(self):
        ax = plots.plot_weights(np.full((4, 8), 0.25), MODELS)
        ax.figure.canvas.draw()
        width = ax.transData.transform([1, 0])[0] - ax.transData.transform([0, 0])[0]
        assert max(text.get_window_extent().width for text in ax.texts) < width

    def test_faults(self):
        with pytest.raises(ValueError, match=r"for each of 4 models.*Received: shape \(3, 7\), 7 classes"):
            plots.plot_weights(np.full((3, 7), 1 / 3), MODELS)
        with pytest.raises(ValueError, match=r"Received: shape \(2, 6\), 0 classes"):
            plots.plot_weights(np.full((2, 6), 0.5), MODELS[:2])
        with pytest.raises(ValueError, match=r"\[0, 1\]. Received: from -0.5 to 1.5"):
            plots.plot_weights([-0.5, 1.5], MODELS[:2])


class TestFoldWeights:
    def test_every_fold_is_a_dot_and_the_mean_a_dash(self):
        found = np.random.default_rng(1).dirichlet(np.ones(3), (5, 7)).transpose(0, 2, 1)
        ax = plots.plot_fold_weights(found, MODELS[:3])
        dots = {line.get_label(): np.asarray(line.get_ydata()) for line in ax.lines if line.get_label() in MODELS}
        assert list(dots) == MODELS[:3]
        for k, name in enumerate(MODELS[:3]):
            np.testing.assert_array_equal(np.sort(dots[name]), np.sort(found[:, k].ravel()))
        drawn = [np.array(c.get_segments()) for c in ax.collections]
        dashes = [s for s in drawn if (s[:, 0, 1] == s[:, 1, 1]).all()]
        bars = [s for s in drawn if (s[:, 0, 0] == s[:, 1, 0]).all()]
        np.testing.assert_allclose([s[:, 0, 1] for s in dashes], found.mean(axis=0))
        np.testing.assert_allclose([s[:, 0, 1] for s in bars], found.min(axis=0))
        np.testing.assert_allclose([s[:, 1, 1] for s in bars], found.max(axis=0))
        assert "5 folds" in ax.get_title(loc="left")

    def test_weights_per_model(self):
        ax = plots.plot_fold_weights([[0.2, 0.8], [0.4, 0.6]], MODELS[:2])
        assert [label.get_text() for label in ax.get_xticklabels()] == ["weight"]
        with pytest.raises(ValueError, match="Received: shape"):
            plots.plot_fold_weights([[0.2, 0.8], [0.4, 0.6]], MODELS[:3])


class TestHeldOut:
    table = pd.DataFrame(
        {"search_score": [0.5, 0.6], "held_out_score": [0.5, 0.45], "low": [0.4, 0.35], "high": [0.6, np.nan]},
        index=["one", "MCWF"],
    )

    def test_both_scores_and_the_interval(self):
        ax = plots.plot_held_out(self.table)
        lines = {line.get_label(): line.get_xdata().tolist() for line in ax.lines}
        assert lines["on the search set"] == [0.5, 0.6]
        assert lines["held out, 95 % interval"] == [0.5, 0.45]
        spans = [segment[:, 0].tolist() for c in ax.collections for segment in c.get_segments() if len(segment)]
        assert [0.4, 0.6] in spans
        assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "MCWF"]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]

    def test_takes_what_held_out_returns(self):
        class Result:
            table, metric = self.table, "macro F1"

        assert plots.plot_held_out(Result()).get_xlabel() == "macro F1"
        with pytest.raises(ValueError, match="no column 'high'"):
            plots.plot_held_out(self.table.drop(columns="high"))


class TestSearch:
    def test_curve_histogram_and_lines(self):
        scores = [0.3, 0.5, 0.4, 0.6]
        figure = plots.plot_search([(-2, 0.45), (1, 0.5), (3, 0.6)], scores, [0.4, 0.45], 0.42, MODELS[:2])
        curve, histogram = figure.axes
        x, y = curve.lines[0].get_data()
        assert y.tolist() == [0.45, 0.5, 0.6, 0.6]
        assert x.tolist() == [0, 2, 4, 4]
        assert sum(patch.get_width() for patch in histogram.patches) == 4
        named = [text.get_text() for text in histogram.get_legend().get_texts()]
        assert named == ["one 0.4000", "two 0.4500", "equal weights 0.4200"]
        assert curve.get_title(loc="left") == "Best: 0.6000"

    def test_the_curve_alone(self):
        figure = plots.plot_search([(-1, 0.45)])
        assert len(figure.axes) == 1
        assert figure.axes[0].get_legend() is None
        with pytest.raises(ValueError, match="empty history"):
            plots.plot_search([])


class TestSimplex:
    def test_two_models_are_a_curve(self):
        weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        ax = plots.plot_simplex(weights, [0.1, 0.2, 0.3], MODELS[:2])
        assert ax.lines[0].get_xdata().tolist() == [0, 0.5, 1]
        assert ax.lines[0].get_ydata().tolist() == [0.2, 0.3, 0.1]
        assert ax.get_title(loc="left") == "Best 0.3000: one 0.50, two 0.50"

    def test_three_models_are_a_triangle(self):
        weights = np.vstack([np.eye(3), np.full((1, 3), 1 / 3)])
        ax = plots.plot_simplex(weights, [0.1, 0.2, 0.3, 0.4], MODELS[:3])
        points = ax.collections[0].get_offsets()
        np.testing.assert_allclose(points[:3].mean(axis=0), points[3])
        sides = np.linalg.norm(points[:3] - np.roll(points[:3], 1, axis=0), axis=1)
        np.testing.assert_allclose(sides, 1)
        np.testing.assert_array_equal(ax.collections[0].get_array(), [0.1, 0.2, 0.3, 0.4])
        with pytest.raises(ValueError, match=r"Received: shape .*4 models"):
            plots.plot_simplex(np.eye(4), np.ones(4), MODELS)


def test_pictures_go_where_they_are_told():
    axes = Figure().subplots(4, 1)
    assert plots.plot_weights([0.5, 0.5], MODELS[:2], ax=axes[0]) is axes[0]
    assert plots.plot_fold_weights([[0.5, 0.5]], MODELS[:2], ax=axes[1]) is axes[1]
    assert plots.plot_held_out(TestHeldOut.table, axes[2]) is axes[2]
    assert plots.plot_simplex(np.eye(2), [0, 1], MODELS[:2], axes[3]) is axes[3]
    figure = Figure()
    assert plots.plot_search([(-1, 0.5)], figure=figure) is figure
    assert plt.get_fignums() == []


class TestBands:
    def table(self, frames, expression, trial="a", **columns):
        return predictions.make_table(trial, frames, expression=expression, **columns)

    def test_a_band_per_model(self):
        tables = {"one": self.table([0, 1, 2], [4, 4, 1]), "two": self.table([0, 1, 2, 6], [0, 0, 0, 4])}
        ax = plot_expression_bands(tables, "a")
        assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
        spans = {}
        for collection in ax.collections:
            if not collection.get_hatch():
                box = collection.get_paths()[0].get_extents()
                spans.setdefault(int(box.y0), []).append((box.x0, box.x1, to_hex(collection.get_facecolor()[0])))
        colors = {name: to_hex(CLASS_COLORS[name]) for name in CLASS_COLORS}
        assert spans[0] == [(0, 2, colors["Happiness"]), (2, 3, colors["Anger"])]
        assert spans[1] == [(0, 3, colors["Neutral"]), (6, 7, colors["Happiness"])]
        assert ax.get_xlim() == (0, 7)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Neutral", "Anger", "Happiness"]

    def test_faults(self):
        with pytest.raises(ValueError, match=r"two: the table does not hold the trial. Received: trial='a'"):
            plot_expression_bands({"one": self.table([0], [1]), "two": self.table([0], [1], "b")}, "a")
        with pytest.raises(ValueError, match="one: the table predicts no expression"):
            plot_expression_bands({"one": predictions.make_table("a", [0], valence=[0.0])}, "a")
        with pytest.raises(ValueError, match="at least one model"):
            plot_expression_bands({}, "a")
