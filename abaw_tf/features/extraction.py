"""What all extractions into a feature store share: their report, the check of their arguments, the loop over trials."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from abaw_tf.features.store import DTYPES


class ExtractionError(ValueError):
    """Some trials could not be done; `report` says what was."""

    def __init__(self, report):
        super().__init__(report.describe_failures())
        self.report = report


@dataclass(frozen=True)
class UnreadableImage:
    """An image that was masked: its frame counts as missing."""

    trial: str
    frame: int
    message: str


@dataclass
class ExtractionReport:
    """What a run of an extraction, such as :func:`abaw_tf.features.extract.extract`, did.

    Attributes
    ----------
    folder : Path
        The store, for :meth:`abaw_tf.features.store.FeatureStore.open`.
    written, skipped, renewed : list of str
        Trials extracted now; present already; extracted again because what they are made from had changed (also in `written`).
    failed : dict of str to str
        Trials that could not be done, and why.
    unreadable : list of UnreadableImage
        Images that were masked.
    images : int
        Images that went through the network.
    seconds : float
        Time that took, from the first image to the last track on disk.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unreadable: list[UnreadableImage] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0

    @property
    def images_per_second(self):
        """Throughput including decoding and writing; 0 if there was nothing to do."""
        return self.images / self.seconds if self.seconds else 0.0

    def describe_failures(self):
        """The trials that failed, one line each, and that the others are kept."""
        lines = [
            f"{len(self.failed)} trial(s) could not be extracted; {len(self.written)} were written and are kept in {self.folder}"
        ]
        lines += [f"  {trial}: {message}" for trial, message in self.failed.items()]
        return "\n".join(lines)

    def format(self):
        """A summary of a few lines."""
        lines = [
            f"{len(self.written)} trials extracted, {len(self.skipped)} already there, {len(self.failed)} failed; "
            f"{self.images} images in {self.seconds:.1f} s ({self.images_per_second:.1f} images/s)",
            f"tracks: {self.folder}",
        ]
        if self.renewed:
            lines.append(f"extracted again because their frames or crops had changed: {', '.join(self.renewed)}")
        lines += [f"masked: {bad.message}" for bad in self.unreadable]
        return "\n".join(lines)


def check_extraction(shard, dtype):
    """Refuse a share of the trials or a type on disk that there is not; return the share."""
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"`shard` must be (i, n) with 0 <= i < n. Received: shard={shard}")
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {DTYPES}. Received: dtype={dtype!r}")
    return index, count


def extract_trials(report, names, extract_one, description, progress):
    """Call ``extract_one(trial)`` for each name; a trial that fails is written down, and costs no other its track.

    Returns
    -------
    ExtractionReport
        `report`, with the time that it took.

    Raises
    ------
    ExtractionError
        At the end, if trials failed.
    """
    start = time.perf_counter()
    for trial in tqdm(names, unit="trial", desc=description, disable=not progress):
        try:
            extract_one(trial)
        except (ValueError, OSError) as error:
            report.failed[trial] = str(error)
    report.seconds = time.perf_counter() - start
    if report.failed:
        raise ExtractionError(report)
    return report
