"""The view over a real Runtime with a scripted engine."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.admission import ADMITTED, FAIR_SHARE, SPEAKING
from app.dialogue.converse import NOTE
from app.errors import EngineFailure
from app.runtime import Runtime
from app.settings import Settings
from tests.functional.gunicorn_server import free_port
from tests.functional.recordings import silence
from tests.openai_spec import conforming, read_as
from tests.scripted_engine import ScriptedEngine, result, spell, ts
from tests.scripted_synthesizer import SAMPLES_PER_CHARACTER, ScriptedSynthesizer
from tests.unit.scripted import error_of
from tests.upstream_server import USAGE, UpstreamServer, chunk, completion, upstream_server

URL = "/v1/chat/completions"
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
STREAMED = SPOKEN | {"stream": True, "audio": {"voice": "alloy", "format": "pcm16"}}
PING = {"role": "user", "content": "ping"}


def heard(_window: Any, _options: Any) -> Any:
    return result(ts(0), *spell(" Hello"), ts(1), ts(1), *spell(" there."), ts(2))


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(heard)


@pytest.fixture
def settings() -> Settings:
    return Settings(speech_floor=0, max_audio_seconds=4, max_json_mb=1)


@pytest.fixture
def synthesizer() -> ScriptedSynthesizer:
    return ScriptedSynthesizer()


@pytest.fixture
def runtime(settings: Settings, engine: ScriptedEngine, synthesizer: ScriptedSynthesizer) -> Runtime:
    return Runtime(settings, engine, synthesizer)


@pytest.fixture
def client(settings: Settings, runtime: Runtime) -> FlaskClient:
    return create_app(settings, runtime).test_client()


def recording(seconds: float = 2.0) -> dict[str, Any]:
    data = b64encode(silence(seconds)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def question(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "What?"}, *(parts or (recording(),))]}


def post(client: FlaskClient, *messages: dict[str, Any], **fields: Any) -> TestResponse:
    body = {"model": "gpt-4o-audio-preview", "messages": list(messages) or [question()], **fields}
    return client.post(URL, json=body)


def chunks(response: TestResponse) -> list[dict[str, Any]]:
    """The stream's chunks, the way a reader that splits on two line feeds sees them."""
    assert response.status_code == 200, response.text
    assert response.mimetype == "text/event-stream"
    assert "\r" not in response.text and "event:" not in response.text
    *frames, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [read_as("chat_completion_chunk", frame.removeprefix("data:")) for frame in frames]


def text_of(stream: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for piece in stream for choice in piece["choices"])


