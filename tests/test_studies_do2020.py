"""The study of Do et al. (2020): the paper's figures, the table beside them, the fusions, and the whole study at small size."""

import json

import numpy as np
import pandas as pd
import pytest
from eager import eagerly
from sklearn.metrics import accuracy_score, f1_score

from abaw_tf import predictions
from abaw_tf.data import AffWild2
from abaw_tf.evaluation import evaluate, label_table
from abaw_tf.studies import do2020, do2020_networks, do2020_paper, rendered, run_study
from abaw_tf.studies.do2020_networks import DERIVATIONS, FUSION, MAJORITY, PROBE, SECOND, TUNED
from abaw_tf.studies.rendered import Size
from abaw_tf.training import Run, keras_runner

WITH_VA = ["2 image_va", SECOND, "4 frames_va", "6 lstm_va", FUSION]
COLUMNS = ["paper_printed", "paper_official", "paper_aro", "paper_val", "paper_VA", "as_published", "official", "low", "high",
           "aro", "val", "VA"]  # fmt: skip

# Official scores of the published networks, as first computed from the notebooks' outputs.
WORTH = {"t12": 0.3259, "t15": 0.3492, "t8": 0.3806, "t31": 0.3716, "t45": 0.3518, "fusion": 0.4066}


def ccc(truth, predicted):
    """Lin's formula, as in the paper's equation 6."""
    truth, predicted = truth.to_numpy(), predicted.to_numpy()
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return 2 * covariance / (truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2)


class TestPaper:
    def test_the_matrices_are_those_of_the_notebooks(self, project):
        file = project / "tests" / "fixtures" / "do2020_confusions.json"
        models = json.loads(file.read_text(encoding="utf-8"))["models"]
        assert {name: np.array(model["confusion"]).tolist() for name, model in models.items()} == {
            name: np.array(matrix).tolist() for name, matrix in do2020_paper.CONFUSIONS.items()
        }
        assert set(do2020_paper.NETWORKS) == set(models)

    @pytest.mark.parametrize("network", WORTH)
    def test_what_the_rows_are_worth(self, network):
        matrix = np.array(do2020_paper.CONFUSIONS[network], float)
        f1 = 2 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1))
        accuracy = np.trace(matrix) / matrix.sum()
        assert do2020_paper.worth(network) == pytest.approx(0.67 * f1.mean() + 0.33 * accuracy, abs=1e-12)
        assert do2020_paper.worth(network) == pytest.approx(WORTH[network], abs=5e-5)

    def test_the_printed_scores_are_those_of_the_matrices(self):
        rows = {row: printed for row, printed in do2020_paper.TABLE_II.items() if printed.network not in ("", "t8")}
        assert len(rows) == 4
        for printed in rows.values():
            # The matrix of t15 has a weighted F1 of .515, of which the paper prints .512.
            assert do2020_paper.worth(printed.network, "do2020") == pytest.approx(printed.expression, abs=2e-3)
            assert printed.mean == pytest.approx((printed.arousal + printed.valence) / 2, abs=1e-3)
        assert np.isnan(do2020_paper.worth(""))


@pytest.fixture(scope="module")
def labels(synthetic_root):
    return label_table(AffWild2(synthetic_root), "validation")


@pytest.fixture(scope="module")
def tables(labels):
    """Random predictions of every network, better than chance, without valence and arousal where the derivation has none."""
    rng, result = np.random.default_rng(0), {}
    for row in (MAJORITY, PROBE, TUNED, *DERIVATIONS, SECOND):
        known = np.eye(7)[labels["expression"].to_numpy().clip(0)]
        p = rng.dirichlet(np.ones(7), len(labels)) + known * rng.uniform(0.2, 0.6)
        va = (
            np.clip(labels[["valence", "arousal"]].fillna(0) + rng.normal(0, 0.3, (len(labels), 2)), -1, 1).to_numpy().T
        )
        va = va if row in (*WITH_VA, MAJORITY, PROBE, TUNED) else (None, None)
        result[row] = predictions.make_table(
            labels["trial"], labels["frame"], probabilities=p / p.sum(1, keepdims=True), valence=va[0], arousal=va[1]
        )
    return {**result, FUSION: do2020_networks.fused(result)}


def test_fusions_are_plain_means(tables):
    fused = tables[FUSION]
    columns = [name for name in fused if name.startswith("p_")]
    expected = sum(tables[row][columns].to_numpy() for row in ("2 image_va", SECOND, "4 frames_va")) / 3
    np.testing.assert_allclose(fused[columns].to_numpy(), expected, atol=1e-12)
    np.testing.assert_array_equal(fused["expression"], expected.argmax(axis=1))
    for name in ("valence", "arousal"):
        expected = sum(tables[row][name].to_numpy() for row in ("2 image_va", "4 frames_va", "6 lstm_va")) / 3
        np.testing.assert_allclose(fused[name].to_numpy(), expected, atol=1e-12)


