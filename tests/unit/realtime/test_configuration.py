"""Merging what clients send, one update after the other."""

from typing import Any

import pytest

from app.errors import InvalidLanguage, UnsupportedValue
from app.realtime.configuration import LIVE_MODELS, LOGPROBS, Configuration, Fields
from app.realtime.interface import TurnDetection
from app.requests.parse import AudioRequest, parse


def parsed(fields: Fields) -> AudioRequest:
    return parse(fields, "transcribe")


def updated(*inputs: Fields, start: Configuration | None = None, **session: Any) -> Configuration:
    """A configuration after an update for each `audio.input`."""
    configuration = start or Configuration()
    for fields in inputs:
        configuration = configuration.updated({**session, "audio": {"input": fields}}, parsed)
    return configuration


def test_at_first_there_is_no_transcription() -> None:
    assert Configuration().transcription is None
    assert Configuration().described == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                },
            }
        },
        "include": None,
    }


def test_what_is_not_sent_stays() -> None:
    first = updated({"transcription": {"model": "whisper-1", "language": "de"}}, include=[LOGPROBS])
    second = updated({"transcription": {"prompt": "x"}, "format": {"type": "audio/pcmu"}}, start=first)
    assert second.input["transcription"] == {"model": "whisper-1", "language": "de", "prompt": "x"}
    assert (second.format.type, second.include) == ("audio/pcmu", [LOGPROBS])
    third = second.updated({}, parsed)
    assert third == second


def test_null_clears() -> None:
    first = updated(
        {
            "format": {"type": "audio/pcmu"},
            "transcription": {"language": "de", "model": "gpt-4o-transcribe"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "semantic_vad"},
        },
        include=[LOGPROBS],
    )
    cleared = updated({"transcription": {"language": None}, "noise_reduction": None}, start=first)
    assert cleared.input["transcription"] == {"model": "gpt-4o-transcribe"}
    named = updated({"transcription": {"model": None}}, start=first)
    assert named.input["transcription"] == {"model": "whisper-1", "language": "de"}
    assert cleared.input["noise_reduction"] is None
    assert updated({"turn_detection": None}, start=first).turn_detection is None
    assert updated({}, start=first, include=None).include is None
    assert updated({"transcription": None}, start=first).transcription is None
    assert updated({"format": None}, start=first).input["format"] == {"type": "audio/pcm", "rate": 24_000}


def test_null_clears_within_a_detection() -> None:
    detection = {"type": "server_vad", "threshold": 0.9, "silence_duration_ms": 800, "idle_timeout_ms": 6_000}
    first = updated({"turn_detection": detection})
    nulls = {"silence_duration_ms": None, "idle_timeout_ms": None}
    cleared = updated({"turn_detection": {"type": "server_vad", **nulls}}, start=first)
    assert cleared.turn_detection == TurnDetection("server_vad", 0.9, 300, 500)
    assert "idle_timeout_ms" not in cleared.input["turn_detection"]
    semantic = updated({"turn_detection": {"type": "semantic_vad", "eagerness": "low"}})
    again = updated({"turn_detection": {"type": "semantic_vad", "eagerness": None}}, start=semantic)
    assert again.turn_detection == TurnDetection("semantic_vad", eagerness="auto")


def test_the_request_is_what_was_told() -> None:
    told = {"model": "gpt-4o-transcribe", "language": "de", "prompt": "Wetter", "keywords": ["Regen"]}
    configuration = updated({"transcription": told}, include=[LOGPROBS])
    assert configuration.transcription is not None
    assert configuration.transcription.model == "gpt-4o-transcribe"
    request = configuration.transcription.request
    assert request.transcription.language == "de"
    assert request.transcription.logprobs
    assert "Wetter" in str(request.transcription.prompt) and "Regen" in str(request.transcription.prompt)


def test_a_model_in_the_url_is_that_of_sessions_that_name_none() -> None:
    started = Configuration("gpt-4o-mini-transcribe")
    assert updated({"transcription": {}}, start=started).input["transcription"] == {
        "model": "gpt-4o-mini-transcribe"
    }
    assert updated({"transcription": {"model": "whisper-1"}}, start=started).input["transcription"] == {
        "model": "whisper-1"
    }


def test_detections_are_merged_within_their_type() -> None:
    first = updated({"turn_detection": {"type": "server_vad", "threshold": 0.9}})
    second = updated({"turn_detection": {"type": "server_vad", "silence_duration_ms": 900}}, start=first)
    assert second.turn_detection == TurnDetection("server_vad", 0.9, 300, 900)
    third = updated({"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}, start=second)
    assert third.turn_detection == TurnDetection("semantic_vad", eagerness="low")
    fourth = updated({"turn_detection": {"type": "server_vad"}}, start=third)
    assert fourth.turn_detection == TurnDetection("server_vad")


def test_fields_of_openais_that_mean_nothing_here_are_kept() -> None:
    detection = {"type": "server_vad", "create_response": False, "idle_timeout_ms": None}
    assert updated({"turn_detection": detection}).turn_detection == TurnDetection("server_vad")


@pytest.mark.parametrize("model", LIVE_MODELS)
def test_models_for_sessions_alone_are_committed_by_hand(model: str) -> None:
    assert updated({"transcription": {"model": model}}).turn_detection is None
    for detection in ("server_vad", "semantic_vad"):
        with pytest.raises(UnsupportedValue, match="null") as caught:
            updated({"transcription": {"model": model}, "turn_detection": {"type": detection}})
        assert caught.value.param == "session.audio.input.turn_detection"


def test_errors_name_the_place() -> None:
    with pytest.raises(InvalidLanguage) as caught:
        updated({"transcription": {"language": "xx"}})
    assert caught.value.param == "session.audio.input.transcription.language"


def test_an_update_that_fails_changes_nothing() -> None:
    configuration = updated({"transcription": {"language": "de"}})
    before = configuration.described
    with pytest.raises(InvalidLanguage):
        updated({"format": {"type": "audio/pcma"}, "transcription": {"language": "xx"}}, start=configuration)
    assert configuration.described == before
