"""The server's events, held against the SDK's own types."""

import json
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from app.errors import EngineFailure, InvalidParameter
from app.formats import RenderOptions
from app.realtime import events
from app.transcript import Segment, TokenLogprob, TokenUsage, Transcript

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def checked(event: events.Event) -> Any:
    return EVENTS.validate_json(json.dumps(event), strict=True)


def test_ids_differ() -> None:
    assert len({events.new_id("item") for _ in range(1_000)}) == 1_000
    assert events.new_id("sess").startswith("sess_")


def test_an_item() -> None:
    committed, added, done = (checked(event) for event in events.committed("item_1", "item_0"))
    assert (committed.item_id, committed.previous_item_id) == ("item_1", "item_0")
    assert added.item == done.item
    assert (done.item.id, done.item.role, done.item.status) == ("item_1", "user", "completed")


def test_a_delta() -> None:
    delta = checked(events.delta("item_1", " words"))
    assert (delta.item_id, delta.content_index, delta.delta) == ("item_1", 0, " words")


def test_errors_say_what_and_where() -> None:
    wrong = InvalidParameter("Wrong.", param="audio", code="some_code")
    error = checked(events.error_event(wrong, "mine")).error
    assert (error.type, error.code, error.message) == ("invalid_request_error", "some_code", "Wrong.")
    assert (error.param, error.event_id) == ("audio", "mine")
    assert checked(events.error_event(wrong, None)).error.event_id is None


def test_what_failed() -> None:
    failed = checked(events.failed("item_1", EngineFailure("The model failed.")))
    assert (failed.item_id, failed.error.message) == ("item_1", "The model failed.")


def test_a_transcript_whose_use_is_counted_in_seconds() -> None:
    transcript = Transcript("transcribe", "en", 1.5, " Some words. ")
    completed = checked(events.completed("item_1", transcript, RenderOptions()))
    assert (completed.item_id, completed.transcript) == ("item_1", "Some words.")
    assert (completed.usage.type, completed.usage.seconds) == ("duration", 2)
    assert completed.logprobs is None


def test_a_transcript_with_all_that_may_be_asked_for() -> None:
    token = TokenLogprob(" words", b" words", -0.25)
    segment = Segment(0, 0, 0.0, 1.5, " words", (1,), 0.0, -0.1, 1.0, 0.0, logprobs=(token,), language="en")
    transcript = Transcript("transcribe", "en", 1.5, " words", (segment,), TokenUsage(15, 2, 1))
    options = RenderOptions(logprobs=True, languages=True, token_usage=True)
    event = events.completed("item_1", transcript, options)
    completed = checked(event)
    assert [(entry.token, entry.logprob) for entry in completed.logprobs] == [(" words", -0.25)]
    assert (completed.usage.input_tokens, completed.usage.total_tokens) == (17, 18)
    assert event["languages"]
