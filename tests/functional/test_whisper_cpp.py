"""/inference: what the clients of whisper.cpp's server send, and the answers that they read."""

import json
import subprocess
from typing import Any

import pytest
import requests

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, MODEL_NOTICE, convert

GERMAN = EXPECTED["german.wav"]["text"]
THREE = "three_utterances.wav"


def infer(server: GunicornServer, name: str = "flagship.wav", **fields: str) -> requests.Response:
    with (DATA / name).open("rb") as file:
        return requests.post(
            f"{server.url}/inference", data=fields, files={"file": file}, timeout=PATIENCE_SECONDS
        )


def test_the_call_of_its_documentation(server: GunicornServer) -> None:
    fields = ("temperature=0.0", "temperature_inc=0.2", "response_format=json")
    command = ["curl", "-sS", "--fail", f"{server.url}/inference", "-F", f"file=@{FLAGSHIP}"]
    command += ["-H", "Content-Type: multipart/form-data"]
    command += [word for field in fields for word in ("-F", field)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert json.loads(done.stdout) == {"text": f" {FLAGSHIP_TEXT}\n"}


@pytest.mark.parametrize(
    ("name", "kind", "start"),
    [
        ("json", "application/json", '{"text":" Good morning.'),
        ("text", "text/plain; charset=utf-8", " Good morning.\n The server is ready.\n"),
        ("srt", "application/x-subrip", "1\n00:00:00,"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00."),
        ("verbose_json", "application/json", '{"task":"transcribe","language":"english","duration":'),
        ("nonsense", "application/json", '{"text":" Good morning.'),
    ],
)
def test_formats(server: GunicornServer, name: str, kind: str, start: str) -> None:
    answer = infer(server, THREE, response_format=name)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
    assert answer.text.startswith(start)
    assert answer.headers["x-model-notice"] == MODEL_NOTICE


def test_verbose_json_has_words_with_times(server: GunicornServer) -> None:
    body = infer(server, THREE, response_format="verbose_json").json()
    words = [word for segment in body["segments"] for word in segment["words"]]
    assert "".join(word["word"] for word in words).strip() == EXPECTED[THREE]["text"]
    assert all(0 <= word["start"] <= word["end"] <= body["duration"] for word in words)
    assert all(0 < word["probability"] <= 1 for word in words)


def test_language_translation_and_prompt(server: GunicornServer) -> None:
    assert infer(server, "german.wav").json()["text"].strip() == GERMAN
    assert infer(server, "german.wav", language="auto").json()["text"].strip() == GERMAN
    told = infer(server, "german.wav", language="de", prompt="Hallo.").json()["text"]
    assert told.strip() == GERMAN
    translated = infer(server, "german.wav", translate="true").json()["text"]
    assert translated.strip()
    assert translated.strip() != GERMAN


def test_any_file_is_read(server: GunicornServer, tmp_path: Any) -> None:
    mp3 = convert(FLAGSHIP, tmp_path / "a.mp3")
    with mp3.open("rb") as file:
        answer = requests.post(f"{server.url}/inference", files={"file": file}, timeout=PATIENCE_SECONDS)
    assert answer.json()["text"].strip() == FLAGSHIP_TEXT


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"data": {"temperature": "0"}}, "Missing required parameter: 'file'."),
        ({"files": {"file": b"no audio"}}, "The audio file could not be decoded"),
        ({"temperature": "hot"}, "Invalid type for 'temperature'"),
        ({"temperature_inc": "9"}, "Invalid 'temperature_inc'"),
        ({"language": "Klingon"}, "Invalid language 'Klingon'."),
        ({"translate": "perhaps"}, "Invalid type for 'translate'"),
    ],
    ids=["no file", "no audio", "temperature", "temperature_inc", "language", "translate"],
)
def test_errors_are_a_text(server: GunicornServer, sent: dict[str, Any], message: str) -> None:
    if sent.keys() & {"data", "files"}:
        body = {"files": {"other": b"x"}, **sent}
    else:
        body = {"data": sent, "files": {"file": FLAGSHIP.read_bytes()}}
    answer = requests.post(f"{server.url}/inference", timeout=PATIENCE_SECONDS, **body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(message)
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_key_is_asked_for(start_server: StartServer) -> None:
    server = start_server(WHISPER_API_KEYS="sk-test-0123456789abcdef").wait_until_ready()
    answer = infer(server)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].lower() == "bearer"
    assert answer.json()["error"].startswith("You didn't provide an API key.")
