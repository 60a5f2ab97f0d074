"""Pictures show what the tables hold; the report is one page that needs nothing else and trusts no text."""

import html
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from abaw_tf import evaluation, plots, predictions, report

SEVEN = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def make(frames, trial="a", time=None, **columns):
    return predictions.make_table(trial, frames, time=time, **columns)


def inked(figure):
    """Share of pixels of the rendered figure that are not white."""
    figure.canvas.draw()
    return np.mean(np.asarray(figure.canvas.buffer_rgba())[..., :3] < 250)


class TestConfusion:
    def test_counts_and_shares(self):
        cm = np.zeros((7, 7), int)
        cm[0] = [30, 10, 0, 0, 0, 0, 0]
        cm[4, 4] = 123_456
        ax = plots.plot_confusion(cm, SEVEN)
        texts = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
        assert len(texts) == 49
        assert texts[0, 0] == "30\n75%"
        assert texts[1, 0] == "10\n25%"
        assert texts[4, 4] == "123k\n100%"
        assert texts[2, 1] == "0"
        np.testing.assert_allclose(ax.images[0].get_array()[0], [0.75, 0.25, 0, 0, 0, 0, 0])
        assert [label.get_text() for label in ax.get_xticklabels()] == list(SEVEN)
        assert ax.get_yticklabels()[1].get_text() == "Anger\n0"

    def test_labels_do_not_overlap(self):
        figure = plots.plot_confusion(np.full((7, 7), 1234), SEVEN).figure
        figure.canvas.draw()
        ax = figure.axes[0]
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])

    def test_wrong_shape(self):
        with pytest.raises(ValueError, match=r"for each of 7 classes. Received: shape \(6, 6\)"):
            plots.plot_confusion(np.ones((6, 6)), SEVEN)


class TestTimeline:
    def spans(self, ax):
        """(band, start, stop, colour) of each rectangle drawn, the hatched ground excepted."""
        found = []
        for collection in ax.collections:
            if collection.get_hatch():
                continue
            for path in collection.get_paths():
                box = path.get_extents()
                band = "predicted" if box.y0 < 1 else "true"
                found.append((band, round(box.x0, 6), round(box.x1, 6), to_hex(collection.get_facecolor()[0])))
        return sorted(found)

    def test_runs_gaps_and_colours(self):
        table = make([0, 1, 2, 5, 6], expression=[4, 4, 1, 1, 1])
        labels = pd.DataFrame({"trial": "a", "frame": range(8), "expression": [4, 4, 4, -1, -1, 1, 1, 1]})
        ax = plots.plot_expression_timeline(table, labels, "a")
        happy, angry = (to_hex(plots.CLASS_COLORS[name]) for name in ("Happiness", "Anger"))
        assert self.spans(ax) == sorted(
            [
                ("predicted", 0, 2, happy), ("predicted", 2, 3, angry), ("predicted", 5, 7, angry),
                ("true", 0, 3, happy), ("true", 5, 8, angry),
            ]
        )  # fmt: skip
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Anger", "Happiness", "none"]
        assert "80% of 5 labelled frames agree" in ax.get_title(loc="left")
        assert ax.get_xlabel() == "frame"
        assert ax.get_xlim() == (0, 8)

    def test_every_second_frame_is_no_gap(self):
        ax = plots.plot_expression_timeline(make([0, 2, 4], expression=[0, 0, 0]), None, "a")
        assert self.spans(ax) == [("predicted", 0, 6, to_hex(plots.CLASS_COLORS["Neutral"]))]
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Neutral"]
        assert "no labels" in ax.get_title(loc="left")

    def test_seconds_where_they_are_known(self):
        table = make([0, 1, 2], time=[0.0, 0.1, 0.3], expression=[0, 1, 1])
        ax = plots.plot_expression_timeline(table, None, "a")
        assert ax.get_xlabel() == "seconds"
        assert [span[1:3] for span in self.spans(ax)] == [(0, 0.1), (0.1, 0.45)]
        ties = make([0, 1, 2], time=[0.0, 0.0, 1.0], expression=[0, 1, 1])
        assert plots.plot_expression_timeline(ties, None, "a").get_xlabel() == "frame"

    def test_colours_differ_and_cover_all_classes(self):
        assert list(plots.CLASS_COLORS)[:7] == list(SEVEN)
        assert len(set(plots.CLASS_COLORS.values())) == 8

    def test_faults(self):
        table = make([0], expression=[0])
        with pytest.raises(ValueError, match=r"no such trial; the table holds a.*trial='b'"):
            plots.plot_expression_timeline(table, None, "b")
        with pytest.raises(ValueError, match="predicts no expression"):
            plots.plot_expression_timeline(make([0], valence=[0.0]), None, "a")
        with pytest.raises(ValueError, match="predicts no valence"):
            plots.plot_valence_arousal(table, None, "a")


