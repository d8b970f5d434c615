"""Memory that is free, given back to the system: what one burst took is not kept for ever."""

import ctypes
import sys


def give_back() -> None:
    """Has the C library return what it keeps for later. Does nothing but with glibc. Takes up to 100 ms: use a thread."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # https://man7.org/linux/man-pages/man3/malloc_trim.3.html
        if trim is not None:
            trim(0)
