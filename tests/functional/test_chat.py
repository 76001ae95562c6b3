"""Chat with audio through the front door: the predecessor's programs, OpenAI's SDK, and other clients."""

import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.functional.checked_clients import openai_client, requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import (
    DATA,
    EXPECTED,
    FLAGSHIP,
    FLAGSHIP_TEXT,
    MODEL_NOTICE,
    convert,
    silence,
)
from tests.openai_spec import conforming

MODEL = "gpt-4o-audio-preview"
SPOKEN: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}

PREAMBLE = """\
import base64, sys
from openai import OpenAI
client = OpenAI()
encoded_string = base64.b64encode(open(sys.argv[1], "rb").read()).decode("utf-8")
"""
TEXT_AND_AUDIO = """\
completion = client.chat.completions.create(
    model="gpt-4o-audio-preview-2024-10-01",
    modalities=["text", "audio"],
    audio={"voice": "alloy", "format": "wav"},
    messages=[
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "What is in this recording?"
                },
                {
                    "type": "input_audio",
                    "input_audio": {
                        "data": encoded_string,
                        "format": "wav"
                    }
                }
            ]
        },
    ]
)

print(completion.choices[0].message.audio.transcript)
"""
TEXT_ONLY = """\
completion = client.chat.completions.create(
    model="gpt-4o-audio-preview-2024-10-01",
    modalities=["text"],
    messages=[
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "What is in this recording?"
                },
                {
                    "type": "input_audio",
                    "input_audio": {
                        "data": encoded_string,
                        "format": "wav"
                    }
                }
            ]
        },
    ]
)

print(completion.choices[0].message.content)
"""


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    with openai_client(server.url) as client:
        yield client


