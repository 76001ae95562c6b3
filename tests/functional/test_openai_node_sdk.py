"""OpenAI's own Node client, pointed at this server.

It goes by the content type (JSON is parsed, the rest is a string), sends the file before the fields,
and streams without a Content-Length from `createReadStream`.
"""

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.node_programs import run_node
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import conforming

THREE = EXPECTED["three_utterances.wav"]
SOURCES = ["readStream", "file", "quotedFile", "buffer", "namelessBuffer", "response"]
SPOKEN_MESSAGE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is in this recording?"},
        {
            "type": "input_audio",
            "input_audio": {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"},
        },
    ],
}


def call(
    server: GunicornServer, name: str, path: Path = FLAGSHIP, source: str = "buffer", **options: Any
) -> Any:
    return run_node("openai_sdk.mjs", server, name, path=str(path), source=source, options=options)


def answer_of(result: dict[str, Any], schema: str) -> Any:
    assert "error" not in result, result
    assert result["requestId"].startswith("req_")
    return conforming(schema, result["answer"])


@pytest.mark.parametrize("source", SOURCES)
def test_every_way_to_name_a_file(server: GunicornServer, source: str) -> None:
    answer = answer_of(call(server, "transcribe", source=source), "transcription_json")
    assert answer["text"] == FLAGSHIP_TEXT


def test_verbose_json(server: GunicornServer) -> None:
    asked = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    answer = answer_of(call(server, "transcribe", **asked), "transcription_verbose_json")
    assert (answer["text"], answer["language"]) == (FLAGSHIP_TEXT, "english")
    assert len(answer["words"]) == 11
    assert len(answer["segments"]) == 1


@pytest.mark.parametrize(
    ("response_format", "start"),
    [("text", FLAGSHIP_TEXT), ("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n00:00:0")],
)
def test_text_formats_are_strings(server: GunicornServer, response_format: str, start: str) -> None:
    answer = call(server, "transcribe", response_format=response_format)["answer"]
    assert isinstance(answer, str)
    assert answer.startswith(start)


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "whisper-1"])
@pytest.mark.parametrize("source", ["readStream", "buffer"])
def test_streamed_transcript(server: GunicornServer, model: str, source: str) -> None:
    path = DATA / "three_utterances.wav"
    events = call(server, "streamTranscript", path, source, model=model)["answer"]
    *deltas, done = [conforming("transcription_stream_event", event) for event in events]
    assert [event["type"] for event in deltas] == ["transcript.text.delta"] * len(deltas)
    assert len(deltas) >= len(THREE["segments"])
    assert "".join(event["delta"] for event in deltas) == done["text"] == THREE["text"]
    assert done["usage"]["total_tokens"] > 0


def test_translation(server: GunicornServer) -> None:
    result = call(server, "translate", DATA / "german.wav", response_format="verbose_json")
    answer = answer_of(result, "translation_verbose_json")
    assert answer["text"] == EXPECTED["german.wav"]["translation"]


def test_chat_with_audio(server: GunicornServer) -> None:
    result = call(server, "chat", model="gpt-4o-audio-preview", messages=[SPOKEN_MESSAGE])
    answer = answer_of(result, "chat_completion")
    assert answer["choices"][0]["message"]["content"] == FLAGSHIP_TEXT


def test_chat_answering_in_audio(server: GunicornServer) -> None:
    voice = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    result = call(server, "chat", model="gpt-4o-audio-preview", messages=[SPOKEN_MESSAGE], **voice)
    [choice] = answer_of(result, "chat_completion")["choices"]
    assert choice["message"]["audio"]["transcript"] == FLAGSHIP_TEXT


def test_streamed_chat(server: GunicornServer) -> None:
    options = {"messages": [SPOKEN_MESSAGE], "stream_options": {"include_usage": True}}
    chunks = call(server, "streamChat", model="gpt-audio", **options)["answer"]
    *said, last = [conforming("chat_completion_chunk", chunk) for chunk in chunks]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in said) == FLAGSHIP_TEXT
    assert said[-1]["choices"][0]["finish_reason"] == "stop"
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"]["audio_tokens"] == 28


def test_speech(server: GunicornServer, tmp_path: Path) -> None:
    wanted = {"model": "gpt-4o-mini-tts", "voice": "coral", "input": FLAGSHIP_TEXT}
    answer = call(server, "speak", **wanted)["answer"]
    assert answer["type"] == "audio/mpeg"
    spoken = tmp_path / "speech.mp3"
    spoken.write_bytes(b64decode(answer["sound"]))
    assert server.transcribe(spoken).json()["text"] == FLAGSHIP_TEXT


def test_models(server: GunicornServer) -> None:
    models = call(server, "listModels")["answer"]
    names = [conforming("model", model)["id"] for model in models]
    assert {"demo", "whisper-1", "gpt-4o-transcribe"} <= set(names)
    assert answer_of(call(server, "retrieveModel", model="whisper-1"), "model")["id"] == "whisper-1"


@pytest.mark.parametrize("name", ["Systran/faster-whisper-tiny", "gpt-4"])
def test_unknown_model(server: GunicornServer, name: str) -> None:
    error = refused(call(server, "retrieveModel", model=name))
    assert (error["class"], error["status"], error["code"]) == ("NotFoundError", 404, "model_not_found")
    assert name in error["message"]


WRONG = {
    "model": ({"model": "gpt-4"}, "NotFoundError", "model_not_found"),
    "language": ({"language": "klingon"}, "BadRequestError", "invalid_language_format"),
    "response_format": ({"response_format": "xml"}, "BadRequestError", "invalid_value"),
    "temperature": ({"temperature": 2}, "BadRequestError", "decimal_above_max_value"),
}


@pytest.mark.parametrize("param", WRONG)
@pytest.mark.parametrize("source", ["readStream", "buffer"])
def test_error_classes(server: GunicornServer, source: str, param: str) -> None:
    wrong, kind, code = WRONG[param]
    error = refused(call(server, "transcribe", source=source, **wrong))
    assert (error["class"], error["param"], error["code"]) == (kind, param, code)
    assert error["type"] == "invalid_request_error"


def test_file_that_is_no_audio(server: GunicornServer) -> None:
    error = refused(call(server, "transcribe", DATA / "README.md"))
    assert (error["class"], error["param"], error["code"]) == ("BadRequestError", "file", "invalid_value")


def test_streaming_a_format_that_cannot(server: GunicornServer) -> None:
    error = refused(call(server, "streamTranscript", response_format="srt"))
    assert (error["class"], error["param"], error["code"]) == (
        "BadRequestError",
        "response_format",
        "unsupported_value",
    )


def refused(result: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = result["error"]
    assert error["requestID"].startswith("req_"), error
    conforming("error", {"error": error["body"]})
    return error
