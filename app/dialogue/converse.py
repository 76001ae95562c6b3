"""A conversation -> this server's own reply: the transcript of its recordings."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from app.dialogue.audio_parts import AudioTranscriber, transcribe_audio_parts
from app.dialogue.request import ChatRequest, check_all_audio

NOTE = "This server writes down what is said in audio. Send a recording as an 'input_audio' part."
"""The answer to a conversation without recordings: clients check their credentials with one."""


@dataclass(frozen=True)
class Usage:
    """Tokens of a conversation. `text_tokens` are those of its texts, `reply_tokens` those of one reply."""

    audio_tokens: int
    text_tokens: int
    reply_tokens: int


@dataclass(frozen=True)
class ReplyDelta:
    """One more piece of the reply. Only the last delta has a `usage`, that of all."""

    text: str = ""
    usage: Usage | None = None


def converse(request: ChatRequest, transcriber: AudioTranscriber) -> Generator[ReplyDelta, None, None]:
    """The reply in pieces, each as soon as it is transcribed. Closing the generator ends the work.

    Raises InvalidParameter for parts that are not audio; iterating raises what transcribing raises.
    """
    check_all_audio(request)
    if request.recordings:
        return _transcript_reply(request, transcriber)
    return _note_reply(request, transcriber)


def text_tokens(request: ChatRequest, transcriber: AudioTranscriber) -> int:
    """How many tokens the texts of a conversation have."""
    return sum(map(transcriber.count_tokens, request.texts))


def _transcript_reply(
    request: ChatRequest, transcriber: AudioTranscriber
) -> Generator[ReplyDelta, None, None]:
    audio_tokens = reply_tokens = 0
    with closing(transcribe_audio_parts(request.last_recordings, transcriber)) as deltas:
        for delta in deltas:
            if delta.text:
                yield ReplyDelta(delta.text)
            if delta.usage:
                audio_tokens += delta.usage.audio_tokens
                reply_tokens += delta.usage.output_tokens
    yield ReplyDelta(usage=Usage(audio_tokens, text_tokens(request, transcriber), reply_tokens))


def _note_reply(request: ChatRequest, transcriber: AudioTranscriber) -> Generator[ReplyDelta, None, None]:
    text = "Pong" if request.question.strip().lower() == "ping" else NOTE
    yield ReplyDelta(text)
    yield ReplyDelta(usage=Usage(0, text_tokens(request, transcriber), transcriber.count_tokens(text)))
