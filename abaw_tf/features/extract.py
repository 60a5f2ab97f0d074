"""Feature extraction over a whole dataset: resumable, shareable, with decoding kept ahead of the network.

Batches run on from one trial into the next and always have the same size, so the network is never starved by short trials, is
compiled once, and gives a frame the same features whether or not a run was interrupted before it.
"""

import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tqdm.auto import tqdm

from abaw_tf.features.extraction import ExtractionError, ExtractionReport, UnreadableImage, check_extraction
from abaw_tf.features.images import read_image
from abaw_tf.features.store import FeatureStore

# Tracks waiting for the disk while the network works on; more would only hold memory.
_PENDING_WRITES = 2
# Crops of a trial whose sizes are kept.
_SIZES = 16


@dataclass(eq=False)
class _Job:
    """One trial under way."""

    trial: str
    n_frames: int
    frames: np.ndarray
    source: dict
    remaining: int = 0
    values: np.ndarray | None = None
    missing: np.ndarray | None = None
    unreadable: list = field(default_factory=list)

    def start(self, dim):
        self.remaining = len(self.frames)
        self.values = np.zeros((self.n_frames, dim), np.float32)
        self.missing = np.ones(self.n_frames, bool)
        self.missing[self.frames] = False


def extract(
    dataset,
    extractor,
    store_root,
    kind="cropped_aligned",
    trials=None,
    shard=(0, 1),
    batch_size=32,
    dtype="float16",
    progress=True,
    workers=None,
):
    """Extract the features of every crop of a dataset, one track per trial.

    Trials that are there already are skipped, so a run that was killed at any moment is simply started again. Memory is bounded by
    the longest trials, whatever the size of the dataset.

    Parameters
    ----------
    dataset : abaw_tf.data.AffWild2
        Or anything with its ``trials()``, ``n_frames(trial)``, ``image_frames(trial, kind)``, ``image_path(trial, frame, kind)``.
    extractor : abaw_tf.features.extractors.Extractor
        Network.
    store_root : str or Path
        Folder of all stores; the track goes to ``<store_root>/<extractor>-<key>/<trial>.npy``.
    kind : {"cropped_aligned", "cropped"}
        Which crops; part of the store's key.
    trials : sequence of str, optional
        Only these; by default all.
    shard : tuple of int
        (i, n): only every n-th trial from the i-th on, 0 <= i < n, for n runs side by side on one store.
    batch_size : int
        Images per forward pass.
    dtype : {"float16", "float32"}
        Type on disk.
    progress : bool
        Show a bar with images per second and remaining time.
    workers : int, optional
        Threads that decode; by default one per core, at most 8.

    Returns
    -------
    ExtractionReport

    Raises
    ------
    ExtractionError
        At the end, if trials failed (unreadable labels, features that do not fit into float16, …). All others are done.
    ValueError
        If an argument is wrong.
    """
    index, count = check_extraction(shard, dtype)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
    store = store_of(extractor, store_root, kind)
    store.clean()
    report = ExtractionReport(store.folder)
    names = sorted(dataset.trials()["trial"] if trials is None else trials)[index::count]
    jobs = _plan(dataset, names, kind, store, report)
    workers = workers or min(8, os.cpu_count() or 1)

    start = time.perf_counter()
    total = sum(len(job.frames) for job in jobs)
    bar = tqdm(total=total, unit="image", desc=f"{extractor.name}", disable=not progress)
    decoder, writer = ThreadPoolExecutor(workers, "decode"), ThreadPoolExecutor(1, "write")
    writes = deque()
    try:
        for pieces, images in _decoded(dataset, jobs, kind, extractor.input_size, batch_size, decoder, workers + 1):
            features = extractor(images)
            if features.shape != (batch_size, extractor.dim):
                raise ValueError(
                    f"extractor {extractor.name!r} must return (n, dim) = {(batch_size, extractor.dim)}. "
                    f"Received: {features.shape}"
                )
            row = 0
            for job, frames, bad in pieces:
                _scatter(job, frames, bad, features[row : row + len(frames)], extractor.dim)
                row += len(frames)
                for unreadable in bad:
                    bar.write(f"masked: {unreadable.message}")
                report.unreadable += bad
                if not job.remaining:
                    bar.set_postfix_str(job.trial, refresh=False)
                    writes.append((job, writer.submit(_write, store, job, dtype)))
                    while len(writes) > _PENDING_WRITES:
                        _settle(*writes.popleft(), report)
            report.images += row
            bar.update(row)
        for job in jobs:
            if not len(job.frames):
                job.start(extractor.dim)
                writes.append((job, writer.submit(_write, store, job, dtype)))
    finally:
        decoder.shutdown(wait=True, cancel_futures=True)
        writer.shutdown(wait=True)
        while writes:
            _settle(*writes.popleft(), report)
        bar.close()
    report.seconds = time.perf_counter() - start
    if report.failed:
        raise ExtractionError(report)
    return report


