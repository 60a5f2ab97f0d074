"""Tables of several models brought to the same frames: by number, by time, with every policy, on tables written by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw_tf import predictions
from abaw_tf.fusion.alignment import MISSING, align, align_labels
from abaw_tf.labels import EXPRESSIONS_7
from abaw_tf.predictions import PredictionError

P = [f"p_{name}" for name in EXPRESSIONS_7]


def table(frames, trial="a", fps=None, edition="abaw2", decided=False, seed=0, **extra):
    """Random probabilities for the frames of one trial, or of several given as a mapping."""
    if isinstance(frames, dict):
        return predictions.concatenate(
            [table(f, t, fps, edition, decided, seed + i, **extra) for i, (t, f) in enumerate(frames.items())]
        )
    frames = np.asarray(frames)
    k = 8 if edition == "abaw3" else 7
    p = np.random.default_rng(seed).dirichlet(np.ones(k), len(frames))
    values = {"expression": p.argmax(axis=1)} if decided else {"probabilities": p}
    time = None if fps is None else frames / fps
    return predictions.make_table(trial, frames, time=time, edition=edition, **values, **extra)


def p_of(t, frame, trial="a"):
    row = t[(t["trial"] == trial) & (t["frame"] == frame)]
    return predictions.probabilities(row)[0]


def test_equal_frames_are_taken_as_they_are():
    tables = {"A": table({"a": range(4), "b": range(3)}), "B": table({"a": range(4), "b": range(3)}, seed=9)}
    aligned = align(tables)
    assert aligned.names == ("A", "B")
    assert aligned.tasks == ("expression",)
    assert aligned.notes == ()
    assert aligned.continuous is None
    assert list(aligned.keys["frame"]) == [0, 1, 2, 3, 0, 1, 2]
    for position, t in enumerate(tables.values()):
        np.testing.assert_array_equal(aligned.probabilities[position], predictions.probabilities(t))


def test_trials_that_sort_differently_in_the_tables_still_meet():
    a = table({"v10": range(3), "v9": range(2)})
    b = table({"v9": range(2), "w": [0]}, seed=5)
    aligned = align({"A": a, "B": b}, missing="drop")
    assert list(aligned.keys["trial"]) == ["v9", "v9"]
    np.testing.assert_array_equal(aligned.probabilities[0, 1], p_of(a, 1, "v9"))
    np.testing.assert_array_equal(aligned.probabilities[1, 1], p_of(b, 1, "v9"))


@pytest.fixture
def gaps():
    """A has frames 0-5, B lacks 0 and 3, C lacks 3 and 4."""
    return {"A": table(range(6)), "B": table([1, 2, 4, 5], seed=1), "C": table([0, 1, 2, 5], seed=2)}


def test_missing_frames_are_an_error_that_counts_them_for_each_model(gaps):
    with pytest.raises(PredictionError) as caught:
        align(gaps)
    text = str(caught.value)
    assert "B: 2 of 6 frames lacking (the first is frame 0 of trial a)" in text
    assert "C: 2 of 6 frames lacking (the first is frame 3 of trial a)" in text
    assert "A:" not in text
    assert all(policy in text for policy in MISSING)


def test_drop_keeps_the_frames_that_every_model_has(gaps):
    aligned = align(gaps, "drop")
    assert list(aligned.keys["frame"]) == [1, 2, 5]
    np.testing.assert_array_equal(aligned.probabilities[1, 2], p_of(gaps["B"], 5))
    (note,) = aligned.notes
    assert note.startswith("3 of 6 frames left out")


def test_hold_takes_the_nearest_earlier_frame_else_the_first(gaps):
    aligned = align(gaps, "hold")
    assert len(aligned.keys) == 6
    np.testing.assert_array_equal(aligned.probabilities[1, 0], p_of(gaps["B"], 1))
    np.testing.assert_array_equal(aligned.probabilities[1, 3], p_of(gaps["B"], 2))
    np.testing.assert_array_equal(aligned.probabilities[2, 4], p_of(gaps["C"], 2))
    np.testing.assert_array_equal(aligned.probabilities[0], predictions.probabilities(gaps["A"]))
    assert [note[:18] for note in aligned.notes] == ["B: 2 of 6 frames l", "C: 2 of 6 frames l"]


def filled_by_hand(tables, key, name, policy):
    """One model's probabilities for a frame, found without arrays: the policies as their description says."""
    rows = {(t, f): p for t, f, *p in tables[name][["trial", "frame", *P]].itertuples(index=False)}
    if key in rows:
        return rows[key]
    trial, frame = key
    if policy == "hold":
        own = sorted(f for t, f in rows if t == trial)
        return rows[trial, max((f for f in own if f < frame), default=own[0])]
    if policy == "uniform":
        return [1 / 7] * 7
    others = [p_of(other, frame, trial) for other in tables.values() if key in set(zip(other["trial"], other["frame"]))]
    return np.mean(others, axis=0)


