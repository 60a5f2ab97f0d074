"""The study of Rasipuram et al. (2020): the paper's figures, the tables beside them, silenced branches, the whole study at small size."""

import keras
import numpy as np
import pandas as pd
import pytest
from eager import eagerly

from abaw_tf import predictions
from abaw_tf.data import AffWild2
from abaw_tf.evaluation import evaluate, label_table
from abaw_tf.features.store import FeatureStore
from abaw_tf.studies import rasipuram2020, run_study
from abaw_tf.studies.rasipuram2020 import (
    BASELINE,
    BILSTM,
    FUSED,
    HARDENED,
    PLAIN,
    SINGLE,
    TRAINED,
    SilencedRun,
)
from abaw_tf.studies.rendered import Size
from abaw_tf.training import Recipe, Run, keras_runner, predict

WIDTHS = {"audio": 6, "openface": 4}
SMALL = {
    "units": {"audio": (6, 4), "expnet": (6, 6, 4), "openface": (6, 4)},
    "fusion_units": 6,
    "epochs": 1,
}
ROWS = [(TRAINED, row) for row in (*SINGLE, FUSED, BILSTM)] + [
    (group, row)
    for group in (PLAIN, HARDENED)
    for row in ("nothing", "audio", "expnet", "openface", "audio, expnet", "audio, openface", "expnet, openface")
]


def ccc(truth, predicted):
    """Lin's formula."""
    truth, predicted = truth.to_numpy(), predicted.to_numpy()
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return 2 * covariance / (truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2)


@pytest.fixture(scope="module")
def dataset(synthetic_root):
    return AffWild2(synthetic_root)


@pytest.fixture(scope="module")
def labels(dataset):
    return label_table(dataset, "validation", "valence_arousal")


def random_stores(folder, dataset, seed):
    rng, stores = np.random.default_rng(seed), {}
    for name, width in WIDTHS.items():
        stores[name] = FeatureStore(folder / name, name, {}, "0" * 64)
        for trial in dataset.trials("validation")["trial"]:
            n = dataset.n_frames(trial)
            stores[name].write(trial, rng.normal(size=(n, width)).astype(np.float32), np.zeros(n, bool))
    return stores


