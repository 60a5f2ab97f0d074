"""Separated voices: found where separators put them, made by an external program, with an account of what was done."""

import importlib.util
import os
import shlex
import stat
import sys

import numpy as np
import pytest
import soundfile

from abaw_tf.cli import run_tool
from abaw_tf.media import audio
from abaw_tf.media.video_writer import write_video
from abaw_tf.media.voice_separation import SeparationError, separate_voices, separated_voice

RATE = 16_000

# What spleeter and demucs do with their command lines, as far as this toolkit uses them; instead of separating, they halve the sound.
SEPARATOR = """#!{python}
import argparse, sys
from pathlib import Path
import soundfile

name = Path(sys.argv[0]).name
parser = argparse.ArgumentParser()
if name == "spleeter":
    parser.add_argument("action", choices=["separate"])
    parser.add_argument("-p", choices=["spleeter:2stems"], required=True)
    parser.add_argument("-d", type=float, default=600.0)
else:
    parser.add_argument("--two-stems", choices=["vocals"], required=True)
parser.add_argument("-o", type=Path)
parser.add_argument("input", type=Path)
given = parser.parse_args()
samples, rate = soundfile.read(given.input)
assert rate == 44100 and samples.ndim == 1
if "broken" in given.input.name:
    sys.exit("cannot separate that")
if name == "spleeter":
    samples = samples[: round(given.d * rate)]
folder = given.o / ("htdemucs" if name == "demucs" else "") / given.input.stem
folder.mkdir(parents=True)
if "cut" in given.input.name:
    samples = samples[: len(samples) // 2]
soundfile.write(folder / "vocals.wav", samples / 2, rate)
if name == "spleeter":
    soundfile.write(folder / "accompaniment.wav", samples / 2, rate)
with open(Path(sys.argv[0]).with_name("calls"), "a") as file:
    file.write(given.input.name + chr(10))
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """An empty folder that is all of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder, name):
    path = folder / name
    path.write_text(SEPARATOR.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def tone(seconds=1.5, rate=RATE):
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_tone(folder, *names, seconds=1.5):
    return [audio.write_wav(folder / f"{name}.wav", tone(seconds), RATE) for name in names]


@pytest.mark.parametrize("place", ["video1.wav", "video1/vocals.wav", "htdemucs/video1/vocals.wav"])
def test_files_that_are_there_are_used(tmp_path, programs, place):
    """In the layout of this toolkit, of spleeter and of demucs; no program is looked for, and nothing is written."""
    assert separated_voice(tmp_path, "video1") is None
    path = tmp_path / "vocals" / place
    path.parent.mkdir(parents=True)
    audio.write_wav(path, tone(), RATE)
    before = path.read_bytes()
    assert separated_voice(tmp_path, "video1") == path
    report = separate_voices(write_tone(tmp_path, "video1"), tmp_path, progress=False)
    assert (report.found, report.separated, report.command) == (["video1"], [], "")
    assert path.read_bytes() == before
    assert "1 found, 0 separated, 0 failed" in report.format()


@pytest.mark.parametrize("name", ["spleeter", "demucs"])
def test_an_installed_program_separates(tmp_path, programs, name):
    install(programs, name)
    report = separate_voices(write_tone(tmp_path, "a b", "c"), tmp_path, progress=False)
    assert report.separated == ["a b", "c"]
    assert report.command.startswith(name)
    voice, rate = soundfile.read(separated_voice(tmp_path, "a b"))
    assert (voice.shape, rate) == ((66_150,), 44_100)
    expected = audio.resample(tone(), RATE, 44_100) / 2
    np.testing.assert_allclose(voice[1000:-1000], expected[1000:-1000], atol=1e-4)
    assert name in report.format()
    # Once more: nothing is left to do.
    again = separate_voices(write_tone(tmp_path, "a b", "c"), tmp_path, progress=False)
    assert (again.found, again.separated) == (["a b", "c"], [])
    assert (programs / "calls").read_text().splitlines() == ["a b.wav", "c.wav"]


def test_the_paper_s_separator_comes_first(tmp_path, programs):
    for name in ("demucs", "spleeter"):
        install(programs, name)
    assert separate_voices(write_tone(tmp_path, "a"), tmp_path, progress=False).command.startswith("spleeter")
    assert separate_voices(write_tone(tmp_path, "b"), tmp_path, "demucs", progress=False).command.startswith("demucs")


def test_spleeter_is_told_the_length(tmp_path, programs):
    """It stops after ten minutes otherwise."""
    install(programs, "spleeter")
    silence = np.zeros(RATE * 605, np.float32)
    silence[-RATE:] = tone(1.0)
    audio.write_wav(tmp_path / "long.wav", silence, RATE)
    separate_voices([tmp_path / "long.wav"], tmp_path, progress=False)
    voice, rate = soundfile.read(separated_voice(tmp_path, "long"))
    assert len(voice) == 605 * rate
    assert np.abs(voice[-rate // 2 :]).max() > 0.19


def test_a_video_s_voice_begins_with_its_pictures(tmp_path, programs):
    install(programs, "demucs")
    video = tmp_path / "clip.mp4"
    pictures = [np.full((48, 64, 3), 2 * i, np.uint8) for i in range(50)]
    write_video(video, pictures, fps=25, audio=tone(2.0), sample_rate=RATE)
    mute = tmp_path / "mute.mp4"
    write_video(mute, pictures, fps=25)
    report = separate_voices([video, mute], tmp_path, progress=False)
    assert (report.separated, report.silent) == (["clip"], ["mute"])
    assert "without a sound stream: mute" in report.format()
    heard, _ = audio.load_audio(video, 44_100)
    voice, _ = audio.load_audio(separated_voice(tmp_path, "clip"))
    np.testing.assert_allclose(voice, heard[: len(voice)] / 2, atol=1e-3)


def test_another_command_line(tmp_path, programs):
    copy = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2] + '/vocals.wav')"
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(copy)} {{input}} {{folder}}"
    report = separate_voices(write_tone(tmp_path, "a"), tmp_path, line, progress=False)
    assert report.separated == ["a"]
    assert len(soundfile.read(separated_voice(tmp_path, "a"))[0]) == 66_150


