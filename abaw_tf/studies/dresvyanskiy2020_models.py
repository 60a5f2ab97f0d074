"""What the study `dresvyanskiy2020` compares: the paper's figures, and its five models trained on rendered data."""

from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from abaw_tf import predictions
from abaw_tf.studies.rendered import Size, render, train_face_model
from abaw_tf.training import Recipe, train

VGGFACE2, SVM, KELM = "1 VGGFace2", "2 VGGFace2 + SVM", "3 VGG-FER + KELM"
CNN_LSTM, PANN = "4 1D-CNN + LSTM", "5 PANN"

RECIPES = {
    VGGFACE2: "frame_cnn",
    SVM: "windowed_svm",
    KELM: "kernel_elm",
    CNN_LSTM: "audio_cnn_lstm",
    PANN: "pann",
}
"""Recipe by model."""

FACE_NETWORK = "vgg_fer"
"""Recipe of the network behind model 3, which is trained on single faces."""

FUSIONS = {
    "2 & 3 & 4, SWF": ((SVM, KELM, CNN_LSTM), "model"),
    "2 & 4, MCWF": ((SVM, CNN_LSTM), "model_class"),
    "2 & 5 & 4, MCWF": ((SVM, PANN, CNN_LSTM), "model_class"),
    "2 & 3 & 4 & 5, SWF": ((SVM, KELM, CNN_LSTM, PANN), "model"),
    "2 & 3, MCWF": ((SVM, KELM), "model_class"),
}
"""Models and level of the weights, by fusion: four of table 1, in its order, and one of the text."""


class Printed(NamedTuple):
    """Challenge performance measure (0.67 · F1 + 0.33 · accuracy), F1 and accuracy as printed, as shares of 1."""

    score: float
    macro_f1: float
    accuracy: float


BASELINE = "ABAW baseline"
NOT_PRINTED = Printed(float("nan"), float("nan"), float("nan"))

PAPER = {
    BASELINE: NOT_PRINTED._replace(score=0.36),
    VGGFACE2: Printed(0.5023, 0.4331, 0.6429),
    # From its own F1 and accuracy follow .5556.
    SVM: Printed(0.5566, 0.4789, 0.7113),
    KELM: Printed(0.4110, 0.3270, 0.5820),
    CNN_LSTM: Printed(0.3509, 0.2643, 0.5266),
    PANN: Printed(0.3368, 0.2627, 0.4872),
    "2 & 3 & 4, SWF": Printed(0.5656, 0.4893, 0.7205),
    # In the text .5587.
    "2 & 4, MCWF": Printed(0.5590, 0.4809, 0.7174),
    "2 & 5 & 4, MCWF": Printed(0.5478, 0.4658, 0.7142),
    "2 & 3 & 4 & 5, SWF": Printed(0.5554, 0.4781, 0.7122),
    "2 & 3, MCWF": NOT_PRINTED._replace(score=0.5570),
}
"""Table 1 and, for the last row, section 4: on the validation set of the challenge of 2020, on which the weights were searched too."""


def predict_all(work, seed=0, size=None, progress=True):
    """Render, train and predict whatever is not there yet.

    Parameters
    ----------
    work : path-like
        Folder of data and runs. The data are the same for every seed; the runs of a seed are in ``seed<seed>``.
    seed : int
        Of the trainings.
    size : abaw_tf.studies.rendered.Size, optional
        Its `face_model` are fields of the recipe `FACE_NETWORK`, its `networks` are fields by recipe.
    progress : bool
        Show a bar.

    Returns
    -------
    dataset : AffWild2
    tables : dict of str to pandas.DataFrame
        Prediction tables of all validation frames by model.

    Raises
    ------
    FileExistsError
        The folder holds other data than these.
    RunError
        It holds runs of other recipes.
    """
    work, size = Path(work).expanduser().resolve(), size or Size(face_model={})
    faces, dataset = render(work, size, progress)
    runs, tables = work / f"seed{seed}", {}
    with tqdm(total=len(RECIPES) + 1, unit="model", disable=not progress) as bar:
        bar.set_description(FACE_NETWORK)
        train_face_model(faces, runs / FACE_NETWORK, size, seed, FACE_NETWORK)
        bar.update()
        for model, name in RECIPES.items():
            bar.set_description(model)
            cls = type(Recipe.from_preset(name, "small"))
            behind = {field: str(runs / other) for field, other in cls.runs.items()}
            recipe = Recipe.from_preset(name, "small", seed=seed, **behind, **size.networks.get(name, {}))
            run = train(recipe, dataset, runs / name, progress=False)
            tables[model] = predictions.read(run.predictions_path)
            bar.update()
    return dataset, tables