def test_the_whole_answer(client: FlaskClient) -> None:
    answer = conforming("chat_completion", post(client).json)
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["model"], answer["object"]) == ("gpt-4o-audio-preview", "chat.completion")
    [choice] = answer["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello there.", "refusal": None, "annotations": []},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert answer["usage"] == {
        "prompt_tokens": 25,
        "completion_tokens": 13,
        "total_tokens": 38,
        "prompt_tokens_details": {"audio_tokens": 20, "cached_tokens": 0, "text_tokens": 5},
        "completion_tokens_details": {
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "text_tokens": 13,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_a_spoken_answer_says_the_same_twice(client: FlaskClient, synthesizer: ScriptedSynthesizer) -> None:
    answer = conforming("chat_completion", post(client, **SPOKEN).json)
    message = answer["choices"][0]["message"]
    assert message["content"] == message["audio"]["transcript"] == "Hello there."
    assert message["audio"]["id"].startswith("audio_")
    assert message["audio"]["expires_at"] == answer["created"] + 3600
    assert b64decode(message["audio"]["data"]).startswith(b"RIFF")
    assert answer["usage"]["completion_tokens"] == 13 + 2
    assert answer["usage"]["completion_tokens_details"]["audio_tokens"] == 2  # 0.11 s
    assert (synthesizer.said, synthesizer.open) == ([("Hello there.", "alloy", 1.0, None)], 0)


@pytest.mark.parametrize(
    ("form", "head"),
    [("wav", b"RIFF"), ("mp3", b"ID3"), ("flac", b"fLaC"), ("opus", b"OggS"), ("aac", b"\xff\xf1")],
)
def test_formats_of_spoken_answers(client: FlaskClient, form: str, head: bytes) -> None:
    answer = post(client, **SPOKEN | {"audio": {"voice": {"id": "cedar"}, "format": form}}).json
    assert b64decode(answer["choices"][0]["message"]["audio"]["data"]).startswith(head)


def test_a_spoken_answer_in_bare_samples(client: FlaskClient) -> None:
    answer = post(client, **SPOKEN | {"audio": {"voice": "ash", "format": "pcm16"}}).json
    data = b64decode(answer["choices"][0]["message"]["audio"]["data"])
    assert len(data) == 2 * SAMPLES_PER_CHARACTER * len("Hello there")


def test_a_spoken_answer_of_a_server_that_can_not_speak(settings: Settings, engine: ScriptedEngine) -> None:
    client = create_app(settings, Runtime(settings, engine)).test_client()
    answer = post(client, **SPOKEN).json
    assert answer["choices"][0]["message"]["audio"]["transcript"] == "Hello there."
    assert answer["choices"][0]["message"]["audio"]["data"] == ""
    assert answer["usage"]["completion_tokens_details"]["audio_tokens"] == 0
    deltas = audio_of(chunks(post(client, **STREAMED)))
    assert not any("data" in delta for delta in deltas)
    assert "expires_at" in deltas[-1]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"modalities": ["text", "audio"]}, "audio"),
        ({"modalities": ["audio"], "audio": None}, "audio"),
        (SPOKEN | {"stream": True}, "audio.format"),
        (SPOKEN | {"audio": {"voice": "bob", "format": "wav"}}, "audio"),
        (SPOKEN | {"audio": {"voice": {"id": "bob"}, "format": "wav"}}, "audio.voice.id"),
        (SPOKEN | {"audio": {"voice": "ash"}}, "audio"),
        (SPOKEN | {"audio": {"voice": "ash", "format": "ogg"}}, "audio"),
    ],
)
def test_how_not_to_ask_for_sound(client: FlaskClient, fields: dict[str, Any], param: str) -> None:
    response = post(client, **fields)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_an_earlier_spoken_answer(client: FlaskClient) -> None:
    earlier = {"role": "assistant", "audio": {"id": "audio_abc"}}
    answer = post(client, question(), earlier, question(), **SPOKEN).json
    assert answer["choices"][0]["message"]["content"] == "Hello there."


def test_choices_alike(client: FlaskClient) -> None:
    answer = conforming("chat_completion", post(client, n=3).json)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"Hello there."}
    assert answer["usage"]["completion_tokens"] == 3 * 13


def test_several_recordings(client: FlaskClient, engine: ScriptedEngine) -> None:
    answer = post(client, question(recording(), recording())).json
    assert answer["choices"][0]["message"]["content"] == "Hello there.\nHello there."
    assert answer["usage"]["prompt_tokens_details"]["audio_tokens"] == 40
    assert [opened.closed for opened in engine.recordings] == [True, True]


def test_a_stream(client: FlaskClient) -> None:
    stream = chunks(post(client, stream=True))
    deltas = [choice["delta"] for piece in stream for choice in piece["choices"]]
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello"},
        {"content": " there."},
        {},
    ]
    assert [piece["choices"][0]["finish_reason"] for piece in stream] == [None, None, None, "stop"]
    assert len({(piece["id"], piece["created"], piece["model"]) for piece in stream}) == 1
    assert all("usage" not in piece for piece in stream)


def test_a_stream_with_its_usage(client: FlaskClient) -> None:
    *others, last = chunks(post(client, stream=True, stream_options={"include_usage": True}))
    assert all(piece["usage"] is None and piece["choices"] for piece in others)
    assert last["choices"] == []
    assert last["usage"] == post(client).json["usage"]


def audio_of(stream: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        choice["delta"]["audio"]
        for piece in stream
        for choice in piece["choices"]
        if "audio" in choice["delta"]
    ]


def sound_of(deltas: list[dict[str, Any]]) -> bytes:
    """The same whether pieces are joined before or after decoding."""
    pieces = [delta["data"] for delta in deltas if "data" in delta]
    joined = b64decode("".join(pieces), validate=True)
    assert joined == b"".join(map(b64decode, pieces))
    return joined


