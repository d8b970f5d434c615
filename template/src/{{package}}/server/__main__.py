"""`python -m` this package runs the server."""

import os
import signal

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters is logged as JSON
for number in (signal.SIGTERM, signal.SIGINT):  # until the server handles them: as PID 1 Python would ignore SIGTERM
    signal.signal(number, lambda *_: os._exit(0))

from .lifecycle import main  # noqa: E402

raise SystemExit(main())
