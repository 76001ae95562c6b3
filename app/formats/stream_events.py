"""stream=true: a transcript as the events that tell it while it is being heard."""

from collections.abc import Generator, Iterable
from typing import Any

from app.formats.diarized_json import conversation, speaker_segment
from app.formats.evidence import languages, logprobs
from app.formats.usage import token_usage
from app.formats.wishes import Wishes
from app.transcript import Segment, TranscriptDelta

Event = dict[str, Any]
Events = Generator[Event, None, None]


def text_events(deltas: Iterable[TranscriptDelta], wishes: Wishes) -> Events:
    """An event for each piece of text, then the whole of it: the pieces joined are the whole."""
    told: list[TranscriptDelta] = []
    untold: list[Segment] = []
    for delta in deltas:
        told.append(delta)
        untold += _segments([delta])
        if delta.text:
            event = {"type": "transcript.text.delta", "delta": delta.text}
            yield event | _evidence(untold, wishes)
            untold.clear()
    text = "".join(delta.text for delta in told)
    yield _done(text, told[-1], wishes, _evidence(_segments(told), wishes))


def speaker_events(deltas: Iterable[TranscriptDelta], wishes: Wishes) -> Events:
    """An event for each segment with its speaker, then the whole conversation."""
    told: list[TranscriptDelta] = []
    for delta in deltas:
        told.append(delta)
        yield from map(speaker_segment, _segments([delta]))
    yield _done(conversation(_segments(told)), told[-1], wishes, {})


def _segments(deltas: Iterable[TranscriptDelta]) -> list[Segment]:
    return [delta.segment for delta in deltas if delta.segment]


def _evidence(segments: Iterable[Segment], wishes: Wishes) -> Event:
    return {"logprobs": logprobs(segments)} if wishes.logprobs else {}


def _done(text: str, last: TranscriptDelta, wishes: Wishes, evidence: Event) -> Event:
    event: Event = {"type": "transcript.text.done", "text": text, **evidence}
    if wishes.languages:
        event["languages"] = languages(last.language, text)
    if last.usage:
        event["usage"] = token_usage(last.usage)
    return event
