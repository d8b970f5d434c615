"""SIGINT while the server serves: whether it came from outside, or code of this process raised it, which is an error.

The system does not say who sent a signal, but there are two signs. C's `raise`, which OpenBLAS calls when it cannot
start a thread, interrupts the thread that calls it, and a signal from elsewhere the main thread. And Python's `os.kill`
is an audit event.
"""

import faulthandler
import os
import signal
import sys
from pathlib import Path

# In the main thread's stack alone; without the folders above, in which faulthandler escapes what is not ASCII.
MAIN = os.path.join(*Path(__file__).with_name("lifecycle.py").parts[-3:])
STACK_BYTES = 2**16


class InterruptWatch:
    """Watches for SIGINT of the process's own from now on. The loop must have its handler of SIGINT already."""

    def __init__(self) -> None:
        self._killed_at = ""
        if os.name == "nt":  # there only Ctrl-C is a SIGINT
            return
        self._stack, stack = os.pipe()
        os.set_blocking(self._stack, False)
        os.set_blocking(stack, False)
        faulthandler.register(signal.SIGINT, stack, all_threads=False, chain=True)
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.kill" and arguments == (os.getpid(), signal.SIGINT):
            caller = sys._getframe(1)
            self._killed_at = f'File "{caller.f_code.co_filename}", line {caller.f_lineno} in {caller.f_code.co_name}'

    def origin(self) -> str:
        """After a SIGINT: the Python code that raised it; empty if it came from outside the process."""
        if os.name == "nt" or self._killed_at:
            return self._killed_at
        try:
            stack = os.read(self._stack, STACK_BYTES).decode(errors="replace")
        except BlockingIOError:  # the thread that was interrupted runs no Python, or there was no signal but a call
            return "unknown code"
        innermost = stack.partition("\n")[2].partition("\n")[0].strip()
        return "" if f'{MAIN}"' in stack else innermost
