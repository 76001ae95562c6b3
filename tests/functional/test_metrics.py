"""/metrics of real servers: the counts of all workers, whatever becomes of a worker."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer
from tests.functional.recordings import FLAGSHIP
from tests.readme import PAGES, table

KEY = "sk-test-0123456789abcdef"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
MODELS, CHATS = "/v1/models", "/v1/chat/completions"


def get(server: GunicornServer, path: str) -> requests.Response:
    headers = {"Connection": "close", "Authorization": f"Bearer {KEY}"}
    return requests.get(server.url + path, headers=headers, timeout=PATIENCE_SECONDS)


def samples(server: GunicornServer) -> list[Any]:
    answer = get(server, "/metrics")
    assert answer.status_code == 200
    return [entry for family in text_string_to_metric_families(answer.text) for entry in family.samples]


def counted(server: GunicornServer, name: str, **labels: str) -> float:
    found = [entry for entry in samples(server) if entry.name == f"whisper_{name}"]
    return sum(entry.value for entry in found if labels.items() <= entry.labels.items())


def wait_for_count(server: GunicornServer, count: float, name: str, **labels: str) -> None:
    """An answer is counted just after its last byte. More than `count` is a failure at once."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := counted(server, name, **labels)) < count:
        assert time.monotonic() < deadline, f"{name} is {now}, never {count}"
        time.sleep(0.05)
    assert now == count


def lines(server: GunicornServer) -> list[dict[str, Any]]:
    """The log, of which every line that isn't JSON is a failure."""
    return [json.loads(line) for line in server.log.splitlines()]


def asked_all(server: GunicornServer, workers: int) -> int:
    """How many requests it took until so many workers had answered one since the log's last `Serving`."""
    before, asked = len(lines(server)), 0
    while len({line["pid"] for line in lines(server)[before:] if line["message"] == "answered"}) < workers:
        assert get(server, MODELS).status_code == 200
        asked += 1
        assert asked < 500, "one worker answers everything"
    return asked


