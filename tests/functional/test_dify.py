"""Dify's OpenAI-compatible plugin: its checks of a credential, its form, and its reader of streams."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, convert_to_pipe, silence
from tests.openai_spec import conforming

JUNK_PROMPT = "convert the audio to text"
RECORDINGS = {
    "wav": FLAGSHIP.read_bytes,
    "webm": lambda: convert_to_pipe(FLAGSHIP, "-c:a", "libopus", "-b:a", "96k", "-f", "webm"),
    "mp3": lambda: convert_to_pipe(FLAGSHIP, "-b:a", "128k", "-f", "mp3"),
    "low rate mp3": lambda: convert_to_pipe(FLAGSHIP, "-ar", "24000", "-b:a", "128k", "-f", "mp3"),
    "m4a": lambda: convert_to_pipe(FLAGSHIP, "-b:a", "160k", "-f", "mp4", "-movflags", "frag_keyframe"),
}
PING = {"role": "user", "content": "ping"}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def post(session: requests.Session, server: GunicornServer, path: str, **request: Any) -> requests.Response:
    headers = {"Authorization": "Bearer dummy"}
    url = f"{server.url}/v1/{path}"
    return session.post(url, headers=headers, timeout=PATIENCE_SECONDS, **request)


def speech_to_text(
    session: requests.Session, server: GunicornServer, audio: bytes, language: str = "en"
) -> str:
    """The form as it is sent: always a language and a prompt, an MP3's name without a type."""
    data = {"model": "whisper-1", "language": language, "prompt": JUNK_PROMPT}
    answer = post(session, server, "audio/transcriptions", data=data, files={"file": ("tmp4x7.mp3", audio)})
    assert answer.status_code == 200, answer.text
    text = answer.json()["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("recording", RECORDINGS)
def test_whatever_the_container_is(session: requests.Session, server: GunicornServer, recording: str) -> None:
    assert speech_to_text(session, server, RECORDINGS[recording]()) == FLAGSHIP_TEXT


@pytest.mark.parametrize("language", ["zh", "en", "ja", "ko"])
def test_each_language_that_can_be_chosen(
    session: requests.Session, server: GunicornServer, language: str
) -> None:
    assert speech_to_text(session, server, FLAGSHIP.read_bytes(), language)


def test_prompt_does_not_leak_into_silence(session: requests.Session, server: GunicornServer) -> None:
    assert speech_to_text(session, server, silence(2.0)) == ""


@pytest.mark.parametrize("limit", [{"max_tokens": 5}, {"max_completion_tokens": 16}])
def test_credential_check(session: requests.Session, server: GunicornServer, limit: dict[str, int]) -> None:
    body = {"model": "gpt-4o-audio-preview", **limit, "messages": [PING]}
    answer = post(session, server, "chat/completions", json=body)
    assert answer.status_code == 200
    assert answer.json()["object"] == "chat.completion"
    assert answer.json()["choices"][0]["message"]["content"]


def test_credential_check_by_stream(session: requests.Session, server: GunicornServer) -> None:
    text, _ = chat(session, server, messages=[PING], max_tokens=10)
    assert text


def test_audio_comes_as_an_image(session: requests.Session, server: GunicornServer) -> None:
    text, usage = chat(
        session,
        server,
        messages=[{"role": "system", "content": "You transcribe."}, audio_message("audio/mpeg")],
        temperature=0.7,
        user="abc-123",
        stream_options={"include_usage": True},
    )
    assert text == FLAGSHIP_TEXT
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert usage["prompt_tokens_details"]["audio_tokens"] == 28


def test_audio_without_a_stream(session: requests.Session, server: GunicornServer) -> None:
    body = {"model": "gpt-4o-audio-preview", "stream": False, "messages": [audio_message("audio/wav")]}
    answer = post(session, server, "chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == FLAGSHIP_TEXT
    assert answer["usage"]["total_tokens"] > 0


def test_link_to_difys_own_store_is_refused(session: requests.Session, server: GunicornServer) -> None:
    message = audio_message("audio/wav")
    message["content"][1]["image_url"]["url"] = "http://dify.internal/files/1/file-preview"
    body = {"model": "gpt-4o-audio-preview", "stream": True, "messages": [message]}
    answer = post(session, server, "chat/completions", json=body)
    assert answer.status_code == 400
    assert "URL" in answer.json()["error"]["message"]


def audio_message(mimetype: str) -> dict[str, Any]:
    url = f"data:{mimetype};base64,{b64encode(FLAGSHIP.read_bytes()).decode()}"
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is said here?"},
            {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
        ],
    }


def chat(session: requests.Session, server: GunicornServer, **request: Any) -> tuple[str, dict[str, Any]]:
    """The text and usage that Dify makes of a stream."""
    body = {"model": "gpt-4o-audio-preview", "stream": True, **request}
    with post(session, server, "chat/completions", json=body, stream=True) as answer:
        assert answer.status_code == 200
        chunks = list(read_like_dify(answer))
    pieces = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return "".join(pieces), usages[-1] if usages else {}


def read_like_dify(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """Its rules: frames end with two line feeds; all but comments and [DONE] is `data:` and JSON."""
    for frame in answer.iter_lines(decode_unicode=True, delimiter="\n\n"):
        data = frame.strip().removeprefix("data:").lstrip()
        if not data or data.startswith(":") or data == "[DONE]":
            continue
        yield conforming("chat_completion_chunk", json.loads(data))
