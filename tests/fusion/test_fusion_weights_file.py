"""Fusion weights in files: what goes in comes out, what is wrong is told, what is applied is what was searched."""

import json

import numpy as np
import pandas as pd
import pytest

from abaw_tf import predictions
from abaw_tf.fusion.search import search_tables
from abaw_tf.fusion.tables import fuse_tables
from abaw_tf.fusion.weights_file import FusionWeights, TaskWeights, WeightsError


def table(seed, frames=30, va=True, edition="abaw2"):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(8 if edition == "abaw3" else 7), frames)
    both = {"valence": rng.uniform(-1, 1, frames), "arousal": rng.uniform(-1, 1, frames)} if va else {}
    return predictions.make_table("a", range(frames), probabilities=p, edition=edition, **both)


@pytest.fixture
def tables():
    return {"net": table(0), "svm": table(1), "größer": table(2)}


@pytest.fixture
def weights():
    rng = np.random.default_rng(5)
    tasks = {
        "expression": TaskWeights(
            rng.dirichlet(np.ones(3), 7).T, found={"metric": "abaw2", "score": 0.5}, held_out={"gain": 0.01}
        ),
        "valence_arousal": TaskWeights(np.array([0.2, 0.3, 0.5]), method="optimum"),
    }
    return FusionWeights(("net", "svm", "größer"), "abaw2", tasks, ("something was filled",))


def test_a_round_trip_keeps_every_bit(weights, tmp_path):
    weights.save(tmp_path / "deep" / "w.json")
    again = FusionWeights.load(tmp_path / "deep" / "w.json")
    assert (again.models, again.edition, again.notes) == (weights.models, weights.edition, weights.notes)
    for task, one in weights.tasks.items():
        other = again.tasks[task]
        np.testing.assert_array_equal(other.weights, one.weights)
        assert (other.method, other.pool, other.found, other.held_out) == (
            one.method,
            one.pool,
            one.found,
            one.held_out,
        )
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["w.json"]


def test_applying_is_fusing_with_the_same_weights_in_any_order(weights, tables):
    fused = weights.apply(dict(reversed(tables.items())))
    arrays = {task: one.weights for task, one in weights.tasks.items()}
    pd.testing.assert_frame_equal(fused, fuse_tables(tables, arrays), check_exact=True)
    assert fused.attrs["notes"] == []


def test_other_names_are_matched_by_position_with_a_note(weights, tables):
    renamed = dict(zip(("x", "svm", "z"), tables.values()))
    fused = weights.apply(renamed)
    pd.testing.assert_frame_equal(fused, weights.apply(tables), check_exact=True)
    assert fused.attrs["notes"] == ["models matched with the weights by position: net <- x, svm <- svm, größer <- z"]
    with pytest.raises(WeightsError, match="stand in another place"):
        weights.apply(dict(zip(("svm", "x", "z"), tables.values())))
    with pytest.raises(WeightsError, match=r"3 models \(net, svm, größer\); give as many tables. Received: 2"):
        weights.apply({"net": tables["net"], "svm": tables["svm"]})


def test_one_task_can_be_applied_alone(weights, tables):
    fused = weights.apply(tables, task="valence_arousal")
    assert "expression" not in fused
    expression = {name: table(seed, va=False) for seed, name in enumerate(tables)}
    assert "valence" not in weights.apply(expression, task="expression")
    with pytest.raises(ValueError, match=r"every table must predict|weights for valence_arousal"):
        weights.apply(expression)
    eight = {name: table(seed, edition="abaw3") for seed, name in enumerate(tables)}
    with pytest.raises(WeightsError, match=r"for the classes of edition abaw2.*edition abaw3"):
        weights.apply(eight)


def test_a_task_that_a_table_lacks_is_told_with_the_way_out(weights, tables):
    tables["net"] = table(0, va=False)
    with pytest.raises(predictions.PredictionError, match=r"weights for valence_arousal.*fuse the other task alone"):
        weights.apply(tables)
    assert "valence" not in weights.apply(tables, task="expression")


