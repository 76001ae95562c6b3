"""The example calls that users of the predecessor know, in their own words; only port and path differ.

The PowerShell example is the script in tests/powershell; test_powershell_form.py sends its body.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, convert
from tests.openai_spec import read_as

TYPICAL = """\
curl --request POST \\
  http://127.0.0.1:8000/v1/audio/transcriptions \\
  -H "Authorization: Bearer $OPENAI_API_KEY" \\
  -H "Content-Type: multipart/form-data" \\
  -F model="whisper-1" \\
  -F file="@/path/to/file/openai.mp3"
"""
AS_TEXT = """\
curl --request POST \\
  http://127.0.0.1:8000/v1/audio/transcriptions \\
  -H "Content-Type: multipart/form-data" \\
  -F model="whisper-1" \\
  -F file="@/path/to/file/openai.mp3" \\
  -F response_format=text
"""


@pytest.fixture(scope="module")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(FLAGSHIP, tmp_path_factory.mktemp("predecessor") / "openai.mp3", "-b:a", "128k")


def run(example: str, server: GunicornServer, mp3: Path) -> str:
    command = example.replace(":8000", f":{server.port}").replace("/path/to/file/openai.mp3", str(mp3))
    environ = {**os.environ, "OPENAI_API_KEY": "dummy"}
    shell = ["bash", "-c", command]
    return subprocess.run(shell, env=environ, check=True, capture_output=True, text=True).stdout


def test_typical_use(server: GunicornServer, mp3: Path) -> None:
    assert read_as("transcription_json", run(TYPICAL, server, mp3))["text"] == FLAGSHIP_TEXT


def test_output_as_text(server: GunicornServer, mp3: Path) -> None:
    assert run(AS_TEXT, server, mp3) == f"{FLAGSHIP_TEXT}\n"
