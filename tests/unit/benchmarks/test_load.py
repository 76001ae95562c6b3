"""What the load program makes of answers."""

import json

import pytest

from benchmarks.load import Seen, is_openai_error, table

ERROR = json.dumps({"error": {"message": "m", "type": "t", "param": None, "code": None}}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ERROR, True),
        (b"<html>503</html>", False),
        (b"", False),
        (b"[]", False),
        (b'"error"', False),
        (b'{"error": "busy"}', False),
        (b'{"error": {"message": "m"}}', False),
    ],
)
def test_openai_errors(body: bytes, expected: bool) -> None:
    assert is_openai_error(body) is expected


def test_only_errors_can_be_strange() -> None:
    seen = Seen()
    seen.note("health", 200, b"fine")
    seen.note("upload", 503, ERROR)
    assert seen.strange == []
    seen.note("upload", 500, b"<html>")
    assert seen.strange == ["upload 500: b'<html>'"]


def test_the_table() -> None:
    idle, full = Seen([0.001] * 100), Seen([0.002] * 99 + [0.5] * 2)
    full.note("health", 200, b"")
    full.note("upload", 503, ERROR)
    full.note("upload", 503, b"")
    assert table({"idle": idle, "full": full}).splitlines() == [
        "| server | requests for /health | p50 | p99 | |",
        "| --- | --- | --- | --- | --- |",
        "| idle | 100 | 1.0 ms | 1.0 ms | p99 within 100 ms: kept |",
        "| full | 101 | 2.0 ms | 500.0 ms | p99 within 100 ms: broken |",
        "",
        "| server | request | status | times |",
        "| --- | --- | --- | --- |",
        "| full | health | 200 | 1 |",
        "| full | upload | 503 | 2 |",
        "",
        "Errors without OpenAI's body: 1.",
    ]
