"""Two models in one server: the demo model and one with random weights, loaded and unloaded on demand."""

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.random_weights import TINY_TURBO, write
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One model is loaded at a time, so that each request for the other one unloads the first."""
    folder = tmp_path_factory.mktemp("several")
    write(folder / "random.pt", TINY_TURBO, tokens=5)
    listed = f"other={folder / 'random.pt'},gpt-4o-transcribe=other"
    with GunicornServer(folder / "server.log", WHISPER_MODELS=listed, WHISPER_MODELS_LOADED="1") as running:
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


def test_a_missing_checkpoint_stops_the_start(tmp_path: Path) -> None:
    with GunicornServer(tmp_path / "server.log", WHISPER_MODELS=f"other={tmp_path}/none.pt") as server:
        assert server.wait() == 1
        assert "WHISPER_MODELS, " in server.log and "none.pt" in server.log