class TestValenceArousal:
    def test_gaps_remain_gaps(self):
        table = make([0, 1, 2, 6, 7, 8], valence=[0.1] * 6, arousal=[0.2] * 6)
        labels = pd.DataFrame({"trial": "a", "frame": range(9), "valence": [0.5] * 9, "arousal": [0.5] * 9})
        labels.loc[4, ["valence", "arousal"]] = np.nan
        axes = plots.plot_valence_arousal(table, labels, "a")
        lines = {line.get_label(): line for line in axes[0].lines}
        x, y = lines["prediction"].get_data()
        assert np.isnan(y).sum() == 1
        assert x[~np.isnan(y)].tolist() == [0, 1, 2, 6, 7, 8]
        y = np.asarray(lines["label"].get_ydata())
        assert np.flatnonzero(np.isnan(y)).tolist() == [4]
        assert axes[1].get_ylabel() == "arousal"
        assert axes[0].get_ylim()[0] <= -1 < 1 <= axes[0].get_ylim()[1]

    def test_every_second_frame_is_a_line(self):
        axes = plots.plot_valence_arousal(make([0, 2, 4], valence=[0, 0.1, 0.2], arousal=[0, 0, 0]), None, "a")
        (line,) = [line for line in axes[0].lines if line.get_label() == "prediction"]
        assert not np.isnan(line.get_ydata()).any()

    def test_a_single_frame_is_a_dot(self):
        axes = plots.plot_valence_arousal(make([0, 1, 9], valence=[0, 0, 0.5], arousal=[0, 0, 0]), None, "a")
        dots = [line for line in axes[0].lines if line.get_marker() == "."]
        assert np.concatenate([dot.get_ydata() for dot in dots]).tolist() == [0.5]


class TestDensity:
    def test_counts_land_where_they_belong(self):
        valence, arousal = [0.9, 0.9, -0.9, np.nan], [0.9, 0.9, -0.9, 0.1]
        ax = plots.plot_va_density(valence, arousal, bins=4, title="Predicted")
        counts = ax.collections[0].get_array().reshape(4, 4)
        assert counts[3, 3] == 2
        assert counts[0, 0] == 1
        assert counts.sum() == 3
        assert counts.mask.sum() == 14
        assert ax.get_title(loc="left") == "Predicted (3 frames)"
        assert len(ax.patches) == 1

    def test_nothing_to_show_and_wrong_lengths(self):
        assert "(0 frames)" in plots.plot_va_density([np.nan], [np.nan]).get_title(loc="left")
        with pytest.raises(ValueError, match="Received: 2 and 1 values"):
            plots.plot_va_density([0, 1], [0])


class TestTraining:
    history = pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [3.0, 2, 1], "val_loss": [3.0, 1.5, 2], "accuracy": [0.1, 0.2, 0.3],
         "val_accuracy": [0.1, 0.15, 0.4], "learning_rate": [1e-3, 1e-3, 1e-4]}
    )  # fmt: skip

    def test_panels_and_best_epochs(self, tmp_path):
        self.history.to_csv(tmp_path / "history.csv", index=False)
        figure = plots.plot_training(tmp_path / "history.csv")
        panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
        assert list(panels) == ["loss", "accuracy", "learning rate"]
        best = {name: ax.lines[-1].get_xydata().tolist() for name, ax in panels.items() if len(ax.lines) == 3}
        assert best == {"loss": [[2, 1.5]], "accuracy": [[3, 0.4]]}
        assert panels["learning rate"].get_yscale() == "log"

    def test_an_unfinished_validation_and_faults(self, tmp_path):
        plots.plot_training(self.history.assign(val_loss=np.nan))
        with pytest.raises(ValueError, match="a row per epoch"):
            plots.plot_training(self.history.iloc[:0])
        with pytest.raises(FileNotFoundError, match=r"gone\.csv: no such history file"):
            plots.plot_training(tmp_path / "gone.csv")
        (tmp_path / "empty.csv").write_text("")
        with pytest.raises(ValueError, match=r"empty\.csv: not a readable CSV"):
            plots.plot_training(tmp_path / "empty.csv")


class TestFaces:
    def test_missing_faces_and_titles(self):
        images = [np.full((20, 30, 3), 200, np.uint8), None, np.zeros((20, 30), np.uint8)]
        figure = plots.face_grid(images, ["one", "two", "three"], columns=2)
        assert [ax.get_title() for ax in figure.axes] == ["one", "two", "three"]
        assert figure.axes[1].texts[0].get_text() == "no face"
        assert figure.axes[1].images[0].get_array().shape == (20, 30, 3)
        assert inked(figure) > 0.1
        with pytest.raises(ValueError, match="Received: 1 titles, 3 images"):
            plots.face_grid(images, ["one"])
        with pytest.raises(ValueError, match="no image to show"):
            plots.face_grid([])


