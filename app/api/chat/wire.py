"""The objects of OpenAI's chat API."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from app.api.chat.voice import Json, Voice
from app.dialogue.converse import Usage
from app.dialogue.request import ChatRequest


@dataclass(frozen=True)
class Completion:
    """The fields that all chunks of one answer share.

    `choices` is how many equal choices there are; `counts` whether a stream ends with its usage.
    """

    id: str
    created: int
    model: str
    choices: int
    counts: bool
    voice: Voice | None
    fingerprint: str

    @classmethod
    def of(cls, request: ChatRequest, counts: bool, voice: Voice | None, fingerprint: str) -> "Completion":
        """A new one."""
        return cls(
            id=f"chatcmpl-{uuid4().hex}",
            created=int(time.time()),
            model=request.model,
            choices=request.choices,
            counts=counts,
            voice=voice,
            fingerprint=fingerprint,
        )

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
            "usage": self._usage(usage),
        }

    def opening(self) -> Iterator[Json]:
        """The chunks before any text."""
        delta: Json = {"role": "assistant", "content": "", "refusal": None}
        yield from self._chunks(delta | ({"audio": self.voice.opening()} if self.voice else {}))

    def more(self, text: str) -> Iterator[Json]:
        """The chunks of a piece of text, and of the speech of the sentences that it completes."""
        yield from self._chunks({"content": text} | ({"audio": {"transcript": text}} if self.voice else {}))
        if self.voice:
            yield from self._spoken(self.voice.sound(text))

    def closing(self, usage: Usage) -> Iterator[Json]:
        """The chunks after all text."""
        if self.voice:
            yield from self._spoken(self.voice.closing())
        yield from self._chunks({}, "stop")
        if self.counts:
            yield self._chunk([]) | {"usage": self._usage(usage)}

    def _spoken(self, audio: Iterator[Json]) -> Iterator[Json]:
        for piece in audio:
            yield from self._chunks({"audio": piece})

    def _usage(self, usage: Usage) -> Json:
        return usage_object(usage, self.choices, self.voice.audio_tokens if self.voice else 0)

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
            "system_fingerprint": self.fingerprint,
        }


def usage_object(usage: Usage, choices: int, spoken_tokens: int = 0) -> Json:
    """OpenAI's CompletionUsage for `choices` equal replies, each with `spoken_tokens` of speech."""
    prompt_tokens = usage.audio_tokens + usage.text_tokens
    written, spoken = usage.reply_tokens * choices, spoken_tokens * choices
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written + spoken,
        "total_tokens": prompt_tokens + written + spoken,
        "prompt_tokens_details": {
            "audio_tokens": usage.audio_tokens,
            "cached_tokens": 0,
            "text_tokens": usage.text_tokens,
        },
        "completion_tokens_details": {
            "audio_tokens": spoken,
            "reasoning_tokens": 0,
            "text_tokens": written,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
