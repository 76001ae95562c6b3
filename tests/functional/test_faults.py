"""Signals and deaths under load: who fails, how, and that nobody else does."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import openai
import pytest
import requests

from tests.functional.checked_clients import openai_client, requests_session
from tests.functional.conftest import StartServer
from tests.functional.failing_engine import FATAL_SEED
from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.traffic import Traffic
from tests.processes import children

pytestmark = pytest.mark.slow

CLIENTS = 3
MINUTE = DATA / "minute.flac"


def ask(server: GunicornServer) -> str:
    """One request on a connection of its own. Raises requests.ConnectionError, or HTTPError."""
    with FLAGSHIP.open("rb") as file:
        answer = requests.post(
            f"{server.url}/v1/audio/transcriptions",
            headers={"Connection": "close"},
            data={"model": "whisper-1"},
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )
    answer.raise_for_status()
    return str(answer.json()["text"])


def device_of(server: GunicornServer, worker: int) -> str:
    """Where a worker serves, by what it has said in the log."""
    found = re.search(rf"\[{worker}\] \[INFO\] Serving demo on (\S+)", server.log)
    assert found, server.log
    return found[1]


def wait_until(happened: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def test_a_killed_worker_takes_only_its_own_requests_along(start_server: StartServer) -> None:
    server = start_server(WHISPER_DEVICES="cpu,cpu").wait_until_ready(workers=2)
    survivor, victim = server.workers
    device = device_of(server, victim)
    with Traffic(partial(ask, server), CLIENTS) as traffic:
        traffic.wait_for(CLIENTS)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in server.workers, "the worker has ended")
        killed = time.monotonic()
        server.wait_for_log("Serving ", 3)
        traffic.wait_for(CLIENTS)
    assert len(traffic.failures) <= CLIENTS
    assert {type(failure.result) for failure in traffic.failures} <= {requests.ConnectionError}
    assert all(failure.began < killed for failure in traffic.failures)
    assert traffic.texts == {FLAGSHIP_TEXT}
    [replacement] = set(server.workers) - {survivor}
    assert device_of(server, replacement) == device


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One for several tests: each leaves it with one worker, the last one stops it."""
    log = tmp_path_factory.mktemp("faults") / "server.log"
    with GunicornServer(log, WHISPER_DECODERS="2") as running:
        yield running.wait_until_ready()


def test_hangup_loses_no_request(own_server: GunicornServer) -> None:
    server = own_server
    [before] = server.workers
    with openai_client(server.url, max_retries=2) as sdk:

        def ask_sdk() -> str:
            return sdk.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP).text

        with Traffic(partial(ask, server), 2) as plain, Traffic(ask_sdk, 2) as kept:
            plain.wait_for(1)
            kept.wait_for(1)
            server.send(signal.SIGHUP)
            server.wait_for_log("Serving ", 2)
            wait_until(lambda: before not in server.workers, "the old worker has ended")
            plain.wait_for(2)
            kept.wait_for(2)
    assert plain.failures == kept.failures == []
    assert plain.texts == kept.texts == {FLAGSHIP_TEXT}


def test_killed_decoders_are_replaced(own_server: GunicornServer) -> None:
    server = own_server
    [worker] = server.workers
    assert ask(server) == FLAGSHIP_TEXT
    decoders = children(worker)
    assert len(decoders) == 2
    with Traffic(partial(ask, server), CLIENTS) as traffic:
        traffic.wait_for(CLIENTS)
        for decoder in decoders:
            os.kill(decoder, signal.SIGKILL)
        traffic.wait_for(2 * CLIENTS)
        wait_until(lambda: len(set(children(worker)) - set(decoders)) == 2, "two new decoders")
    refusals = [failure.result for failure in traffic.failures]
    assert len(refusals) <= len(decoders)
    assert all(
        isinstance(error, requests.HTTPError) and error.response.status_code == 503 for error in refusals
    )
    assert traffic.texts == {FLAGSHIP_TEXT}
    assert not set(children(worker)) & set(decoders)
    assert server.workers == [worker]