def test_a_spoken_stream(client: FlaskClient, synthesizer: ScriptedSynthesizer) -> None:
    stream = chunks(post(client, stream_options={"include_usage": True}, **STREAMED))
    spoken = audio_of(stream)
    assert spoken[0]["id"].startswith("audio_")
    assert "".join(piece.get("transcript", "") for piece in spoken) == text_of(stream) == "Hello there."
    assert sum("id" in piece for piece in spoken) == sum("expires_at" in piece for piece in spoken) == 1
    assert "expires_at" in spoken[-1]
    assert len(sound_of(spoken)) == 2 * SAMPLES_PER_CHARACTER * len("Hello there")
    assert stream[-1]["usage"]["completion_tokens_details"]["audio_tokens"] == 2
    assert ([said[0] for said in synthesizer.said], synthesizer.open) == (["Hello there."], 0)


def test_a_stream_speaks_sentence_by_sentence(
    client: FlaskClient, engine: ScriptedEngine, synthesizer: ScriptedSynthesizer
) -> None:
    engine.answer = lambda *_: result(
        ts(0), *spell(" One is 1.5. Two"), ts(1), ts(1), *spell(" is more! Three"), ts(2)
    )
    stream = chunks(post(client, **STREAMED))
    assert [said[0].strip() for said in synthesizer.said] == ["One is 1.5.", "Two is more!", "Three"]
    text = next(number for number, piece in enumerate(stream) if "more" in text_of([piece]))
    assert any("data" in delta for delta in audio_of(stream[:text]))  # heard before the rest is known


def test_a_stream_of_choices(client: FlaskClient) -> None:
    stream = chunks(post(client, stream=True, n=2))
    ends = [piece["choices"][0] for piece in stream if piece["choices"][0]["finish_reason"]]
    assert [choice["index"] for choice in ends] == [0, 1]
    assert text_of(stream) == "HelloHello there. there."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("content", "answer"), [("ping", "Pong"), ("Hello!", NOTE)])
def test_text_alone(client: FlaskClient, content: str, answer: str, stream: bool) -> None:
    response = post(client, {"role": "user", "content": content}, max_tokens=5, stream=stream)
    assert response.status_code == 200
    text = text_of(chunks(response)) if stream else response.json["choices"][0]["message"]["content"]
    assert text == answer


def test_fields_without_a_meaning_here(client: FlaskClient) -> None:
    meaningless = {
        "temperature": 2,
        "top_p": 0.5,
        "max_completion_tokens": 16,
        "stop": ["x"],
        "user": "u",
        "seed": 1,
        "presence_penalty": -2,
        "response_format": {"type": "text"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "store": False,
        "metadata": {"a": "b"},
        "logprobs": True,
        "top_logprobs": 3,
        "reasoning_effort": "low",
        "service_tier": None,
        "enable_thinking": False,
    }
    assert post(client, **meaningless).status_code == 200
    assert post(client, **dict.fromkeys(meaningless)).status_code == 200


MESSAGE = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": None}, "messages", None),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", None),
        ({"messages": [MESSAGE, {"role": "boss"}]}, "messages[1].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", None),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content", "invalid_type"),
        ({"messages": [question({"text": "x"})]}, "messages[0].content[1].type", None),
        ({"messages": [question({"type": "text"})]}, "messages[0].content[1].text", None),
        ({"messages": [question({"type": "input_audio"})]}, "messages[0].content[1].input_audio", None),
        (
            {"messages": [question({"type": "input_audio", "input_audio": {"format": "wav"}})]},
            "messages[0].content[1].input_audio.data",
            None,
        ),
        (
            {"messages": [question({"type": "input_audio", "input_audio": {"data": 1}})]},
            "messages[0].content[1].input_audio.data",
            "invalid_type",
        ),
        (
            {"messages": [question({"type": "image_url", "image_url": "data:audio/wav;base64,AAAA"})]},
            "messages[0].content[1].image_url",
            "invalid_type",
        ),
        (
            {"messages": [question({"type": "image_url", "image_url": {"url": "https://host/a.mp3"}})]},
            "messages[0].content[1].image_url",
            "invalid_value",
        ),
        (
            {"messages": [question({"type": "input_audio", "input_audio": {"data": "%"}})]},
            "messages[0].content[1].input_audio",
            "invalid_value",
        ),
        (
            {"messages": [question({"type": "input_audio", "input_audio": {"data": "AAAA"}})]},
            "messages[0].content[1].input_audio",
            "invalid_value",
        ),
        ({"messages": [question(recording(0.05))]}, "messages[0].content[1].input_audio", "audio_too_short"),
        (
            {"messages": [question(recording(2), recording(3))]},
            "messages[0].content[2].input_audio",
            "invalid_value",
        ),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"n": True}, "n", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": "warm"}, "temperature", "invalid_type"),
        ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        ({"modalities": "audio"}, "modalities", "invalid_type"),
        ({"modalities": ["smell"]}, "modalities", "invalid_value"),
        ({"audio": {"voice": "alloy", "format": "midi"}}, "audio", "invalid_value"),
        ({"audio": {"format": "wav"}}, "audio", None),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"model": 1}, "model", "invalid_type"),
        ({"model": None}, None, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_wrong_values_are_400_and_name_the_place(
    client: FlaskClient, fields: dict[str, Any], param: str | None, code: str | None, stream: bool
) -> None:
    body = {"model": "gpt-audio", "messages": [MESSAGE], "stream": stream, **fields}
    response = client.post(URL, json=body)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"n": NaN}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object(client: FlaskClient, body: bytes) -> None:
    response = client.post(URL, data=body, content_type="application/json")
    assert response.status_code == 400
    assert "JSON" in error_of(response)["message"]


