"""Text of utterances while they are spoken, without a server: what is sent when, on a simulated clock.

People (SPEECH_SAMPLES names a folder of recordings) as whole recordings and as the turns that `server_vad`
finds in them, the clips of pytest-audioeval, and a text read by a piper voice, joined to clips. Language
given, exact, one thread. Audio comes at real speed; an update takes the processor's time that it really took,
times the number of sessions that share the core, which is a model of a busy server, not one. `realtime`
measures in a server. Prints a table in Markdown.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import median
from time import process_time
from typing import get_args

import numpy as np

from app import engines
from app.checkpoints import PACKAGED, model_dir, resolve, unpack
from app.engines.interface import Engine, EngineOptions
from app.realtime.interface import SpeechStarted
from app.realtime.live_transcript import LiveText
from app.realtime.turn_detection import ServerVad
from app.request_context import RequestContext
from app.settings import Settings
from app.transcript import AudioContext
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcribe import collected
from app.transcription.transcriber import Transcriber
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.audio_limits import AudioLimits
from app.waveform.voice_activity import VoiceActivity
from benchmarks import read_aloud, word_errors
from benchmarks.speech import Recording

CONTEXTS: tuple[AudioContext, ...] = get_args(AudioContext)
TICK_SECONDS = 0.1
"""Audio comes in pieces of so much."""
LONGEST_READ_SECONDS = 12.0
"""Of the clips that piper's phrases are joined to."""
LONG_SECONDS = 5.0
"""In a longer utterance half of the words should be sent before its end."""
_PATIENCE_SECONDS = 3_600.0
_PAUSE_SECONDS = 1.0
_PUNCTUATION = ".,!?;:\"'”’)-—… "  # noqa: RUF001


@dataclass(frozen=True)
class Sent:
    """All text that was sent of an utterance, until `seconds` after its beginning."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Utterance:
    """What was sent while it was spoken, its final text, and up to each word: the text and when it ends."""

    name: str
    seconds: float
    sent: Sequence[Sent]
    final: str
    word_ends: Sequence[tuple[str, float]]

    @property
    def text_sent(self) -> str:
        """All deltas, joined."""
        return self.sent[-1].text if self.sent else ""

    @property
    def is_prefix(self) -> bool:
        """Whether the final text begins with what was sent."""
        return self.final.startswith(self.text_sent)

    @property
    def words(self) -> int:
        """How many words the final text has."""
        return len(self.word_ends)

    def latencies(self) -> list[float]:
        """Seconds from the end of each word to its delta, for words sent before the last one ends."""
        last = self.word_ends[-1][1] if self.word_ends else 0.0
        sent = ((self._sent_at(text), end) for text, end in self.word_ends)
        return [seconds - end for seconds, end in sent if seconds < last]

    def _sent_at(self, text: str) -> float:
        """When all of a text was sent; infinite if only with the final text."""
        return next((sent.seconds for sent in self.sent if sent.text.startswith(text)), inf)


HEADINGS = (
    "speech",
    "context",
    "sessions",
    "utterances",
    "deltas join to its beginning",
    f"over {LONG_SECONDS:g} s: words sent while it is spoken",
    "end of a word to its delta: median, 95 %",
)


@dataclass(frozen=True)
class Totals:
    """What is reported of some utterances."""

    utterances: Sequence[Utterance]

    def cells(self) -> Iterator[str]:
        """The columns of a row, from the number of utterances on."""
        found = self.utterances
        long = [each for each in found if each.seconds > LONG_SECONDS]
        latencies = [latency for each in found for latency in each.latencies()]
        yield f"{len(found)}, {sum(each.seconds for each in found):.0f} s"
        yield f"{sum(each.is_prefix for each in found)} of {len(found)}"
        early, words = sum(len(each.latencies()) for each in long), sum(each.words for each in long)
        yield f"{early} of {words}, {early / words:.0%}" if words else "-"
        yield f"{median(latencies):.2f} s, {percentile(latencies, 95):.2f} s" if latencies else "-"


def texts_up_to(text: str, words: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """A text up to each of its words, without punctuation behind it, and the seconds given for the word."""
    place = 0
    for word, seconds in words:
        letters = word.strip(_PUNCTUATION)
        if letters and (found := text.find(letters, place)) >= 0:
            place = found + len(letters)
            yield text[:place], seconds


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent don't exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Offline:
    """An engine with the server's silence gate, without a server."""

    def __init__(self, engine: Engine, update_seconds: float | None) -> None:
        self._update_seconds = update_seconds
        self._voices = VoiceActivity()
        self._transcriber = Transcriber(
            lambda context: engine,
            Policy(has_speech=self._voices.has_speech),
            AudioReader(AudioLimits(), lambda limit: limit),
            ResumeStore(0),
        )

    def utterance(self, recording: Recording, audio_context: AudioContext, sessions: int) -> Utterance:
        """Speak a recording, and compare what was sent with its transcript."""
        request = TranscriptionRequest(language=recording.language, audio_context=audio_context)
        context = RequestContext.of(_PATIENCE_SECONDS)
        final = collected(self._transcriber.stream_samples(recording.samples, request, context), request.task)
        timed = replace(request, word_timestamps=True)
        words = collected(self._transcriber.stream_samples(recording.samples, timed, context), request.task)
        ends = [(word.text, word.end_seconds) for segment in words.segments for word in segment.words]
        live = LiveText(self._transcriber, request, self._voices.stream())
        sent = list(self._spoken(live, recording.samples, sessions, context))
        return Utterance(
            recording.name,
            len(recording.samples) / SAMPLE_RATE,
            sent,
            final.text,
            list(texts_up_to(final.text, ends)),
        )

    def _spoken(
        self, live: LiveText, samples: Samples, sessions: int, context: RequestContext
    ) -> Iterator[Sent]:
        """Everything that is sent while the samples come."""
        now, end = TICK_SECONDS, len(samples) / SAMPLE_RATE
        while now < end:
            began, heard = process_time(), live.heard.until_ms
            delta = live.update(samples[live.begin : int(now * SAMPLE_RATE)], context)
            seconds = process_time() - began if self._update_seconds is None else self._update_seconds
            took = seconds * sessions if live.heard.until_ms > heard else 0.0
            if delta:
                yield Sent(now + took, live.sent)
            now += max(took, TICK_SECONDS)

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


