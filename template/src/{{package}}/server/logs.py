"""Logging to stderr: one JSON object a line, or text for a person at a terminal."""

import json
import logging
import sys
from datetime import UTC, datetime

logger = logging.getLogger(__package__)


class JsonFormatter(logging.Formatter):
    """Makes a record one line of JSON, with the fields that `extra` gave it; a traceback becomes its `error`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time, "level": record.levelname, "message": record.getMessage()}
        line |= {name: vars(record)[name] for name in ("method", "code", "ms", "request_id") if name in vars(record)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: str, style: str) -> None:
    """Sends to stderr what is logged, here and by other libraries, and Python's warnings."""
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler = logging.StreamHandler()
    handler.setFormatter(text if style == "text" or (style == "auto" and sys.stderr.isatty()) else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
