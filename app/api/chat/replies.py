"""A reply as OpenAI's `chat.completion`, or as its `chat.completion.chunk`s."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import Any, Protocol

from app.api.chat.voice import Json, Voice
from app.api.chat.wire import Completion, usage_object
from app.api.form_values import Fields
from app.dialogue.audio_parts import ConversationTranscriber, texts_of_audio_parts
from app.dialogue.converse import Usage, converse, text_tokens
from app.dialogue.request import ChatRequest
from app.dialogue.upstream import Upstream, upstream_body

Voices = Callable[..., Voice] | None
"""Makes the voice of each reply, of which there may be several `copies`; None for replies in text."""


class Reply(Protocol):
    """A reply, from this server or an upstream."""

    def whole(self) -> Json:
        """The `chat.completion`."""

    def chunks(self) -> Generator[Json, None, None]:
        """The `chat.completion.chunk`s, each as soon as its text is known."""


class OwnReply:
    """This server's own reply: the transcript."""

    def __init__(
        self,
        fields: Fields,
        request: ChatRequest,
        transcriber: ConversationTranscriber,
        voices: Voices,
        fingerprint: str,
    ) -> None:
        self._request = request
        self._transcriber = transcriber
        voice = voices(copies=request.choices) if voices else None
        self._completion = Completion.of(request, _include_usage(fields), voice, fingerprint)

    def whole(self) -> Json:
        """The whole transcript."""
        *deltas, last = converse(self._request, self._transcriber)
        assert last.usage is not None
        return self._completion.whole("".join(delta.text for delta in deltas), last.usage)

    def chunks(self) -> Generator[Json, None, None]:
        """Segment by segment. No chunk comes before the first segment, so that errors keep their status."""
        with closing(converse(self._request, self._transcriber)) as deltas:
            for number, delta in enumerate(deltas):
                if not number:
                    yield from self._completion.opening()
                if delta.text:
                    yield from self._completion.more(delta.text)
                if delta.usage:
                    yield from self._completion.closing(delta.usage)


class UpstreamReply:
    """The upstream's reply to the conversation with transcripts in place of recordings."""

    def __init__(
        self,
        fields: Fields,
        request: ChatRequest,
        transcriber: ConversationTranscriber,
        voices: Voices,
        upstream: Upstream,
    ) -> None:
        self._fields = fields
        self._request = request
        self._transcriber = transcriber
        self._upstream = upstream
        self._voices = defaultdict[Any, Voice](voices) if voices else None

    def whole(self) -> Json:
        """The upstream's answer, with a `usage` if it has none."""
        body, audio_tokens = self._upstream_request()
        answer = self._upstream.ask(body, self._transcriber.context)
        messages = [_dict(choice, "message") for choice in answer["choices"]]
        if self._voices is not None:
            for number, message in enumerate(messages):
                message["audio"] = self._voices[number].whole(_content(message))
        if not answer.get("usage"):
            answer["usage"] = self._usage(audio_tokens, [_content(message) for message in messages])
        return answer

    def chunks(self) -> Generator[Json, None, None]:
        """The upstream's chunks as they come, each sentence followed by its speech."""
        body, audio_tokens = self._upstream_request()
        counted, reply_texts, chunk = False, list[str](), dict[str, Any]()
        for chunk in self._upstream.stream(body, self._transcriber.context):
            counted = counted or bool(chunk.get("usage"))
            yield from self._sound(chunk, finished=True)
            reply_texts += self._texts(chunk)
            yield chunk
            yield from self._sound(chunk, finished=False)
        for index, voice in (self._voices or {}).items():  # for an upstream that ends without a finish_reason
            yield from (_spoken(chunk, index, audio) for audio in voice.closing())
        if _include_usage(self._fields) and not counted:
            yield {**chunk, "choices": [], "usage": self._usage(audio_tokens, reply_texts)}

    def _upstream_request(self) -> tuple[Json, int]:
        recordings = self._request.recordings
        texts, audio_tokens = texts_of_audio_parts(recordings, self._transcriber)
        return upstream_body(self._fields, recordings, texts), audio_tokens

    def _texts(self, chunk: Json) -> Iterator[str]:
        """The texts of a chunk. With voices, each is also written to the chunk as `audio.transcript`."""
        for choice in chunk.get("choices") or []:
            delta = _dict(choice, "delta")
            if text := _content(delta):
                if self._voices is not None:
                    new = choice.get("index") not in self._voices
                    voice = self._voices[choice.get("index")]
                    delta["audio"] = (voice.opening() if new else {}) | {"transcript": text}
                yield text

    def _sound(self, chunk: Json, *, finished: bool) -> Iterator[Json]:
        """Chunks with the speech of a chunk's text, of those choices that it finishes, or of the others.

        The speech of the former is sent before the chunk, that of the latter after it.
        """
        for choice in chunk.get("choices") or []:
            if self._voices is None or bool(choice.get("finish_reason")) != finished:
                continue
            voice = self._voices[choice.get("index")]
            sounds = voice.sound(_content(_dict(choice, "delta")))
            for audio in chain(sounds, voice.closing() if finished else ()):
                yield _spoken(chunk, choice.get("index"), audio)

    def _usage(self, audio_tokens: int, reply_texts: list[str]) -> Json:
        reply_tokens = sum(map(self._transcriber.count_tokens, reply_texts))
        written_tokens = text_tokens(self._request, self._transcriber)
        spoken_tokens = sum(voice.audio_tokens for voice in (self._voices or {}).values())
        return usage_object(Usage(audio_tokens, written_tokens, reply_tokens), 1, spoken_tokens)


def _spoken(chunk: Json, index: Any, audio: Json) -> Json:
    """A chunk like this one, with speech."""
    choice = {"index": index, "delta": {"audio": audio}, "finish_reason": None}
    return {**chunk, **({"usage": None} if "usage" in chunk else {}), "choices": [choice]}


def _include_usage(fields: Fields) -> bool:
    return bool((fields.get("stream_options") or {}).get("include_usage"))


def _dict(holder: Any, name: str) -> Json:
    """The object under a name in an upstream's choice, {} if it is none."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def _content(message: Json) -> str:
    """The text of an upstream's message or delta, "" if it is none."""
    value = message.get("content")
    return value if isinstance(value, str) else ""
