"""The calls of the README, docs/clients.md and docs/api.md, as they stand there; only the port differs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import ROOT, GunicornServer
from tests.functional.recordings import EXPECTED, FLAGSHIP_TEXT
from tests.readme import API, CLIENTS, README, blocks

pytestmark = pytest.mark.needs("curl")

FIRST_CURL, FIVE_CALLS = [block for block in blocks("sh", README) if block.startswith("curl")]
TRANSCRIPTION, TRANSLATION, SPEECH, CHAT, MODELS = FIVE_CALLS.split("\n\n")
[SHOWN_ANSWER] = blocks("json", README)
[SDK] = blocks("python", README)
[CURL_WORDS] = [block for block in blocks("sh", CLIENTS) if block.startswith("curl")]
SDK_WORDS, SDK_STREAM, SDK_CHAT = blocks("python", CLIENTS)
API_STREAM, API_SPEAKERS, API_JSON, API_SPEECH = [block for block in blocks("sh", API) if "curl" in block]
SHOWN_STREAM, SHOWN_SPEAKERS = blocks("text", API)
THREE = EXPECTED["three_utterances.wav"]


def run(command: list[str], server: GunicornServer) -> str:
    changed = [part.replace(":8000", f":{server.port}") for part in command]
    environ = {**os.environ, "OPENAI_API_KEY": "dummy", "PYTHONPATH": ""}
    finished = subprocess.run(changed, cwd=ROOT, env=environ, check=True, capture_output=True, text=True)
    return finished.stdout


def curl(call: str, server: GunicornServer) -> str:
    return run(["bash", "-c", call], server)


def test_the_first_curl_gets_the_answer_shown(server: GunicornServer) -> None:
    answer = curl(FIRST_CURL, server)
    assert json.loads(answer) == json.loads(SHOWN_ANSWER)
    assert answer.strip() == SHOWN_ANSWER.strip()


def test_every_answer_has_the_header_shown(server: GunicornServer) -> None:
    [shown] = re.findall(r"`(x-model-notice: .*?)`", README)
    answer = curl(FIRST_CURL.replace("curl", "curl --include", 1), server)
    assert shown in answer.splitlines()


def test_a_transcription(server: GunicornServer) -> None:
    cues = curl(TRANSCRIPTION, server).strip().split("\n\n")
    assert [cue.splitlines()[2] for cue in cues] == THREE["segments"]


def test_a_translation(server: GunicornServer) -> None:
    assert json.loads(curl(TRANSLATION, server))["text"] == EXPECTED["german.wav"]["translation"]


@pytest.mark.parametrize("call", [SPEECH, API_SPEECH], ids=["readme", "api"])
def test_the_speech_is_what_was_written(server: GunicornServer, call: str, tmp_path: Path) -> None:
    spoken = tmp_path / "speech.mp3"
    curl(call.replace("speech.mp3", str(spoken)), server)
    assert server.transcribe(spoken).json()["text"] == "The sun rises in the east."


def test_a_chat(server: GunicornServer) -> None:
    [choice] = json.loads(curl(CHAT, server))["choices"]
    assert choice["message"]["content"] == FLAGSHIP_TEXT


def test_the_models(server: GunicornServer) -> None:
    assert {"demo", "whisper-1"} <= {model["id"] for model in json.loads(curl(MODELS, server))["data"]}


def test_curl_with_words(server: GunicornServer) -> None:
    words = json.loads(curl(CURL_WORDS, server))["words"]
    assert [word["word"] for word in words] == FLAGSHIP_TEXT.removesuffix(".").split()


def test_openai_sdk(server: GunicornServer) -> None:
    text, *words = run([sys.executable, "-c", SDK_WORDS], server).splitlines()
    assert text == FLAGSHIP_TEXT
    assert [line.split()[2] for line in words] == FLAGSHIP_TEXT.removesuffix(".").split()


@pytest.mark.parametrize(
    ("program", "text"),
    [(SDK, FLAGSHIP_TEXT), (SDK_STREAM, THREE["text"]), (SDK_CHAT, FLAGSHIP_TEXT)],
    ids=["short", "stream", "chat"],
)
def test_other_calls_of_the_openai_sdk(server: GunicornServer, program: str, text: str) -> None:
    assert run([sys.executable, "-c", program], server) == f"{text}\n"


def test_the_stream_is_the_one_shown(server: GunicornServer) -> None:
    assert curl(API_STREAM, server).strip() == SHOWN_STREAM.strip()


def test_the_speakers_are_those_shown(server: GunicornServer) -> None:
    answer = json.loads(curl(API_SPEAKERS, server))
    assert answer["text"] == SHOWN_SPEAKERS.strip()
    assert all({"speaker", "start", "end"} <= set(segment) for segment in answer["segments"])


def test_json_instead_of_a_form(server: GunicornServer) -> None:
    assert json.loads(curl(API_JSON, server))["text"] == FLAGSHIP_TEXT
