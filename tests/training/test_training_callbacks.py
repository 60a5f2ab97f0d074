"""The challenge's score of a multitask model as a quantity of the history."""

import numpy as np
import pytest

from abaw_tf.training import RunError
from abaw_tf.training.callbacks import ChallengeScore


@pytest.mark.parametrize(
    ("logs", "score"),
    [
        # both tasks: the mean of the expression's score and of the mean of two CCCs
        ({"val_expression_expression_score": 0.5, "val_valence_ccc": 0.1, "val_arousal_ccc": 0.3}, 0.35),
        # with one output Keras puts no name in front
        ({"val_expression_score": 0.4}, 0.4),
        ({"val_ccc": -0.2}, -0.2),
        ({"val_valence_ccc": 0.2, "val_arousal_ccc": 0.4}, 0.3),
        # neither other metrics nor those of the training frames count
        ({"val_expression_score": 0.4, "val_macro_f1": 1.0, "expression_score": 1.0, "val_loss": 9.0}, 0.4),
        ({"val_expression_score": float("nan"), "val_ccc": 0.3}, float("nan")),
    ],
)
def test_the_score_is_the_mean_of_the_tasks(logs, score):
    logs = {"loss": 1.0, **logs}
    ChallengeScore().on_epoch_end(0, logs)
    assert logs["val_score"] == pytest.approx(score, nan_ok=True)
    assert isinstance(logs["val_score"], float)


@pytest.mark.parametrize("logs", [{"loss": 1.0, "expression_score": 0.5}, {"val_macro_f1": np.float32(0.5)}])
def test_a_model_without_a_score_is_refused(logs):
    with pytest.raises(RunError, match=rf"no score of the challenge.*Received: {next(iter(logs))}"):
        ChallengeScore().on_epoch_end(0, logs)