frames_of = st.lists(st.integers(0, 6), min_size=1, max_size=6, unique=True).map(sorted)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.fixed_dictionaries({"b": frames_of, "a": frames_of}), min_size=1, max_size=3), st.data())
def test_every_policy_equals_its_description(frames, data):
    policy = data.draw(st.sampled_from(["hold", "uniform", "mean"]))
    tables = {f"model {i}": table(one, seed=10 * i) for i, one in enumerate(frames)}
    aligned = align(tables, policy)
    keys = sorted({(trial, frame) for one in frames for trial in one for frame in one[trial]})
    assert list(zip(aligned.keys["trial"], aligned.keys["frame"])) == keys
    for position, name in enumerate(tables):
        expected = [filled_by_hand(tables, key, name, policy) for key in keys]
        np.testing.assert_allclose(aligned.probabilities[position], expected, rtol=1e-14)


def test_hold_never_crosses_into_another_trial():
    a = table({"a": range(2), "b": range(3)})
    b = table({"a": range(2), "b": [1, 2]}, seed=3)
    aligned = align({"A": a, "B": b}, "hold")
    np.testing.assert_array_equal(aligned.probabilities[1, 2], p_of(b, 1, "b"))


def test_uniform_and_mean_fill_only_what_is_lacking(gaps):
    uniform, mean = align(gaps, "uniform"), align(gaps, "mean")
    np.testing.assert_allclose(uniform.probabilities[1, [0, 3]], 1 / 7)
    np.testing.assert_allclose(mean.probabilities[1, 0], (p_of(gaps["A"], 0) + p_of(gaps["C"], 0)) / 2)
    # B and C both lack frame 3: only A is left.
    np.testing.assert_allclose(mean.probabilities[1:, 3], [p_of(gaps["A"], 3)] * 2)
    for aligned in (uniform, mean):
        np.testing.assert_array_equal(aligned.probabilities[2, 5], p_of(gaps["C"], 5))
        np.testing.assert_allclose(aligned.probabilities.sum(axis=2), 1)


def test_a_table_that_counts_from_one_is_pointed_out():
    tables = {"A": table({"a": range(4), "b": range(3)}), "B": table({"a": range(1, 5), "b": range(1, 4)})}
    hint = "B: begins and ends one frame later than A in every trial; if it numbers frames from 1"
    with pytest.raises(PredictionError, match=hint):
        align(tables)
    assert align(tables, "drop").notes[0].startswith(hint)
    short = {**tables, "B": table({"a": range(1, 5), "b": range(1, 3)})}
    assert not any("begins and ends" in note for note in align(short, "drop").notes)


def test_whole_trials_are_reported_apart_from_frames_and_cannot_be_held():
    tables = {"A": table({"a": range(3), "b": range(4)}), "B": table({"a": [0, 2]}, seed=1)}
    told = "B: 1 of 7 frames lacking (the first is frame 1 of trial a) and 1 whole trial(s) lacking (b) with 4 frames"
    for policy in ("error", "hold"):
        with pytest.raises(PredictionError) as caught:
            align(tables, policy)
        assert told in str(caught.value)
    assert any(told in note for note in align(tables, "mean").notes)


def test_nothing_in_common_is_an_error():
    with pytest.raises(PredictionError, match="no frame is predicted by every model"):
        align({"A": table(range(3)), "B": table(range(3), trial="b")}, "drop")


