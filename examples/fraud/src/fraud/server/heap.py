"""Memory that is free, given back to the system: what one burst took is not kept for ever."""

import ctypes
import sys


def give_back() -> None:
    """Has the C library return what it keeps for later, if that is glibc. It takes up to 100 ms: use a thread.

    https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
