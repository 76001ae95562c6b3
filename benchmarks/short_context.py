"""A short audio context beside the full one: time and word errors by clip length, with OpenAI's own weights.

People (SPEECH_SAMPLES names a folder of recordings), the clips of pytest-audioeval, and a text read by a
piper voice, joined to clips of at most 2, 5, 10, 20 and 29 s. Greedy, language given, exact, one thread. Each
clip is heard in both contexts, one after the other; which comes first alternates. Time is the processor's,
which other work on the machine adds less to; a ratio is that of the sums. Prints a table in Markdown.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import get_args

from app import engines
from app.checkpoints import PACKAGED, model_dir, resolve, unpack
from app.engines.interface import Engine, EngineOptions
from app.request_context import RequestContext
from app.settings import Settings
from app.transcript import AudioContext
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import collected, stream_samples
from app.waveform import SAMPLE_RATE
from app.waveform.voice_activity import VoiceActivity
from benchmarks import read_aloud, word_errors
from benchmarks.speech import Recording
from training.word_errors import word_errors as fewest_edits

LENGTHS = (2, 5, 10, 20, 29)
CONTEXTS: tuple[AudioContext, ...] = get_args(AudioContext)
HEADINGS = (
    "speech",
    "clips up to",
    "clips",
    "mean length",
    "full: time, word errors",
    "short: time, word errors",
    "full / short",
    "words that differ",
    "in full all the same",
)
_PATIENCE_SECONDS = 3_600.0


@dataclass(frozen=True)
class Heard:
    """A clip's text in one context, the processor's seconds, and whether any of it is of a short context."""

    text: str
    seconds: float
    short: bool


@dataclass
class Totals:
    """Sums over the clips of one length.

    `words` were said, `wrong` of them in each context. The texts of both differ in `differing` words.
    `in_full` clips have no text of a short context: it was rejected, or they are too long for one.
    """

    clips: int = 0
    length_seconds: float = 0.0
    words: int = 0
    differing: int = 0
    in_full: int = 0
    seconds: dict[AudioContext, float] = field(default_factory=lambda: dict.fromkeys(CONTEXTS, 0.0))
    wrong: dict[AudioContext, int] = field(default_factory=lambda: dict.fromkeys(CONTEXTS, 0))

    def add(self, recording: Recording, heard: Mapping[AudioContext, Heard]) -> None:
        """One more clip."""
        said = word_errors.words(recording.text, recording.language)
        texts = {each: word_errors.words(heard[each].text, recording.language) for each in CONTEXTS}
        self.clips += 1
        self.length_seconds += len(recording.samples) / SAMPLE_RATE
        self.words += len(said)
        self.differing += fewest_edits(texts["full"], texts["short"])
        self.in_full += not heard["short"].short
        for each in CONTEXTS:
            self.seconds[each] += heard[each].seconds
            self.wrong[each] += fewest_edits(said, texts[each])

    def cells(self) -> Iterator[str]:
        """The columns of a row, from the number of clips on."""
        yield str(self.clips)
        yield f"{self.length_seconds / self.clips:.1f} s"
        for each in CONTEXTS:
            rate = word_errors.cell(self.wrong[each], self.words)
            yield f"{self.seconds[each] / self.clips:.2f} s, {rate}"
        yield f"{self.seconds['full'] / self.seconds['short']:.2f}"
        yield str(self.differing)
        yield str(self.in_full)


class Listener:
    """The batched engine with the server's silence gate."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._policy = Policy(has_speech=VoiceActivity().has_speech)

    def hear(self, recording: Recording, audio_context: AudioContext) -> Heard:
        """A clip in one context."""
        request = TranscriptionRequest(language=recording.language, audio_context=audio_context)
        context = RequestContext.of(_PATIENCE_SECONDS)
        began = process_time()
        deltas = stream_samples(self._engine, recording.samples, request, self._policy, context)
        text = collected(deltas, request.task).text
        return Heard(text, process_time() - began, context.cost.totals().short_contexts > 0)

    def totals(self, clips: Iterable[Recording]) -> Totals:
        """All clips in both contexts, in turn."""
        totals = Totals()
        for number, clip in enumerate(clips):
            order = CONTEXTS if number % 2 else CONTEXTS[::-1]
            heard = {each: self.hear(clip, each) for each in order}
            totals.add(clip, heard)
        return totals


def rows(listener: Listener, speech: Mapping[str, Sequence[Recording]]) -> Iterator[str]:
    """A table in Markdown: a row for each kind of speech and length that there are other clips for."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"| {' | '.join(['---'] * len(HEADINGS))} |"
    for name, recordings in speech.items():
        texts: list[str] = []
        for seconds in LENGTHS:
            clips, shorter = list(read_aloud.joined(recordings, seconds)), texts
            texts = [clip.text for clip in clips]
            if texts != shorter:
                yield f"| {' | '.join([name, f'{seconds} s', *listener.totals(clips).cells()])} |"


def main(arguments: list[str] | None = None) -> None:
    """Print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="short_context", description=__doc__)
    parser.add_argument("--model", choices=PACKAGED, default="base")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the text that piper reads")
    options = parser.parse_args(arguments)
    settings = Settings.from_environ()
    labelled = word_errors.sets(settings)
    if options.model.endswith(".en"):
        labelled = {name: clips for name, clips in labelled.items() if "other" not in name}
    speech = {**labelled, f"piper, {options.minutes:g} min": read_aloud.recordings(options.minutes, settings)}
    checkpoint = resolve(Settings(model=str(unpack(options.model, model_dir(settings)))))
    engine = engines.start("batched", checkpoint, "cpu", EngineOptions(threads=1))
    try:
        for row in rows(Listener(engine), speech):
            print(row, flush=True)
    finally:
        engine.close()
    print(f"\nload average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
