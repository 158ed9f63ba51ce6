"""Logs as lines of JSON: one object for each, with what a line is about as fields."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

_USUAL = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record and its `extra` as an object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {
            name: value for name, value in record.__dict__.items() if name not in _USUAL and name != "color_message"
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text: bytes = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)
        return text.decode()


def configure(level: str) -> None:
    """Send this program's logs, and those of the HTTP server, to standard error as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("onnxpress", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True  # ours says more