def rows(
    offline: Offline,
    speech: Mapping[str, Sequence[Recording]],
    contexts: Sequence[AudioContext],
    sessions: Sequence[int],
    *,
    shows: bool,
) -> Iterator[str]:
    """A table in Markdown: a row for each kind of speech, context and number of sessions."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"| {' | '.join(['---'] * len(HEADINGS))} |"
    for name, recordings in speech.items():
        for audio_context in contexts:
            for count in sessions:
                found = [offline.utterance(each, audio_context, count) for each in recordings]
                cells = Totals(found).cells()
                yield f"| {' | '.join([name, audio_context, str(count), *cells])} |"
                if shows:
                    yield from (
                        f"{each.name}\n  sent: {each.text_sent}\n  text: {each.final}"
                        for each in found
                        if not each.is_prefix
                    )


def sets(
    offline: Offline, settings: Settings, minutes: float, english_only: bool
) -> dict[str, list[Recording]]:
    """What is spoken, by name. Raises CheckpointError where the clips can't be had."""
    found: dict[str, list[Recording]] = {}
    for name, recordings in word_errors.sets(settings).items():
        if not (english_only and "other" in name):
            found[name] = list(recordings)
        if "people" in name:
            found[f"{name}, turns"] = list(offline.turns(recordings))
    if minutes:
        read = read_aloud.recordings(minutes, settings)
        found[f"piper, {minutes:g} min"] = list(read_aloud.joined(read, LONGEST_READ_SECONDS))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="live_text", description=__doc__)
    parser.add_argument("--model", choices=PACKAGED, default="base")
    parser.add_argument("--minutes", type=float, default=2.0, help="of the text that piper reads")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4], help="that share the core")
    parser.add_argument("--speech", default="", help="only sets with this in their name")
    parser.add_argument("--update-seconds", type=float, help="for each update, instead of what it takes")
    parser.add_argument("--contexts", choices=CONTEXTS, nargs="+", default=CONTEXTS, help="of transcripts")
    parser.add_argument("--show", action="store_true", help="the texts whose deltas don't join")
    options = parser.parse_args(arguments)
    settings = Settings.from_environ()
    checkpoint = resolve(Settings(model=str(unpack(options.model, model_dir(settings)))))
    engine = engines.start("batched", checkpoint, "cpu", EngineOptions(threads=1))
    try:
        offline = Offline(engine, options.update_seconds)
        speech = sets(offline, settings, options.minutes, options.model.endswith(".en"))
        chosen = {name: recordings for name, recordings in speech.items() if options.speech in name}
        for row in rows(offline, chosen, options.contexts, options.sessions, shows=options.show):
            print(row, flush=True)
    finally:
        engine.close()
    print(f"\nload average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
