from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.formats.render_options import RenderOptions
from app.formats.stream_events import Events, speaker_events, text_events
from app.transcript import TokenLogprob, TokenUsage, Transcript, TranscriptDelta
from tests.openai_spec import conforming

USAGE = TokenUsage(audio_tokens=23, prompt_tokens=4, output_tokens=9)


def deltas(talk: Transcript, *texts: str, rest: str = "") -> Iterator[TranscriptDelta]:
    """One delta for each text, told by alternating speakers, each with one token."""
    for number, text in enumerate(texts):
        token = TokenLogprob(text, text.encode(), -float(number))
        segment = replace(talk.segments[0], id=number, text=text, logprobs=(token,), speaker="AB"[number % 2])
        yield TranscriptDelta("en", text, segment)
    yield TranscriptDelta("en", rest, usage=USAGE)


def conform(events: Events) -> list[dict]:
    return [conforming("transcription_stream_event", event) for event in events]


def test_pieces_then_the_whole(talk: Transcript) -> None:
    *pieces, done = conform(text_events(deltas(talk, "Good", " morning."), RenderOptions()))
    assert pieces == [
        {"type": "transcript.text.delta", "delta": "Good"},
        {"type": "transcript.text.delta", "delta": " morning."},
    ]
    assert (done["type"], done["text"]) == ("transcript.text.done", "Good morning.")
    assert done["usage"]["total_tokens"] == 36
    assert set(done) == {"type", "text", "usage"}


def test_an_event_comes_before_the_next_delta_is_heard(talk: Transcript) -> None:
    heard = deltas(talk, "Good", " morning.")
    events = text_events(heard, RenderOptions())
    assert next(events)["delta"] == "Good"
    assert next(heard).text == " morning."


def test_a_delta_without_text_is_no_event_but_its_tokens_are_told(talk: Transcript) -> None:
    options = RenderOptions(logprobs=True)
    *pieces, done = conform(text_events(deltas(talk, "", "Hi", "", " you", rest="!"), options))
    assert [piece["delta"] for piece in pieces] == ["Hi", " you", "!"]
    assert [[token["token"] for token in piece["logprobs"]] for piece in pieces] == [
        ["", "Hi"],
        ["", " you"],
        [],
    ]
    assert [token["token"] for token in done["logprobs"]] == ["", "Hi", "", " you"]


@pytest.mark.parametrize(("texts", "languages"), [(["Hi"], [{"code": "en"}]), ([], [])])
def test_languages(talk: Transcript, texts: list[str], languages: list[dict[str, str]]) -> None:
    *_, done = conform(text_events(deltas(talk, *texts), RenderOptions(languages=True)))
    assert done["languages"] == languages


def test_speakers(talk: Transcript) -> None:
    *segments, done = conform(speaker_events(deltas(talk, " Hello.", " Hi!"), RenderOptions()))
    assert [(segment["id"], segment["speaker"], segment["text"]) for segment in segments] == [
        ("seg_001", "A", "Hello."),
        ("seg_002", "B", "Hi!"),
    ]
    assert done["text"] == "A: Hello.\nB: Hi!"


@pytest.mark.parametrize("events", [text_events, speaker_events])
def test_silence_is_done_at_once(talk: Transcript, events) -> None:
    [done] = conform(events(deltas(talk), RenderOptions()))
    assert done["text"] == ""


@pytest.mark.parametrize("events", [text_events, speaker_events])
def test_closing_the_events_closes_the_deltas(talk: Transcript, events) -> None:
    closed = []

    def heard() -> Iterator[TranscriptDelta]:
        try:
            yield from deltas(talk, "Good", " morning.")
        finally:
            closed.append(True)

    running = events(heard(), RenderOptions())
    next(running)
    running.close()
    assert closed == [True]
