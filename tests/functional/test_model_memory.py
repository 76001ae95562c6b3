"""Models for which there is no memory: a 503 that says what is loaded, and the worker goes on."""

import re
import resource
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.random_weights import TINY, write
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.test_exhaustion import limited
from tests.processes import status

pytestmark = pytest.mark.slow

BUDGET_BYTES = 75_000_000
SPARE_BYTES = 24_000_000
"""Enough for the threads of a few requests, and less than any copy of a token embedding of 40 MB takes."""


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """`other` is within WHISPER_MODEL_MEMORY, `larger` is not."""
    folder = tmp_path_factory.mktemp("tight")
    for name, layers in (("other", 1), ("larger", 6)):
        write(folder / f"{name}.pt", replace(TINY, n_audio_layer=layers, n_text_layer=layers), tokens=5)
    assert (folder / "other.pt").stat().st_size < BUDGET_BYTES < (folder / "larger.pt").stat().st_size
    listed = f"other={folder}/other.pt,larger={folder}/larger.pt"
    settings = {"WHISPER_MODELS": listed, "WHISPER_MODEL_MEMORY": str(BUDGET_BYTES)}
    with GunicornServer(folder / "server.log", **settings) as running:
        yield running.wait_until_ready()


def read_seconds(server: GunicornServer) -> float:
    """How long all audio files that have been read took."""
    [seconds] = re.findall(r"^whisper_decode_seconds_total (\S+)$", server.get("/metrics").text, re.MULTILINE)
    return float(seconds)


def refusal(server: GunicornServer, model: str) -> str:
    """The message of a 503 with Retry-After before anything of the audio has been read."""
    before, refused = read_seconds(server), server.log.count(" status=503 ")
    answer = server.transcribe(FLAGSHIP, model=model)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    server.wait_for_log(" status=503 ", refused + 1)  # it has been counted
    assert read_seconds(server) == before
    message: str = answer.json()["error"]["message"]
    return message


def serves_as_before(server: GunicornServer, worker: int) -> None:
    before, answered = read_seconds(server), server.log.count(" status=200 ")
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    server.wait_for_log(" status=200 ", answered + 1)
    assert read_seconds(server) > before
    assert server.workers == [worker]
    assert server.get("/ready").status_code == 200
    assert server.get("/api/ps").json()["models"] == ["demo"]


def test_a_model_that_is_larger_than_the_budget(tight: GunicornServer) -> None:
    [worker] = tight.workers
    message = refusal(tight, "larger")
    assert "'larger' takes" in message and "WHISPER_MODEL_MEMORY" in message and "Loaded: demo." in message
    serves_as_before(tight, worker)


def test_a_machine_without_memory_for_it(tight: GunicornServer) -> None:
    [worker] = tight.workers
    assert tight.transcribe(FLAGSHIP).status_code == 200
    [taken_kb] = re.findall(r"VmData:\s+(\d+)", status(worker))
    with limited(worker, resource.RLIMIT_DATA, int(taken_kb) * 1024 + SPARE_BYTES):
        message = refusal(tight, "other")
        assert "there is not enough memory for it" in message and "Loaded: demo." in message
        serves_as_before(tight, worker)
    assert tight.log.count("The model other can't be loaded") == 1
