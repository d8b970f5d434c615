"""`python -m` this package runs the server."""

import faulthandler
import os
import signal


def _end(*_: object) -> None:
    os._exit(0)


faulthandler.enable()  # a crash in native code leaves a traceback, of the model's thread too
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the server has a log of its own
# Until the server handles signals itself: as PID 1 of a container Python would ignore SIGTERM.
signal.signal(signal.SIGTERM, _end)
signal.signal(signal.SIGINT, _end)

from .lifecycle import main  # noqa: E402

raise SystemExit(main())
