"""`python -m app transcribe`: with a model of its own, and with a server's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT

KEY = "sk-test-0123456789abcdef"
GERMAN_TEXT = EXPECTED["german.wav"]["text"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings with one stem, one in a folder below, and what is no recording."""
    folder = tmp_path / "recordings"
    (folder / "german").mkdir(parents=True)
    shutil.copy(FLAGSHIP, folder / "a b.wav")
    shutil.copy(DATA / "numbers.wav", folder / "a b.oga")
    shutil.copy(DATA / "german.wav", folder / "german" / "Größe.WAV")
    (folder / "notes.md").write_text("no recording")
    return folder


def command(*arguments: object, **environ: str) -> list[Any]:
    return [sys.executable, "-m", "app", "transcribe", *map(str, arguments)]


def transcribe(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, "WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def made(folder: Path) -> set[str]:
    recordings = {".wav", ".oga", ".WAV", ".md", ".mp3"}
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in recordings)
    return {str(path.relative_to(folder)) for path in found}


def assert_all_is_there(folder: Path) -> None:
    assert made(folder) == {
        *("a b.wav.txt", "a b.wav.srt", "a b.oga.txt", "a b.oga.srt"),
        *("german/Größe.txt", "german/Größe.srt"),
    }
    assert (folder / "a b.wav.txt").read_text() == f"{FLAGSHIP_TEXT}\n"
    assert (folder / "german" / "Größe.txt").read_text() == f"{GERMAN_TEXT}\n"
    first, times, text, _ = (folder / "a b.wav.srt").read_text().split("\n", 3)
    assert (first, text) == ("1", FLAGSHIP_TEXT)
    assert times.startswith("00:00:00,")


@pytest.mark.slow
def test_a_folder_with_a_model_of_its_own(folder: Path) -> None:
    ran = transcribe(folder, "--format", "txt,srt")
    assert (ran.returncode, ran.stdout) == (0, "3 transcribed, 0 already there, 0 failed.\n")
    assert_all_is_there(folder)
    (folder / "a b.wav.txt").unlink()
    (folder / "broken.mp3").write_bytes(b"no sound")
    ran = transcribe(folder, "--format", "txt,srt")
    assert (ran.returncode, ran.stdout) == (1, "1 transcribed, 2 already there, 1 failed.\n")
    assert f"Failed: {folder}/broken.mp3: The audio file could not be decoded" in ran.stderr
    (folder / "broken.mp3").unlink()
    ran = transcribe(folder, "--format", "txt,srt", WHISPER_MODEL="/nowhere.pt")  # nothing to load it for
    assert (ran.returncode, ran.stdout) == (0, "0 transcribed, 3 already there, 0 failed.\n")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("transcribe") / "server.log"
    with GunicornServer(log, WHISPER_API_KEYS=KEY) as running:
        yield running.wait_until_ready()


def test_a_folder_through_a_server(guarded: GunicornServer, folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "texts"
    asked = (folder, "--format", "txt,srt", "--to", to, "--server", f"{guarded.url}/v1/")
    ran = transcribe(*asked, OPENAI_API_KEY=KEY, WHISPER_MODEL="/nowhere.pt")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "3 transcribed, 0 already there, 0 failed.\n", "")
    assert_all_is_there(to)
    assert made(folder) == set()


def test_json_is_the_same_either_way(guarded: GunicornServer, tmp_path: Path) -> None:
    for name, server in (("here", ()), ("there", ("--server", guarded.url))):
        ran = transcribe(FLAGSHIP, "--format", "json", "--to", tmp_path / name, *server, OPENAI_API_KEY=KEY)
        assert ran.returncode == 0, ran.stderr
    here, there = (json.loads((tmp_path / name / "flagship.json").read_text()) for name in ("here", "there"))
    assert here == there
    assert here["segments"][0]["text"].strip() == FLAGSHIP_TEXT


def test_what_the_server_refuses(guarded: GunicornServer, folder: Path) -> None:
    ran = transcribe(folder, "--server", guarded.url, OPENAI_API_KEY="sk-wrong-key")
    assert (ran.returncode, ran.stdout) == (1, "0 transcribed, 0 already there, 3 failed.\n")
    assert ran.stderr.count("Incorrect API key provided") == 3
    assert made(folder) == set()


class Flaky(BaseHTTPRequestHandler):
    """Is busy once, breaks off once, and then answers."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()
        kind = type(self)
        kind.asked += 1
        if kind.asked == 1:
            self.answer(503, "application/json", b'{"error":{"message":"Busy."}}')
        elif kind.asked == 2:
            self.answer(200, "text/event-stream", b": ping\n\n")
        else:
            done = {"type": "transcript.text.done", "text": "Hello.", "language": "english", "duration": 1}
            self.answer(200, "text/event-stream", f"data: {json.dumps(done | {'segments': []})}\n\n".encode())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_busy_server_is_waited_for_and_a_broken_connection_tried_again(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ran = transcribe(FLAGSHIP, "--to", tmp_path, "--server", url)
        server.shutdown()
    assert (ran.returncode, ran.stdout) == (0, "1 transcribed, 0 already there, 0 failed.\n")
    assert Flaky.asked == 3
    assert (tmp_path / "flagship.txt").read_text() == "Hello.\n"


def test_ctrl_c_leaves_no_half_file_and_the_next_run_goes_on(start_server: StartServer, folder: Path) -> None:
    server = start_server().wait_until_ready()
    for number in range(40):
        shutil.copy(DATA / "minute.flac", folder / f"long {number:02}.wav")
    asked = command(folder, "--format", "txt,srt", "--server", server.url)
    # Whoever runs the tests in the background may have made them ignore Ctrl-C.
    asked = ["env", "--default-signal=INT", *asked]
    with subprocess.Popen(
        asked, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not made(folder):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 130, errors
    assert " left.\n" in output
    assert "Traceback" not in errors
    assert not [name for name in made(folder) if ".part" in name]
    for number in range(5, 40):
        for left_over in folder.glob(f"long {number:02}.*"):
            left_over.unlink()
    complete = sum(f"{name[:-4]}.srt" in made(folder) for name in made(folder) if name.endswith(".txt"))
    ran = transcribe(folder, "--format", "txt,srt", "--server", server.url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{8 - complete} transcribed, {complete} already there, 0 failed.\n"
    assert len(made(folder)) == 2 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "There is no file or folder nowhere."),
        ((ROOT / "docs",), "There is no recording."),
        ((FLAGSHIP, "--format", "txt,doc"), "'doc' is not one of 'txt', 'srt', 'vtt', and 'json'."),
        ((FLAGSHIP, "--at-a-time", "0"), "--at-a-time is 0; it must be 1 or more."),
        ((FLAGSHIP, "--to", "/nowhere", "--language", "xx"), "Invalid language 'xx'."),
    ],
)
def test_wrong_arguments(arguments: tuple[object, ...], message: str) -> None:
    ran = transcribe(*arguments)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: ")
    assert message in ran.stderr
