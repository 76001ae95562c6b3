"""Two models in one server: the demo model and one with random weights, loaded and unloaded on demand."""

import json
import os
import re
import signal
import wave
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.random_weights import TINY_TURBO, write
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow

MINUTE = (DATA / "minute.flac").read_bytes()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One model is loaded at a time, so that each request for the other one unloads the first."""
    folder = tmp_path_factory.mktemp("several")
    write(folder / "random.pt", TINY_TURBO, tokens=5)
    listed = f"other={folder / 'random.pt'},gpt-4o-transcribe=other"
    settings = {
        "WHISPER_MODELS": listed,
        "WHISPER_MODELS_LOADED": "1",
        "WHISPER_RETRY_GRACE_SECONDS": str(10 * PATIENCE_SECONDS),
    }
    with GunicornServer(folder / "server.log", **settings) as running:
        yield running.wait_until_ready()


def samples(server: GunicornServer, name: str) -> list[Any]:
    families = text_string_to_metric_families(server.get("/metrics").text)
    return [sample for family in families for sample in family.samples if sample.name == name]


def text_of(server: GunicornServer, model: str) -> str:
    answer = server.transcribe(FLAGSHIP, model=model)
    assert answer.status_code == 200, answer.text
    assert ("x-model-notice" in answer.headers) == (model == "whisper-1")  # only the demo model has one
    text: str = answer.json()["text"]
    return text


def test_each_name_is_answered_by_its_model_whatever_is_loaded(several: GunicornServer) -> None:
    alone = text_of(several, "other")
    assert alone != FLAGSHIP_TEXT
    names = ["whisper-1", "other", "gpt-4o-transcribe", "whisper-1", "other", "whisper-1"]
    with ThreadPoolExecutor(len(names)) as clients:
        texts = list(clients.map(lambda name: text_of(several, name), names))
    assert texts == [FLAGSHIP_TEXT if name == "whisper-1" else alone for name in names]
    assert several.get("/ready").status_code == 200
    assert "Unloaded demo" in several.log and "Loaded other" in several.log
    assert "served=other" in several.log


def test_counts_and_log_name_the_model(several: GunicornServer) -> None:
    def counts(name: str) -> dict[str, float]:
        return {sample.labels["model"]: sample.value for sample in samples(several, f"whisper_{name}")}

    text_of(several, "whisper-1")
    several.wait_for_log("model=whisper-1")
    before, lines = counts("windows_total"), several.log.count(" served=gpt-4o-transcribe")
    assert set(before) == {"demo", "other", "gpt-4o-transcribe"}
    text_of(several, "gpt-4o-transcribe")
    several.wait_for_log(" served=gpt-4o-transcribe", lines + 1)
    after = counts("windows_total")
    assert after["gpt-4o-transcribe"] > before["gpt-4o-transcribe"]
    assert re.search(r"model=whisper-1 .* served=demo$", several.log, re.MULTILINE)
    assert counts("batch_fill_count")["other"] > 0  # it was loaded under this name


def test_all_names_are_listed(several: GunicornServer) -> None:
    models = {model["id"]: model for model in several.get("/v1/models").json()["data"]}
    assert models["other"]["owned_by"] == models["gpt-4o-transcribe"]["owned_by"] == "local"
    assert models["demo"]["owned_by"] == models["whisper-1"]["owned_by"] == "tiny-openai-whisper-api"


def test_a_killed_worker_comes_back_with_the_first_model_and_loads_the_other(several: GunicornServer) -> None:
    alone, [worker] = text_of(several, "other"), several.workers
    served = several.log.count("Serving demo")
    os.kill(worker, signal.SIGKILL)
    several.wait_for_log("Serving demo", served + 1)
    assert text_of(several, "whisper-1") == FLAGSHIP_TEXT
    assert text_of(several, "other") == alone


def minutes_of_speech() -> bytes:
    with wave.open(str(FLAGSHIP)) as file:
        parameters, speech = file.getparams(), file.readframes(file.getnframes())
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams(parameters)
        file.writeframes(speech * 150)
    return buffer.getvalue()


def unload(server: GunicornServer, name: str) -> int:
    return requests.delete(f"{server.url}/api/ps/{name}", timeout=PATIENCE_SECONDS).status_code


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/chat/completions"])
def test_a_stream_is_a_use_of_its_model_until_it_ends(several: GunicornServer, path: str) -> None:
    speech = minutes_of_speech()
    audio = {"type": "input_audio", "input_audio": {"data": b64encode(speech).decode(), "format": "wav"}}
    body: dict[str, Any] = (
        {"json": {"model": "other", "stream": True, "messages": [{"role": "user", "content": [audio]}]}}
        if "chat" in path
        else {"data": {"model": "other", "stream": "true"}, "files": {"file": speech}}
    )
    for turn in range(20):
        request_id = f"in-use-{len(path)}-{turn}"
        headers = {"X-Request-ID": request_id}
        with requests.post(
            several.url + path, stream=True, headers=headers, timeout=PATIENCE_SECONDS, **body
        ) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith(b"data: ")
            status = unload(several, "other")
            if status == 409:
                break
            assert any(b"done" in line.lower() for line in lines)
        assert logged(several, request_id, "status") == 200  # it was over before, and whole
    else:
        pytest.fail("the model could always be unloaded")
    deadline = monotonic() + PATIENCE_SECONDS
    while (status := unload(several, "other")) == 409:  # until the server has seen the client leave
        assert monotonic() < deadline
        sleep(0.1)
    assert status == 200


def test_a_second_try_with_another_model_gets_nothing_of_the_first(several: GunicornServer) -> None:
    """The answer that its client has left is kept for who sends the same again, with the same model."""
    texts, windows = {}, {}
    for turn, name in enumerate(("whisper-1", "other")):
        texts[name], windows[name] = streamed(several, name, f"alone-{turn}")
    assert texts["whisper-1"] != texts["other"]
    leave_midway(several, "other")
    text, decoded = streamed(several, "whisper-1", "other-model")
    assert (text, decoded) == (texts["whisper-1"], windows["whisper-1"])
    text, decoded = streamed(several, "other", "same-model")
    assert text == texts["other"]
    assert decoded < windows["other"]


def begin(server: GunicornServer, model: str, request_id: str) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/audio/transcriptions",
        data={"model": model, "stream": "true", "beam_size": "8"},
        files={"file": MINUTE},
        headers={"X-Request-ID": request_id},
        stream=True,
        timeout=PATIENCE_SECONDS,
    )


def streamed(server: GunicornServer, model: str, request_id: str) -> tuple[str, int]:
    """The text of the minute, and how many windows were decoded for it."""
    lines = [
        line for line in begin(server, model, request_id).text.splitlines() if line.startswith("data: {")
    ]
    text: str = json.loads(lines[-1].removeprefix("data: "))["text"]
    return text, logged(server, request_id, "windows")


def logged(server: GunicornServer, request_id: str, name: str) -> int:
    """A number in a request's line of the log."""
    mark = f"request_id={request_id} "
    server.wait_for_log(mark)
    [line] = [line for line in server.log.splitlines() if mark in line]
    found = re.search(rf" {name}=(\d+)", line)
    assert found
    return int(found[1])


def leave_midway(server: GunicornServer, model: str) -> None:
    """Close the connection after the first event; again where the server had answered already."""
    for turn in range(100):
        with begin(server, model, f"left-{turn}") as answer:
            assert next(answer.iter_lines()).startswith(b"data: ")
        if logged(server, f"left-{turn}", "status") == 499:
            return
    pytest.fail("the server was always faster than the client left")


def test_a_missing_checkpoint_stops_the_start(tmp_path: Path) -> None:
    with GunicornServer(tmp_path / "server.log", WHISPER_MODELS=f"other={tmp_path}/none.pt") as server:
        assert server.wait() == 1
        assert "WHISPER_MODELS, " in server.log and "none.pt" in server.log
