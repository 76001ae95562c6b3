"""Files that crash FFmpeg, clients that leave meanwhile, and workers that end: at a real server."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import check_response
from tests.processes import children, is_running, open_files

LONG = b"#!AMR\n" + (b"\x04" + bytes(12)) * (230 * 60 * 50)
"""Nearly four hours in which nobody speaks; reading them takes many seconds."""
SLOW = FLAGSHIP.read_bytes() + (b"JUNK" + (64).to_bytes(4, "little") + bytes(64)) * (24 << 20 >> 6)
"""So many chunks that nobody has a use for, and FFmpeg looks at each."""


@pytest.fixture(scope="module")
def one_decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("decoders") / "server.log"
    with GunicornServer(log, WHISPER_DECODERS="1") as running:
        yield running.wait_until_ready()


def decoders_of(worker: int) -> list[int]:
    return children(worker, "decoder_process")


def decoder_of(server: GunicornServer) -> int:
    [worker] = server.workers
    wait_until(lambda: decoders_of(worker))
    [decoder] = decoders_of(worker)
    return decoder


def reads(decoder: int) -> bool:
    return any("memfd:samples" in target for target in open_files(decoder).values())


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def post(server: GunicornServer, audio: bytes) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/audio/transcriptions",
        headers={"Connection": "close"},
        data={"model": "whisper-1"},
        files={"file": ("call.amr", audio)},
        hooks={"response": check_response},
        timeout=PATIENCE_SECONDS,
    )


def send_and_stay(server: GunicornServer, audio: bytes) -> socket.socket:
    """A whole request; the caller closes the connection."""
    form = requests.Request("POST", server.url, data={"model": "whisper-1"}, files={"file": audio}).prepare()
    assert isinstance(form.body, bytes)
    head = "".join(f"{name}: {value}\r\n" for name, value in form.headers.items())
    client = socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS)
    client.sendall(f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + form.body)
    return client


def assert_still_good(server: GunicornServer) -> None:
    answer = server.transcribe(FLAGSHIP)
    assert (answer.status_code, answer.json()["text"]) == (200, FLAGSHIP_TEXT)


def test_a_crash_of_ffmpeg_costs_one_request(one_decoder: GunicornServer) -> None:
    workers, decoder = one_decoder.workers, decoder_of(one_decoder)
    with ThreadPoolExecutor() as pool:
        request = pool.submit(post, one_decoder, LONG)
        wait_until(lambda: reads(decoder))
        os.kill(decoder, signal.SIGSEGV)
        answer = request.result(PATIENCE_SECONDS)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == "The audio file could not be decoded or its format is not supported."
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        "file",
        "invalid_value",
    )
    assert_still_good(one_decoder)
    assert one_decoder.workers == workers
    assert decoder_of(one_decoder) != decoder
    assert one_decoder.log.count(f"Decoder process {decoder} was ended by signal 11") == 1
    assert "whisper_decoder_restarts_total 1.0" in one_decoder.get("/metrics").text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_good_file_outlives_its_decoder(one_decoder: GunicornServer, number: signal.Signals) -> None:
    """As when memory runs out: the file did nothing wrong, and neither did the one behind it."""
    decoder = decoder_of(one_decoder)
    with ThreadPoolExecutor() as pool:
        request = pool.submit(post, one_decoder, SLOW)
        wait_until(lambda: reads(decoder))
        behind = pool.submit(one_decoder.transcribe, FLAGSHIP)
        os.kill(decoder, number)
        answers = [request.result(PATIENCE_SECONDS), behind.result(PATIENCE_SECONDS)]
    assert [(answer.status_code, answer.json()["text"]) for answer in answers] == 2 * [(200, FLAGSHIP_TEXT)]
    assert not is_running(decoder)
    fate = "was ended by signal 9" if number == signal.SIGKILL else "was stopped"
    assert f"Decoder process {decoder} {fate}" in one_decoder.log


def test_a_file_that_loses_two_decoders_may_come_again(one_decoder: GunicornServer) -> None:
    with ThreadPoolExecutor() as pool:
        request = pool.submit(post, one_decoder, LONG)
        for _ in range(2):
            wait_until(lambda: any(map(reads, decoders_of(one_decoder.workers[0]))))
            [decoder] = decoders_of(one_decoder.workers[0])
            os.kill(decoder, signal.SIGKILL)
            wait_until(lambda gone=decoder: not is_running(gone))
        answer = request.result(PATIENCE_SECONDS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert_still_good(one_decoder)


def test_a_client_that_leaves_while_its_file_is_read(one_decoder: GunicornServer) -> None:
    decoder = decoder_of(one_decoder)
    with send_and_stay(one_decoder, LONG):
        wait_until(lambda: reads(decoder))
    wait_until(lambda: not is_running(decoder))
    assert_still_good(one_decoder)
    assert f"Decoder process {decoder}" not in one_decoder.log


def test_decoders_end_with_a_killed_worker(one_decoder: GunicornServer) -> None:
    [worker], decoder = one_decoder.workers, decoder_of(one_decoder)
    with send_and_stay(one_decoder, LONG):
        wait_until(lambda: reads(decoder))
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_running(decoder))
    one_decoder.wait_until_ready(workers=2)
    assert_still_good(one_decoder)


@pytest.mark.slow
def test_a_stopping_server_reads_its_files_to_the_end(one_decoder: GunicornServer) -> None:
    """The last of these tests: it stops the server."""
    [worker], decoder = one_decoder.workers, decoder_of(one_decoder)
    with send_and_stay(one_decoder, SLOW) as client:
        wait_until(lambda: reads(decoder))
        one_decoder.send(signal.SIGTERM)
        for process in (worker, decoder):  # systemd tells every process of a service
            os.kill(process, signal.SIGTERM)
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert FLAGSHIP_TEXT.encode() in answer
    assert one_decoder.wait() == 0
    assert not is_running(decoder)
    assert f"Decoder process {decoder}" not in one_decoder.log
