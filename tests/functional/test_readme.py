"""The README's calls, as they stand there; only the port differs."""

import json
import os
import subprocess
import sys

import pytest

from tests.functional.gunicorn_server import ROOT, GunicornServer
from tests.functional.recordings import EXPECTED, FLAGSHIP_TEXT
from tests.readme import blocks

CURL = [block for block in blocks("sh") if block.startswith("curl")]
THREE = EXPECTED["three_utterances.wav"]


def run(command: list[str], server: GunicornServer) -> str:
    changed = [part.replace(":8000", f":{server.port}") for part in command]
    environ = {**os.environ, "OPENAI_API_KEY": "dummy", "PYTHONPATH": ""}
    finished = subprocess.run(changed, cwd=ROOT, env=environ, check=True, capture_output=True, text=True)
    return finished.stdout


def test_the_first_curl_gets_the_answer_shown(server: GunicornServer) -> None:
    answer = run(["bash", "-c", CURL[0]], server)
    assert json.loads(answer) == json.loads(blocks("json")[0])
    assert answer.strip() == blocks("json")[0].strip()


def test_curl_with_more_fields(server: GunicornServer) -> None:
    assert len(CURL) == 2
    cues = run(["bash", "-c", CURL[1]], server).strip().split("\n\n")
    assert [cue.splitlines()[2] for cue in cues] == THREE["segments"]


@pytest.mark.parametrize("program", blocks("python"))
def test_openai_sdk(server: GunicornServer, program: str) -> None:
    text, *words = run([sys.executable, "-c", program], server).splitlines()
    assert text == FLAGSHIP_TEXT
    assert [line.split()[2] for line in words] == FLAGSHIP_TEXT.removesuffix(".").split()
