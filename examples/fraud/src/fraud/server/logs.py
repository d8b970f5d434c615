"""The log, on stderr: one JSON object a line, or text for a person at a terminal."""

import json
import logging
import sys
from datetime import UTC, datetime

logger = logging.getLogger(__package__)

FIELDS = ("method", "code", "ms", "request_id", "artifact", "sha256")  # that a record may have


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with those of FIELDS that it has, and its traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time, "level": record.levelname, "message": record.getMessage()}
        line |= {name: vars(record)[name] for name in FIELDS if name in vars(record)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: str, style: str) -> None:
    """Sends to stderr what is logged, here and by other libraries, and Python's warnings.

    `style` is `json`, `text`, or `auto`, which is text on a terminal.
    """
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s") if as_text else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
