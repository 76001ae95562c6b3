"""What clients leave behind who hang up in the middle: neither memory nor threads."""

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.process_state import ProcessState, at_rest
from tests.functional.raw_requests import connected, upload
from tests.functional.recordings import DATA, convert

CLIENTS = 6
MINUTES = 12
"""Of 16 bits and of features, 23 MB each."""
ALL_MB = CLIENTS * 2 * 23
SPEAKING_MINUTES = 2
PARTS = 16
READ_AHEAD = 16
"""Threads: one for each row of a CPU's batch, and 8."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One that nobody else has talked to."""
    with GunicornServer(tmp_path_factory.mktemp("abandoned") / "server.log") as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of speech and then silence, which is cheap to listen to and large to hold."""
    filters = f"aloop=loop={SPEAKING_MINUTES - 1}:size=2e9,apad=whole_dur={MINUTES * 60}"
    target = tmp_path_factory.mktemp("long") / "long.flac"
    return convert(DATA / "minute.flac", target, "-af", filters)


def stream(recording: Path) -> bytes:
    return upload(recording, language="en", stream="true")


def chunked_stream(recording: Path) -> bytes:
    return upload(recording, language="en", stream="true", chunking_strategy="auto")


def chat(recording: Path) -> bytes:
    """Parts that are together as long as the recording; somebody speaks at the start of each."""
    begin, seconds = str(SPEAKING_MINUTES * 60 - 15), str(MINUTES * 60 // PARTS)
    part = convert(recording, recording.with_name("part.flac"), "-ss", begin, "-t", seconds)
    audio = {"data": base64.b64encode(part.read_bytes()).decode(), "format": "flac"}
    message = {"role": "user", "content": [{"type": "input_audio", "input_audio": audio}] * PARTS}
    fields = {"model": "gpt-4o-audio-preview", "messages": [message], "stream": True}
    body = json.dumps(fields).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def leave(server: GunicornServer, request: bytes) -> None:
    """Hang up once the first event has come."""
    with connected(server.port) as client:
        client.sendall(request)
        received = b""
        while b"data: {" not in received:
            chunk = client.recv(65_536)
            assert chunk, received
            received += chunk


def stay(server: GunicornServer, request: bytes) -> None:
    with connected(server.port) as client:
        client.sendall(request)
        with closing(http.client.HTTPResponse(client)) as response:
            response.begin()
            assert response.status == 200
            assert b"error" not in response.read()


def together(act: Callable[[GunicornServer, bytes], object], server: GunicornServer, request: bytes) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda _: act(server, request), range(CLIENTS)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [stream, chunked_stream, chat])
def test_memory_is_given_back_by_who_leaves_as_by_who_stays(
    server: GunicornServer, recording: Path, make: Callable[[Path], bytes]
) -> None:
    request, [worker] = make(recording), server.workers
    idle = ProcessState.of(worker).descriptors
    together(stay, server, request)
    stayed = at_rest(worker, idle, PATIENCE_SECONDS).resident_mb
    together(leave, server, request)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := at_rest(worker, idle, PATIENCE_SECONDS).resident_mb) > stayed + ALL_MB / 3:
        assert time.monotonic() < deadline, f"{left:.0f} MB after leaving, {stayed:.0f} MB after answers"


@pytest.mark.slow
@pytest.mark.parametrize("make", [chunked_stream, chat])
def test_threads_that_read_ahead_are_the_workers_not_the_requests(
    server: GunicornServer, recording: Path, make: Callable[[Path], bytes]
) -> None:
    """Each request has Gunicorn's thread and its stream's; what they have read ahead shares one pool."""
    request, [worker] = make(recording), server.workers
    leave(server, request)
    before = at_rest(worker, ProcessState.of(worker).descriptors, PATIENCE_SECONDS).threads
    counted = [before]
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(stay, server, request) for _ in range(CLIENTS)]
        while not all(client.done() for client in clients):
            counted.append(ProcessState.of(worker).threads)
            time.sleep(0.05)
    for client in clients:
        client.result()
    assert max(counted) <= before + READ_AHEAD + 2 * CLIENTS