def test_a_body_over_the_limit(client: FlaskClient) -> None:
    response = client.post(URL, data=b" " * (1024 * 1024 + 1), content_type="application/json")
    assert response.status_code == 413
    assert "1048576" in error_of(response)["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model(client: FlaskClient, stream: bool) -> None:
    response = post(client, model="gpt-4", stream=stream)
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_below_keeps_its_status_and_gives_the_permit_back(
    client: FlaskClient, engine: ScriptedEngine, stream: bool
) -> None:
    def fail(_window: Any, _options: Any) -> Any:
        raise EngineFailure("broken")

    engine.answer = fail
    for _ in range(ADMITTED + 1):
        response = post(client, stream=stream)
        assert response.status_code == 500
        assert error_of(response)["message"] == "broken"
    engine.answer = heard
    assert post(client, stream=stream).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_permit_is_held_until_the_reply_is_taken(
    client: FlaskClient, runtime: Runtime, stream: bool
) -> None:
    response = post(client, stream=stream)
    assert response.status_code == 200
    assert response.data
    assert runtime.admission.working.taken == 1
    response.close()
    assert runtime.admission.working.taken == 0


@pytest.mark.parametrize("stream", [False, True])
def test_one_caller_leaves_half_to_the_others(client: FlaskClient, runtime: Runtime, stream: bool) -> None:
    with ExitStack() as held:
        held.enter_context(runtime.admission.admit("another"))
        for _ in range(FAIR_SHARE):
            held.enter_context(runtime.admission.admit("127.0.0.1"))
        response = post(client, stream=stream)
        assert response.status_code == 503
        assert "half of them for you" in error_of(response)["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_server_refuses(client: FlaskClient, runtime: Runtime, stream: bool) -> None:
    permits = [runtime.admission.admit() for _ in range(ADMITTED)]
    for permit in permits:
        permit.__enter__()
    response = post(client, stream=stream)
    assert response.status_code == 503
    assert response.retry_after
    permits[0].__exit__(None, None, None)
    assert post(client, stream=stream).status_code == 200


@pytest.mark.parametrize("fields", [SPOKEN, STREAMED])
def test_a_spoken_reply_holds_a_permit_to_speak(
    client: FlaskClient, runtime: Runtime, fields: dict[str, Any]
) -> None:
    response = post(client, **fields)
    assert runtime.admission.speaking.taken == 1
    assert response.data
    response.close()
    assert runtime.admission.speaking.taken == 0
    with post(client):
        assert runtime.admission.speaking.taken == 0


@pytest.mark.parametrize("fields", [SPOKEN, STREAMED])
def test_a_server_that_speaks_for_others_refuses_speech_alone(
    client: FlaskClient, runtime: Runtime, fields: dict[str, Any]
) -> None:
    with ExitStack() as held:
        for number in range(SPEAKING):
            held.enter_context(runtime.admission.admit_speaker(str(number)))
        response = post(client, **fields)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert f"speaking {SPEAKING} texts" in error_of(response)["message"]
        assert runtime.admission.working.taken == 0
        assert post(client).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_the_demo_model_says_what_it_is(client: FlaskClient, runtime: Runtime, stream: bool) -> None:
    assert runtime.facts
    assert "x-model-notice" not in post(client, PING, stream=stream).headers
    runtime.models.facts = replace(runtime.facts, notice="demo model, not for human speech")
    assert post(client, PING, stream=stream).headers["x-model-notice"] == "demo model, not for human speech"


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


@pytest.fixture
def forwarding(
    upstream: UpstreamServer, engine: ScriptedEngine, synthesizer: ScriptedSynthesizer
) -> FlaskClient:
    settings = Settings(speech_floor=0, chat_upstream_url=upstream.url, chat_upstream_key="secret")
    return create_app(settings, Runtime(settings, engine, synthesizer)).test_client()


def test_the_upstream_answers_to_what_was_said(forwarding: FlaskClient, upstream: UpstreamServer) -> None:
    upstream.answers(completion())
    body = {"model": "anything", "messages": [question()], "temperature": 0.5}
    response = forwarding.post(URL, json=body, headers={"Authorization": "Bearer the client's own"})
    assert conforming("chat_completion", response.json) == completion()
    said = [{"type": "text", "text": "What?"}, {"type": "text", "text": "Hello there."}]
    assert upstream.received == [body | {"messages": [{"role": "user", "content": said}]}]
    assert upstream.received_headers[0]["Authorization"] == "Bearer secret"


def test_the_upstream_answers_text_too(forwarding: FlaskClient, upstream: UpstreamServer) -> None:
    upstream.answers(completion("Yes?"))
    assert post(forwarding, PING).json["choices"][0]["message"]["content"] == "Yes?"
    assert upstream.received[0]["messages"] == [PING]


def test_usage_that_the_upstream_left_out_is_counted(
    forwarding: FlaskClient, upstream: UpstreamServer
) -> None:
    upstream.answers(completion("Sunny.", usage=None))
    usage = conforming("chat_completion", post(forwarding).json)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (25, 6)


def test_the_upstreams_answer_spoken(forwarding: FlaskClient, upstream: UpstreamServer) -> None:
    upstream.answers(completion("Sunny."))
    message = conforming("chat_completion", post(forwarding, **SPOKEN).json)["choices"][0]["message"]
    assert message["content"] == message["audio"]["transcript"] == "Sunny."
    assert upstream.received[0].keys() == {"model", "messages"}


TWO_SENTENCES = "a" * 1_000 + ". " + "b" * 1_000 + ". "


@pytest.mark.slow
@pytest.mark.parametrize(("copies", "spoken"), [(1, True), (2, False)])
def test_copies_of_a_spoken_reply_share_the_time(
    client: FlaskClient, synthesizer: ScriptedSynthesizer, copies: int, spoken: bool
) -> None:
    """A thousand seconds each, of 1,800 in all."""
    synthesizer.slow = 10_000
    answer = post(client, n=copies, **SPOKEN | {"audio": {"voice": "alloy", "format": "pcm16"}}).json
    for choice in answer["choices"]:
        assert choice["message"]["audio"]["transcript"] == "Hello there."
        assert bool(choice["message"]["audio"]["data"]) is spoken
    assert synthesizer.open == 0


@pytest.mark.slow
def test_spoken_replies_of_the_upstream_share_the_time(
    forwarding: FlaskClient, upstream: UpstreamServer, synthesizer: ScriptedSynthesizer
) -> None:
    synthesizer.slow = 100
    choices = [
        {"index": number, "message": {"role": "assistant", "content": "a" * 1_000}} for number in range(3)
    ]
    upstream.answers(completion(choices=choices))
    answer = post(forwarding, **SPOKEN | {"audio": {"voice": "alloy", "format": "pcm16"}}).json
    assert [bool(choice["message"]["audio"]["data"]) for choice in answer["choices"]] == [True, False, False]
    assert (len(synthesizer.said), synthesizer.open) == (2, 0)  # the third is not even tried


@pytest.mark.slow
def test_the_sound_of_a_streamed_reply_ends_with_the_time(
    forwarding: FlaskClient, upstream: UpstreamServer, synthesizer: ScriptedSynthesizer
) -> None:
    synthesizer.slow = 100
    upstream.streams(chunk({"content": TWO_SENTENCES}), chunk({"content": "And more. "}), "[DONE]")
    stream = chunks(post(forwarding, **STREAMED))
    assert text_of(stream) == TWO_SENTENCES + "And more. "
    assert len(sound_of(audio_of(stream))) == 1_800 * 48_000
    assert (len(synthesizer.said), synthesizer.open) == (1, 0)


def test_the_upstreams_stream(forwarding: FlaskClient, upstream: UpstreamServer) -> None:
    sent = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Sun"}), chunk(None, usage=USAGE)]
    upstream.streams(*sent, "[DONE]")
    assert chunks(post(forwarding, stream=True, stream_options={"include_usage": True})) == sent
    assert upstream.received[0]["stream"] is True


def test_the_upstreams_stream_spoken_and_counted(
    forwarding: FlaskClient, upstream: UpstreamServer, synthesizer: ScriptedSynthesizer
) -> None:
    end = chunk({})
    end["choices"][0]["finish_reason"] = "stop"
    upstream.streams(
        chunk({"content": "Sun"}), chunk({"content": "ny. I"}), chunk({"content": "t is."}), end, "[DONE]"
    )
    stream = chunks(post(forwarding, stream_options={"include_usage": True}, **STREAMED))
    spoken = audio_of(stream)
    assert "".join(piece.get("transcript", "") for piece in spoken) == text_of(stream) == "Sunny. It is."
    assert [said[0].strip() for said in synthesizer.said] == ["Sunny.", "It is."]
    assert len(sound_of(spoken)) == 2 * SAMPLES_PER_CHARACTER * len("SunnyIt is")
    assert ["id" in piece for piece in spoken].index(True) == 0
    assert stream[-2]["choices"][0]["finish_reason"] == "stop"
    assert "expires_at" in stream[-3]["choices"][0]["delta"]["audio"]
    assert (stream[-1]["choices"], stream[-1]["usage"]["completion_tokens_details"]["text_tokens"]) == (
        [],
        13,
    )
    assert stream[-1]["usage"]["completion_tokens_details"]["audio_tokens"] == 2


def test_the_upstreams_stream_spoken_without_an_end(
    forwarding: FlaskClient, upstream: UpstreamServer
) -> None:
    upstream.streams(chunk({"content": "Sunny"}), "[DONE]")
    spoken = audio_of(chunks(post(forwarding, **STREAMED)))
    assert len(sound_of(spoken)) == 2 * SAMPLES_PER_CHARACTER * len("Sunny")
    assert "expires_at" in spoken[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstreams_errors(forwarding: FlaskClient, upstream: UpstreamServer, stream: bool) -> None:
    error = {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    upstream.answers({"error": error}, 429, **{"Retry-After": "3"})
    response = post(forwarding, stream=stream)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3")
    assert error_of(response) == error


def test_a_stream_of_the_upstream_that_breaks(forwarding: FlaskClient, upstream: UpstreamServer) -> None:
    upstream.streams(chunk({"content": "Sun"}), "<html>")
    first, last, rest = post(forwarding, stream=True).text.split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"]
    error = read_as("error", last.removeprefix("data: "))["error"]
    assert (error["type"], rest) == ("server_error", "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_dead_upstream(engine: ScriptedEngine, stream: bool) -> None:
    settings = Settings(speech_floor=0, chat_upstream_url=f"http://127.0.0.1:{free_port()}/v1")
    client = create_app(settings, Runtime(settings, engine)).test_client()
    response = post(client, stream=stream)
    assert response.status_code == 502
    error = error_of(response)
    assert (error["message"], error["type"]) == (
        "The upstream server can't be reached or broke off.",
        "server_error",
    )


@pytest.fixture
def sdk(settings: Settings, runtime: Runtime) -> Iterator[openai.OpenAI]:
    transport = httpx2.WSGITransport(app=create_app(settings, runtime))
    with (
        httpx2.Client(transport=transport) as http,
        openai.OpenAI(base_url="http://host/v1", api_key="any", http_client=http, max_retries=0) as sdk,
    ):
        yield sdk


def test_the_sdk_gets_its_objects(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="gpt-audio", messages=[question()], **SPOKEN)
    assert answer.choices[0].message.audio.transcript == "Hello there."
    assert answer.usage.prompt_tokens_details.audio_tokens == 20
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="gpt-audio", messages=[])
    assert caught.value.param == "messages"


def test_the_sdk_joins_the_stream(sdk: openai.OpenAI) -> None:
    spoken = {name: value for name, value in STREAMED.items() if name != "stream"}
    with sdk.chat.completions.stream(model="gpt-audio", messages=[question()], **spoken) as stream:
        stream.until_done()
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Hello there."
    assert message.audio.transcript == "Hello there."
    assert message.audio.id.count("audio_") == 1
    assert len(b64decode(message.audio.data)) == 2 * SAMPLES_PER_CHARACTER * len("Hello there")
