"""`python -m zoo NAME PORT` runs a server.

Without arguments each line `NAME PORT` of standard input is a server in a fork, whose process id is printed: gRPC and
the servers are then imported once for all of them.
"""

from __future__ import annotations

import os
import signal
import sys

from zoo import SERVERS, http, large, tables

__all__ = ["http", "large", "tables"]  # which bring in every server


def fork() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what servers print must not be mistaken for process ids
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # one that ends is gone at once
    for line in sys.stdin:
        if pid := os.fork():
            print(pid, file=answers)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        name, port = line.split()
        SERVERS[name](int(port))
        return


if sys.argv[1:]:
    SERVERS[sys.argv[1]](int(sys.argv[2]))
else:
    fork()
