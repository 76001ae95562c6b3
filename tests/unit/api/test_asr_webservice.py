"""/asr and /detect-language over a scripted runtime: what is asked of it, and failures in FastAPI's shape."""

import io
from dataclasses import replace

import pytest

from app.errors import ServerBusy
from app.settings import Settings
from tests.unit import scripted


def post(client, path="/asr", content=b"audio", **query):
    return client.post(path, query_string=query, data={"audio_file": (io.BytesIO(content), "my talk.wav")})


def test_the_query(client, runtime):
    post(client, language="de", initial_prompt="Hallo.", task="translate", encode="true")
    [request] = runtime.requests
    assert (request.language, request.prompt, request.task) == ("de", "Hallo.", "translate")
    assert not request.word_timestamps
    assert runtime.files == [b"audio"]


def test_a_name_is_quoted(client):
    response = post(client, output="srt")
    assert response.headers["Content-Disposition"] == 'attachment; filename="my%20talk.wav.srt"'


@pytest.mark.parametrize("output", ["json", "srt", "txt"])
def test_words_are_timed_where_they_are_asked_for(client, runtime, output):
    post(client, output=output, word_timestamps="true")
    assert runtime.requests[0].word_timestamps


def test_samples_get_a_header(client, runtime):
    post(client, content=b"\1\2\3\4", encode="false")
    [file] = runtime.files
    assert (file[:4], file[8:12], file[44:]) == (b"RIFF", b"WAVE", b"\1\2\3\4")


def test_the_language(client, runtime, monkeypatch):
    last = replace(scripted.TRANSCRIPT, language_probability=0.75)
    monkeypatch.setattr(
        runtime,
        "stream",
        lambda file, request, context: (
            scripted.TranscriptDelta(
                last.language, usage=last.usage, language_probability=last.language_probability
            )
            for _ in range(request.language_only)
        ),
    )
    response = post(client, "/detect-language")
    assert response.json == {"detected_language": "english", "language_code": "en", "confidence": 0.75}


def test_a_prompt_that_is_ignored(client, runtime):
    runtime.settings = Settings(ignore_prompts=("convert the audio to text",))
    post(client, initial_prompt="convert the audio to text")
    assert runtime.requests[0].prompt is None


def test_a_failure(client, runtime):
    runtime.failure = RuntimeError("secret")
    response = post(client)
    assert (response.status_code, response.headers["x-should-retry"]) == (500, "false")
    assert response.json["detail"].startswith("The server had an error")
    assert "secret" not in response.text


def test_a_full_server(client, runtime):
    runtime.admission.full = ServerBusy("Full.", retry_after_seconds=7)
    response = post(client)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
    assert response.json == {"detail": "Full."}
