"""The objects of OpenAI's chat API."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from app.dialogue.converse import Usage
from app.dialogue.request import ChatRequest

Json = dict[str, Any]

_VOICE_SECONDS = 3_600


@dataclass(frozen=True)
class Voice:
    """The spoken side of a reply. `data`, the sound itself, stays empty while there is no synthesizer."""

    id: str
    expires_at: int

    @classmethod
    def new(cls) -> "Voice":
        """One that expires in an hour."""
        return cls(f"audio_{uuid4().hex}", int(time.time()) + _VOICE_SECONDS)

    def whole(self, transcript: str) -> Json:
        """A message's `audio`."""
        return {"id": self.id, "expires_at": self.expires_at, "transcript": transcript, "data": ""}

    def opening(self) -> Json:
        """The `audio` of the first delta. Clients join the strings of all deltas, so the id comes once."""
        return {"id": self.id, "transcript": ""}

    def piece(self, transcript: str) -> Json:
        """The `audio` of a delta in between."""
        return {"transcript": transcript}

    def closing(self) -> Json:
        """The `audio` of the last delta."""
        return {"expires_at": self.expires_at}


@dataclass(frozen=True)
class Completion:
    """One answer: what is the same in all that is sent of it.

    `choices` is how many alike there are; `counts` whether a stream ends with its usage.
    """

    id: str
    created: int
    model: str
    choices: int
    counts: bool
    voice: Voice | None

    @classmethod
    def of(cls, request: ChatRequest, counts: bool) -> "Completion":
        """A new one."""
        voice = Voice.new() if request.spoken else None
        return cls(f"chatcmpl-{uuid4().hex}", int(time.time()), request.model, request.choices, counts, voice)

    def whole(self, text: str, usage: Usage) -> Json:
        """The `chat.completion`."""
        message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if self.voice:
            message["audio"] = self.voice.whole(text)
        choices = [
            {"index": index, "message": message, "finish_reason": "stop", "logprobs": None}
            for index in range(self.choices)
        ]
        return self._head("chat.completion") | {
            "choices": choices,
            "usage": usage_object(usage, self.choices),
        }

    def opening(self) -> Iterator[Json]:
        """The chunks before any text."""
        delta: Json = {"role": "assistant", "content": "", "refusal": None}
        yield from self._chunks(delta | ({"audio": self.voice.opening()} if self.voice else {}))

    def more(self, text: str) -> Iterator[Json]:
        """The chunks of a piece of text."""
        yield from self._chunks({"content": text} | ({"audio": self.voice.piece(text)} if self.voice else {}))

    def closing(self, usage: Usage) -> Iterator[Json]:
        """The chunks after all text."""
        if self.voice:
            yield from self._chunks({"audio": self.voice.closing()})
        yield from self._chunks({}, "stop")
        if self.counts:
            yield self._chunk([]) | {"usage": usage_object(usage, self.choices)}

    def _chunks(self, delta: Json, finish_reason: str | None = None) -> Iterator[Json]:
        """The same for every choice."""
        for index in range(self.choices):
            choice = {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
            yield self._chunk([choice])

    def _chunk(self, choices: list[Json]) -> Json:
        usage = {"usage": None} if self.counts else {}
        return self._head("chat.completion.chunk") | {"choices": choices} | usage

    def _head(self, kind: str) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": None,
            "system_fingerprint": None,
        }


def usage_object(usage: Usage, choices: int) -> Json:
    """OpenAI's CompletionUsage for so many replies alike."""
    prompt_tokens = usage.audio_tokens + usage.text_tokens
    completion_tokens = usage.reply_tokens * choices
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {
            "audio_tokens": usage.audio_tokens,
            "cached_tokens": 0,
            "text_tokens": usage.text_tokens,
        },
        "completion_tokens_details": {
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "text_tokens": completion_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