def test_what_failed_is_named_and_the_rest_is_kept(tmp_path, programs):
    install(programs, "spleeter")
    videos = [*write_tone(tmp_path, "good", "broken", "cut", "better"), tmp_path / "absent.wav"]
    with pytest.raises(SeparationError) as caught:
        separate_voices(videos, tmp_path, progress=False)
    assert caught.value.report.separated == ["good", "better"]
    assert set(caught.value.report.failed) == {"broken", "cut", "absent"}
    for part in ("3 of the voices", "status 1: cannot separate that", "was it cut? Received: 0.75 s", "absent.wav"):
        assert part in str(caught.value)
    written = sorted(path.name for path in (tmp_path / "vocals").iterdir())
    assert written == ["better.wav", "good.wav"]


def test_a_program_that_writes_nothing(tmp_path, programs):
    line = f"{shlex.quote(sys.executable)} -c pass {{input}} {{folder}}"
    with pytest.raises(SeparationError, match=r"must write one vocals\.wav"):
        separate_voices(write_tone(tmp_path, "a"), tmp_path, line, progress=False)


def test_refusals(tmp_path, programs):
    videos = write_tone(tmp_path, "a")
    with pytest.raises(
        FileNotFoundError, match=r"no separator: put it to .*vocals/a\.wav, or install one of spleeter, demucs"
    ):
        separate_voices(videos, tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match="'spleeter' is not installed"):
        separate_voices(videos, tmp_path, "spleeter", progress=False)
    with pytest.raises(ValueError, match=r"\{input\} and \{folder\}. Received: 'spleter'"):
        separate_voices(videos, tmp_path, "spleter", progress=False)
    assert not (tmp_path / "vocals").exists()


def test_the_tool(project, synthetic_root, tmp_path, programs, capsys):
    """Every video once, although two trials may share it; a second call does nothing."""
    from abaw_tf.data import AffWild2

    spec = importlib.util.spec_from_file_location("tool_separate_voices", project / "tools/separate_voices.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    root = tmp_path / "affwild2"
    root.mkdir()
    for path in synthetic_root.iterdir():
        (root / path.name).symlink_to(path)
    dataset = AffWild2(root)
    trials = list(dataset.index["trial"])
    videos = {
        os.path.basename(dataset.video_path(trial)).rsplit(".", 1)[0] for trial in trials if dataset.video_path(trial)
    }
    assert run_tool(lambda: tool.main([str(root)])) == 2
    assert "install one of spleeter, demucs" in capsys.readouterr().err
    install(programs, "demucs")
    assert run_tool(lambda: tool.main([str(root)])) == 0
    said = capsys.readouterr().out
    made = {path.stem for path in (root / "vocals").glob("*.wav")}
    silent = (
        set(said.split("without a sound stream: ")[1].splitlines()[0].split(", ")) if "sound stream" in said else set()
    )
    assert made | silent == videos
    assert f"0 found, {len(made)} separated" in said
    assert run_tool(lambda: tool.main([str(root)])) == 0
    assert f"{len(made)} found, 0 separated" in capsys.readouterr().out
