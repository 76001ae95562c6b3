"""The calls of the README and of docs/api.md, as they stand there; only the port differs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import ROOT, GunicornServer
from tests.functional.recordings import EXPECTED, FLAGSHIP_TEXT
from tests.readme import API, blocks

pytestmark = pytest.mark.needs("curl")

CURL = [block for block in blocks("sh") if block.startswith("curl")]
CURL_WITH_FIELDS, CURL_TRANSLATION = CURL[1:]
SDK, SDK_STREAM, SDK_CHAT = blocks("python")
API_STREAM, API_SPEAKERS, API_JSON, API_SPEECH = [block for block in blocks("sh", API) if "curl" in block]
SHOWN_STREAM, SHOWN_SPEAKERS = blocks("text", API)
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
    cues = run(["bash", "-c", CURL_WITH_FIELDS], server).strip().split("\n\n")
    assert [cue.splitlines()[2] for cue in cues] == THREE["segments"]


def test_curl_in_english(server: GunicornServer) -> None:
    answer = json.loads(run(["bash", "-c", CURL_TRANSLATION], server))
    assert answer["text"] == EXPECTED["german.wav"]["translation"]


def test_openai_sdk(server: GunicornServer) -> None:
    text, *words = run([sys.executable, "-c", SDK], server).splitlines()
    assert text == FLAGSHIP_TEXT
    assert [line.split()[2] for line in words] == FLAGSHIP_TEXT.removesuffix(".").split()


@pytest.mark.parametrize(
    ("program", "text"), [(SDK_STREAM, THREE["text"]), (SDK_CHAT, FLAGSHIP_TEXT)], ids=["stream", "chat"]
)
def test_other_calls_of_the_openai_sdk(server: GunicornServer, program: str, text: str) -> None:
    assert run([sys.executable, "-c", program], server) == f"{text}\n"


def test_the_stream_is_the_one_shown(server: GunicornServer) -> None:
    assert run(["bash", "-c", API_STREAM], server).strip() == SHOWN_STREAM.strip()


def test_the_speakers_are_those_shown(server: GunicornServer) -> None:
    answer = json.loads(run(["bash", "-c", API_SPEAKERS], server))
    assert answer["text"] == SHOWN_SPEAKERS.strip()
    assert all({"speaker", "start", "end"} <= set(segment) for segment in answer["segments"])


def test_the_speech_is_what_was_written(server: GunicornServer, tmp_path: Path) -> None:
    spoken = tmp_path / "speech.mp3"
    run(["bash", "-c", API_SPEECH.replace("speech.mp3", str(spoken))], server)
    assert server.transcribe(spoken).json()["text"] == "The sun rises in the east."


def test_json_instead_of_a_form(server: GunicornServer) -> None:
    assert json.loads(run(["bash", "-c", API_JSON], server))["text"] == FLAGSHIP_TEXT