def store_of(extractor, store_root, kind="cropped_aligned"):
    """The store in which :func:`extract` keeps what `extractor` says about crops of that kind."""
    return FeatureStore(store_root, extractor.name, {**extractor.config(), "kind": kind}, extractor.weights_hash)


def _plan(dataset, names, kind, store, report):
    """What is to be done: trials whose track is absent or was made from other frames or other crops of them."""
    jobs = []
    for trial in names:
        try:
            n_frames = int(dataset.n_frames(trial))
            frames = np.asarray(dataset.image_frames(trial, kind), np.int64)
            frames = frames[
                frames < n_frames
            ]  # crops past the last label row belong to no frame; the doctor lists them
            source = {"kind": kind, "n_frames": n_frames, "frames": frames.tolist()}
            source["sizes"] = _some_sizes(dataset, trial, frames, kind)
            if store.has(trial, source):
                report.skipped.append(trial)
                continue
            if store.has(trial):
                report.renewed.append(trial)
            if n_frames < 1:
                raise ValueError("no frame: neither label rows, nor a video, nor crops; run tools/doctor.py")
        except (ValueError, OSError) as error:
            report.failed[trial] = str(error)
            continue
        jobs.append(_Job(trial, n_frames, frames, source))
    return jobs


def _some_sizes(dataset, trial, frames, kind):
    """Bytes of some crops, by which other crops of the same frames are told; reading all would cost as much as extracting."""
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, _SIZES).astype(int))] if len(frames) else frames
    sizes = []
    for frame in chosen.tolist():
        try:
            sizes.append(os.path.getsize(dataset.image_path(trial, frame, kind)))
        except OSError:
            sizes.append(None)  # decoding it will say why, and mask the frame
    return sizes


def _decoded(dataset, jobs, kind, size, batch_size, pool, depth):
    """Yield batches in order, decoded up to `depth` batches ahead."""
    waiting = deque()
    for batch in _batches(jobs, batch_size):
        waiting.append(pool.submit(_decode, dataset, batch, kind, size, batch_size))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batches(jobs, batch_size):
    """Lists of (job, frames) of `batch_size` frames together, running on from trial to trial."""
    batch, room = [], batch_size
    for job in jobs:
        position = 0
        while position < len(job.frames):
            piece = job.frames[position : position + room]
            batch.append((job, piece))
            position += len(piece)
            room -= len(piece)
            if not room:
                yield batch
                batch, room = [], batch_size
    if batch:
        yield batch


def _decode(dataset, batch, kind, size, batch_size):
    """Pieces (job, frames, unreadable images) and their images (batch_size, h, w, 3); unused and unreadable places are black."""
    images = np.zeros((batch_size, *size, 3), np.uint8)
    pieces, row = [], 0
    for job, frames in batch:
        bad = []
        for frame in frames.tolist():
            try:
                images[row] = read_image(dataset.image_path(job.trial, frame, kind), size)
            except (ValueError, OSError) as error:
                bad.append(UnreadableImage(job.trial, frame, f"trial {job.trial}, frame {frame}: {error}"))
            row += 1
        pieces.append((job, frames, bad))
    return pieces, images


def _scatter(job, frames, bad, features, dim):
    """Put the features of a piece where they belong."""
    if job.values is None:
        job.start(dim)
    job.values[frames] = features
    job.missing[[unreadable.frame for unreadable in bad]] = True
    job.unreadable += [unreadable.message for unreadable in bad]
    job.remaining -= len(frames)


def _write(store, job, dtype):
    notes = {"unreadable": job.unreadable} if job.unreadable else None
    store.write(job.trial, job.values, job.missing, job.source, dtype, notes)
    job.values = job.missing = None


def _settle(job, future, report):
    """Wait for a track to be on disk; a failure costs this trial only."""
    try:
        future.result()
        report.written.append(job.trial)
    except (ValueError, OSError) as error:
        job.values = job.missing = None
        report.failed[job.trial] = str(error)
