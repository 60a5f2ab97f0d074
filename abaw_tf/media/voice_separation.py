"""The voice of a video without music and noise: files of a separator that are there already, or an external program that makes them.

Dresvyanskiy et al. (2020) hear voices that Spleeter has separated. Neither it nor Demucs is a dependency of this toolkit: both bring their
own old versions of what the toolkit needs, and run just as well from an environment of their own.
"""

import math
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from .audio import has_audio, load_audio, write_wav
from .errors import MediaError

VOICES = ("mixture", "vocals")
"""What is heard of a video: its sound as it is, or the voice in it."""

FOLDER = "vocals"
"""Folder of separated voices in the root of a dataset."""

LAYOUTS = ("{video}.wav", "{video}/vocals.wav", "htdemucs/{video}/vocals.wav")
"""Where in that folder a video's voice is looked for: as written here, by ``spleeter``, by ``demucs``."""

COMMANDS = {
    # Without a duration Spleeter ends after ten minutes.
    "spleeter": "spleeter separate -p spleeter:2stems -d {seconds} -o {folder} {input}",
    "demucs": "demucs --two-stems vocals -o {folder} {input}",
}
"""Known separators and their command lines; the one named first is the paper's."""

# Both are trained on, and Demucs insists on, 44.1 kHz.
_RATE = 44_100
# Coders pad; more than this (seconds) is another sound.
_SAME_LENGTH = 0.25


@dataclass
class SeparationReport:
    """What `separate_voices` did.

    Attributes
    ----------
    folder : Path
        Where the voices are.
    command : str
        The separator, or "" where none was needed.
    found, separated, silent : list of str
        Videos whose voice was there already, those separated now, and those without a sound stream.
    failed : dict of str to str
        Why, by video.
    seconds : float
        Spent.
    """

    folder: Path
    command: str = ""
    found: list[str] = field(default_factory=list)
    separated: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def format(self) -> str:
        """A few lines."""
        by = f" by {self.command!r} in {self.seconds:.0f} s" if self.separated or self.failed else ""
        lines = [
            f"voices: {len(self.found)} found, {len(self.separated)} separated{by}, {len(self.failed)} failed",
            f"folder: {self.folder}",
        ]
        if self.silent:
            lines.append(f"without a sound stream: {', '.join(self.silent)}")
        return "\n".join(lines + [f"{video}: {why}" for video, why in self.failed.items()])


class SeparationError(MediaError):
    """Some voices could not be separated; `report` tells what was done."""

    def __init__(self, report):
        self.report = report
        super().__init__(
            f"{len(report.failed)} of the voices could not be separated; the others are kept\n{report.format()}"
        )


def separated_voice(root, video) -> Path | None:
    """The separated voice of a video, where there is one.

    Parameters
    ----------
    root : path-like
        Root of the dataset.
    video : str
        The video's name without its suffix.

    Returns
    -------
    Path or None
        The first of :data:`LAYOUTS` in the folder ``vocals`` of `root`.
    """
    return _find(Path(root) / FOLDER, video)


def check_length(voice, sound):
    """Refuse a voice that is not as long as the sound that it was separated from, both in seconds: it was cut, or is of another sound.

    Raises
    ------
    MediaError
        They differ by more than the padding of coders.
    """
    if not is_as_long(voice, sound):
        raise MediaError(f"its voice must be as long as its sound, {sound:.2f} s; was it cut? Received: {voice:.2f} s")


def is_as_long(voice, sound) -> bool:
    """Whether two lengths, in seconds, are those of one sound."""
    return abs(voice - sound) <= _SAME_LENGTH


def separate_voices(videos, root, command="auto", progress=True) -> SeparationReport:
    """Separate the voices of videos that have none yet.

    Every voice is kept as soon as it is there: started again after an interruption, it goes on.

    Parameters
    ----------
    videos : sequence of path-like
        Videos or sound files. A person's trials share their video: give each video once.
    root : path-like
        Root of the dataset; voices go to its folder ``vocals``, as ``<video>.wav``: mono, 44.1 kHz, from the first picture on.
    command : str
        ``"auto"``: the first of :data:`COMMANDS` that is installed; one of their names; or a command line with ``{input}`` (a WAV
        file), ``{folder}``, in which or below which it writes ``vocals.wav``, and, if wanted, ``{seconds}``, the length of the sound.
    progress : bool
        Show a bar.

    Returns
    -------
    SeparationReport

    Raises
    ------
    FileNotFoundError
        A voice is missing and no separator is installed, or the one that is named is not.
    SeparationError
        At the end, if the separator failed on some videos. All others are done.
    ValueError
        A command line without ``{input}`` or ``{folder}``.
    """
    folder, start = Path(root) / FOLDER, time.perf_counter()
    videos = [Path(video) for video in videos]
    wanted = [video for video in videos if _find(folder, video.stem) is None]
    report = SeparationReport(folder, found=[video.stem for video in videos if video not in wanted])
    if wanted:
        report.command = _command(command, wanted[0], folder)
    for video in tqdm(wanted, desc="voices", unit="video", disable=not progress):
        try:
            if has_audio(video):
                _separate(video, folder / f"{video.stem}.wav", report.command)
                report.separated.append(video.stem)
            else:
                report.silent.append(video.stem)
        except (MediaError, FileNotFoundError) as error:
            report.failed[video.stem] = str(error)
    report.seconds = time.perf_counter() - start
    if report.failed:
        raise SeparationError(report)
    return report


def _find(folder, video):
    places = (folder / layout.format(video=video) for layout in LAYOUTS)
    return next((path for path in places if path.is_file()), None)


def _command(command, video, folder) -> str:
    """The command line, checked before anything is decoded."""
    if command == "auto":
        command = next((name for name in COMMANDS if shutil.which(name)), None)
        if command is None:
            raise FileNotFoundError(
                f"no separated voice of {video.name!r} and no separator: put it to {folder / video.stem}.wav, or install one of "
                f"{', '.join(COMMANDS)} so that its command is found (in an environment of its own), or name another with a command line"
            )
    line = COMMANDS.get(command, command)
    if "{input}" not in line or "{folder}" not in line:
        raise ValueError(
            f"a separator is one of auto, {', '.join(COMMANDS)}, or a command line with {{input}} and {{folder}}. Received: {command!r}"
        )
    program = shlex.split(line)[0]
    if shutil.which(program) is None:
        raise FileNotFoundError(
            f"the separator {program!r} is not installed, or not on the PATH. Received: {command!r}"
        )
    return line


def _separate(video, target, line):
    samples, rate = load_audio(video, _RATE, missing="error")
    seconds = len(samples) / rate
    with tempfile.TemporaryDirectory() as folder:
        given = write_wav(Path(folder) / f"{video.stem}.wav", samples.clip(-1, 1), rate)
        out = Path(folder) / "out"
        out.mkdir()
        fields = {"{input}": str(given), "{folder}": str(out), "{seconds}": str(math.ceil(seconds))}
        words = [_filled(word, fields) for word in shlex.split(line)]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace")
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-400:]
            raise MediaError(f"{words[0]} ended with status {done.returncode}: {said or 'it said nothing'}")
        written = sorted(out.rglob("vocals.wav"))
        if len(written) != 1:
            raise MediaError(f"{words[0]} must write one vocals.wav. Received: {len(written)} of them")
        voice, _ = load_audio(written[0], _RATE)
        check_length(len(voice) / _RATE, seconds)
        write_wav(target, voice[: len(samples)].clip(-1, 1), _RATE)


def _filled(word, fields):
    for key, value in fields.items():
        word = word.replace(key, value)
    return word
