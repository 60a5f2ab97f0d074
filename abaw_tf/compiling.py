"""Compiled loops: Numba's, kept on disk from one process to the next where there is a place for them."""

import numba


def compiled(function=None, *, fastmath=False):
    """Compile a function on its first call, to run without the interpreter's lock.

    What was compiled is kept in Numba's cache (beside the module, or below the home folder; ``NUMBA_CACHE_DIR`` names
    another place). Where none of these can be written to, as in a read-only installation without a home folder, it is
    compiled anew in each process.

    Parameters
    ----------
    function : callable
    fastmath : bool or set of str
        Liberties that LLVM may take with floating-point numbers, see ``numba.njit``.
    """
    if function is None:
        return lambda function: compiled(function, fastmath=fastmath)
    try:
        return numba.njit(nogil=True, fastmath=fastmath, cache=True)(function)
    except RuntimeError:  # no place for the cache
        return numba.njit(nogil=True, fastmath=fastmath)(function)
