"""Real clips through VGG-FER's features and separated voices, from the video to a fused table; the study of real clips has neither."""

import shlex
import sys

import numpy as np
import pytest
from eager import train_eagerly

from abaw_tf import predictions
from abaw_tf.features.extract import ExtractionError, extract
from abaw_tf.features.extractors import RANDOM, make_extractor
from abaw_tf.features.store import FeatureStore
from abaw_tf.fusion import fuse_tables
from abaw_tf.media.audio import has_audio, load_audio
from abaw_tf.media.voice_separation import separate_voices
from abaw_tf.studies.real_clips import ProbabilitiesToVA, write_clips
from abaw_tf.training import Recipe, predict, train

pytestmark = pytest.mark.slow

# In place of a separator: the sound itself, half as loud.
HALVE = "import sys, soundfile; x, rate = soundfile.read(sys.argv[1]); soundfile.write(sys.argv[2] + '/vocals.wav', x / 2, rate)"
SOUNDS = {
    "audio_cnn_lstm": {"filters": (4, 4, 8, 8), "units": (8, 8)},
    "pann": {"widths": (4, 4, 8, 8, 8, 16), "embedding": 16},
}
# Two whose teacher sees several expressions, and two of GRID.
CLIPS = (
    "video_pyfeat/single_face.mp4",
    "video_pyfeat/WolfgangLanger_Pexels.mp4",
    "video_grid/bbaf2n.mpg",
    "video_grid/lrwp9a.mpg",
)


@pytest.fixture(scope="module")
def dataset(realdata, tmp_path_factory):
    to_va = ProbabilitiesToVA.fit(realdata)
    root = tmp_path_factory.mktemp("clips")
    mute = ("pose_tfjs/pose_squats.mp4",)
    return write_clips(
        realdata, root, to_va, labelled=CLIPS, unlabelled=mute, validation=("lrwp9a", "single_face"), stride=4
    )


def test_from_clips_to_a_fused_table(dataset, tmp_path):
    extractor = make_extractor("vgg_fer_small", RANDOM)
    faces = FeatureStore.open(extract(dataset, extractor, tmp_path / "tracks", dtype="float32", progress=False).folder)
    trials = sorted(dataset.trials()["trial"])
    assert faces.trials() == trials
    assert np.ptp(faces.read("bbaf2n").values, axis=0).max() > 1e-3
    run = train(
        Recipe.from_preset("kernel_elm", "small"), dataset, tmp_path / "kelm", stores={"vgg_fer": faces}, progress=False
    )
    tables = {"kernel_elm": predict(run, dataset, None, stores={"vgg_fer": faces}, progress=False)}

    recipes = {
        name: Recipe.from_preset(name, "small", voice="vocals", epochs=1, **fields) for name, fields in SOUNDS.items()
    }
    heard = [dataset.video_path(trial) for trial in trials if has_audio(dataset.video_path(trial))]
    assert {path.stem for path in heard} >= {"bbaf2n", "lrwp9a"}
    with pytest.raises(ExtractionError, match=r"no separated voice of bbaf2n\.mpg"):
        train(recipes["pann"], dataset, tmp_path / "unseparated", stores={"sound": tmp_path / "none"}, progress=False)
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(HALVE)} {{input}} {{folder}}"
    report = separate_voices(heard, dataset.root, line, progress=False)
    assert sorted(report.separated) == sorted(path.stem for path in heard)
    loud, voice = (load_audio(path, 16000)[0] for path in (heard[0], dataset.root / "vocals" / f"{heard[0].stem}.wav"))
    n = min(len(loud), len(voice))
    np.testing.assert_allclose(voice[:n], loud[:n] / 2, atol=1e-3)
    for name, recipe in recipes.items():
        run = train_eagerly(recipe, dataset, tmp_path / name, stores={"sound": tmp_path / "sounds"})
        tables[name] = predict(run, dataset, None, stores={"sound": tmp_path / "sounds"}, progress=False)

    frames = sum(dataset.n_frames(trial) for trial in trials)
    for table in (*tables.values(), predictions.validate(fuse_tables(tables, task="expression"))):
        predictions.validate(table)
        assert len(table) == frames
        assert set(table["trial"]) == set(trials)
    for (
        name
    ) in recipes:  # random features tell the kernel ELM nothing: its temperature makes it say the same of every frame
        assert np.ptp(predictions.probabilities(tables[name]), axis=0).max() > 1e-5
