"""Feature extraction from JPEG crops against the bare network on the same batches."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from abaw_tf.benchmarks.results import Result

BAR = 0.9


class _Crops:
    """Trials of rendered 112×112 JPEG crops, as extraction sees a dataset."""

    def __init__(self, root, n_trials, n_frames, seed=0):
        import cv2

        self.root, self.n_trials, self.length = Path(root), n_trials, n_frames
        rng = np.random.default_rng(seed)
        for trial in range(n_trials):
            folder = self.root / f"trial{trial:03d}"
            folder.mkdir(parents=True)
            for frame in range(n_frames):
                # Smooth shapes and a little noise: JPEG files of the size of real crops (about 4 KB).
                coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
                image = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
                image = cv2.add(image, rng.integers(0, 12, image.shape).astype(np.uint8))
                cv2.imwrite(str(folder / f"{frame + 1:05d}.jpg"), image)

    def trials(self):
        return pd.DataFrame({"trial": [f"trial{i:03d}" for i in range(self.n_trials)]})

    def n_frames(self, trial):
        return self.length

    def image_frames(self, trial, kind):
        return np.arange(self.length)

    def image_path(self, trial, frame, kind):
        return self.root / trial / f"{frame + 1:05d}.jpg"


def benchmark_features(extractor="vggface2", weights="random", n_images=192, batch_size=32, repeats=3):
    """Measure extraction and the bare forward pass side by side.

    The forward pass gets the very batches that extraction makes, decoded beforehand. The two take turns, so that a machine that
    slows down slows both; the best turn of each counts.

    Parameters
    ----------
    extractor, weights : str
        See :func:`abaw_tf.features.extractors.make_extractor`; the speed does not depend on the weights.
    n_images : int
        Images per turn, in four trials.
    batch_size, repeats : int
        Images per batch; turns.

    Returns
    -------
    list of Result
        Images per second of both, their ratio with its bar, and the ratio of their processor times: where the network runs on
        the processor, that one holds even while other programs compete for it.
    """
    from abaw_tf.features.extract import extract
    from abaw_tf.features.extractors import make_extractor
    from abaw_tf.features.images import read_image

    network = make_extractor(extractor, weights)
    n_trials = 4
    per_trial = -(-n_images // n_trials)
    bare, whole, bare_work, whole_work = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        dataset = _Crops(Path(folder) / "crops", n_trials, per_trial)
        paths = sorted((Path(folder) / "crops").glob("*/*.jpg"))
        images = np.stack([read_image(path, network.input_size) for path in paths])
        n_batches = -(-len(images) // batch_size)
        images = np.resize(images, (n_batches * batch_size, *images.shape[1:]))
        network(images[:batch_size])  # compiled before the clock runs
        for turn in range(repeats):
            start, work = time.perf_counter(), time.process_time()
            for i in range(n_batches):
                network(images[i * batch_size : (i + 1) * batch_size])
            bare.append(n_batches * batch_size / (time.perf_counter() - start))
            bare_work.append((time.process_time() - work) / (n_batches * batch_size))
            work = time.process_time()
            report = extract(dataset, network, Path(folder) / f"out{turn}", batch_size=batch_size, progress=False)
            whole.append(report.images_per_second)
            whole_work.append((time.process_time() - work) / report.images)
    return [
        Result(f"{extractor}: bare network", max(bare), "images/s"),
        Result(f"{extractor}: extraction from JPEG files to tracks", max(whole), "images/s"),
        Result(f"{extractor}: extraction / bare network", max(whole) / max(bare), "", BAR),
        Result(f"{extractor}: processor time of the network / of extraction", min(bare_work) / min(whole_work), ""),
    ]
