"""Text -> speech -> text, over the real server with the real SDK, and with espeak-ng's own voices."""

import io
import json
import time
import wave
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from openai import BadRequestError, OpenAI

from app.synthesis import VOICES
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import check_response
from tests.processes import children

SENTENCES = (
    FLAGSHIP_TEXT,
    "Hello world.",
    "The quick brown fox jumps over the lazy dog.",
    "Please open the door.",
    "My name is Anna.",
)
ODD_TEXTS = (
    "-v de --help",
    "\x00\x01\x07",
    "שלום עולם",
    "你好世界",
    "…",
    "😀",
    "a" * 4_096,
    "<speak/> [[h@l'oU]]",
)


@pytest.fixture(scope="module")
def client(server: GunicornServer) -> Iterator[OpenAI]:
    url = f"{server.url}/v1"
    with OpenAI(base_url=url, api_key="none", max_retries=0, timeout=PATIENCE_SECONDS) as client:
        yield client


def heard(client: OpenAI, file: Any) -> str:
    return client.audio.transcriptions.create(model="whisper-1", file=file).text


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav"])
def test_round_trip_in_every_format(client: OpenAI, form: Any) -> None:
    speech = client.audio.speech.create(
        model="tts-1", voice="alloy", input=FLAGSHIP_TEXT, response_format=form
    )
    assert heard(client, (f"speech.{form}", speech.content)) == FLAGSHIP_TEXT


def test_round_trip_of_bare_samples(client: OpenAI) -> None:
    speech = client.audio.speech.create(
        model="tts-1", voice="alloy", input=FLAGSHIP_TEXT, response_format="pcm"
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as container:
        container.setparams((1, 2, 24_000, 0, "NONE", ""))
        container.writeframes(speech.content)
    assert heard(client, ("speech.wav", file.getvalue())) == FLAGSHIP_TEXT


@pytest.mark.parametrize(("number", "voice"), list(enumerate(VOICES)))
def test_round_trip_with_every_voice(client: OpenAI, number: int, voice: str) -> None:
    text = SENTENCES[number % len(SENTENCES)]
    speech = client.audio.speech.create(model="gpt-4o-mini-tts", voice=voice, input=text)
    assert heard(client, ("speech.mp3", speech.content)) == text


def test_streaming_to_a_file(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "speech.mp3"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="nova", input=FLAGSHIP_TEXT
    ) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        assert response.headers["transfer-encoding"] == "chunked"
        response.stream_to_file(path)
    assert heard(client, path) == FLAGSHIP_TEXT


def test_a_long_text_is_sent_while_it_is_spoken(server: GunicornServer) -> None:
    """Its sound is 26 MB, more than all buffers on the way hold, so the voice waits for its reader."""
    body = {
        "model": "tts-1",
        "voice": "echo",
        "input": "This is a long story. " * 186,
        "speed": 0.5,
        "response_format": "pcm",
    }
    with requests.post(
        f"{server.url}/v1/audio/speech", json=body, stream=True, timeout=PATIENCE_SECONDS
    ) as response:
        pieces = response.iter_content(None)
        first = next(pieces)
        assert speaking(server)
        assert len(first) < 48_000 * 30
        rest = sum(map(len, pieces))
    assert (len(first) + rest) / 48_000 > 400  # seconds of speech


def test_a_client_that_hangs_up_stops_the_voice(server: GunicornServer) -> None:
    body = {"model": "tts-1", "voice": "echo", "input": "This is a long story. " * 186}
    for _ in range(10):
        requests.post(
            f"{server.url}/v1/audio/speech", json=body, stream=True, timeout=PATIENCE_SECONDS
        ).close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while speaking(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)


LONG_TO_SAY = {"model": "gpt-4o-mini-tts", "voice": "ballad", "input": "龘" * 4_096, "speed": 0.25}
"""12 kB, an hour and a half of sound."""


def test_a_text_that_takes_too_long_to_say(client: OpenAI, server: GunicornServer) -> None:
    with pytest.raises(BadRequestError, match="more than 1800 seconds to say") as caught:
        client.post("/audio/speech", body={**LONG_TO_SAY, "response_format": "wav"}, cast_to=object)
    assert (caught.value.param, caught.value.code) == ("input", "invalid_value")
    assert not speaking(server)


def test_sound_that_is_sent_ends_with_the_time(server: GunicornServer) -> None:
    body = {**LONG_TO_SAY, "response_format": "pcm"}
    url = f"{server.url}/v1/audio/speech"
    size = 0
    with requests.post(url, json=body, stream=True, timeout=PATIENCE_SECONDS) as answer:
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            for piece in answer.iter_content(65_536):
                size += len(piece)
    assert 1_790 * 48_000 < size <= 1_800 * 48_000


def test_events_of_sound_end_with_an_error(server: GunicornServer) -> None:
    body = {**LONG_TO_SAY, "response_format": "pcm", "stream_format": "sse"}
    answer = requests.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE_SECONDS)
    last = json.loads(answer.content.rsplit(b"data: ", 1)[1])
    assert (last["error"]["param"], last["error"]["code"]) == ("input", "invalid_value")