@contextmanager
def begun_with_requests(server: GunicornServer) -> Iterator[Callable[[], str]]:
    """A streamed request that has had its first event; called, it gives the rest."""
    with requests_session() as session, MINUTE.open("rb") as file:
        answer = session.post(
            f"{server.url}/v1/audio/transcriptions",
            data={"model": "whisper-1", "stream": "true"},
            files={"file": file},
            stream=True,
            timeout=PATIENCE_SECONDS,
        )
        lines = answer.iter_lines(chunk_size=None)
        first = next(lines)
        yield lambda: "\n".join(line.decode() for line in [first, *lines])


@contextmanager
def begun_with_the_sdk(server: GunicornServer) -> Iterator[Callable[[], str]]:
    """The same with OpenAI's client."""
    with openai_client(server.url) as client:
        stream = client.audio.transcriptions.create(model="whisper-1", file=MINUTE, stream=True)
        first = next(iter(stream))
        yield lambda: "\n".join(event.to_json() for event in [first, *stream])


def test_sigterm_lets_running_requests_end_and_takes_no_others(own_server: GunicornServer) -> None:
    server = own_server
    with ExitStack() as held:
        idle = held.enter_context(requests.Session())
        assert idle.get(f"{server.url}/health", timeout=PATIENCE_SECONDS).status_code == 200
        begun = [begun_with_requests, begun_with_requests, begun_with_the_sdk, begun_with_the_sdk]
        running = [held.enter_context(begin(server)) for begin in begun]
        server.send(signal.SIGTERM)
        wait_until(lambda: not server.listens(), "the port is closed")
        with openai_client(server.url) as late, pytest.raises(openai.APIConnectionError):
            late.models.list()
        for rest in running:
            heard = rest()
            assert "transcript.text.done" in heard
            assert "See you tomorrow." in heard
        assert server.wait() == 0
    assert "Traceback" not in server.log


def test_a_checkpoint_that_is_deleted_is_missed_by_the_next_worker_alone(
    start_server: StartServer, tmp_path: Path
) -> None:
    checkpoint = Path(shutil.copy(ROOT / "models" / "demo.pt", tmp_path / "demo.pt"))
    server = start_server(WHISPER_MODEL=str(checkpoint)).wait_until_ready()
    [worker] = server.workers
    checkpoint.unlink()
    assert ask(server) == FLAGSHIP_TEXT
    os.kill(worker, signal.SIGKILL)
    server.wait_for_log(f"{checkpoint}")
    shutil.copy(ROOT / "models" / "demo.pt", checkpoint)
    server.wait_for_log("Serving ", 2)
    assert ask(server) == FLAGSHIP_TEXT
    assert "Traceback" not in server.log


def test_a_window_on_which_the_model_fails_fails_alone(start_server: StartServer) -> None:
    """The engine is that of `failing_engine`: it fails in a step that all windows take together."""
    server = start_server(app="tests.functional.failing_app:app").wait_until_ready()
    samples = [MINUTE, MINUTE, FLAGSHIP, FLAGSHIP, DATA / "german.wav"]
    alone = [server.transcribe(sample).json()["text"] for sample in samples[1:]]
    with ThreadPoolExecutor(len(samples)) as clients:
        seeds = [str(FATAL_SEED), *["7"] * len(alone)]
        answers = clients.map(lambda sample, seed: server.transcribe(sample, seed=seed), samples, seeds)
        failed, *others = answers
    assert failed.status_code == 500
    assert failed.json()["error"]["type"] == "server_error"
    assert "index" not in failed.text
    assert failed.headers["x-should-retry"] == "false"
    assert [answer.json()["text"] for answer in others] == alone
    assert alone[-1] == EXPECTED["german.wav"]["text"]
    assert "IndexError" in server.log
    assert re.search(r"a step of [2-5] windows failed", server.log)
    assert ask(server) == FLAGSHIP_TEXT
