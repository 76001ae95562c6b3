"""Speed on speech with OpenAI's own weights, beside openai-whisper and faster-whisper, and word error rates.

Every program in turn, in one process, with the same weights and as many threads; greedy at temperature 0,
without the text before, all other settings their own. The short clips, up to 12 s each: recordings of people
in the folder that SPEECH_SAMPLES names, English clips of pytest-audioeval, and as much again of a text that a
piper voice reads. The mixed recording is those, one after the other, until it is long enough.

Prints a table in Markdown: a ratio is the median of those of each round. On a processor with more than AVX2
measure once more with CT2_FORCE_CPU_ISA=AVX2, ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2.
"""

import argparse
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from importlib import import_module
from itertools import cycle
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch

from app import engines
from app.checkpoints import model_dir, resolve, unpack
from app.engines.interface import EngineOptions
from app.engines.whisper_checkpoint import load_whisper
from app.request_context import RequestContext
from app.settings import Settings
from app.transcript import AudioContext
from app.transcription.request import Chunking, Policy, TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.transcription.transcribe import collected, stream_samples
from app.waveform import SAMPLE_RATE
from app.waveform.voice_activity import VoiceActivity
from benchmarks import speech
from benchmarks.read_aloud import joined, recordings
from benchmarks.speech import Recording
from benchmarks.word_errors import cell, errors, sentences

LONGEST_CLIP_SECONDS = 12
BATCH = 8
_READ_AHEAD = 16
_PATIENCE_SECONDS = 3_600.0


class Contender(Protocol):
    """A program with its weights loaded. `language` None: detect it."""

    name: str

    def hear(self, recording: Recording, language: str | None) -> str:
        """The text of a recording, its windows in order."""

    def hear_in_pieces(self, recording: Recording, language: str | None) -> str:
        """The same, cut at its pauses, the fastest way there is."""


