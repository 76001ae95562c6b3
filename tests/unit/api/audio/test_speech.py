"""The view over a real Runtime with a scripted synthesizer."""

import json
from base64 import b64decode
from contextlib import ExitStack
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.admission import ADMITTED, SPEAKING
from app.errors import ServerBusy, SpeechError, SpeechTooLong, SynthesisFailure
from app.runtime import Runtime
from app.settings import Settings
from app.synthesis import VOICES
from tests.scripted_engine import ScriptedEngine, result
from tests.scripted_synthesizer import SAMPLES_PER_CHARACTER, ScriptedSynthesizer
from tests.unit.scripted import error_of

URL = "/v1/audio/speech"
TOO_LONG = {
    "message": "Invalid 'input': at this 'speed' it takes more than 1800 seconds to say, which is the "
    "maximum. Send less text, or a higher 'speed'.",
    "type": "invalid_request_error",
    "param": "input",
    "code": "invalid_value",
}


@pytest.fixture
def synthesizer() -> ScriptedSynthesizer:
    return ScriptedSynthesizer()


@pytest.fixture
def runtime(settings: Settings, synthesizer: ScriptedSynthesizer) -> Runtime:
    return Runtime(settings, ScriptedEngine(lambda window, options: result()), synthesizer)


def post(client: FlaskClient, **fields: Any) -> TestResponse:
    body = {"model": "tts-1", "input": "Hello there.", "voice": "alloy", **fields}
    return client.post(URL, json={name: value for name, value in body.items() if value is not ...})


def test_the_plainest_request(client: FlaskClient, synthesizer: ScriptedSynthesizer) -> None:
    response = post(client)
    assert (response.status_code, response.content_type) == (200, "audio/mpeg")
    assert response.data.startswith(b"ID3")
    assert response.headers["x-request-id"].startswith("req_")
    assert "Content-Length" not in response.headers
    response.close()
    assert (synthesizer.said, synthesizer.open) == ([("Hello there.", "alloy", 1.0, None)], 0)


@pytest.mark.parametrize(
    ("form", "content_type", "head"),
    [
        ("mp3", "audio/mpeg", b"ID3"),
        ("opus", "audio/opus", b"OggS"),
        ("aac", "audio/aac", b"\xff\xf1"),
        ("flac", "audio/flac", b"fLaC"),
        ("wav", "audio/wav", b"RIFF"),
        ("pcm", "audio/pcm", b"H\x00H\x00"),
    ],
)
def test_formats(client: FlaskClient, form: str, content_type: str, head: bytes) -> None:
    response = post(client, response_format=form)
    assert (response.status_code, response.content_type) == (200, content_type)
    assert response.data.startswith(head)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"voice": {"id": "verse"}}, ("Hello there.", "verse", 1.0, None)),
        ({"speed": 0.25}, ("Hello there.", "alloy", 0.25, None)),
        ({"speed": 4}, ("Hello there.", "alloy", 4, None)),
        ({"language": "de"}, ("Hello there.", "alloy", 1.0, "de")),
        ({"language": "German"}, ("Hello there.", "alloy", 1.0, "de")),
        ({"model": "scripted"}, ("Hello there.", "alloy", 1.0, None)),
        ({"model": "gpt-4o-mini-tts", "instructions": "Be cheerful."}, ("Hello there.", "alloy", 1.0, None)),
        ({"instructions": None, "unheard_of": [1]}, ("Hello there.", "alloy", 1.0, None)),
        ({"input": "x" * 4096}, ("x" * 4096, "alloy", 1.0, None)),
        ({"input": "שלום 你好 \x07"}, ("שלום 你好 \x07", "alloy", 1.0, None)),
    ],
)
def test_what_is_said(
    client: FlaskClient, synthesizer: ScriptedSynthesizer, fields: dict[str, Any], said: tuple[Any, ...]
) -> None:
    assert post(client, **fields).status_code == 200
    assert synthesizer.said == [said]


