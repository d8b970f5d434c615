"""The log, on stderr: one JSON object a line, or text for a person at a terminal.

What others wrote is in it only escaped and cut: callers' request ids, the texts of exceptions, what libraries log.
"""

import json
import logging
import sys
import threading
from bisect import bisect_right
from datetime import UTC, datetime

from . import output
from .texts import escaped, escaped_lines
from .tracebacks import described, safely, traceback_of

logger = logging.getLogger(__package__)

FIELDS = ("method", "code", "ms", "request_id", "artifact", "sha256")  # that a record may have
FIELD_BYTES = 512
MESSAGE_BYTES = 8192
LINE_BYTES = 16384  # which Docker and containerd keep together
# Metadata that are not UTF-8; a message for health or reflection that is not one; a reply that nobody takes any more.
THE_CALLERS = ("UnicodeDecodeError", "DecodeError", "ExecuteBatchError")
CONTINUED = "\n    "  # begins every line but a record's first, so that none can pass for another record


class RecordFormatter(logging.Formatter):
    """What both forms share: the parts of a record as text, whatever is in it."""

    def message(self, record: logging.LogRecord) -> str:
        """What was logged. A message that cannot be made is the mistake of the code that logs it."""
        try:
            return escaped_lines(str.__str__(record.getMessage()), MESSAGE_BYTES)
        except BaseException as error:
            place = f"{record.pathname}:{record.lineno}"
            return escaped(f"a line of the log cannot be made at {place}: {described(error)}", MESSAGE_BYTES)

    def details(self, record: logging.LogRecord) -> str:
        """The traceback of a record's exception; empty if it has none."""
        error = record.exc_info[1] if record.exc_info else None
        return traceback_of(error) if error is not None else ""


class TextFormatter(RecordFormatter):
    """Formats a record as text; only the first line of each begins in the first column."""

    def format(self, record: logging.LogRecord) -> str:
        lines = filter(None, (f"{record.levelname} {self.message(record)}", self.details(record)))
        return f"{self.formatTime(record)} " + "\n".join(lines).replace("\n", CONTINUED)


class JsonFormatter(RecordFormatter):
    """Formats a record as one line of JSON, with those of FIELDS that it has, and its traceback as `error`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time, "level": record.levelname, "message": self.message(record)}
        line |= {name: _field(vars(record)[name]) for name in FIELDS if name in vars(record)}
        if details := self.details(record):
            line["error"] = details
        text = json.dumps(line)
        return text if len(text) < LINE_BYTES else json.dumps(_shortened(line))


class Handler(logging.Handler):
    """Writes records to stderr without waiting for whoever reads it."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Without logging's lock: what is logged may be slow to say what it is, in the model's thread."""
        filtered = self.filter(record)
        if filtered:
            self.emit(filtered if isinstance(filtered, logging.LogRecord) else record)
        return bool(filtered)

    def emit(self, record: logging.LogRecord) -> None:
        output.LOG.write(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))

    def report(self, text: str) -> bytes:
        """A line of the log about itself."""
        return f"{self.format(logger.makeRecord(logger.name, logging.WARNING, '', 0, text, (), None))}\n".encode()


def configure(level: str, style: str) -> None:
    """Sends to stderr what is logged, here and by other libraries, and what Python itself reports.

    `style` is `json`, `text`, or `auto`, which is text on a terminal.
    """
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = Handler()
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    output.LOG.report = output.PRINTED.report = handler.report
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_ours)
    sys.excepthook = _log_end
    sys.unraisablehook = _log_ignored
    threading.excepthook = _log_end_of_thread


def is_ours(record: logging.LogRecord) -> bool:
    """False for what gRPC logs, with tracebacks, of callers' mistakes, and of callers who have gone."""
    return not (record.exc_info and type(record.exc_info[1]).__name__ in THE_CALLERS)


def _log_end(_: type[BaseException], error: BaseException, __: object) -> None:
    logger.critical("the server ends: %s", described(error), exc_info=error)


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else ""
        text = "the thread %s ended: %s"
        logger.error(text, escaped(name, FIELD_BYTES), described(ended.exc_value), exc_info=ended.exc_value)


def _log_ignored(ignored: "sys.UnraisableHookArgs") -> None:
    """For what Python cannot raise, as of a `__del__`."""
    if ignored.exc_value is not None:
        where = escaped(safely(lambda: repr(ignored.object), type(ignored.object).__name__), FIELD_BYTES)
        logger.error("ignored in %s: %s", where, described(ignored.exc_value), exc_info=ignored.exc_value)


def _field(value: object) -> object:
    if type(value) is str:
        return escaped(value, FIELD_BYTES)
    if value is None or (isinstance(value, int | float) and abs(value) < 2**63):
        return value
    return escaped(safely(lambda: str.__str__(str(value)), type(value).__name__), FIELD_BYTES)


def _shortened(line: dict[str, object]) -> dict[str, object]:
    """A line whose texts grow too long as JSON, where a character may take twelve bytes."""
    left = (LINE_BYTES - len(json.dumps({**line, "message": "", "error": ""})) - 8) // 2
    return {**line, **{name: _beginning(str(line[name]), left) for name in ("message", "error") if name in line}}


def _beginning(text: str, size: int) -> str:
    """The beginning of a text that takes `size` bytes of JSON."""
    lengths = range(len(text) + 1)
    kept = bisect_right(lengths, size - 5, key=lambda length: len(json.dumps(text[:length]))) - 1
    return text if kept == len(text) else text[:kept] + "..."