class OpenAIWhisper:
    """It has no other way than one window after the other."""

    name = "openai-whisper"

    def __init__(self, folder: Path, threads: int) -> None:
        self._threads = threads
        self._model: Any = load_whisper(resolve(Settings(model=str(folder))), "cpu")

    def hear(self, recording: Recording, language: str | None) -> str:
        torch.set_num_threads(self._threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            heard = self._model.transcribe(
                recording.samples,
                language=language,
                temperature=0.0,
                condition_on_previous_text=False,
                fp16=False,
            )
        return str(heard["text"])

    hear_in_pieces = hear


class FasterWhisper:
    """`WhisperModel`, and `BatchedInferencePipeline` for pieces."""

    def __init__(self, folder: Path, threads: int, precision: str) -> None:
        self.name = f"faster-whisper {precision}"
        package = import_module("faster_whisper")
        self._model = package.WhisperModel(
            str(folder), device="cpu", compute_type=precision, cpu_threads=threads
        )
        self._pipeline = package.BatchedInferencePipeline(self._model)

    def hear(self, recording: Recording, language: str | None) -> str:
        segments, _ = self._model.transcribe(
            recording.samples, language, beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        return "".join(segment.text for segment in segments)

    def hear_in_pieces(self, recording: Recording, language: str | None) -> str:
        segments, _ = self._pipeline.transcribe(
            recording.samples, language, beam_size=1, temperature=0.0, batch_size=BATCH
        )
        return "".join(segment.text for segment in segments)


class Ours:
    """The batched engine behind the transcription of this project, with the server's voice detector."""

    def __init__(
        self, folder: Path, threads: int, precision: str, audio_context: AudioContext = "full"
    ) -> None:
        self.name = precision if audio_context == "full" else f"{precision} {audio_context}"
        checkpoint = resolve(Settings(model=str(folder)))
        options = EngineOptions(threads, BATCH, precision=precision)
        voices = VoiceActivity()
        self._engine = engines.start("batched", checkpoint, "cpu", options)
        self._policy = Policy(
            has_speech=voices.has_speech,
            find_speech=lambda samples, chunking: voices.find_speech(samples, *astuple(chunking)),
            side_by_side=SideBySide(_READ_AHEAD),
            audio_context=audio_context,
        )

    def hear(self, recording: Recording, language: str | None) -> str:
        return self._transcribe(recording, _REQUEST, language)

    def hear_in_pieces(self, recording: Recording, language: str | None) -> str:
        return self._transcribe(recording, replace(_REQUEST, chunking=Chunking()), language)

    def _transcribe(self, recording: Recording, request: TranscriptionRequest, language: str | None) -> str:
        context = RequestContext.of(_PATIENCE_SECONDS)
        request = replace(request, language=language)
        deltas = stream_samples(self._engine, recording.samples, request, self._policy, context)
        return collected(deltas, request.task).text


_REQUEST = TranscriptionRequest(temperatures=(0.0,), condition_on_previous_text=False)

PAIRS = (
    ("exact", "openai-whisper"),
    ("exact", "faster-whisper float32"),
    ("int8", "faster-whisper int8"),
    ("int8 short", "faster-whisper int8"),
)
"""Who is compared with whom; the order of every case's goals."""


@dataclass(frozen=True)
class Case:
    """What is measured, over the short clips or the mixed recording. `language` None: it is detected."""

    meaning: str
    goals: tuple[float, ...]
    language: str | None = "en"
    mixed: bool = False
    in_pieces: bool = False

    def text(self, contender: Contender, recording: Recording) -> str:
        """What a contender hears in a recording."""
        hear = contender.hear_in_pieces if self.in_pieces else contender.hear
        return hear(recording, self.language)


CASES = {
    "short": Case("short clips, language given", (1.15, 1.2, 1.3, 3.0)),
    "detect": Case("short clips, language detected", (2.0, 2.0, 2.2, 3.0), language=None),
    "order": Case("mixed speech in order", (1.8, 1.4, 1.3, 1.3), mixed=True),
    "pieces": Case("mixed speech in pieces", (1.8, 1.3, 1.3, 1.3), mixed=True, in_pieces=True),
}


@dataclass
class Measured:
    """Seconds of each round, and the errors of the last one, for each contender by name."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: dict[str, tuple[int, int]] = field(default_factory=dict)

    def ratio(self, name: str, other: str) -> float:
        """How many times as fast as another: the median of the rounds' ratios."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return median(theirs / own for own, theirs in pairs)


def measure(
    case: Case, contenders: Sequence[Contender], recordings: Sequence[Recording], rounds: int
) -> Measured:
    """Every contender hears all recordings, in turn, after one that is not measured."""
    measured = Measured({one.name: [] for one in contenders})
    for one in contenders:
        case.text(one, recordings[0])
    for _ in range(rounds):
        for one in contenders:
            texts: dict[str, str] = {}
            started = perf_counter()
            for recording in recordings:
                texts[recording.name] = case.text(one, recording)
            measured.seconds[one.name].append(perf_counter() - started)
            measured.wrong[one.name] = errors(recordings, lambda clip, texts=texts: texts[clip.name])
    return measured


def short_clips(settings: Settings) -> list[Recording]:
    """English, up to LONGEST_CLIP_SECONDS. Raises CheckpointError where the clips can't be had."""
    folder = os.environ.get(speech.SAMPLES_VARIABLE)
    people = speech.human(Path(folder)) if folder else ()
    clips = [
        clip
        for clip in (*people, *sentences(settings))
        if clip.language == "en" and len(clip.samples) <= LONGEST_CLIP_SECONDS * SAMPLE_RATE
    ]
    minutes = sum(len(clip.samples) for clip in clips) / SAMPLE_RATE / 60
    return [*clips, *joined(recordings(minutes, settings), LONGEST_CLIP_SECONDS)]


def mixed(clips: Sequence[Recording], minutes: float) -> Recording:
    """The clips again and again until they last so long; the last one whole."""
    chosen: list[Recording] = []
    for clip in cycle(clips):
        if sum(len(one.samples) for one in chosen) >= minutes * 60 * SAMPLE_RATE:
            break
        chosen.append(clip)
    samples = np.concatenate([one.samples for one in chosen])
    return Recording("mixed", samples, " ".join(one.text for one in chosen), "en")


def row(case: Case, measured: Measured) -> Iterator[str]:
    """The cells of a case: median seconds and errors of each contender, then each ratio beside its goal."""
    yield case.meaning
    for name, seconds in measured.seconds.items():
        yield f"{median(seconds):.2f} s, {cell(*measured.wrong[name])}"
    for pair, goal in zip(PAIRS, case.goals, strict=True):
        ratio = measured.ratio(*pair) if set(pair) <= set(measured.seconds) else float("nan")
        yield f"{ratio:.2f} ({goal:g})"


def contenders(folder: Path, threads: int) -> Mapping[str, Callable[[], Contender]]:
    """By name, to be loaded when called."""
    return {
        "openai-whisper": lambda: OpenAIWhisper(folder, threads),
        "faster-whisper float32": lambda: FasterWhisper(folder, threads, "float32"),
        "faster-whisper int8": lambda: FasterWhisper(folder, threads, "int8"),
        "exact": lambda: Ours(folder, threads, "exact"),
        "int8": lambda: Ours(folder, threads, "int8"),
        "int8 short": lambda: Ours(folder, threads, "int8", "short"),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="real_speech", description=__doc__)
    parser.add_argument("--model", choices=["base", "tiny.en"], default="base")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the mixed recording (2)")
    options = parser.parse_args(arguments)
    settings = Settings.from_environ()
    folder = unpack(options.model, model_dir(settings))
    everyone = [load() for load in contenders(folder, options.threads).values()]
    clips = short_clips(settings)
    head = ["case (goals)", *(one.name for one in everyone), *(" over ".join(pair) for pair in PAIRS)]
    print(f"{len(clips)} clips, {options.threads} threads, load average {os.getloadavg()[0]:.1f}\n")
    print(f"| {' | '.join(head)} |\n| {' | '.join(['---'] * len(head))} |", flush=True)
    for case in (CASES[key] for key in options.cases):
        recordings = [mixed(clips, options.minutes)] if case.mixed else clips
        cells = row(case, measure(case, everyone, recordings, options.rounds))
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
