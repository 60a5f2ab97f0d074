"""Half-precision features to single precision, at the speed of memory.

NumPy converts element by element, and ``tf.cast`` needs a second pass over the batch: both are slower than reading the stored tracks, of
which there are many gigabytes per epoch. There are only 65,536 half-precision numbers, so a table of them is
exact, and it fits into the processor's cache.
"""

import numpy as np

from abaw_tf.compiling import compiled

_SINGLE = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


@compiled
def _look_up(half, single, table):
    for i in range(half.shape[0]):
        single[i] = table[half[i]]


def widen(values, out):
    """Copy float16 `values` into float32 `out` of the same shape, exactly (infinities and NaN included).

    Parameters
    ----------
    values : numpy.ndarray of float16
        Contiguous; may be memory-mapped.
    out : numpy.ndarray of float32
        Contiguous.
    """
    if values.shape != out.shape or values.dtype != np.float16 or out.dtype != np.float32:
        raise ValueError(
            f"float16 values and a float32 array of their shape are needed. Received: {values.dtype} {values.shape}, "
            f"{out.dtype} {out.shape}"
        )
    values = np.ascontiguousarray(values)
    if not out.flags.c_contiguous:
        raise ValueError("out must be contiguous")
    _look_up(values.reshape(-1).view(np.uint16), out.reshape(-1), _SINGLE)
