"""/api/ps over two workers: what each has loaded, loading and unloading in both, a death and a reload."""

import os
import resource
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest
import requests

from benchmarks.random_weights import TINY_TURBO, write
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.processes import limited

pytestmark = pytest.mark.slow

BAD_GATEWAY = 502
ADMIN = {"Authorization": "Bearer sk-admin"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    write(folder / "random.pt", TINY_TURBO, tokens=5)
    (folder / "models").write_text(f"other={folder / 'random.pt'}\n")
    return folder


@pytest.fixture(scope="module")
def mute() -> Iterator[socket.socket]:
    """A server for chats that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        yield listening


@pytest.fixture(scope="module")
def two(folder: Path, mute: socket.socket) -> Iterator[GunicornServer]:
    settings = {
        "WHISPER_DEVICES": "cpu,cpu",
        "WHISPER_THREADS": "1",
        "WHISPER_MODELS": f"@{folder / 'models'}",
        "WHISPER_ADMIN_KEYS": "sk-admin",
        "CHAT_UPSTREAM_URL": f"http://127.0.0.1:{mute.getsockname()[1]}/v1",
    }
    with GunicornServer(folder / "server.log", **settings) as running:
        yield running.wait_until_ready(2)


def listed(server: GunicornServer, silent: int = 0) -> dict[int, list[str]]:
    """The names of the models that each worker has loaded, once so many of the two don't tell in time."""
    deadline = monotonic() + PATIENCE_SECONDS
    while len((body := server.get("/api/ps").json())["silent_workers"]) != silent:
        assert monotonic() < deadline, body
        sleep(0.1)
    assert sorted([worker["worker"] for worker in body["workers"]] + body["silent_workers"]) == [0, 1]
    found = {worker["worker"]: [model["name"] for model in worker["models"]] for worker in body["workers"]}
    assert body["models"] == sorted({name for names in found.values() for name in names})
    return found


def change(server: GunicornServer, method: str, name: str, headers: dict[str, str] = ADMIN) -> int:
    url = f"{server.url}/api/ps/{name}"
    return requests.request(method, url, headers=headers, timeout=PATIENCE_SECONDS).status_code


def loaded(server: GunicornServer, name: str) -> Any:
    models = {model["id"]: model for model in server.get("/v1/models").json()["data"]}
    assert models[name]["size"] > 0 and models[name]["created"] > 0
    return models[name]["loaded"]


def test_both_load_and_unload(two: GunicornServer) -> None:
    assert listed(two) == {0: ["demo"], 1: ["demo"]}
    assert not loaded(two, "other")
    assert change(two, "POST", "other", {}) == 401
    assert change(two, "POST", "other") == 201
    assert listed(two) == {0: ["demo", "other"], 1: ["demo", "other"]}
    assert loaded(two, "other")
    assert change(two, "POST", "other") == 409
    assert change(two, "DELETE", "other") == 200
    assert change(two, "DELETE", "other") == 404
    assert change(two, "DELETE", "none") == 404
    assert listed(two) == {0: ["demo"], 1: ["demo"]}
    assert "Unloaded other" in two.log


def test_both_models_answer_rightly_while_one_is_unloaded_again_and_again(two: GunicornServer) -> None:
    alone = two.transcribe(FLAGSHIP, model="other").json()["text"]
    done, expected = Event(), {"whisper-1": FLAGSHIP_TEXT, "other": alone}
    before, codes = two.log.count("Unloaded other"), set[int]()

    def ask(name: str) -> int:
        count = 0
        while not done.is_set() or not count:
            answer = two.transcribe(FLAGSHIP, model=name)
            assert (answer.status_code, answer.json().get("text")) == (200, expected[name])
            count += 1
        return count

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask, name) for name in ("whisper-1", "other", "whisper-1", "other")]
        deadline = monotonic() + PATIENCE_SECONDS
        try:
            while two.log.count("Unloaded other") < before + 2:
                assert monotonic() < deadline
                codes.add(change(two, "DELETE", "other"))
        finally:
            done.set()
        assert all(each.result(PATIENCE_SECONDS) for each in asking)
    assert codes <= {200, 404, 409}


def test_a_chat_uses_its_model_until_it_is_answered(two: GunicornServer, mute: socket.socket) -> None:
    change(two, "POST", "other")
    chat = {"model": "other", "stream": True, "messages": [{"role": "user", "content": "Hello."}]}

    def ask() -> None:
        requests.post(f"{two.url}/v1/chat/completions", json=chat, timeout=PATIENCE_SECONDS).close()

    with ThreadPoolExecutor(1) as clients:
        asking = clients.submit(ask)
        upstream, _ = mute.accept()
        with upstream:
            assert change(two, "DELETE", "other") == 409
            using = two.get("/api/ps").json()["workers"]
            assert sum(model["requests"] for worker in using for model in worker["models"]) == 1
        asking.result(PATIENCE_SECONDS)
    two.wait_for_log(f"path=/v1/chat/completions status={BAD_GATEWAY}")
    assert change(two, "DELETE", "other") in (200, 404)
    assert all("other" not in names for names in listed(two).values())


def test_a_worker_that_was_out_of_descriptors_is_asked_again(two: GunicornServer) -> None:
    change(two, "DELETE", "other")
    workers = two.workers
    with limited(workers[0], resource.RLIMIT_NOFILE, 3):  # all that it has stays open
        [(_, names)] = listed(two, silent=1).items()
        assert names == ["demo"]
        assert "Workers that have not told their models" in two.log
        two.wait_for_log("can't be answered at present")
    assert listed(two) == {0: ["demo"], 1: ["demo"]}
    assert change(two, "POST", "other") == 201
    assert change(two, "DELETE", "other") == 200
    assert two.workers == workers


def test_a_killed_worker_comes_back_and_is_asked_again(two: GunicornServer) -> None:
    change(two, "POST", "other")
    served = two.log.count("Serving demo")
    os.kill(two.workers[0], signal.SIGKILL)
    two.wait_for_log("Serving demo", served + 1)
    found = listed(two)
    assert sorted(found) == [0, 1]
    assert sorted(map(len, found.values())) == [1, 2]  # the new one has the first model alone
    assert change(two, "POST", "other") == 201
    assert listed(two) == {0: ["demo", "other"], 1: ["demo", "other"]}


def test_a_reload_reads_the_list_again(two: GunicornServer, folder: Path) -> None:
    with (folder / "models").open("a") as file:
        file.write("third=other;int8\n")
    assert two.transcribe(FLAGSHIP, model="third").status_code == 404
    served = two.log.count("Serving demo")
    two.send(signal.SIGHUP)
    two.wait_for_log("Serving demo", served + 2)
    two.wait_for_log("Worker exiting", 2)
    assert two.transcribe(FLAGSHIP, model="third").status_code == 200
