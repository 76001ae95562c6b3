"""One record, one line: for people and for machines, whatever a client has put into it."""

import json
import logging
import sys
from typing import Any

import pytest

from app.logs import FORMATTERS, JsonFormatter, PlainFormatter, fields
from app.settings import Settings


def record(message: str, *args: object, known: dict[str, object] | None = None, error: bool = False) -> Any:
    found = logging.LogRecord(
        "app.x", logging.INFO, "x.py", 1, message, args, sys.exc_info() if error else None
    )
    found.created, found.msecs, found.process = 1_700_000_000.5, 500.0, 42
    vars(found).update(fields(**known) if known else {})
    return found


def failed(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return record("it failed", known={"request_id": "req_1"}, error=True)


def test_every_format_is_a_setting() -> None:
    for name in FORMATTERS:
        assert Settings(log_format=name).log_format == name


def test_a_plain_line_looks_like_gunicorns() -> None:
    line = PlainFormatter().format(record("Serving %s on %s", "tiny", "cpu"))
    assert line.startswith("[2023-11-1")
    assert line.endswith("] [42] [INFO] Serving tiny on cpu")


def test_plain_fields() -> None:
    line = PlainFormatter().format(record("answered", known={"status": 200, "agent": "a b", "model": ""}))
    assert line.endswith('answered status=200 agent="a b" model=""')


@pytest.mark.parametrize(
    "evil", ["x\n[2026] [1] [INFO] forged", "\x1b[2J", "a\rb", "a\u2028b", "a\x85b", "\u202eright to left"]
)
def test_nothing_breaks_out_of_a_plain_line(evil: str) -> None:
    line = PlainFormatter().format(record("GET %s failed", evil, known={"agent": evil}))
    assert len(line.splitlines()) == 1
    assert line.isprintable()


def test_a_value_cant_pass_for_another_field() -> None:
    line = PlainFormatter().format(record("answered", known={"path": "/x status=200", "status": 404}))
    assert line.endswith('path="/x status=200" status=404')


def test_a_plain_traceback_is_indented() -> None:
    first, *rest = PlainFormatter().format(failed("bad\n[2026] forged\n\nend")).splitlines()
    assert first.endswith("it failed request_id=req_1")
    assert "ValueError: bad" in "\n".join(rest)
    assert all(line.startswith("  ") for line in rest)


def test_a_json_line() -> None:
    line = JsonFormatter().format(record("Serving %s", "a\nb", known={"status": 200, "agent": "\x1b\n"}))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "logger": "app.x",
        "pid": 42,
        "message": "Serving a\nb",
        "status": 200,
        "agent": "\x1b\n",
    }
    assert line.isprintable()


def test_a_json_traceback_is_on_the_same_line() -> None:
    line = JsonFormatter().format(failed("bad\nnews"))
    assert line.isprintable()
    told = json.loads(line)
    assert "ValueError: bad\nnews" in told["traceback"]
    assert told["request_id"] == "req_1"
