"""What a process may say through its worker, and how much of it."""

import os
from collections.abc import Iterator

import pytest

from app.waveform.error_output import MAX_BYTES, MAX_LINES, ErrorOutput


@pytest.fixture
def ends() -> Iterator[tuple[ErrorOutput, int]]:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    yield ErrorOutput(ours, 7), theirs
    os.close(ours)
    os.close(theirs)


def test_lines_are_the_workers_own_and_escaped(
    ends: tuple[ErrorOutput, int], caplog: pytest.LogCaptureFixture
) -> None:
    output, theirs = ends
    os.write(theirs, b"one\n[2026] [1] [INFO] forged\x1b[2J\xff\ntwo")
    output.log()
    assert caplog.messages == [
        "Decoder process 7 wrote 'one'",
        r"Decoder process 7 wrote '[2026] [1] [INFO] forged\x1b[2J\\xff'",
        "Decoder process 7 wrote 'two'",
    ]
    output.log()
    assert len(caplog.messages) == 3


def test_no_more_than_some_of_it_is_logged(
    ends: tuple[ErrorOutput, int], caplog: pytest.LogCaptureFixture
) -> None:
    output, theirs = ends
    for _ in range(10):
        os.write(theirs, b"x" * 60_000)
        output.drain()
    output.log()
    assert [len(line) for line in caplog.messages[:-1]] == [len("Decoder process 7 wrote ''") + MAX_BYTES]
    assert caplog.messages[-1] == f"Decoder process 7 wrote {600_000 - MAX_BYTES} bytes more"


def test_no_more_than_some_lines_are_logged(
    ends: tuple[ErrorOutput, int], caplog: pytest.LogCaptureFixture
) -> None:
    output, theirs = ends
    os.write(theirs, b"x\n" * (MAX_LINES + 3))
    output.log()
    assert len(caplog.messages) == MAX_LINES + 1
    assert caplog.messages[-1] == "Decoder process 7 wrote 3 bytes more"


def test_one_that_never_stops_writing_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    def read(descriptor: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return b"x" * size

    ours, theirs = os.pipe()
    output = ErrorOutput(ours, 7)
    monkeypatch.setattr(os, "read", read)
    output.drain()
    assert reads == 16
    os.close(ours)
    os.close(theirs)