@pytest.mark.parametrize("voice", VOICES)
def test_every_voice(client: FlaskClient, voice: str) -> None:
    assert post(client, voice=voice).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        ({"input": ...}, "input", None, "Missing required parameter: 'input'."),
        ({"input": ""}, "input", None, "Missing required parameter: 'input'."),
        ({"input": " \n\t"}, "input", "invalid_value", "only white space"),
        (
            {"input": "x" * 4097},
            "input",
            "string_above_max_length",
            "maximum length 4096, but got string with length 4097",
        ),
        ({"input": 5}, "input", "invalid_type", "expected a string, but got 5"),
        ({"model": ...}, None, None, "you must provide a model parameter"),
        ({"voice": ...}, "voice", None, "Missing required parameter: 'voice'."),
        ({"voice": "bob"}, "voice", "invalid_value", "'bob'. Supported values are: 'alloy'"),
        ({"voice": {"id": "voice_1"}}, "voice", "invalid_value", "'voice_1'. Supported values are: 'alloy'"),
        ({"voice": {}}, "voice", None, "Missing required parameter: 'voice.id'."),
        ({"voice": 3}, "voice", "invalid_type", "expected a string or an object, but got 3"),
        (
            {"response_format": "ogg"},
            "response_format",
            "invalid_value",
            "'ogg'. Supported values are: 'mp3'",
        ),
        ({"speed": 9}, "speed", "decimal_above_max_value", "Expected a value <= 4.0, but got 9"),
        ({"speed": 0.2}, "speed", "decimal_below_min_value", "Expected a value >= 0.25, but got 0.2"),
        ({"speed": "fast"}, "speed", "invalid_type", "expected a decimal number, but got 'fast'"),
        ({"instructions": "x" * 4097}, "instructions", "string_above_max_length", "maximum length 4096"),
        ({"stream_format": "mp3"}, "stream_format", "invalid_value", "'sse' and 'audio'"),
        (
            {"stream_format": "sse"},
            "stream_format",
            "unsupported_value",
            "does not support 'sse' with the model 'tts-1'",
        ),
        ({"language": "klingon"}, "language", "invalid_language_format", "Invalid language 'klingon'"),
    ],
)
def test_wrong_values_are_400_and_name_the_field(
    client: FlaskClient, fields: dict[str, Any], param: str, code: str | None, message: str
) -> None:
    response = post(client, **fields)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"]) == (param, code)
    assert message in error["message"]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-audio", "espeak", "tts-2"])
def test_models_that_do_not_speak(client: FlaskClient, model: str) -> None:
    response = post(client, model=model)
    assert response.status_code == 404
    assert (error_of(response)["code"], error_of(response)["param"]) == ("model_not_found", "model")


def test_a_form_is_refused(client: FlaskClient) -> None:
    response = client.post(URL, data={"model": "tts-1", "input": "x", "voice": "alloy"})
    assert response.status_code == 400
    assert "JSON" in error_of(response)["message"]


def test_events(client: FlaskClient, synthesizer: ScriptedSynthesizer) -> None:
    response = post(client, model="gpt-4o-mini-tts", stream_format="sse", response_format="pcm")
    assert response.content_type == "text/event-stream; charset=utf-8"
    *deltas, done = [json.loads(frame.removeprefix("data: ")) for frame in response.text.split("\n\n")[:-1]]
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    sound = b"".join(b64decode(delta["audio"]) for delta in deltas)
    assert len(sound) == 2 * SAMPLES_PER_CHARACTER * len("Hello there")
    usage = {"input_tokens": 12, "output_tokens": 2, "total_tokens": 14}
    assert done == {"type": "speech.audio.done", "usage": usage}
    response.close()
    assert synthesizer.open == 0


@pytest.mark.parametrize("fields", [{}, {"model": "gpt-4o-mini-tts", "stream_format": "sse"}])
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (SynthesisFailure("The text could not be spoken."), 500),
        (ServerBusy("The server is speaking for others.", retry_after_seconds=1), 503),
    ],
)
def test_what_fails_before_the_first_byte_keeps_its_status(
    settings: Settings, failure: SpeechError, status: int, fields: dict[str, Any]
) -> None:
    runtime = Runtime(settings, ScriptedEngine(lambda *_: result()), ScriptedSynthesizer(failure))
    client = create_app(settings, runtime).test_client()
    for _ in range(SPEAKING + 1):  # permits are given back
        response = post(client, **fields)
        assert response.status_code == status
        assert error_of(response)["message"] == failure.message


@pytest.mark.parametrize("fields", [{}, {"model": "gpt-4o-mini-tts", "stream_format": "sse"}])
def test_a_permit_is_held_while_a_text_is_spoken_and_taken(
    client: FlaskClient, runtime: Runtime, fields: dict[str, str]
) -> None:
    response = post(client, **fields)
    assert (runtime.admission.speaking.taken, runtime.admission.working.taken) == (1, 0)
    assert response.data
    response.close()
    assert runtime.admission.speaking.taken == 0