def speaking(server: GunicornServer) -> int:
    """How many processes of this server speak."""
    return sum(len(children(worker, "espeak_process")) for worker in server.workers)


def test_events(server: GunicornServer, client: OpenAI) -> None:
    body = {
        "model": "gpt-4o-mini-tts",
        "voice": {"id": "sage"},
        "input": FLAGSHIP_TEXT,
        "stream_format": "sse",
        "response_format": "wav",
    }
    answer = requests.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE_SECONDS)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *deltas, done = [json.loads(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n")[:-1]]
    sound = b"".join(b64decode(delta["audio"]) for delta in deltas)
    assert heard(client, ("speech.wav", sound)) == FLAGSHIP_TEXT
    usage = done["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert 20 < usage["output_tokens"] < 40  # about three seconds


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_are_sound(client: OpenAI, text: str) -> None:
    speech = client.audio.speech.create(model="tts-1", voice="fable", input=text, response_format="wav")
    with wave.open(io.BytesIO(speech.content)) as file:
        assert file.getnframes() > 0


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "   "}, "input"),
        ({"input": "x" * 4_097}, "input"),
        ({"voice": "bob"}, "voice"),
        ({"response_format": "ogg"}, "response_format"),
        ({"speed": 9.0}, "speed"),
    ],
)
def test_wrong_requests(client: OpenAI, wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.audio.speech.create(**{"model": "tts-1", "voice": "alloy", "input": "Hello."} | wrong)
    assert caught.value.param == param


def test_a_spoken_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o-audio-preview",
        modalities=["text", "audio"],
        audio={"voice": "coral", "format": "mp3"},
        messages=[question()],
    )
    spoken = answer.choices[0].message.audio
    assert spoken.transcript == answer.choices[0].message.content == FLAGSHIP_TEXT
    assert heard(client, ("reply.mp3", b64decode(spoken.data))) == FLAGSHIP_TEXT
    assert 20 < answer.usage.completion_tokens_details.audio_tokens < 40
    earlier = {"role": "assistant", "audio": {"id": spoken.id}}
    again = client.chat.completions.create(model="gpt-audio", messages=[question(), earlier, question()])
    assert again.choices[0].message.content == FLAGSHIP_TEXT


def test_a_spoken_stream_of_a_chat(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="gpt-4o-audio-preview",
        modalities=["text", "audio"],
        audio={"voice": "ballad", "format": "pcm16"},
        messages=[question()],
    ) as stream:
        stream.until_done()
        spoken = stream.get_final_completion().choices[0].message.audio
    file = io.BytesIO()
    with wave.open(file, "wb") as container:
        container.setparams((1, 2, 24_000, 0, "NONE", ""))
        container.writeframes(b64decode(spoken.data))
    assert heard(client, ("reply.wav", file.getvalue())) == spoken.transcript == FLAGSHIP_TEXT


def question() -> Any:
    data = b64encode(FLAGSHIP.read_bytes()).decode()
    return {
        "role": "user",
        "content": [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}],
    }


def test_what_open_webui_asks_for(server: GunicornServer) -> None:
    assert {voice["id"] for voice in server.get("/v1/audio/voices").json()["voices"]} == set(VOICES)
    assert {"id": "tts-1"} in server.get("/v1/audio/models").json()["models"]


def test_a_voice_of_piper(start_server: StartServer) -> None:
    voice = DATA / "piper" / "one_speaker.onnx"
    server = start_server(SPEECH_ENGINE="piper", SPEECH_VOICE=str(voice)).wait_until_ready()
    body = {"model": "piper", "voice": "alloy", "input": "Good day.", "response_format": "pcm"}
    answer = requests.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE_SECONDS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/pcm")
    assert 0.1 < len(answer.content) / 48_000 < 2


def test_a_voice_that_is_not_there_stops_the_start(start_server: StartServer) -> None:
    server = start_server(SPEECH_ENGINE="piper", SPEECH_VOICE="/nowhere/voice.onnx")
    assert server.wait() != 0
    assert "SPEECH_VOICE is '/nowhere/voice.onnx'" in server.log
    assert "Traceback" not in server.log


def test_a_server_that_can_not_speak(start_server: StartServer, tmp_path: Path) -> None:
    missing = tmp_path / "espeakng_loader.py"
    missing.write_text("raise ImportError('not installed')")
    server = start_server(PYTHONPATH=str(tmp_path)).wait_until_ready()
    body = {"model": "tts-1", "voice": "alloy", "input": "Hello."}
    answer = requests.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE_SECONDS)
    check_response(answer)
    assert answer.status_code == 501
    assert "pip install -r requirements.txt" in answer.json()["error"]["message"]
    assert server.get("/v1/audio/models").json() == {"models": []}
