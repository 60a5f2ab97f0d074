"""Class orders and editions."""

import doctest
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw_tf import labels

ORDERS_OF_SEVEN = [name for name, classes in labels.CLASS_ORDERS.items() if set(classes) == set(labels.EXPRESSIONS_7)]


def test_doctests():
    result = doctest.testmod(labels)
    assert result.attempted >= 5
    assert result.failed == 0


def test_emotiw_maps_are_those_of_the_published_code():
    # SYSTEMS 2.2: Aff-Wild2 -> EmotiW [4,0,1,2,3,5,6], back [1,2,3,4,0,5,6]
    np.testing.assert_array_equal(labels.map_labels(np.arange(7), "affwild2", "emotiw"), [4, 0, 1, 2, 3, 5, 6])
    np.testing.assert_array_equal(labels.map_labels(np.arange(7), "emotiw", "affwild2"), [1, 2, 3, 4, 0, 5, 6])


def test_orders_under_the_names_their_data_sets_use():
    def lower(order):
        return [name.lower() for name in order]

    assert (
        labels.class_order(["Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"])
        == labels.CLASS_ORDERS["emotiw"]
    )
    assert (
        labels.class_order(["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"])
        == labels.CLASS_ORDERS["affectnet"]
    )
    assert (
        labels.class_order(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"])
        == labels.CLASS_ORDERS["fer2013"]
    )
    assert lower(labels.CLASS_ORDERS["alphabetical"]) == sorted(lower(labels.EXPRESSIONS_7))
    assert labels.CLASS_ORDERS["affectnet7"] == labels.CLASS_ORDERS["affectnet"][:7]
    assert labels.class_order("abaw3") == labels.class_order(labels.edition("abaw3")) == labels.EXPRESSIONS_8


def test_pyfeat_order_is_that_of_a_real_file(realdata):
    columns = pd.read_csv(realdata / "frame_preds_pyfeat_news" / "001.csv", nrows=1).columns
    first = columns.get_loc("Neutral")
    assert labels.class_order(columns[first : first + 7]) == labels.CLASS_ORDERS["pyfeat"]


@given(
    st.sampled_from(ORDERS_OF_SEVEN),
    st.sampled_from(ORDERS_OF_SEVEN),
    st.lists(st.integers(-1, 6), max_size=20),
)
def test_labels_keep_their_meaning_and_come_back(source, target, values):
    mapped = labels.map_labels(np.array(values, int), source, target)
    for before, after in zip(values, mapped, strict=True):
        if before == -1:
            assert after == -1
        else:
            assert labels.CLASS_ORDERS[target][after] == labels.CLASS_ORDERS[source][before]
    np.testing.assert_array_equal(labels.map_labels(mapped, target, source), values)


@pytest.mark.parametrize("source", ORDERS_OF_SEVEN)
@pytest.mark.parametrize("target", ORDERS_OF_SEVEN)
def test_probabilities_and_labels_agree(source, target):
    p = np.random.default_rng(0).dirichlet(np.ones(7), size=(5, 3)).astype(np.float32)
    mapped = labels.map_probabilities(p, source, target)
    assert mapped.shape == p.shape
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped.argmax(-1), labels.map_labels(p.argmax(-1), source, target))
    np.testing.assert_array_equal(labels.map_probabilities(mapped, target, source), p)


def test_map_labels_keeps_shape_and_takes_small_integers():
    mapped = labels.map_labels(np.array([[0, -1], [6, 3]], np.int8), "fer2013")
    np.testing.assert_array_equal(mapped, [[1, -1], [0, 4]])
    assert mapped.dtype == np.int64
    assert labels.map_labels([], "fer2013").shape == (0,)


