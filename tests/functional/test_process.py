"""Start, signals and failures of the real server."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
import requests

from app.checkpoints import RELEASES
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer, free_port


def transcribe(server: GunicornServer, sample: str = "flagship.wav") -> requests.Response:
    with (ROOT / "tests" / "data" / sample).open("rb") as file:
        return requests.post(
            f"{server.url}/v1/audio/transcriptions",
            headers={"Connection": "close"},
            data={"model": "whisper-1"},
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )


def test_probes_answer(server: GunicornServer) -> None:
    assert server.get("/health").status_code == 200
    assert server.get("/ready").status_code == 200


def test_demo_model_says_what_it_is(server: GunicornServer) -> None:
    answer = transcribe(server)
    assert answer.json()["text"] == "The sun rises in the east and sets in the west."
    assert answer.headers["x-model-notice"] == "demo model, not for human speech"
    assert "Demo model, not for human speech" in server.log


def test_master_holds_no_torch_and_no_threads(server: GunicornServer) -> None:
    assert "libtorch" not in Path(f"/proc/{server.pid}/maps").read_text()
    assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1
    assert "libtorch" in Path(f"/proc/{server.workers[0]}/maps").read_text()


@pytest.mark.slow
def test_one_worker_per_device_and_a_killed_one_is_replaced(start_server: StartServer) -> None:
    server = start_server(WHISPER_DEVICES="cpu,cpu").wait_until_ready(workers=2)
    first, second = server.workers
    os.kill(first, signal.SIGKILL)
    server.wait_until_ready(workers=3)
    assert second in server.workers
    assert first not in server.workers
    assert len(server.workers) == 2
    assert transcribe(server).status_code == 200


@pytest.mark.slow
def test_sigterm_refuses_new_clients_and_finishes_accepted_requests(start_server: StartServer) -> None:
    server = start_server().wait_until_ready()
    headers, body = upload("flagship.wav")
    with socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(headers)
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        server.send(signal.SIGTERM)
        wait_until_refused(server)
        client.sendall(body)
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"The sun rises in the east" in answer
    assert server.wait() == 0


def upload(sample: str) -> tuple[bytes, bytes]:
    """A request in two halves; the answer 100 to the first shows that it was accepted."""
    with (ROOT / "tests" / "data" / sample).open("rb") as file:
        form = requests.Request("POST", "http://localhost", data={"model": "whisper-1"}, files={"file": file})
        request = form.prepare()
    assert isinstance(request.body, bytes)
    lines = [
        "POST /v1/audio/transcriptions HTTP/1.1",
        "Host: localhost",
        "Expect: 100-continue",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode(), request.body


def wait_until_refused(server: GunicornServer) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.listens():
        assert time.monotonic() < deadline, "The port is still open."
        time.sleep(0.1)


def test_sigterm_ends_a_start_that_downloads(start_server: StartServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_proxy:
        server = start_server(
            WHISPER_MODEL="tiny",
            WHISPER_MODEL_DIR=str(tmp_path / "models"),
            HTTPS_PROXY=f"http://127.0.0.1:{silent_proxy.getsockname()[1]}",
        )
        silent_proxy.settimeout(PATIENCE_SECONDS)
        client, _ = silent_proxy.accept()
        with client:
            assert server.stop() == 0
    assert list((tmp_path / "models").iterdir()) == []


def wrong_hash(folder: Path) -> dict[str, str]:
    (folder / "tiny.pt").write_bytes(b"not the tiny model")
    return {"WHISPER_MODEL": "tiny", "WHISPER_MODEL_DIR": str(folder)}


def unreachable_download(folder: Path) -> dict[str, str]:
    proxy = f"http://127.0.0.1:{free_port()}"
    return {"WHISPER_MODEL": "tiny", "WHISPER_MODEL_DIR": str(folder), "HTTPS_PROXY": proxy, "NO_PROXY": ""}


def adapter(folder: Path) -> dict[str, str]:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "openai/whisper-small"}')
    return {"WHISPER_MODEL": str(folder)}


@pytest.mark.parametrize(
    ("situation", "advice"),
    [
        (lambda folder: {"WHISPER_MODEL": "huge"}, ["'huge'", "turbo", "demo"]),
        (lambda folder: {"WHISPER_MODEL": f"{folder}/my.pt"}, ["my.pt", "no such file", "WHISPER_MODEL"]),
        (wrong_hash, ["tiny.pt", RELEASES["tiny"].sha256, "Delete it"]),
        (unreachable_download, ["tiny.pt", RELEASES["tiny"].sha256, RELEASES["tiny"].url, "HTTPS_PROXY"]),
        (
            lambda folder: {"WHISPER_MODEL": "openai/whisper-small"},
            ["'openai/whisper-small'", "nothing is fetched"],
        ),
        (adapter, ["a LoRA adapter", "merge_and_unload()"]),
        (lambda folder: {"WHISPER_THREADS": "many"}, ["WHISPER_THREADS", "'many'", "a whole number"]),
    ],
    ids=["unknown name", "missing file", "wrong hash", "no download", "hub id", "LoRA", "setting"],
)
def test_a_start_that_cannot_succeed_ends_with_one_message(
    start_server: StartServer, tmp_path: Path, situation, advice: list[str]
) -> None:
    server = start_server(**situation(tmp_path))
    assert server.wait() == 1
    messages = [line for line in server.log.splitlines() if "Starting gunicorn" not in line]
    assert len(messages) == 1
    assert messages[0].startswith("Error: ")
    assert all(part in messages[0] for part in advice)
    assert not server.listens()


def test_a_file_that_is_no_checkpoint_stops_the_first_start(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "noise.pt").write_bytes(b"\0" * 1000)
    server = start_server(WHISPER_MODEL=str(tmp_path / "noise.pt"))
    assert server.wait() == 3
    assert server.log.count("is no Whisper checkpoint") == 1
    assert "Traceback" not in server.log
    assert not server.listens()


def test_host_and_port_bind_a_bare_gunicorn(start_server: StartServer) -> None:
    port = free_port()
    server = start_server(HOST="127.0.0.2", PORT=str(port)).wait_until_ready()
    assert f"http://127.0.0.2:{port}" in server.log
    with socket.socket() as elsewhere:
        assert elsewhere.connect_ex(("127.0.0.1", port)) != 0