def test_valence_and_arousal_are_filled_too():
    va = {"valence": np.array([0.1, 0.2, 0.3]), "arousal": np.array([-0.1, -0.2, -0.3])}
    a = predictions.make_table("a", range(3), **va)
    b = predictions.make_table("a", [0, 2], valence=np.array([0.5, 0.7]), arousal=np.array([0.0, 0.0]))
    both = {"A": a, "B": b}
    assert align(both, "drop").continuous.shape == (2, 2, 2)
    np.testing.assert_array_equal(align(both, "hold").continuous[1], [[0.5, 0], [0.5, 0], [0.7, 0]])
    np.testing.assert_array_equal(align(both, "uniform").continuous[1, 1], [0, 0])
    np.testing.assert_array_equal(align(both, "mean").continuous[1, 1], [0.2, -0.2])


def test_only_what_every_table_predicts_is_fused_and_the_rest_is_noted():
    a = table(range(3), valence=np.zeros(3), arousal=np.zeros(3))
    aligned = align({"A": a, "B": table(range(3))})
    assert aligned.tasks == ("expression",)
    assert aligned.notes == ("valence_arousal is not fused: only A predicts it",)
    with pytest.raises(PredictionError, match="B predicts expression"):
        align({"A": a, "B": table(range(3))}, task="valence_arousal")


def test_decisions_alone_are_votes():
    b = table(range(4), decided=True, seed=4)
    aligned = align({"A": table(range(4)), "B": b})
    np.testing.assert_array_equal(aligned.probabilities[1], np.eye(7)[b["expression"]])
    assert "a weighted vote" in aligned.notes[0]


def test_editions_of_the_same_classes_mix_others_only_when_allowed():
    seven, eight = table(range(4)), table(range(4), edition="abaw3")
    first = align({"A": table(range(4), edition="abaw1"), "B": seven})
    assert first.edition == "abaw1"
    assert len(first.notes) == 1
    with pytest.raises(PredictionError, match=r"map_classes=True.*A: abaw2, B: abaw3"):
        align({"A": seven, "B": eight})
    mapped = align({"A": seven, "B": eight}, map_classes=True)
    assert mapped.edition == "abaw3"
    np.testing.assert_array_equal(mapped.probabilities[0, :, 7], 0)
    np.testing.assert_array_equal(mapped.probabilities[0, :, :7], predictions.probabilities(seven))
    assert mapped.notes == ("A: does not know Other, probability 0",)


def test_different_frame_rates_are_matched_by_time():
    fast, slow = table(range(90), fps=30), table(range(15), fps=5, seed=1)
    aligned = align({"fast": fast, "slow": slow}, by="time")
    assert len(aligned.keys) == 90
    # Frame 4 (0.133 s) is nearer to 0.2 s; frame 3 (0.1 s) is a tie between 0 and 0.2 s, which the earlier frame wins.
    for frame, expected in ((0, 0), (2, 0), (3, 0), (4, 1), (9, 1), (10, 2), (89, 14)):
        np.testing.assert_array_equal(aligned.probabilities[1, frame], p_of(slow, expected), err_msg=str(frame))
    assert aligned.notes[0].startswith("slow: matched with the frames of fast by time, at most 0.1667 s")
    back = align({"fast": fast, "slow": slow}, by="time", reference="slow")
    np.testing.assert_array_equal(back.probabilities[0], predictions.probabilities(fast)[::6])
    with pytest.raises(PredictionError, match="slow: 46 of 90 frames lacking"):
        align({"fast": fast, "slow": slow}, by="time", tolerance=0.04)


def test_frames_beyond_the_end_of_the_other_table_are_lacking():
    long, short = table(range(50), fps=25), table(range(10), fps=10, seed=1)
    aligned = align({"long": long, "short": short}, "drop", by="time")
    # The last frame of `short` begins at 0.9 s and lasts 0.1 s.
    assert aligned.keys["time"].max() == 1.0
    held = align({"long": long, "short": short}, "hold", by="time")
    np.testing.assert_array_equal(held.probabilities[1, 26:], [p_of(short, 9)] * 24)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True),
    st.lists(st.integers(0, 60), min_size=2, max_size=20, unique=True),
    st.sampled_from([5, 12.5, 30]),
    st.floats(0.005, 0.5),
)
def test_matching_by_time_equals_a_plain_loop(first, second, fps, tolerance):
    a, b = table(sorted(first), fps=25), table(sorted(second), fps=fps, seed=1)
    aligned = align({"A": a, "B": b}, "uniform", by="time", tolerance=tolerance)
    for row, time in enumerate(a["time"]):
        distance = np.abs(b["time"].to_numpy() - time)
        nearest = int(distance.argmin())
        if abs(distance[nearest] - tolerance) < 1e-6:
            continue  # on the edge either is right
        expected = predictions.probabilities(b)[nearest] if distance[nearest] < tolerance else np.full(7, 1 / 7)
        if np.sum(np.isclose(distance, distance[nearest])) == 1:
            np.testing.assert_array_equal(aligned.probabilities[1, row], expected)


