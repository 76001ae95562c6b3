"""stream=true: a transcript as events, sent while the recording is being transcribed."""

from collections.abc import Generator, Iterable
from typing import Any

from app.formats.diarized_json import conversation, speaker_segment
from app.formats.render_options import RenderOptions
from app.formats.token_details import languages, logprobs
from app.formats.usage import token_usage
from app.formats.verbose_json import segment_object, spoken_words, verbose_object, word_with_probability
from app.transcript import Segment, Transcript, TranscriptDelta

Event = dict[str, Any]
Events = Generator[Event, None, None]


def text_events(deltas: Iterable[TranscriptDelta], options: RenderOptions) -> Events:
    """An event for each piece of text, then the whole text, which equals the pieces joined."""
    received: list[TranscriptDelta] = []
    unsent_segments: list[Segment] = []
    for delta in deltas:
        received.append(delta)
        unsent_segments += _segments([delta])
        if delta.text:
            event = {"type": "transcript.text.delta", "delta": delta.text}
            yield event | _token_details(unsent_segments, options)
            unsent_segments.clear()
    text = "".join(delta.text for delta in received)
    yield _done(text, received, options, _token_details(_segments(received), options))


def verbose_events(deltas: Iterable[TranscriptDelta], options: RenderOptions) -> Events:
    """An event for each segment, with its words where they were asked for; then the verbose object.

    Not OpenAI's, which streams no `verbose_json`. A word also has its `probability`.
    """
    received: list[TranscriptDelta] = []
    for delta in deltas:
        received.append(delta)
        if delta.segment or delta.text:
            yield {"type": "transcript.text.delta", "delta": delta.text} | _verbose_details(delta, options)
    last, text = received[-1], "".join(delta.text for delta in received)
    segments = tuple(_segments(received))
    transcript = Transcript("transcribe", last.language, last.duration_seconds, text, segments)
    yield {"type": "transcript.text.done"} | verbose_object(transcript, options) | {"text": text}


def _verbose_details(delta: TranscriptDelta, options: RenderOptions) -> Event:
    if not delta.segment:
        return {}
    segment = segment_object(delta.segment)
    if options.asks_words():
        segment["words"] = [word_with_probability(word) for word in spoken_words(delta.segment, "transcribe")]
    return {"segment": segment}


def speaker_events(deltas: Iterable[TranscriptDelta], options: RenderOptions) -> Events:
    """An event for each segment with its speaker, then the whole conversation."""
    received: list[TranscriptDelta] = []
    for delta in deltas:
        received.append(delta)
        yield from map(speaker_segment, _segments([delta]))
    yield _done(conversation(_segments(received)), received, options, {})


def _segments(deltas: Iterable[TranscriptDelta]) -> list[Segment]:
    return [delta.segment for delta in deltas if delta.segment]


def _token_details(segments: Iterable[Segment], options: RenderOptions) -> Event:
    return {"logprobs": logprobs(segments)} if options.logprobs else {}


def _done(text: str, received: list[TranscriptDelta], options: RenderOptions, token_details: Event) -> Event:
    event: Event = {"type": "transcript.text.done", "text": text, **token_details}
    if options.languages:
        event["languages"] = languages(_segments(received))
    if usage := received[-1].usage:
        event["usage"] = token_usage(usage)
    return event