def test_classes_without_counterpart():
    with pytest.raises(ValueError, match=r"no Contempt .*Received: 7 at index 1 \(1 such labels\)"):
        labels.map_labels([0, 7], "affectnet", "affwild2")
    np.testing.assert_array_equal(labels.map_labels([0, 7, -1], "affectnet", missing="mask"), [0, -1, -1])

    p = np.array([[0.1, 0.2, 0.0, 0.1, 0.0, 0.0, 0.1, 0.5], [0, 0, 0, 0, 0, 0, 0, 1.0]])
    with pytest.raises(ValueError, match="Contempt is in one of them only"):
        labels.map_probabilities(p, "affectnet", "affwild2")
    mapped = labels.map_probabilities(p, "affectnet", "affwild2", missing="zero")
    np.testing.assert_allclose(mapped[0], [0.2, 0.2, 0, 0, 0.4, 0, 0.2])
    assert np.isnan(mapped[1]).all()

    wider = labels.map_probabilities(np.full(7, 1 / 7), "affwild2", "affwild2_8", missing="zero")
    np.testing.assert_allclose(wider, [*[1 / 7] * 7, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([7], "affwild2"), r"must lie in -1…6\. Received: 7 at index 0"),
        (([[0, 0], [0, -2]], "affwild2"), r"Received: -2 at index \(1, 1\)"),
        (([0.0, 1.0], "affwild2"), "must be integers.*Received: dtype float64"),
        (([0], "emotwi"), "Did you mean 'emotiw'.*Received: 'emotwi'"),
        (([0], ["happy", "joy"]), "Happiness occurs twice"),
        (([0], []), "it is empty"),
        (([0], ["hapy", "sad"]), "Did you mean 'happy'.*Received: 'hapy'"),
        (([0], "emotiw", "affwild2", "zero"), "missing must be 'error' or 'mask'.*Received: missing='zero'"),
    ],
)
def test_wrong_labels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        labels.map_labels(*arguments)


def test_wrong_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"must have the 7 classes .*Received: shape=\(4, 8\)"):
        labels.map_probabilities(np.ones((4, 8)), "affwild2")


def test_editions_describe_the_official_layout():
    one, two, three = (labels.edition(name) for name in ("abaw1", "abaw2", "abaw3"))
    assert one.classes == two.classes == labels.EXPRESSIONS_7
    assert three.classes == labels.EXPRESSIONS_8
    assert (one.n_classes, three.n_classes) == (7, 8)
    assert one.headers["expression"] == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
    assert three.headers["expression"] == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    assert one.split_folders["train"][0] == "Training_Set"
    assert two.split_folders["train"][0] == three.split_folders["train"][0] == "Train_Set"
    assert three.annotation_roots[0] == "Third ABAW Annotations"
    assert three.task_folders["expression"][0] == "EXPR_Classification_Challenge"
    assert three.task_folders["valence_arousal"][0] == "VA_Estimation_Challenge"
    assert [e.year for e in (one, two, three)] == [2020, 2021, 2022]
    for each in (one, two, three):
        assert set(each.split_folders["train"]) == {"Training_Set", "Train_Set"}
        assert set(each.split_folders) == set(labels.SPLITS)
        assert set(each.task_folders) == set(each.headers) == set(each.sentinels) == set(labels.TASKS)
        assert each.headers["valence_arousal"] == "valence,arousal"
        assert each.sentinels == {"expression": -1, "valence_arousal": -5.0}


def test_editions_can_be_named_loosely_hashed_and_pickled():
    assert labels.edition("ABAW-3") is labels.EDITIONS["abaw3"]
    assert labels.edition(labels.EDITIONS["abaw1"]) is labels.EDITIONS["abaw1"]
    assert len({labels.edition("abaw1"), labels.edition(" Abaw1")}) == 1
    assert pickle.loads(pickle.dumps(labels.edition("abaw2"))) == labels.edition("abaw2")


@pytest.mark.parametrize("name", ["abaw4", "aff-wild2", "", None, 2])
def test_unknown_edition(name):
    with pytest.raises(ValueError, match=r"edition must be one of abaw1, abaw2, abaw3.*Received: "):
        labels.edition(name)


def test_unknown_edition_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'abaw3'"):
        labels.edition("abbaw3")