def test_times_must_be_known_and_fine_enough():
    with pytest.raises(PredictionError, match=r"B: matching by time needs the time .* no time for 3 frames"):
        align({"A": table(range(3), fps=25), "B": table(range(3))}, by="time")
    coarse = predictions.make_table("a", range(6), time=[0, 0, 0, 0, 1, 1], probabilities=np.full((6, 7), 1 / 7))
    with pytest.raises(PredictionError, match="same time for most neighbouring frames"):
        align({"A": table(range(6), fps=25), "B": coarse}, by="time")


def test_wrong_arguments_are_told():
    one = {"A": table(range(3))}
    with pytest.raises(ValueError, match="Did you mean 'drop'"):
        align(one, missing="dropp")
    with pytest.raises(ValueError, match="by='time'"):
        align(one, tolerance=0.1)
    with pytest.raises(ValueError, match="reference must be 'A'"):
        align(one, reference="B")
    with pytest.raises(ValueError, match="an empty mapping"):
        align({})
    with pytest.raises(PredictionError, match="A: the table has no rows"):
        align({"A": table(range(3)).iloc[:0]})


def labels_of(frames, trial="a", **columns):
    return pd.DataFrame({"trial": trial, "frame": list(frames), **columns})


def test_labels_are_found_by_trial_and_frame():
    aligned = align({"A": table({"v_left": [3, 4], "v_right": [0, 1, 2]})})
    labels = pd.concat(
        [labels_of([1, 0, 7], "v_right", expression=[5, -1, -1]), labels_of([4], "v_left", expression=[2])]
    )
    found = align_labels(aligned, labels)
    np.testing.assert_array_equal(found.expression, [-1, 2, -1, 5, -1])
    assert found.expression.dtype == np.int64
    assert found.continuous is None
    assert list(found.videos) == ["v"] * 5
    assert found.notes == ()


def test_labels_of_both_tasks_are_masked_each_by_its_own():
    aligned = align({"A": table(range(3), valence=np.zeros(3), arousal=np.zeros(3))})
    labels = labels_of(range(3), expression=[1, -1, 2], valence=[0.5, np.nan, np.nan], arousal=[0.25, 0.1, np.nan])
    found = align_labels(aligned, labels)
    np.testing.assert_array_equal(found.expression, [1, -1, 2])
    np.testing.assert_array_equal(found.continuous, [[0.5, 0.25], [np.nan] * 2, [np.nan] * 2])


def test_labelled_frames_without_predictions_are_refused_or_counted():
    aligned = align({"A": table(range(3))})
    labels = labels_of(range(5), expression=[0, 1, 2, 3, 4])
    with pytest.raises(PredictionError, match=r"2 of 5 labelled frames.*none for trial a, frame 3"):
        align_labels(aligned, labels)
    found = align_labels(aligned, labels, missing="drop")
    np.testing.assert_array_equal(found.expression, [0, 1, 2])
    assert found.notes == ("expression: 2 of 5 labelled frames have no prediction and were left out",)


def test_labels_of_other_trials_or_tasks_are_an_error():
    aligned = align({"A": table(range(3))})
    with pytest.raises(PredictionError, match=r"no trial in common.*predictions of a, labels of b"):
        align_labels(aligned, labels_of(range(3), "b", expression=[0, 1, 2]))
    with pytest.raises(PredictionError, match=r"no task in common.*predictions of expression"):
        align_labels(aligned, labels_of(range(3), valence=[0.0] * 3, arousal=[0.0] * 3))
    with pytest.raises(PredictionError, match=r"no task in common.*labels of nothing"):
        align_labels(aligned, labels_of(range(3), expression=[-1] * 3))
