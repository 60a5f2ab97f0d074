"""Compiled loops: Numba's, kept on disk from one process to the next where there is a place for them."""

import numba
from numba.extending import intrinsic


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


@intrinsic
def widest_vectors(_typing_context):
    """Called in a compiled function: its vector instructions may be as wide as the processor has them.

    By itself LLVM leaves the upper half of AVX-512's registers unused, for programs that use vectors now and then.
    """

    def generate(context, builder, _signature, _arguments):
        # The class of the attributes knows those of a single word only.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return numba.void(), generate
