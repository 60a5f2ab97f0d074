"""The report of a fusion: verdict first, both scores, weights; one page that needs nothing else."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from abaw_tf import predictions
from abaw_tf.fusion.calibration import CalibratedFusion
from abaw_tf.fusion.dirichlet import DirichletFusion
from abaw_tf.fusion.held_out_estimate import held_out
from abaw_tf.fusion.search import search_tables
from abaw_tf.report import write_fusion_report

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Text and tables of a page; fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.rows, self.images = [], [], [], 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.images += tag == "img"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def row(self, name):
        return next(row for row in self.rows if row and row[0] == name)


@pytest.fixture(scope="module")
def material():
    """Three models of both tasks on six videos, and their labels."""
    rng = np.random.default_rng(0)
    truth, tables = [], {"cnn": [], "svm": [], "audio <b> & co": []}
    for video in range(6):
        y = np.repeat(rng.integers(0, 7, 15), 10)
        va = np.clip(rng.normal(0, 0.3, (150, 2)).cumsum(axis=0) / 5, -1, 1)
        truth.append(pd.DataFrame({"trial": f"v{video}", "frame": range(150), "expression": y}))
        truth[-1][["valence", "arousal"]] = va
        for k, parts in enumerate(tables.values()):
            p = np.exp(rng.normal(0, 1, (150, 7)) + np.eye(7)[y] * (1.2 - 0.4 * k))
            guess = np.clip(va + rng.normal(0, 0.2 + 0.2 * k, va.shape), -1, 1)
            p /= p.sum(axis=1, keepdims=True)
            parts.append(
                predictions.make_table(
                    f"v{video}", np.arange(150), probabilities=p, valence=guess[:, 0], arousal=guess[:, 1]
                )
            )
    return {name: predictions.concatenate(parts) for name, parts in tables.items()}, pd.concat(truth, ignore_index=True)


@pytest.fixture(scope="module")
def found(material):
    return search_tables(*material, level="model_class", n_draws=100).estimate(n_folds=3, bootstrap=50)


def test_one_page_with_everything(found, tmp_path):
    path = write_fusion_report(tmp_path / "deep", found, "Fusion <1>", notes="The data is synthetic & small.")
    assert path == tmp_path / "deep" / "report.html"
    text = path.read_text()
    page = Page(text)
    assert not re.search(r'(?:src|href)\s*=\s*"(?!data:)|<script|@import|url\(', text)
    assert "audio <b>" not in text
    assert "The data is synthetic & small." in page.words
    for task, parts in found.held_out.items():
        verdict = parts.verdict[:1].upper() + parts.verdict[1:] + "."
        assert verdict in page.words
        heading = {"expression": "Expression", "valence_arousal": "Valence and arousal"}[task]
        assert page.words.index(heading) < page.words.index(verdict)
    expression = found.held_out["expression"]
    for name, values in expression.table.iterrows():
        row = page.row(name)
        assert row[1:3] == [f"{values.search_score:.4f}", f"{values.held_out_score:.4f}"]
        assert row[3] == f"{values.low:.4f} … {values.high:.4f}"
    for gain in expression.gains.itertuples():
        assert page.row(f"{gain.fusion} over {gain.over}")[1] == f"{gain.gain:+.4f}"
    # Scores, weights and fold weights of both tasks, and the curve of the only search.
    assert page.images == text.count("data:image/png;base64,") == 3 * 2 + 1
    assert page.row("weights")[1] == "one per model and class"
    assert page.row("search.frames")[1] == "900"
    assert page.row("held out.folds")[1] == "3"
    assert plt.get_fignums() == []


def test_without_an_estimate_it_says_so(material, tmp_path):
    tables, truth = material
    found = search_tables(tables, truth.drop(columns=["valence", "arousal"]), n_draws=10)
    page = Page(write_fusion_report(tmp_path / "page.html", found).read_text())
    assert any("Not examined on held-out videos" in words for words in page.words)
    assert page.row("this fusion")[1] == f"{found.fusions['expression'].score_:.4f}"
    assert page.row("cnn")[1] == f"{found.fusions['expression'].single_scores_[0]:.4f}"
    assert page.images == 2
    assert [item.name for item in tmp_path.iterdir()] == ["page.html"]


def test_a_vote_has_nothing_to_fit(material, tmp_path):
    found = search_tables(*material, task="expression", method="majority").estimate()
    page = Page(write_fusion_report(tmp_path, found).read_text())
    assert any(words.startswith("Nothing is fitted") for words in page.words)
    assert page.row("this fusion")[1] == f"{found.weights.tasks['expression'].found['score']:.4f}"
    assert page.images == 0


def test_notes_of_alignment_and_temperatures(material, tmp_path):
    tables, truth = material
    first = next(iter(tables))
    short = tables[first].iloc[5:].reset_index(drop=True)
    short.attrs = tables[first].attrs
    found = search_tables(
        {**tables, first: short}, truth, task="expression", n_draws=10, missing="drop", calibrate=True
    )
    page = Page(write_fusion_report(tmp_path, found.estimate(n_folds=2, bootstrap=0)).read_text())
    assert found.weights.notes
    assert set(found.weights.notes) <= set(page.words)
    temperature = found.weights.tasks["expression"].temperatures[0]
    assert page.row("temperatures.cnn")[1] == f"{temperature:.3f}"
    assert page.row("search.n_draws")[1] == "10"


def test_an_estimate_of_several_fusions_alone(tmp_path):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 400)
    p = rng.dirichlet(np.ones(3), (2, 400)) + np.eye(3)[y] * 0.4
    fusions = {"SWF": DirichletFusion(n_draws=20), "calibrated": CalibratedFusion(DirichletFusion(n_draws=20))}
    found = held_out(
        p / p.sum(2, keepdims=True), y, np.arange(400) // 50, fusions, n_folds=4, bootstrap=0, names=["a", "b"]
    )
    page = Page(write_fusion_report(tmp_path, found, classes=["x", "y", "z"]).read_text())
    for line in found.verdict.split("\n"):
        assert line[:1].upper() + line[1:] + "." in page.words
    assert page.row("SWF")[2:] == [f"{found.table.loc['SWF', 'held_out_score']:.4f}", "–"]
    assert page.images == 1 + 2 * 2
