"""The speech of a chat's reply."""

import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from app.api.audio.speech import voice_name
from app.api.form_values import Fields
from app.errors import MissingParameter, SpeechTooLong, SpeechUnavailable, UnsupportedValue
from app.runtime import Runtime
from app.synthesis.encoded_speech import MAX_SECONDS, EncodedSpeech

Json = dict[str, Any]

_EXPIRES_SECONDS = 3_600
_LONGEST = 32_768
"""The most characters of a reply that are spoken: about half an hour."""
_SENTENCE = re.compile(r".+?(?:[.!?…؟।](?=\s)|[。！？\n])", re.DOTALL)  # noqa: RUF001
"""Up to the mark that ends a sentence. In Chinese and Japanese no space follows it."""
_UNPADDED = 6
"""Pieces have a multiple of 6 bytes: whole samples (2 bytes), and base64 without padding (3 bytes)."""


@dataclass
class SpeakingTime:
    """How many more seconds of speech all replies to one request may have."""

    seconds: float = MAX_SECONDS


@dataclass
class Voice:
    """Speaks one reply, of which there are so many `copies`.

    If the server has no synthesizer, or the reply takes longer than `time_left`, the speech is empty, or
    ends early in a stream, and the client has only the transcript. `speak` gets a text and the most seconds
    that it may take. `audio_tokens` counts the speech so far.
    """

    speak: Callable[[str, float], EncodedSpeech]
    time_left: SpeakingTime = field(default_factory=SpeakingTime)
    copies: int = 1
    id: str = field(default_factory=lambda: f"audio_{uuid4().hex}")
    expires_at: int = field(default_factory=lambda: int(time.time()) + _EXPIRES_SECONDS)
    audio_tokens: int = 0
    _unspoken: str = ""
    _spoken_characters: int = 0
    _sound: bytes = b""
    _closed: bool = False

    def whole(self, transcript: str) -> Json:
        """A message's `audio`."""
        text = transcript if len(transcript) <= _LONGEST else ""
        try:
            sound = b"".join(self._pieces(text))
        except SpeechTooLong:
            sound, self.time_left.seconds = b"", 0.0
        data = b64encode(sound).decode()
        return {"id": self.id, "expires_at": self.expires_at, "transcript": transcript, "data": data}

    def opening(self) -> Json:
        """The `audio` of the first delta. Clients join the strings of all deltas, so the id is only here."""
        return {"id": self.id, "transcript": ""}

    def sound(self, text: str) -> Iterator[Json]:
        """The `audio` of deltas with the speech of every sentence that this piece of text completes."""
        self._unspoken += text
        end = max((match.end() for match in _SENTENCE.finditer(self._unspoken)), default=0)
        complete, self._unspoken = self._unspoken[:end], self._unspoken[end:]
        yield from self._data(complete)

    def closing(self) -> Iterator[Json]:
        """The `audio` of the last deltas, once: the rest of the speech, and when the id expires."""
        if self._closed:
            return
        self._closed = True
        rest, self._unspoken = self._unspoken, ""
        yield from self._data(rest)
        if self._sound:
            yield {"data": b64encode(self._sound).decode()}
        yield {"expires_at": self.expires_at}

    def _data(self, text: str) -> Iterator[Json]:
        self._spoken_characters += len(text)
        try:
            for piece in self._pieces(text if self._spoken_characters <= _LONGEST else ""):
                self._sound += piece
                whole = len(self._sound) // _UNPADDED * _UNPADDED
                ready, self._sound = self._sound[:whole], self._sound[whole:]
                if ready:
                    yield {"data": b64encode(ready).decode()}
        except SpeechTooLong:
            self.time_left.seconds = 0.0

    def _pieces(self, text: str) -> Iterator[bytes]:
        """The speech of a text, if time is left. Raises SpeechTooLong when it runs out."""
        if not text.strip() or not self.time_left.seconds:
            return
        try:
            with closing(self.speak(text, self.time_left.seconds / self.copies)) as spoken:
                yield from spoken.pieces()
                self.audio_tokens += spoken.audio_tokens
                self.time_left.seconds = max(0.0, self.time_left.seconds - spoken.seconds * self.copies)
        except SpeechUnavailable:
            return


def wants_speech(fields: Fields) -> bool:
    """Whether a request wants its replies spoken."""
    return "audio" in (fields.get("modalities") or ())


def voices(fields: Fields, runtime: Runtime) -> Callable[..., Voice] | None:
    """A function that makes the voice of each reply to a request; None if it wants no speech.

    Raises MissingParameter, UnsupportedValue.
    """
    if not wants_speech(fields):
        return None
    audio = fields.get("audio")
    if not audio:
        raise MissingParameter("Missing required parameter: 'audio'.", param="audio")
    audio_format = audio["format"]
    if fields.get("stream") and audio_format != "pcm16":
        raise UnsupportedValue(
            f"Unsupported value: 'audio.format' does not support '{audio_format}' when 'stream' is true. "
            "Supported values are: 'pcm16'.",
            param="audio.format",
        )
    name = voice_name(audio["voice"])
    encoding = "pcm" if audio_format == "pcm16" else audio_format
    time_left = SpeakingTime()

    def speak(text: str, most_seconds: float) -> EncodedSpeech:
        return runtime.speak(text, name, encoding, most_seconds=most_seconds)

    return lambda copies=1: Voice(speak, time_left, copies)
