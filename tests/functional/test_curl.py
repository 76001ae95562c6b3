"""curl, by itself and inside the shell script that is part of the delivery."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import ROOT, GunicornServer, free_port
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, convert
from tests.openai_spec import read_as

pytestmark = pytest.mark.needs("curl")

SCRIPT = ROOT / "tests" / "openai" / "test_audio_transcription.sh"
FORM = ("-F", "model=whisper-1", "-F", f"file=@{FLAGSHIP}")


def curl(server: GunicornServer, *options: str) -> str:
    command = ["curl", "-sS", f"{server.url}/v1/audio/transcriptions", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-H", "Transfer-Encoding: chunked"),
        ("-H", "Expect: 100-continue"),
        ("--http1.0",),
        ("-F", "file_name=ignored", "-F", "user=somebody", "-F", "language="),
        ("-F", "language=auto", "-F", "temperature=0.0"),
    ],
    ids=["plain", "chunked", "expect 100", "http 1.0", "unknown fields", "auto language"],
)
def test_json(server: GunicornServer, options: tuple[str, ...]) -> None:
    assert read_as("transcription_json", curl(server, *FORM, *options))["text"] == FLAGSHIP_TEXT


def test_upload_above_curls_expect_threshold(server: GunicornServer, tmp_path: Path) -> None:
    large = convert(FLAGSHIP, tmp_path / "large.wav", "-ar", "192000", "-ac", "2")
    assert large.stat().st_size > 2 * 1024 * 1024
    answer = curl(server, "-F", "model=whisper-1", "-F", f"file=@{large}", "-F", "response_format=text")
    assert answer == f"{FLAGSHIP_TEXT}\n"


def test_doubled_slash_of_a_base_url_needs_no_redirect(server: GunicornServer) -> None:
    command = ["curl", "-sS", f"{server.url}//v1/audio/transcriptions", *FORM, "-F", "response_format=text"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert answer == f"{FLAGSHIP_TEXT}\n"


@pytest.mark.parametrize(
    ("response_format", "content_type"),
    [
        ("json", "application/json"),
        ("verbose_json", "application/json"),
        ("text", "text/plain; charset=utf-8"),
        ("srt", "text/plain; charset=utf-8"),
        ("vtt", "text/plain; charset=utf-8"),
    ],
)
def test_content_types(server: GunicornServer, response_format: str, content_type: str) -> None:
    quiet = ("-o", "/dev/null", "-w", "%{content_type}")
    assert curl(server, *FORM, "-F", f"response_format={response_format}", *quiet) == content_type


def run_script(base_url: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "dummy"}
    return subprocess.run([SCRIPT, *arguments], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("base", ["/v1", "/v1/"])
def test_script_shows_every_format(server: GunicornServer, tmp_path: Path, base: str) -> None:
    odd_name = shutil.copy(FLAGSHIP, tmp_path / 'a;b, "c" \\d é.wav')
    shown = run_script(server.url + base, odd_name)
    assert (shown.returncode, shown.stderr) == (0, "")
    headings = [line for line in shown.stdout.splitlines() if line.startswith("--- ")]
    assert headings == [f"--- {name}" for name in ("json", "text", "srt", "verbose_json", "vtt")]
    assert shown.stdout.count(FLAGSHIP_TEXT) >= 5


def test_script_fails_with_the_servers_message(server: GunicornServer, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"no audio" * 99)
    shown = run_script(f"{server.url}/v1", tmp_path / "noise.wav")
    assert shown.returncode == 1
    assert "HTTP 400" in shown.stderr
    assert "could not be decoded" in shown.stderr


def test_script_fails_without_server_file_or_argument(server: GunicornServer, tmp_path: Path) -> None:
    assert run_script(f"http://127.0.0.1:{free_port()}/v1", FLAGSHIP).returncode == 7
    assert run_script(f"{server.url}/v1", tmp_path / "missing.wav").returncode == 26
    usage = run_script(f"{server.url}/v1")
    assert (usage.returncode, "usage:" in usage.stderr) == (2, True)