def test_pictures_go_where_they_are_told():
    figure = Figure()
    table = make([0, 1], expression=[0, 1], valence=[0, 0.5], arousal=[0, 0.5])
    axes = figure.subplots(3, 1)
    assert plots.plot_expression_timeline(table, None, "a", axes[0]) is axes[0]
    assert plots.plot_va_density(table["valence"], table["arousal"], axes[1]) is axes[1]
    assert plots.plot_confusion(np.eye(7), SEVEN, axes[2]) is axes[2]
    assert plt.get_fignums() == []
    assert plots.plot_training(TestTraining.history, Figure()).axes


class TestReport:
    @pytest.fixture
    def scored(self):
        rng = np.random.default_rng(0)
        tables, labels = [], []
        for k in range(4):
            truth = np.repeat(rng.integers(0, 7, 10), 10)
            guess = np.where(rng.random(100) < 0.6, truth, 0)
            va = np.clip(rng.normal(0, 0.3, (100, 2)), -1, 1)
            tables.append(
                make(np.arange(100), f"v<{k}>", expression=guess, valence=va[:, 0], arousal=va[:, 1], model="net & co")
            )
            labels.append(pd.DataFrame({"trial": f"v<{k}>", "frame": range(100), "expression": truth}))
            labels[-1][["valence", "arousal"]] = va * 0.8
        table, labels = predictions.concatenate(tables), pd.concat(labels, ignore_index=True)
        return evaluation.evaluate(table, labels, bootstrap=50), table, labels

    def test_one_page_with_everything(self, scored, tmp_path):
        result, table, labels = scored
        path = report.write_report(
            tmp_path / "deep" / "report.html",
            "A <title>",
            result,
            table,
            labels,
            history=TestTraining.history,
            run_card={"recipe": {"name": "<x>", "epochs": 3}, "git": None},
            notes="The data is synthetic & says nothing about people.",
        )
        page = path.read_text()
        assert [item.name for item in path.parent.iterdir()] == ["report.html"]
        assert page.count("data:image/png;base64,") == 1 + 2 + 6 + 1
        assert not re.search(r'(?:src|href)\s*=\s*"(?!data:)', page)
        assert "<script" not in page
        assert "@import" not in page
        assert "A &lt;title&gt;" in page
        assert "<title>A <title>" not in page
        assert "synthetic &amp; says nothing" in page
        assert "net &amp; co" in page
        assert "v&lt;0&gt;" in page
        assert "v<0>" not in page
        assert "recipe.name" in page
        assert "&lt;x&gt;" in page
        text = html.unescape(page)
        for name in ("expression_score", "valence_arousal_score", "ccc_valence"):
            assert f"{result.scores[name]:.4f}" in text
        low, high = result.intervals["expression_score"]
        assert f"{low:.4f} … {high:.4f}" in text
        assert "only 4 videos" in text
        assert plt.get_fignums() == []

    def test_several_models_and_their_comparison(self, scored, tmp_path):
        result, table, labels = scored
        compared = evaluation.compare(table, table, labels, bootstrap=20, names=("one", "two"))
        path = report.write_report(
            tmp_path / "r.html", "Two", {"one": result, "two": result}, {"two": table}, labels, comparisons=compared
        )
        page = path.read_text()
        assert "one against two" in page
        assert "the two score the same" in page
        assert page.count("<h2>one</h2>") == page.count("<h2>two</h2>") == 1
        with pytest.raises(ValueError, match="'three' is not among the evaluated models one"):
            report.write_report(tmp_path / "x.html", "x", {"one": result}, {"three": table})
        with pytest.raises(ValueError, match="at least one evaluation"):
            report.write_report(tmp_path / "x.html", "x", {})
        assert not (tmp_path / "x.html").exists()

    def test_scores_alone_are_enough(self, scored, tmp_path):
        page = report.write_report(tmp_path / "r.html", "Bare", scored[0]).read_text()
        assert page.count("data:image/png") == 1
        assert "net &amp; co" in page

    def test_a_model_of_expressions_alone_has_no_valence_and_arousal(self, scored, tmp_path):
        _, table, labels = scored
        table = table.drop(columns=["valence", "arousal"])
        result = evaluation.evaluate(table, labels, bootstrap=0)
        page = report.write_report(tmp_path / "r.html", "Expressions", result, table, labels).read_text()
        assert "confusion matrix of" in page
        assert "alence and arousal" not in page
