"""A conversation -> this server's own reply: what was said in its recordings."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.dialogue.heard import Listener, hear_all
from app.dialogue.request import ChatRequest, check_all_heard

NOTE = "This server writes down what is said in audio. Send a recording as an 'input_audio' part."
"""The answer where there is nothing to hear: clients check their credentials with such requests."""


@dataclass(frozen=True)
class Usage:
    """Tokens of a conversation. `text_tokens` are those of its written part, `reply_tokens` of one reply."""

    audio_tokens: int
    text_tokens: int
    reply_tokens: int


@dataclass(frozen=True)
class ReplyDelta:
    """One more piece of the reply. Only the last delta has a `usage`, that of all."""

    text: str = ""
    usage: Usage | None = None


def converse(request: ChatRequest, listener: Listener) -> Iterator[ReplyDelta]:
    """The reply in pieces: each as soon as it was heard.

    Raises InvalidParameter for parts that can't be heard, and what hearing them raises.
    """
    check_all_heard(request)
    if request.recordings:
        return _repeat(request, listener)
    return _note(request, listener)


def text_tokens(request: ChatRequest, listener: Listener) -> int:
    """How many tokens the written part of a conversation has."""
    return sum(map(listener.count_tokens, request.texts))


def _repeat(request: ChatRequest, listener: Listener) -> Iterator[ReplyDelta]:
    audio_tokens = reply_tokens = 0
    for delta in hear_all(request.last_recordings, listener):
        if delta.text:
            yield ReplyDelta(delta.text)
        if delta.usage:
            audio_tokens += delta.usage.audio_tokens
            reply_tokens += delta.usage.output_tokens
    yield ReplyDelta(usage=Usage(audio_tokens, text_tokens(request, listener), reply_tokens))


def _note(request: ChatRequest, listener: Listener) -> Iterator[ReplyDelta]:
    text = "Pong" if request.question.strip().lower() == "ping" else NOTE
    yield ReplyDelta(text)
    yield ReplyDelta(usage=Usage(0, text_tokens(request, listener), listener.count_tokens(text)))
