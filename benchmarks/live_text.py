"""Deltas of utterances without a server: which words are sent when, on a simulated clock.

Audio comes at real speed. An update takes the processor's time that it really took, times the number of
sessions that share the core: a model of a busy server, not one. The rest is the program's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import process_time

import numpy as np

from app.engines.interface import Engine
from app.realtime.interface import SpeechStarted
from app.realtime.live_transcript import LiveText
from app.realtime.turn_detection import ServerVad
from app.request_context import RequestContext
from app.transcript import AudioContext
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcribe import collected
from app.transcription.transcriber import Transcriber
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.audio_limits import AudioLimits
from app.waveform.voice_activity import VoiceActivity
from benchmarks.speech import Recording

TICK_SECONDS = 0.1
"""Audio comes in pieces of so much."""
LONG_SECONDS = 5.0
"""In a longer utterance half of the words should be sent before its end."""
_PATIENCE_SECONDS = 3_600.0
_PAUSE_SECONDS = 1.0
_CLOSING = ".,!?;:\"'”’)-—… "  # noqa: RUF001


@dataclass(frozen=True)
class Sent:
    """All text that was sent of an utterance, until `seconds` after its beginning."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Utterance:
    """What was sent while it was spoken, and its final text with the seconds at which each word ends."""

    name: str
    seconds: float
    sent: Sequence[Sent]
    final: str
    word_ends: Sequence[float]

    @property
    def is_prefix(self) -> bool:
        """Whether the final text begins with what was sent."""
        return self.final.startswith(self.sent[-1].text if self.sent else "")

    def sent_at(self) -> list[float | None]:
        """When each word of the final text was sent; None if only with the final text."""
        return [next((sent.seconds for sent in self.sent if _has(sent, text)), None) for text in self._upto()]

    def latencies(self) -> list[float]:
        """Seconds from the end of each word to its delta, for those sent before the end."""
        return [
            at - end
            for at, end in zip(self.sent_at(), self.word_ends, strict=False)
            if at is not None and at < self.seconds
        ]

    def _upto(self) -> Iterator[str]:
        """The final text up to each word, closing punctuation left out."""
        place = 0
        for word in self.final.split():
            place = self.final.index(word, place) + len(word)
            yield self.final[:place].rstrip(_CLOSING)


def _has(sent: Sent, text: str) -> bool:
    return sent.text.startswith(text)


@dataclass(frozen=True)
class Totals:
    """What is reported of some utterances."""

    utterances: Sequence[Utterance]

    def cells(self) -> Iterator[str]:
        """The columns of a row."""
        found = self.utterances
        long = [each for each in found if each.seconds > LONG_SECONDS]
        latencies = [latency for each in found for latency in each.latencies()]
        words = sum(len(each.final.split()) for each in found)
        yield f"{len(found)}, {sum(each.seconds for each in found):.0f} s"
        yield f"{sum(each.is_prefix for each in found)} of {len(found)}"
        yield f"{sum(len(each.latencies()) for each in found)} of {words}"
        half = sum(2 * len(each.latencies()) >= len(each.final.split()) for each in long)
        yield f"{half} of {len(long)}"
        yield f"{median(latencies):.2f} s, {percentile(latencies, 95):.2f} s" if latencies else "-"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent don't exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Offline:
    """An engine with the server's silence gate, without a server."""

    def __init__(self, engine: Engine, audio_context: AudioContext, sessions: int) -> None:
        self._voices = VoiceActivity()
        self._sessions = sessions
        self._transcriber = Transcriber(
            lambda context: engine,
            Policy(has_speech=self._voices.has_speech, audio_context=audio_context),
            AudioReader(AudioLimits(), lambda limit: limit),
            ResumeStore(0),
        )

    def utterance(self, recording: Recording) -> Utterance:
        """Speak a recording, and compare what was sent with its transcript."""
        request = TranscriptionRequest(language=recording.language)
        context = RequestContext.of(_PATIENCE_SECONDS)
        final = collected(self._transcriber.stream_samples(recording.samples, request, context), request.task)
        timed = replace(request, word_timestamps=True)
        words = collected(self._transcriber.stream_samples(recording.samples, timed, context), request.task)
        ends = [word.end_seconds for segment in words.segments for word in segment.words]
        live = LiveText(self._transcriber, request, self._voices.stream())
        sent = list(self._spoken(live, recording.samples, context))
        return Utterance(recording.name, len(recording.samples) / SAMPLE_RATE, sent, final.text, ends)

    def _spoken(self, live: LiveText, samples: Samples, context: RequestContext) -> Iterator[Sent]:
        now, end = TICK_SECONDS, len(samples) / SAMPLE_RATE
        while now < end:
            began = process_time()
            delta = live.update(samples[: int(now * SAMPLE_RATE)], context)
            took = (process_time() - began) * self._sessions
            if delta:
                yield Sent(now + took, live.sent)
            now = max(now + took, now + TICK_SECONDS)

    def turns(self, recordings: Iterable[Recording]) -> Iterator[Recording]:
        """The utterances that `server_vad` finds, with its defaults, in recordings with pauses between."""
        pause = np.zeros(round(_PAUSE_SECONDS * SAMPLE_RATE), np.float32)
        for recording in recordings:
            samples = np.concatenate([pause, recording.samples, pause])
            start = 0
            for event in ServerVad(self._voices.stream()).feed(samples):
                place = event.at_ms * SAMPLE_RATE // 1_000
                if isinstance(event, SpeechStarted):
                    start = place
                else:
                    name = f"{recording.name}, from {start / SAMPLE_RATE:.1f} s"
                    yield Recording(name, samples[start:place], recording.text, recording.language)
