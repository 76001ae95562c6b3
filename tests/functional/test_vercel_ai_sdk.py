"""The Vercel AI SDK, which checks every field of an answer and drops the whole answer over one."""

from pathlib import Path
from typing import Any

import pytest

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.node_programs import run_node
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import conforming, read_as

GERMAN = EXPECTED["german.wav"]["text"]
FLAGSHIP_SECONDS = 61_002 / 22_050


def call(
    server: GunicornServer,
    name: str,
    path: Path = FLAGSHIP,
    model: str = "whisper-1",
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return run_node("vercel_ai_sdk.mjs", server, name, model=model, path=str(path), options=options)


@pytest.mark.parametrize(
    "model",
    ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"],
)
def test_default(server: GunicornServer, model: str) -> None:
    result = call(server, "transcribe", model=model)
    conforming("transcription_json", result["body"])
    assert result["answer"]["text"] == FLAGSHIP_TEXT


def test_any_option_asks_for_verbose_json(server: GunicornServer) -> None:
    result = call(server, "transcribe", DATA / "german.wav", options={"temperature": 0})
    conforming("transcription_verbose_json", result["body"])
    answer = result["answer"]
    assert (answer["text"], answer["language"]) == (GERMAN, "de")
    assert [segment["text"].strip() for segment in answer["segments"]] == [GERMAN]


def test_words(server: GunicornServer) -> None:
    options = {"timestampGranularities": ["word"], "language": "en", "prompt": "A proverb."}
    answer = call(server, "transcribe", options=options)["answer"]
    assert answer["durationInSeconds"] == pytest.approx(FLAGSHIP_SECONDS, abs=0.01)
    assert [word["text"] for word in answer["segments"]] == FLAGSHIP_TEXT.removesuffix(".").split()
    assert all(0 <= word["startSecond"] <= word["endSecond"] for word in answer["segments"])


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-transcribe"])
def test_options_of_models_that_answer_in_json(server: GunicornServer, model: str) -> None:
    options = {"include": ["logprobs"], "language": "en", "keywords": ["sun"], "languages": ["en", "de"]}
    if model != "gpt-transcribe":
        options = {"include": ["logprobs"], "language": "en"}
    result = call(server, "transcribe", model=model, options=options)
    assert result["answer"]["text"] == FLAGSHIP_TEXT
    assert conforming("transcription_json", result["body"])["logprobs"]


def test_error_message(server: GunicornServer) -> None:
    error = call(server, "transcribe", DATA / "README.md")["error"]
    assert (error["name"], error["statusCode"]) == ("AI_APICallError", 400)
    assert error["message"] == read_as("error", error["responseBody"])["error"]["message"]


def test_unknown_model(server: GunicornServer) -> None:
    error = call(server, "transcribe", model="gpt-4")["error"]
    assert error["statusCode"] == 404
    assert "`gpt-4` does not exist" in error["message"]


def test_chat_with_an_audio_file(server: GunicornServer) -> None:
    result = call(server, "chat", model="gpt-4o-audio-preview")
    conforming("chat_completion", result["body"])
    assert (result["answer"]["text"], result["answer"]["finishReason"]) == (FLAGSHIP_TEXT, "stop")
    assert result["answer"]["usage"]["inputTokens"] > 0


def test_streamed_chat(server: GunicornServer) -> None:
    answer = call(server, "streamChat", model="gpt-4o-audio-preview")["answer"]
    assert ("".join(answer["pieces"]), answer["finishReason"]) == (FLAGSHIP_TEXT, "stop")
    assert answer["usage"]["outputTokens"] > 0
