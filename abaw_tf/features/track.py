"""A feature track: the features of every frame of one trial, with holes, and the policies that fill the holes."""

from dataclasses import dataclass

import numpy as np

POLICIES = ("previous", "zeros", "nan")
BLANKS = {"zeros": 0.0, "nan": np.nan}
"""What a missing frame is filled with, by policy."""


@dataclass(frozen=True, eq=False)
class FeatureTrack:
    """Features of every frame of one trial.

    Parameters
    ----------
    trial : str
        Name of the trial.
    values : numpy.ndarray, (n_frames, dim)
        Memory-mapped, float16 or float32; rows of missing frames are NaN.
    missing : numpy.ndarray of bool, (n_frames,)
        Frames without a (readable) image.
    """

    trial: str
    values: np.ndarray
    missing: np.ndarray

    def __len__(self):
        return len(self.missing)

    def can_fill(self, policy="previous"):
        """Whether every frame has a value by that policy: "previous" needs a frame with an image."""
        return policy != "previous" or not self.missing.all()

    def source_rows(self, policy="previous"):
        """Row of `values` that stands for each frame, int64 (n_frames,), so that windows can be gathered without a filled copy.

        ``"previous"``: the last frame that has an image, before the first one the first. ``"zeros"`` and ``"nan"``: -1 for
        a missing frame.

        Raises
        ------
        ValueError
            If the policy is unknown, or "previous" meets a trial without a single image.
        """
        if policy not in POLICIES:
            raise ValueError(f"`policy` must be one of {POLICIES}. Received: policy={policy!r}")
        rows = np.where(self.missing, -1, np.arange(len(self), dtype=np.int64))
        if policy in BLANKS:
            return rows
        if not self.can_fill(policy):
            raise ValueError(
                f"trial {self.trial!r}: no frame has an image, so nothing can stand for the missing ones; leave the trial out or "
                f'use policy="zeros". Received: {len(self)} frames, all missing'
            )
        latest = np.maximum.accumulate(rows)
        return np.where(latest < 0, np.argmin(self.missing), latest)

    def take(self, frames, policy="previous"):
        """Features of the given frames as float32, missing ones filled by `policy` (see :meth:`source_rows`)."""
        rows = self.source_rows(policy)[np.asarray(frames)]
        taken = self.values[np.maximum(rows, 0)].astype(np.float32)
        if policy in BLANKS:
            taken[rows < 0] = BLANKS[policy]
        return taken

    def filled(self, policy="previous"):
        """All frames as float32 in memory, (n_frames, dim), missing ones filled by `policy` (see :meth:`source_rows`)."""
        return self.take(np.arange(len(self)), policy)
