"""Log lines, for people or as JSON. Text from clients is escaped, so that it can't forge a line."""

import json
import logging
import re
import textwrap
import time
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[\w./:@+-]+", re.ASCII)
"""A value that needs no quotes."""


def fields(**values: object) -> dict[str, object]:
    """Named values to add to the message, for the `extra` of a logging call."""
    return {"fields": values}


class PlainFormatter(logging.Formatter):
    """Gunicorn's own layout: time, process, level, message; then the record's fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S %z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        """The line, with line feeds and other control characters escaped."""
        values = (f"{name}={_quoted(value)}" for name, value in _fields_of(record).items())
        return " ".join([_printable(super().formatMessage(record)), *values])

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, indented, so that an exception's text can't forge a line either."""
        return textwrap.indent(super().formatException(ei), "  ", lambda line: True)


class JsonFormatter(logging.Formatter):
    """One JSON object on each line: `time` (UTC), `level`, `logger`, `pid`, `message`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

    def _time(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"


FORMATTERS = {"plain": PlainFormatter, "json": JsonFormatter}
"""What WHISPER_LOG_FORMAT may be."""


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    values: Mapping[str, object] = getattr(record, "fields", {})
    return values


def _quoted(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _printable(text: str) -> str:
    """The text with line feeds, terminals' escape codes and the like escaped as in Python."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