def test_those_who_speak_have_permits_of_their_own(client: FlaskClient, runtime: Runtime) -> None:
    with ExitStack() as held:
        for number in range(SPEAKING):
            held.enter_context(runtime.admission.admit_speaker(str(number % 2)))
        response = post(client)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert f"speaking {SPEAKING} texts" in error_of(response)["message"]
        with runtime.admission.admit():
            pass
    with ExitStack() as held:
        for _ in range(ADMITTED):
            held.enter_context(runtime.admission.admit())
        assert post(client).status_code == 200


def test_one_speaker_leaves_half_to_the_others(client: FlaskClient, runtime: Runtime) -> None:
    with runtime.admission.admit_speaker("another"):
        taken = [post(client) for _ in range(SPEAKING // 2 + 1)]
        assert [response.status_code for response in taken] == [200] * (SPEAKING // 2) + [503]
        elsewhere = client.post(
            URL,
            json={"model": "tts-1", "input": "Hi.", "voice": "alloy"},
            environ_overrides={"REMOTE_ADDR": "10.0.0.7"},
        )
        assert elsewhere.status_code == 200
    for response in (*taken, elsewhere):
        response.close()
    assert runtime.admission.speaking.taken == 0


def test_a_speech_that_breaks_off_ends_the_connection(settings: Settings) -> None:
    synthesizer = ScriptedSynthesizer(breaks=SynthesisFailure("No."))
    runtime = Runtime(settings, ScriptedEngine(lambda *_: result()), synthesizer)
    client = create_app(settings, runtime).test_client()
    response = post(client, response_format="pcm")
    with pytest.raises(SynthesisFailure):
        _ = response.data
    response.close()
    assert synthesizer.open == 0


def test_a_text_that_takes_too_long_to_say(client: FlaskClient, synthesizer: ScriptedSynthesizer) -> None:
    """Known before the first byte of a wav, which is sent when it is finished; else the answer ends."""
    synthesizer.slow = 100
    refused = post(client, response_format="wav", input="x" * 1_801)
    assert refused.status_code == 400
    assert error_of(refused) == TOO_LONG
    broken = post(client, response_format="pcm", input="x" * 1_801)
    with pytest.raises(SpeechTooLong):
        _ = broken.data
    broken.close()
    assert synthesizer.open == 0


def test_events_of_a_text_that_takes_too_long_to_say(
    client: FlaskClient, synthesizer: ScriptedSynthesizer
) -> None:
    synthesizer.slow = 100
    response = post(
        client, model="gpt-4o-mini-tts", stream_format="sse", response_format="pcm", input="x" * 1_801
    )
    *deltas, last = [json.loads(frame.removeprefix("data: ")) for frame in response.text.split("\n\n")[:-1]]
    sound = sum(len(b64decode(delta["audio"])) for delta in deltas)
    assert (sound, last) == (1_800 * 48_000, {"error": TOO_LONG})


def test_a_server_that_can_not_speak(settings: Settings) -> None:
    client = create_app(settings, Runtime(settings, ScriptedEngine(lambda *_: result()))).test_client()
    response = post(client)
    assert response.status_code == 501
    assert response.headers["x-should-retry"] == "false"
    assert client.get("/v1/audio/models").json == {"models": []}
    names = {model["id"] for model in client.get("/v1/models").json["data"]}
    assert "tts-1" not in names
    assert client.get("/v1/models/tts-1").status_code == 404


def test_voices(client: FlaskClient) -> None:
    voices = client.get("/v1/audio/voices").json["voices"]
    assert [voice["id"] for voice in voices] == list(VOICES)
    assert voices[0] == {"id": "alloy", "name": "Alloy"}


def test_models(client: FlaskClient) -> None:
    ids = [model["id"] for model in client.get("/v1/audio/models").json["models"]]
    assert ids == ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "scripted"]
    assert set(ids) <= {model["id"] for model in client.get("/v1/models").json["data"]}
    assert client.get("/v1/models/tts-1").json["id"] == "tts-1"


def test_the_schema_knows_the_voices() -> None:
    from app.api.schemas import CHAT_COMPLETION, SPEECH

    for schema in (SPEECH, CHAT_COMPLETION):
        assert tuple(schema.schema["$defs"]["name"]["enum"]) == VOICES
