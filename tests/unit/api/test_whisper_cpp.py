"""/inference over a scripted runtime: what is asked of it, and failures in whisper.cpp's shape."""

import io

import pytest

from app.errors import ServerBusy
from app.settings import Settings


def infer(client, **fields):
    return client.post("/inference", data={"file": (io.BytesIO(b"audio"), "a.wav"), **fields})


@pytest.mark.parametrize(
    ("fields", "temperatures"),
    [
        ({}, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ({"temperature": "0.5"}, (0.5, 0.7, 0.9)),
        ({"temperature_inc": "0.5"}, (0.0, 0.5, 1.0)),
        ({"temperature_inc": "0.0"}, (0.0,)),
    ],
)
def test_temperatures(client, runtime, fields, temperatures):
    assert infer(client, **fields).status_code == 200
    assert runtime.requests[0].temperatures == temperatures


def test_fields(client, runtime):
    infer(client, language="de", prompt="Hallo.", translate="true", response_format="srt")
    [request] = runtime.requests
    assert (request.language, request.prompt, request.task) == ("de", "Hallo.", "translate")
    assert not request.word_timestamps


def test_words_are_timed_for_verbose_json_alone(client, runtime):
    for name in ("verbose_json", "json", "vtt"):
        infer(client, response_format=name)
    assert [request.word_timestamps for request in runtime.requests] == [True, False, False]


def test_a_prompt_that_is_ignored(client, runtime):
    runtime.settings = Settings(ignore_prompts=("convert the audio to text",))
    infer(client, prompt="convert the audio to text")
    assert runtime.requests[0].prompt is None


def test_a_failure(client, runtime):
    runtime.failure = RuntimeError("secret")
    response = infer(client)
    assert (response.status_code, response.headers["x-should-retry"]) == (500, "false")
    assert list(response.json) == ["error"]
    assert response.json["error"].startswith("The server had an error")
    assert "secret" not in response.text


def test_a_full_server(client, runtime):
    runtime.admission.full = ServerBusy("Full.", retry_after_seconds=7)
    response = infer(client)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
    assert response.json == {"error": "Full."}
