"""What the C library does with memory that is free: keeps some for the next request, gives back what a burst took."""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping

KEPT_BYTES = 2**25  # at the end of a heap, of which threads that need much memory have one each
# The numbers of glibc's options, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
SET_BY_ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_some(environment: Mapping[str, str] = os.environ) -> None:
    """Has the C library keep free memory, if that is glibc and the environment sets nothing about it.

    By default it returns memory as soon as a few hundred kilobytes are free, and the system has to clear each page of
    every large request and reply anew: half of the time of a reply with a tensor of 600 KB.
    https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    mallopt = _of_c_library("mallopt")
    if mallopt is not None and not any(name in environment for name in SET_BY_ENVIRONMENT):
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Has the C library return what it keeps for later, if that is glibc. It takes up to 100 ms: use a thread.

    https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Callable[..., int] | None:
    """A function that only glibc has."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