def spoken(recording: Path = FLAGSHIP, word: str = "wav") -> dict[str, Any]:
    data = b64encode(recording.read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": word}}


def asking(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    text = {"type": "text", "text": "What is in this recording?"}
    return [{"role": "user", "content": [text, *(parts or (spoken(),))]}]


def create(client: OpenAI, messages: Any = None, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": messages or asking(), **options})


@pytest.mark.parametrize("program", [TEXT_AND_AUDIO, TEXT_ONLY], ids=["text and audio", "text only"])
def test_the_predecessors_programs(server: GunicornServer, program: str) -> None:
    environ = {**os.environ, "OPENAI_API_KEY": "dummy", "OPENAI_BASE_URL": f"{server.url}/v1"}
    command = [sys.executable, "-c", PREAMBLE + program, FLAGSHIP]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == (f"{FLAGSHIP_TEXT}\n", "")


def test_the_answer_is_typed_and_counted(client: OpenAI) -> None:
    answer = create(client)
    [choice] = answer.choices
    assert (choice.message.content, choice.message.audio, choice.finish_reason) == (
        FLAGSHIP_TEXT,
        None,
        "stop",
    )
    usage = answer.usage
    assert usage.prompt_tokens_details.audio_tokens == 28  # 2.77 s
    assert usage.prompt_tokens == 28 + usage.prompt_tokens_details.text_tokens
    assert 6 <= usage.prompt_tokens_details.text_tokens <= 8
    assert 10 <= usage.completion_tokens <= 16
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert re.fullmatch("fp_[0-9a-f]{10}", answer.system_fingerprint)
    chunks = create(client, stream=True)
    assert {chunk.system_fingerprint for chunk in chunks} == {answer.system_fingerprint}


def test_a_spoken_answer(client: OpenAI) -> None:
    message = create(client, **SPOKEN).choices[0].message
    assert message.content == message.audio.transcript == FLAGSHIP_TEXT
    assert b64decode(message.audio.data).startswith(b"RIFF")


def test_a_stream(client: OpenAI) -> None:
    messages = asking(spoken(DATA / "minute.flac"))
    *chunks, last = create(client, messages, stream=True, stream_options={"include_usage": True})
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    whole = create(client, messages)
    assert "".join(pieces) == whole.choices[0].message.content
    assert len([piece for piece in pieces if piece]) > 1
    assert (last.choices, last.usage) == ([], whole.usage)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    for chunk in (*chunks, last):
        conforming("chat_completion_chunk", chunk.model_dump(mode="json", exclude_unset=True))


def test_the_sdk_joins_a_spoken_stream(client: OpenAI) -> None:
    bare = SPOKEN | {"audio": {"voice": "alloy", "format": "pcm16"}}
    with client.chat.completions.stream(model=MODEL, messages=asking(), **bare) as stream:
        stream.until_done()
        message = stream.get_final_completion().choices[0].message
    assert message.content == message.audio.transcript == FLAGSHIP_TEXT
    assert len(b64decode(message.audio.data)) > 2 * 24_000


def test_several_recordings_come_in_order(client: OpenAI) -> None:
    names = ["numbers.wav", "flagship.wav", "german.wav"]
    answer = create(client, asking(*(spoken(DATA / name) for name in names)))
    assert answer.choices[0].message.content.split("\n") == [EXPECTED[name]["text"] for name in names]


def test_a_follow_up_is_about_the_last_recording(client: OpenAI) -> None:
    messages = [
        *asking(spoken(DATA / "numbers.wav")),
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
        *asking(),
        {"role": "assistant", "content": FLAGSHIP_TEXT},
        {"role": "user", "content": "And once more?"},
    ]
    assert create(client, messages).choices[0].message.content == FLAGSHIP_TEXT


@pytest.mark.parametrize("word", ["mp3", "mpeg", "webm", "x-anything", ""])
def test_bytes_decide_whatever_the_format_is_called(client: OpenAI, tmp_path: Path, word: str) -> None:
    mp3 = convert(FLAGSHIP, tmp_path / "speech.mp3", "-b:a", "128k")
    answer = create(client, asking(spoken(mp3, word)))
    assert answer.choices[0].message.content == FLAGSHIP_TEXT


def test_a_file_part(client: OpenAI) -> None:
    url = f"data:audio/wav;base64,{b64encode(FLAGSHIP.read_bytes()).decode()}"
    answer = create(client, asking({"type": "file", "file": {"file_data": url, "filename": "a.wav"}}))
    assert answer.choices[0].message.content == FLAGSHIP_TEXT


def test_audio_first_and_text_second(server: GunicornServer) -> None:
    """Open WebUI's Mistral engine."""
    text = {"type": "text", "text": "Transcribe this audio exactly as spoken."}
    body = {"model": MODEL, "messages": [{"role": "user", "content": [spoken(word="mp3"), text]}]}
    with requests_session() as session:
        url = f"{server.url}/v1/chat/completions"
        answer = session.post(url, json=body, timeout=PATIENCE_SECONDS)
    assert answer.json()["choices"][0]["message"]["content"].strip() == FLAGSHIP_TEXT
    assert answer.headers["x-model-notice"] == MODEL_NOTICE


def test_silence_is_an_answer(client: OpenAI, tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    quiet.write_bytes(silence(2.0))
    answer = create(client, asking(spoken(quiet)))
    assert (answer.choices[0].message.content, answer.usage.completion_tokens) == ("", 0)


def test_ping(client: OpenAI) -> None:
    answer = create(client, [{"role": "user", "content": "ping"}], max_tokens=5)
    assert (answer.choices[0].message.content, answer.usage.prompt_tokens_details.audio_tokens) == ("Pong", 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"),
        (
            {"messages": asking({"type": "image_url", "image_url": {"url": "https://host/a.mp3"}})},
            "messages[0].content[1].image_url",
        ),
        (
            {"messages": asking({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})},
            "messages[0].content[1].input_audio",
        ),
        ({"n": 0}, "n"),
    ],
)
def test_bad_requests(client: OpenAI, wrong: dict[str, Any], param: str, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": asking(), "stream": stream, **wrong})
    assert caught.value.param == param


def test_an_unknown_model(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="`gpt-4` does not exist"):
        create(client, model="gpt-4")
