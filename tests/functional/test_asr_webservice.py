"""/asr and /detect-language: what the clients of whisper-asr-webservice send, Bazarr for one."""

from typing import Any

import pytest
import requests

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import (
    DATA,
    EXPECTED,
    FLAGSHIP,
    FLAGSHIP_TEXT,
    MODEL_NOTICE,
    convert_to_pipe,
    silence,
)

GERMAN = EXPECTED["german.wav"]["text"]
THREE = "three_utterances.wav"


def post(server: GunicornServer, path: str, part: Any = FLAGSHIP, **query: str) -> requests.Response:
    files = {"audio_file": part if isinstance(part, bytes) else (part.name, part.read_bytes(), "audio/wav")}
    return requests.post(server.url + path, params=query, files=files, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("output", "ending", "start"),
    [
        (None, "txt", "Good morning.\nThe server is ready.\n"),
        ("txt", "txt", "Good morning.\n"),
        ("text", "txt", "Good morning.\n"),
        ("vtt", "vtt", "WEBVTT\n\n00:00."),
        ("srt", "srt", "1\n00:00:00,"),
        ("tsv", "tsv", "start\tend\ttext\n0\t"),
        ("json", "json", '{"text":" Good morning. The server is ready.'),
    ],
)
def test_outputs(server: GunicornServer, output: str | None, ending: str, start: str) -> None:
    answer = post(server, "/asr", DATA / THREE, **({"output": output} if output else {}))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert answer.text.startswith(start)
    assert answer.headers["Asr-Engine"] == "openai_whisper"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{THREE}.{ending}"'
    assert answer.headers["x-model-notice"] == MODEL_NOTICE


def test_json_is_what_openai_whisper_returns(server: GunicornServer) -> None:
    body = post(server, "/asr", DATA / "german.wav", output="json").json()
    assert list(body) == ["text", "segments", "language"]
    assert (body["text"].strip(), body["language"]) == (GERMAN, "de")
    assert "words" not in body["segments"][0]
    body = post(server, "/asr", DATA / THREE, output="json", word_timestamps="true").json()
    words = [word for segment in body["segments"] for word in segment["words"]]
    assert "".join(word["word"] for word in words) == body["text"]
    assert list(words[0]) == ["word", "start", "end", "probability"]


def test_task_language_and_prompt(server: GunicornServer) -> None:
    german = DATA / "german.wav"
    query = {"task": "transcribe", "language": "de", "initial_prompt": "Hallo.", "vad_filter": "true"}
    assert post(server, "/asr", german, **query).text == f"{GERMAN}\n"
    translated = post(server, "/asr", german, task="translate").text
    assert translated.strip()
    assert translated.strip() != GERMAN


def test_language(server: GunicornServer) -> None:
    for name, language, code in (("german.wav", "german", "de"), ("flagship.wav", "english", "en")):
        answer = post(server, "/detect-language", DATA / name)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        body = answer.json()
        assert list(body) == ["detected_language", "language_code", "confidence"]
        assert (body["detected_language"], body["language_code"]) == (language, code)
        assert 0.5 < body["confidence"] <= 1


def test_language_is_that_of_the_first_30_seconds(server: GunicornServer) -> None:
    """What comes later isn't looked at, and nothing is decoded."""
    early = {"X-Request-ID": "language-early"}
    pcm = convert_to_pipe(DATA / "german.wav", "-f", "s16le", "-ar", "16000", "-ac", "1")
    english = convert_to_pipe(FLAGSHIP, "-f", "s16le", "-ar", "16000", "-ac", "1")
    body = pcm.ljust(30 * 32_000, b"\0") + english
    answer = requests.post(
        f"{server.url}/detect-language",
        params={"encode": "false"},
        files={"audio_file": body},
        headers=early,
        timeout=PATIENCE_SECONDS,
    )
    assert answer.json() == post(server, "/detect-language", pcm, encode="false").json()
    server.wait_for_log("request_id=language-early ")
    [line] = [line for line in server.log.splitlines() if "request_id=language-early " in line]
    assert " windows=0 " in line


def test_bazarr(server: GunicornServer) -> None:
    """Samples of a video's track without a header; the language first, then subtitles."""
    pcm = convert_to_pipe(FLAGSHIP, "-f", "s16le", "-acodec", "pcm_s16le", "-ac", "1", "-ar", "16000")
    detected = post(server, "/detect-language", pcm, encode="false", video_file="/tv/a.mkv").json()
    query = {"task": "transcribe", "language": detected["language_code"], "output": "srt", "encode": "false"}
    subtitles = post(server, "/asr", pcm, video_file="/tv/a.mkv", **query).text
    with_header = post(server, "/asr", FLAGSHIP, output="srt").text
    assert subtitles == with_header
    assert FLAGSHIP_TEXT in subtitles


def test_silence(server: GunicornServer) -> None:
    answer = post(server, "/asr", silence(2.0), output="srt")
    assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize("path", ["/asr", "/detect-language"])
def test_no_file(server: GunicornServer, path: str) -> None:
    answer = requests.post(server.url + path, files={"file": FLAGSHIP.read_bytes()}, timeout=PATIENCE_SECONDS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/json")
    [violation] = answer.json()["detail"]
    assert (violation["type"], violation["loc"]) == ("missing", ["body", "audio_file"])
    assert violation["msg"] == "Missing required parameter: 'audio_file'."


@pytest.mark.parametrize(
    "query",
    [{"output": "docx"}, {"task": "sing"}, {"language": "Klingon"}, {"word_timestamps": "perhaps"}],
    ids=lambda query: next(iter(query)),
)
def test_a_wrong_query(server: GunicornServer, query: dict[str, str]) -> None:
    answer = post(server, "/asr", **query)
    assert answer.status_code == 422
    [violation] = answer.json()["detail"]
    [(name, value)] = query.items()
    assert violation["loc"] == ["query", name]
    assert value in violation["msg"]


@pytest.mark.parametrize(("path", "query"), [("/asr", {}), ("/asr", {"encode": "false"})])
def test_no_audio(server: GunicornServer, path: str, query: dict[str, str]) -> None:
    answer = post(server, path, b"no", **query)
    assert answer.status_code == 400
    assert "audio" in answer.json()["detail"].lower()


def test_a_key_is_asked_for(start_server: StartServer) -> None:
    server = start_server(WHISPER_API_KEYS="sk-test-0123456789abcdef").wait_until_ready()
    answer = post(server, "/asr")
    assert (answer.status_code, list(answer.json())) == (401, ["detail"])
    assert answer.json()["detail"].startswith("You didn't provide an API key.")
