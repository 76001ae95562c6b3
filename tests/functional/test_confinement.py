"""What reads audio files and what speaks, under a real server: what they have, and what they can't do."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.trials.attempts import NEEDS_A_KERNEL_THAT_HAS_IT
from tests.processes import children, open_files, status

TRIALS = Path(__file__).parent / "trials"
KEY, UPSTREAM_KEY = "sk-of-this-server", "sk-of-another"
LONG_TEXT = "This is a long story. " * 180


@pytest.fixture(scope="module")
def bait() -> Iterator[socket.socket]:
    """Takes connections on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("confinement") / "server.log"
    with GunicornServer(
        log,
        WHISPER_DECODERS="1",
        WHISPER_API_KEYS=KEY,
        CHAT_UPSTREAM_KEY=UPSTREAM_KEY,
        PYTHONPATH=str(TRIALS),
    ) as running:
        yield running.wait_until_ready()


def worker_of(server: GunicornServer) -> int:
    [worker] = server.workers
    return worker


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def transcribe(server: GunicornServer) -> requests.Response:
    with FLAGSHIP.open("rb") as file:
        return requests.post(
            f"{server.url}/v1/audio/transcriptions",
            headers={"Authorization": f"Bearer {KEY}"},
            data={"model": "whisper-1"},
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )


def test_a_decoder_that_is_taken_over_gets_nowhere(server: GunicornServer) -> None:
    """It tries in the middle of a file, which is read to its end all the same."""
    answer = transcribe(server)
    assert (answer.status_code, answer.json()["text"]) == (200, FLAGSHIP_TEXT)
    [decoder] = children(worker_of(server), "decoder_process")
    lines = re.findall(rf"\[WARNING\] Decoder process {decoder} wrote '(\{{.*\}})'$", server.log, re.M)
    tries = [json.loads(line.replace("\\'", "'")) for line in lines]
    outcomes = {found["tried"]: found["outcome"] for found in tries}
    assert len(outcomes) > 20
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "PermissionError"} == {}


def test_each_try_would_work_without_confinement(bait: socket.socket) -> None:
    port = bait.getsockname()[1]
    program = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    attempts = [sys.executable, str(TRIALS / "attempts.py"), str(port)]
    done = subprocess.run(
        [sys.executable, "-c", program, *attempts], check=True, capture_output=True, text=True
    )
    outcomes = json.loads(done.stdout.splitlines()[-1])
    refused = {name for name, outcome in outcomes.items() if outcome == "PermissionError"}
    assert refused <= NEEDS_A_KERNEL_THAT_HAS_IT
    assert outcomes["connect"] == outcomes["parent's environment"] == outcomes["fork"] == "done"


def test_a_decoder_has_only_what_reading_takes(server: GunicornServer) -> None:
    worker = worker_of(server)
    [decoder] = children(worker, "decoder_process")
    assert_bare(decoder)
    assert limits_of(decoder)["Max open files"] == ("32", "32")
    assert re.fullmatch(r"pipe:.*", open_files(decoder)[2])
    assert open_files(decoder)[2] in open_files(worker).values()


def test_a_voice_has_only_what_speaking_takes(server: GunicornServer) -> None:
    body = {"model": "tts-1", "voice": "alloy", "input": LONG_TEXT, "response_format": "pcm"}
    with requests.post(
        f"{server.url}/v1/audio/speech",
        headers={"Authorization": f"Bearer {KEY}"},
        json=body,
        stream=True,
        timeout=PATIENCE_SECONDS,
    ) as answer:
        assert answer.status_code == 200
        [voice] = children(worker_of(server), "espeak_process")
        wait_until(lambda: number_of(voice, "Seccomp") == "2")
        assert_bare(voice)
        limits = limits_of(voice)
        assert limits["Max file size"] == ("0", "0")
        assert limits["Max open files"] == ("32", "32")
        assert int(limits["Max address space"][1]) < 1 << 30
        assert int(limits["Max cpu time"][0]) <= 61


def assert_bare(pid: int) -> None:
    """No key, no capability, no more of them, and a filter."""
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PATH=" in environ
    for secret in (KEY, UPSTREAM_KEY, "WHISPER_", "CHAT_"):
        assert secret.encode() not in environ
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(number_of(pid, kind), 16) == 0
    if os.geteuid() == 0:  # who isn't root may not drop what he doesn't have either
        assert int(number_of(pid, "CapBnd"), 16) == 0
    assert number_of(pid, "NoNewPrivs") == "1"
    assert number_of(pid, "Seccomp") == "2"
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    assert limits_of(pid)["Max core file size"] == ("0", "0")


def number_of(pid: int, name: str) -> str:
    found = re.search(rf"^{name}:\s+(\w+)$", status(pid), re.MULTILINE)
    assert found
    return found[1]


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    """Soft and hard."""
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {row[:26].strip(): (row[26:46].strip(), row[47:67].strip()) for row in rows}