def test_temperatures_and_the_vote_are_applied(tables):
    p = np.stack([predictions.probabilities(t) for t in tables.values()])
    temperatures = (0.5, 1.0, 2.0)
    one = TaskWeights(np.full(3, 1 / 3), method="average", temperatures=temperatures)
    fused = FusionWeights(tuple(tables), "abaw2", {"expression": one}).apply(tables)
    sharp = p ** (1 / np.array(temperatures))[:, None, None]
    expected = (sharp / sharp.sum(axis=2, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(predictions.probabilities(fused), expected, rtol=1e-5)
    vote = FusionWeights(tuple(tables), "abaw2", {"expression": TaskWeights(np.full(3, 1 / 3), method="majority")})
    np.testing.assert_array_equal(
        vote.apply(tables)["expression"], fuse_tables(tables, method="majority", task="expression")["expression"]
    )


def broken(data, *keys, value=None):
    for key in keys[:-1]:
        data = data[key]
    if value is None:
        del data[keys[-1]]
    else:
        data[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("format",), None, "holds no fusion weights"),
        (("version",), 99, "another version"),
        (("models",), None, "'models' is missing"),
        (("models",), ["net", "net", "svm"], "'models' is not valid"),
        (("models",), [["net"], ["svm"]], "'models' is not valid; it must be a list of names, each once"),
        (("edition",), "abaw9", "'edition' is not valid; it must be 'abaw1' or 'abaw2' or 'abaw3'"),
        (("edition",), ["abaw2"], "'edition' is not valid"),
        (("notes",), 5, "'notes' is not valid; it must be a list of sentences"),
        (("expression", "weights"), None, "'expression.weights' is missing"),
        (("expression", "weights", "net"), None, r"'expression.weights' is not valid; .* \(here without net\)"),
        (("expression", "weights", "cnn"), {}, r"'expression.weights' is not valid; .* \(here besides cnn\)"),
        (
            ("expression", "weights", "net", "Fear"),
            None,
            r"'expression.weights.net' is not valid; .* \(here without Fear\)",
        ),
        (
            ("expression", "weights", "net", "Awe"),
            0.0,
            r"'expression.weights.net' is not valid; .* \(here besides Awe\)",
        ),
        (("expression", "level"), "model", "'expression.weights' must hold finite numbers, one per model"),
        (
            ("valence_arousal", "weights", "net"),
            [0.5],
            "'valence_arousal.weights' must hold finite numbers, one per model",
        ),
        (("expression", "weights", "net", "Fear"), "much", "'expression.weights' must hold finite numbers"),
        (("expression", "weights", "net", "Fear"), 3.0, "must sum to one over the models"),
        (("expression", "columns"), ["Neutral"], "'expression.columns' is not valid"),
        (("valence_arousal", "method"), "magic", "'valence_arousal.method' is not valid"),
        (("valence_arousal", "temperatures"), {"net": 1, "svm": 0, "größer": 1}, "temperatures must be positive"),
        (("valence_arousal",), 3, "'valence_arousal' must hold the weights"),
    ],
)
def test_faults_of_a_file_are_told_with_their_key(weights, tmp_path, keys, value, message):
    path = weights.save(tmp_path / "w.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    broken(data, *keys, value=value)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(WeightsError, match=message) as caught:
        FusionWeights.load(path)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        FusionWeights.load(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(WeightsError, match="not a readable JSON file"):
        FusionWeights.load(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(WeightsError, match="holds no fusion weights"):
        FusionWeights.load(tmp_path / "list.json")


def truth_of(tables, seed=7):
    first = next(iter(tables.values()))
    rng = np.random.default_rng(seed)
    return first[["trial", "frame"]].assign(
        expression=np.where(rng.random(len(first)) < 0.5, first["expression"], rng.integers(0, 7, len(first))),
        valence=first["valence"] * 0.5,
        arousal=rng.uniform(-1, 1, len(first)),
    )


def test_a_search_covers_both_tasks_and_its_file_fuses_as_it_does(tables, tmp_path):
    found = search_tables(tables, truth_of(tables), n_draws=50)
    assert set(found.weights.tasks) == {"expression", "valence_arousal"}
    assert found.weights.tasks["valence_arousal"].method == "optimum"
    one = found.weights.tasks["expression"]
    assert one.found["score"] >= max(*one.found["single_scores"].values(), one.found["equal_score"])
    loaded = FusionWeights.load(found.weights.save(tmp_path / "w.json"))
    pd.testing.assert_frame_equal(loaded.apply(tables), found.fused(), check_exact=True)


class Bar:
    """What tqdm would show."""

    def __init__(self, total, **_):
        self.total, self.n = total, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, n):
        self.n += n


@pytest.mark.parametrize("calibrate", [False, True])
def test_progress_ends_at_its_total(calibrate):
    one = {"net": table(0), "svm": table(1)}
    tables = {name: pd.concat([a, a.assign(trial="b")], ignore_index=True) for name, a in one.items()}
    truth = truth_of(tables)
    bars = []
    progress = lambda **options: bars.append(Bar(**options)) or bars[-1]  # noqa: E731
    options = {"task": "expression", "n_draws": 20, "refine": 1, "calibrate": calibrate, "progress": progress}
    search_tables(tables, truth, **options).estimate(progress=progress)
    assert [bar.n for bar in bars] == [bar.total for bar in bars]
    assert len(bars) == 2


def test_equal_weights_and_the_vote_are_scored_as_evaluate_scores_them(tables):
    from abaw_tf.evaluation import evaluate

    truth = truth_of(tables)
    for method in ("average", "majority"):
        found = search_tables(tables, truth, method=method)
        score = evaluate(found.fused(), truth, bootstrap=0).scores
        assert found.weights.tasks["expression"].found["score"] == pytest.approx(score["expression_score"], abs=1e-12)
        found_va = found.weights.tasks["valence_arousal"]
        assert found_va.found["score"] == pytest.approx(score["valence_arousal_score"], abs=1e-12)
        assert found_va.method == "average"


@pytest.mark.parametrize("method", [None, "average"])
@pytest.mark.parametrize("pool", ["probability", "logit"])
def test_calibrated_searches_are_kept_and_scored_as_evaluate_scores_them(tables, tmp_path, pool, method):
    from abaw_tf.evaluation import evaluate

    truth = truth_of(tables).drop(columns=["valence", "arousal"])
    found = search_tables(tables, truth, method=method, calibrate=True, pool=pool, n_draws=40)
    loaded = FusionWeights.load(found.weights.save(tmp_path / "w.json"))
    one = loaded.tasks["expression"]
    assert len(set(one.temperatures)) == 3
    fused = loaded.apply(tables, task="expression")
    score = evaluate(fused, truth, bootstrap=0).scores["expression_score"]
    assert one.found["score"] == pytest.approx(score, abs=1e-12)
    with pytest.raises(ValueError, match="calibration is for averages"):
        search_tables(tables, truth, method="majority", calibrate=True)


def test_only_labelled_tasks_are_searched(tables):
    truth = truth_of(tables)[["trial", "frame", "expression"]]
    found = search_tables(tables, truth, method="average")
    assert set(found.weights.tasks) == {"expression"}
    with pytest.raises(ValueError, match="'optimum' is for valence and arousal"):
        search_tables(tables, truth, method="optimum")
    with pytest.raises(ValueError, match="metric must be one of"):
        search_tables(tables, truth, metric="macrof1")
    with pytest.raises(ValueError, match="level must be 'model' or 'model_class'"):
        search_tables(tables, truth, level="class")
