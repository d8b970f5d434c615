"""Ends of the process that wait for nothing: neither for the model's thread nor for what libraries do at an exit."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from .logs import logger
from .output import flush

STUCK_SECONDS = 0.2
WHO_RAISES_SIGINT = (
    "OpenBLAS does when it cannot start a thread; then raise the limit on processes (docker run --pids-limit), or set "
    "OPENBLAS_NUM_THREADS=1"
)


def call_later(seconds: float, call: Callable[..., object], *arguments: object) -> None:
    """Calls from a thread of its own, for which the interpreter does not wait before it ends."""
    timer = threading.Timer(seconds, call, arguments)
    timer.daemon = True
    timer.start()


def leave(code: int) -> NoReturn:
    """Ends the process, and those of the model's pools, once the log is written or nobody seems to read it."""
    for process in multiprocessing.active_children():
        process.terminate()
    flush()
    os._exit(code)


def end_now(code: int, message: str) -> NoReturn:
    """Ends the process whatever the model's thread is doing: a normal exit might wait for it, or crash in it."""
    call_later(STUCK_SECONDS, leave, code)  # a model may have the lock of sys.stdout
    logger.warning(message)
    sys.stdout.flush()
    leave(code)


def end_interrupted_start(*_: object) -> NoReturn:
    """For a SIGINT before the server serves, which need not be a person's: with 0 nothing would restart the server."""
    logger.critical(
        "interrupted by SIGINT while starting. If nobody pressed Ctrl-C, a library raised it: %s", WHO_RAISES_SIGINT
    )
    leave(1)