def test_the_table_sets_the_papers_figures_beside_ours(labels):
    rng, tables = np.random.default_rng(0), {}
    for key in ROWS:
        noisy = np.clip(labels[["valence", "arousal"]].fillna(0) + rng.normal(0, 0.3, (len(labels), 2)), -1, 1)
        tables[key] = predictions.make_table(
            labels["trial"], labels["frame"], valence=noisy["valence"], arousal=noisy["arousal"]
        )
    found = {key: evaluate(table, labels, bootstrap=50) for key, table in tables.items()}
    table = rasipuram2020.score_table(found)
    assert table.index.tolist() == [(TRAINED, BASELINE), *ROWS]
    printed = table[["paper_val", "paper_aro", "paper_mean"]].dropna()
    assert printed.round(4).to_numpy().tolist() == [
        [0.14, 0.24, 0.19], [0.14, 0.21, 0.175], [0.18, 0.29, 0.235], [0.22, 0.34, 0.28]
    ]  # fmt: skip
    assert printed.index.tolist() == [
        (TRAINED, row) for row in (BASELINE, "audio", "ExpNet (stand-in)", "audio + video")
    ]
    rated = labels["valence"].notna() & labels["arousal"].notna()
    for key, predicted in tables.items():
        each = [ccc(labels[name][rated], predicted[name][rated]) for name in ("valence", "arousal")]
        row = table.loc[key]
        np.testing.assert_allclose(row[["val", "aro", "mean"]].astype(float), [*each, np.mean(each)], atol=1e-9)
        for name in ("val", "aro", "mean"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert table.loc[(TRAINED, BASELINE), ["val", "mean", "mean_low"]].isna().all()


def test_a_silenced_branch_is_not_heard(dataset, tmp_path):
    """Other tracks of a silenced modality change nothing, those of the others do; and silence is not what the network says with all."""
    keras.utils.set_random_seed(0)
    recipe = Recipe.from_preset("gru_fusion", "small", **{**SMALL, "modalities": tuple(WIDTHS), "dimensions": WIDTHS})
    Run.create(tmp_path / "run", recipe)
    recipe.build().save(tmp_path / "run" / "best.keras")
    stores = random_stores(tmp_path / "one", dataset, 1)
    others = random_stores(tmp_path / "two", dataset, 2)

    def said(run, *changed):
        used = {name: (others if name in changed else stores)[name] for name in WIDTHS}
        return predict(run, dataset, stores=used, progress=False)[["valence", "arousal"]].to_numpy()

    everything = said(Run(tmp_path / "run"))
    deaf = SilencedRun(tmp_path / "run", ("audio",))
    alone = said(deaf)
    assert np.abs(alone - everything).max() > 1e-3
    np.testing.assert_array_equal(said(deaf, "audio"), alone)
    assert np.abs(said(deaf, "openface") - alone).max() > 1e-3


TINY = Size(
    faces=(70, 21),
    videos=(4, 3),
    unseen=3,
    seconds=2.0,
    fps=12.0,
    face_model={"image_size": 32, "width": 2, "epochs": 1},
    networks={**SMALL, "dimensions": {"expnet": 64}, "sequence": 4, "stride": 2},
)


def check_result(result):
    assert result.name == "rasipuram2020"
    assert result.table.index.tolist() == [(TRAINED, BASELINE), *ROWS]
    ours = result.table.drop(index=(TRAINED, BASELINE))
    assert ours[["val", "aro", "mean"]].notna().all(axis=None)
    np.testing.assert_allclose(ours["mean"], ours[["val", "aro"]].mean(axis=1), atol=1e-9)
    # Nothing silenced: the network of Table I.
    assert ours.loc[(PLAIN, "nothing"), "mean"] == pytest.approx(ours.loc[(TRAINED, FUSED), "mean"], abs=1e-5)
    assert max(map(len, result.format().splitlines()[2:22])) <= 190
    notes = "\n".join(result.notes)
    assert "say nothing about people" in notes
    means = ours.loc[TRAINED, "mean"]
    beaten = [row for row in SINGLE if means[FUSED] > means[row]]
    assert f"above that of one modality alone: {', '.join(beaten) or 'none'} ({len(beaten)} of 3)" in notes
    assert [tick.get_text() for tick in result.figure.axes[0].get_yticklabels()] == [BASELINE, *SINGLE, FUSED, BILSTM]


@pytest.mark.slow
def test_a_small_study_is_run_once(tmp_path, monkeypatch):
    """All rows, of tiny networks; what is finished is used again, also where the folder has moved."""
    with eagerly():
        result = rasipuram2020.run(tmp_path / "a", bootstrap=20, size=TINY, progress=False)
    check_result(result)
    runs = tmp_path / "a" / "seed0"
    names = ("face_model", "gru_fusion_audio", "gru_fusion_expnet", "gru_fusion_openface", "gru_fusion_all",
             "gru_fusion_all_bilstm", "gru_fusion_all_modality_dropout")  # fmt: skip
    assert sorted(path.name for path in runs.iterdir()) == sorted(names)
    for folder in ("tracks", "unseen_tracks"):
        kinds = {path.name.partition("-")[0] for path in (tmp_path / "a" / folder).iterdir()}
        assert kinds == {"frame_audio", "openface", "face_model"}
    assert Run(runs / "gru_fusion_all_modality_dropout").recipe.modality_dropout > 0
    assert Run(runs / "gru_fusion_all").recipe.modality_dropout == 0
    assert all(not (runs / name / "features").exists() for name in names[1:])

    monkeypatch.setattr(keras_runner, "fit", None)
    monkeypatch.setattr(rasipuram2020, "SILENT", (("audio",),))  # predicted anew like all others
    (tmp_path / "a").rename(tmp_path / "b")
    with eagerly():
        _, unseen, tables = rasipuram2020.predict_all(tmp_path / "b", size=TINY, progress=False)
    labels = label_table(unseen, "validation", "valence_arousal")
    again = rasipuram2020.score_table({key: evaluate(table, labels, bootstrap=20) for key, table in tables.items()})
    pd.testing.assert_frame_equal(again, result.table.loc[again.index])
    with pytest.raises(FileExistsError, match=r"faces"):
        rasipuram2020.run(tmp_path / "b", size=Size(faces=(71, 21)), progress=False)


@pytest.mark.slow
@pytest.mark.study
def test_the_study(tmp_path):
    """All modalities together are better than each alone, on subjects that neither the training nor the choice of the epochs has seen."""
    result = run_study("rasipuram2020", work=tmp_path)
    check_result(result)
    means = result.table.loc[TRAINED, "mean"]
    # Of one training the lead over the stand-in varies by about as much as it is (docs/gru_fusion.md): three networks hear everything.
    together = [means[FUSED], means[BILSTM], result.table.loc[(HARDENED, "nothing"), "mean"]]
    assert min(together) > means["audio"] + 0.1
    assert np.mean(together) > means["ExpNet (stand-in)"]
    assert np.mean(together) > means["OpenFace"] + 0.02