def test_the_table_sets_official_and_published_scores_side_by_side(tables, labels):
    found = {row: evaluate(table, labels, bootstrap=50) for row, table in tables.items()}
    table = do2020.score_table(found, do2020.as_published(tables, labels))
    assert list(table.columns) == COLUMNS
    assert list(table.index) == ["ABAW baseline", MAJORITY, PROBE, TUNED, "1 image", "2 image_va", SECOND, "3 frames", "4 frames_va",
                                 "5 lstm", "6 lstm_va", "fusion"]  # fmt: skip
    assert table["paper_official"].dropna().round(4).to_dict() == {
        "2 image_va": WORTH["t15"], SECOND: WORTH["t8"], "4 frames_va": WORTH["t31"], "6 lstm_va": WORTH["t45"], "fusion": WORTH["fusion"]
    }  # fmt: skip
    known, rated = labels["expression"] >= 0, labels["valence"].notna() & labels["arousal"].notna()
    assert 0 < (known & rated).sum() < known.sum()
    for row, predicted in tables.items():
        truth, guess = labels["expression"][known], predicted["expression"][known]
        official = 0.67 * f1_score(truth, guess, average="macro") + 0.33 * accuracy_score(truth, guess)
        assert table.loc[row, "official"] == pytest.approx(official, abs=1e-12)
        assert table.loc[row, "low"] <= official <= table.loc[row, "high"]
        truth, guess = truth[rated], guess[rated]
        published = 0.66 * f1_score(truth, guess, average="weighted") + 0.33 * accuracy_score(truth, guess)
        assert table.loc[row, "as_published"] == pytest.approx(published, abs=1e-12)
        if row in WITH_VA:
            each = [ccc(labels[name][rated], predicted[name][rated]) for name in ("arousal", "valence")]
            np.testing.assert_allclose(
                table.loc[row, ["aro", "val", "VA"]].astype(float), [*each, np.mean(each)], atol=1e-9
            )
    assert table["VA"].dropna().index.tolist() == [
        MAJORITY,
        PROBE,
        TUNED,
        "2 image_va",
        SECOND,
        "4 frames_va",
        "6 lstm_va",
        "fusion",
    ]


TINY = Size(
    faces=(70, 21),
    videos=(4, 3),
    seconds=2.0,
    face_model={"image_size": 32, "width": 2, "epochs": 1},
    networks={
        "image_size": 32,
        "width": 2,
        "epochs": 1,
        "lstm_units": 2,
        "regression_units": (4,),
        "expression_units": (4,),
    },
)


def check_result(result):
    assert (result.name, len(result.table)) == ("do2020", 12)
    ours = result.table.drop(index="ABAW baseline")
    assert ours[["as_published", "official"]].notna().all(axis=None)
    assert ours.loc[MAJORITY, "VA"] == pytest.approx(0, abs=1e-9)
    columns = result.format().splitlines()[2:16]
    assert max(map(len, columns)) <= 150
    notes = "\n".join(result.notes)
    assert "which say nothing about people" in notes
    assert "t15, the best single network as published, is number 4 of 5 officially" in notes
    for reference in (MAJORITY, PROBE, TUNED):
        better = [row for row in DERIVATIONS if ours.loc[row, "official"] > ours.loc[reference, "official"]]
        named = {0: "none", 6: "all"}.get(len(better), ", ".join(better))
        assert f"official score above that of the row {reference}: {named} ({len(better)} of 6 derivations)" in notes
    assert result.figure.axes[0].get_yticklabels()[0].get_text() == "ABAW baseline"


@pytest.mark.slow
def test_a_study_of_image_networks_is_run_once(tmp_path, monkeypatch, synthetic_root):
    """All rows, of networks that are quick to train; what is finished is used again."""
    monkeypatch.setattr(do2020_networks, "DERIVATIONS", dict.fromkeys(DERIVATIONS, "image_va"))
    monkeypatch.setattr(rendered, "make_synthetic", lambda *args, **kwargs: synthetic_root)
    with eagerly():
        result = do2020.run(tmp_path, bootstrap=20, size=TINY, progress=False)
    check_result(result)
    runs = tmp_path / "seed0"
    assert sorted(path.name for path in runs.iterdir()) == ["face_model", "image_va", "image_va_second"]
    assert Run(runs / "image_va_second").recipe.seed == 1
    table = predictions.read(runs / "image_va" / "validation.parquet")
    score = evaluate(table, label_table(AffWild2(synthetic_root), "validation"), bootstrap=0).scores["expression_score"]
    assert result.table.loc["2 image_va", "official"] == score

    monkeypatch.setattr(keras_runner, "fit", None)
    pd.testing.assert_frame_equal(do2020.run(tmp_path, bootstrap=20, size=TINY, progress=False).table, result.table)
    with pytest.raises(FileExistsError, match=r"faces"):
        do2020.run(tmp_path, size=Size(faces=(71, 21)), progress=False)


@pytest.mark.slow
@pytest.mark.study
def test_the_study(tmp_path):
    """Every derivation beats the majority class and the plain linear probe; against the tuned one it is a draw (docs/stat_lstm.md)."""
    result = run_study("do2020", work=tmp_path)
    check_result(result)
    table, rows = result.table, list(DERIVATIONS)
    assert (table.loc[rows, "official"] > table.loc[MAJORITY, "official"] + 0.2).all()
    assert (table.loc[rows, "official"] > table.loc[PROBE, "official"]).all()
    assert (table.loc[rows, "VA"].dropna() > table.loc[PROBE, "VA"]).all()