def folder_of(server: GunicornServer) -> Path:
    """Where the workers share their counts: the files are mapped into their memory."""
    maps = Path(f"/proc/{server.workers[0]}/maps").read_text()
    [folder] = set(re.findall(r"(/\S*/whisper-metrics-\w+)/counter_\d+\.db", maps))
    return Path(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """Two workers, JSON in the log, a key, and chats that wait for an upstream that never answers."""
    log = tmp_path_factory.mktemp("metrics") / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        environ = {
            "WHISPER_DEVICES": "cpu,cpu",
            "WHISPER_LOG_FORMAT": "json",
            "WHISPER_API_KEYS": KEY,
            "CHAT_UPSTREAM_URL": f"http://127.0.0.1:{mute.getsockname()[1]}/v1",
            "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
        }
        with GunicornServer(log, **environ) as running:
            running.wait_for_log("Serving ", 2)
            yield running


def test_a_key_is_needed(pair: GunicornServer) -> None:
    assert pair.get("/metrics").status_code == 401
    wait_for_count(pair, 1, "requests_total", endpoint="/metrics", status="401")


def test_a_transcription(pair: GunicornServer) -> None:
    with FLAGSHIP.open("rb") as file:
        answer = requests.post(
            f"{pair.url}/v1/audio/transcriptions",
            headers={"Authorization": f"Bearer {KEY}", "X-Request-ID": "mine"},
            data={"model": "whisper-1"},
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )
    assert answer.status_code == 200
    wait_for_count(pair, 1, "requests_total", endpoint="/v1/audio/transcriptions", status="200")
    [line] = [line for line in lines(pair) if line.get("request_id") == "mine"]
    assert counted(pair, "audio_seconds_total") == pytest.approx(line["audio_seconds"], abs=0.001)
    assert counted(pair, "model_seconds_total") == pytest.approx(line["model_ms"] / 1000, abs=0.001)
    assert counted(pair, "windows_total") == line["windows"] == 1
    assert counted(pair, "queue_seconds_count") == counted(pair, "real_time_factor_count") == 1
    assert counted(pair, "batch_fill_count") > counted(pair, "batch_fill_sum") > 0
    assert line["who"].startswith("key:")
    assert KEY not in pair.log
    assert answer.json()["text"] not in pair.log


def test_refused_requests_and_clients_that_leave(pair: GunicornServer) -> None:
    """More chats than both workers take: the rest is refused; the others hang up."""
    body = json.dumps({"model": "gpt-audio", "messages": [{"role": "user", "content": "Hello."}]}).encode()
    head = f"POST {CHATS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    chats, taken = 52, 2 * 24
    with ExitStack() as held:
        clients = [
            held.enter_context(socket.create_connection((pair.host, pair.port), timeout=PATIENCE_SECONDS))
            for _ in range(chats)
        ]
        for client in clients:
            client.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while counted(pair, "requests_total", endpoint=CHATS, status="503") < chats - taken:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    wait_for_count(pair, chats, "requests_total", endpoint=CHATS)
    refused = counted(pair, "requests_refused_total")
    assert counted(pair, "requests_total", endpoint=CHATS, status="503") == refused
    assert counted(pair, "requests_total", endpoint=CHATS, status="499") == chats - refused > 0
    ended = [line["status"] for line in lines(pair) if line.get("path") == CHATS]
    assert (ended.count(499), ended.count(503)) == (chats - refused, refused)


@pytest.mark.slow
def test_nothing_is_lost_when_workers_come_and_go(pair: GunicornServer, start_server: StartServer) -> None:
    assert pair.get(MODELS).status_code == 401
    asked = asked_all(pair, 2)
    wait_for_count(pair, 1, "requests_total", endpoint=MODELS, status="401")
    wait_for_count(pair, asked, "requests_total", endpoint=MODELS, status="200")
    os.kill(pair.workers[0], signal.SIGKILL)
    pair.wait_for_log("Serving ", 3)
    asked += asked_all(pair, 2)
    wait_for_count(pair, asked, "requests_total", endpoint=MODELS, status="200")
    folder = folder_of(pair)
    assert len(list(folder.glob("counter_*.db"))) == 2

    pair.send(signal.SIGHUP)
    pair.wait_for_log("Serving ", 5)
    pair.wait_for_log("Worker exiting", 2)
    asked += asked_all(pair, 2)
    wait_for_count(pair, asked, "requests_total", endpoint=MODELS, status="200")
    assert counted(pair, "requests_total", endpoint=MODELS, status="401") == 1
    assert counted(pair, "requests_in_progress") == 1
    assert folder_of(pair) == folder
    assert len(list(folder.glob("counter_*.db"))) == 4

    restarted = start_server().wait_until_ready()
    assert folder_of(restarted) != folder
    assert counted(restarted, "requests_total", endpoint=MODELS) == 0
    assert pair.stop() == 0
    assert not folder.exists()
    assert counted(restarted, "requests_in_progress") == 1


@pytest.fixture(scope="module")
def names(server: GunicornServer) -> set[str]:
    """Every name there is, once a request has been answered."""
    assert server.transcribe(FLAGSHIP).status_code == 200
    wait = time.monotonic() + PATIENCE_SECONDS
    while not counted(server, "requests_total", endpoint="/v1/audio/transcriptions"):
        assert time.monotonic() < wait
        time.sleep(0.05)
    return {entry.name for entry in samples(server)}


def test_the_dashboard_shows_what_there_is(names: set[str]) -> None:
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    shown = [set(re.findall(r"\bwhisper_\w+", expression)) for expression in expressions]
    assert all(shown)
    assert set().union(*shown) <= names
    asked = [variable.get("definition", "") for variable in DASHBOARD["templating"]["list"]]
    assert set(re.findall(r"\bwhisper_\w+", " ".join(asked))) <= names


def test_the_documented_metrics_are_those_there_are(names: set[str]) -> None:
    documented = {row[0].strip("`") for row in table("metric", PAGES["docs/operations.md"])}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in names} == documented
