"""`python -m` this package runs the server."""

import multiprocessing
import os
import signal

from .cpu_limit import limit_threads
from .output import take_over

take_over()
about_threads = limit_threads(os.environ)  # before anything imports numpy
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # why gRPC fails or dies; the server has a log of its own for the rest
# Until the server handles signals itself: as PID 1 of a container Python would ignore SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from .exits import end_interrupted_start  # noqa: E402
from .logs import configure  # noqa: E402

configure("INFO", "auto")
signal.signal(signal.SIGINT, end_interrupted_start)

# A process that the model forks would have the locks of gRPC's threads, but not the threads, and could hang for good. A
# fork server has no threads, and its children import the model's modules, not this one.
if "forkserver" in multiprocessing.get_all_start_methods():  # not on Windows, which cannot fork
    multiprocessing.set_start_method("forkserver")

from .lifecycle import main  # noqa: E402

raise SystemExit(main(about_threads))
