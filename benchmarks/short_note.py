"""How long a note of 5 s takes while an hour is being transcribed, in order or in pieces side by side.

Random weights on one thread, this engine without a server. Each note comes at a moment of its own.
Prints a table in Markdown.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median
from threading import Event, Thread
from time import perf_counter, sleep

from app import engines
from app.checkpoints import Checkpoint
from app.engines.interface import Engine, EngineOptions, Window
from app.errors import ClientGone
from app.request_context import RequestContext
from app.transcription.request import Chunking, Policy, Spans, TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.transcription.transcribe import collected, stream_samples
from app.waveform import Samples
from benchmarks import random_weights, recordings
from benchmarks.contenders import pieces
from benchmarks.engine_speed import TOKENS

NOTE_SECONDS = 5
NOTE_TOKENS = 20
"""What is said in 5 s."""

_READ_AHEAD = 16
"""Pieces that are read at a time, as by a server on a CPU."""
_WAIT_SECONDS = 3_600.0
_MEETING = TranscriptionRequest(language="en", temperatures=(0.0,), condition_on_previous_text=False)
_NOTE = replace(_MEETING, prompt=" ".join(["one"] * (TOKENS - NOTE_TOKENS - 1)))
"""The random weights end where so many tokens are in the context, a prompt's and its mark included."""


def _spans(samples: Samples, chunking: Chunking) -> Spans:
    """Cut every 30 s; no voice detector decides."""
    return list(pieces(samples))


@dataclass(frozen=True)
class Waits:
    """Seconds: the note alone and one run of the encoder, medians; and each note beside a meeting."""

    alone: float
    beside: list[float]
    encode: float

    @property
    def bound(self) -> float:
        """What it may take beside a meeting: twice its time alone and one encode."""
        return 2 * self.alone + self.encode


def table(waits: Waits) -> str:
    """Markdown, in seconds; the verdict is on the median."""
    typical = median(waits.beside)
    times = (waits.alone, waits.encode, typical, max(waits.beside), waits.bound)
    cells = [str(len(waits.beside)), *(f"{seconds:.2f} s" for seconds in times)]
    verdict = "kept" if typical <= waits.bound else "broken"
    return "\n".join(
        (
            "| notes | alone | one encode | beside a meeting | slowest | bound | |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            f"| {' | '.join(cells)} | {verdict} |",
        )
    )


@contextmanager
def meeting(engine: Engine, samples: Samples, chunking: Chunking | None) -> Iterator[None]:
    """A long recording that is being transcribed; its first segment is out already."""
    request = replace(_MEETING, chunking=chunking)
    policy = Policy(find_speech=_spans, side_by_side=SideBySide(_READ_AHEAD))
    begun, over = Event(), Event()

    def attend() -> None:
        try:
            context = RequestContext.of(_WAIT_SECONDS, over.is_set)
            for _ in stream_samples(engine, samples, request, policy, context):
                begun.set()
        except ClientGone:
            pass
        finally:
            begun.set()

    attending = Thread(target=attend)
    attending.start()
    begun.wait()
    try:
        yield
        if not attending.is_alive():
            raise RuntimeError("The meeting was over before the note. Take a longer one.")
    finally:
        over.set()
        attending.join()
        policy.side_by_side.close()


def note_seconds(engine: Engine, note: Samples) -> float:
    """Seconds until a note has its transcript."""
    started = perf_counter()
    context = RequestContext.of(_WAIT_SECONDS)
    collected(stream_samples(engine, note, _NOTE, Policy(), context), _NOTE.task)
    return perf_counter() - started


def encode_seconds(engine: Engine, note: Samples) -> float:
    """Seconds that the encoder and one step of the decoder take."""
    recording = engine.open(note)
    started = perf_counter()
    engine.detect_language(Window(recording, 0, recording.frames)).result()
    return perf_counter() - started


def measure(engine: Engine, minutes: int, rounds: int, chunking: Chunking | None = None) -> Waits:
    """The same note again and again, alone and beside a meeting."""
    note, long = recordings.speech(NOTE_SECONDS), recordings.speech(60 * minutes)
    encode = median(encode_seconds(engine, note) for _ in range(rounds))
    alone = median(note_seconds(engine, note) for _ in range(rounds))
    moments, beside = Random(0), []
    with meeting(engine, long, chunking):
        for _ in range(rounds):
            sleep(moments.uniform(0, 2 * encode))
            beside.append(note_seconds(engine, note))
    return Waits(alone, beside, encode)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="short_note", description=__doc__)
    parser.add_argument("--size", choices=random_weights.SIZES, default="base", help="dimensions (base)")
    parser.add_argument("--minutes", type=int, default=60, help="length of the meeting (60)")
    parser.add_argument("--rounds", type=int, default=5, help="notes (5)")
    parser.add_argument("--precision", choices=["exact", "int8"], default="exact", help="(exact)")
    parser.add_argument("--chunked", action="store_true", help="the meeting's windows come side by side")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pt"
        random_weights.write(path, random_weights.SIZES[options.size], TOKENS)
        how = EngineOptions(threads=1, precision=options.precision)
        engine = engines.start("batched", Checkpoint("random", path, ""), "cpu", how)
        chunking = Chunking() if options.chunked else None
        print(table(measure(engine, options.minutes, options.rounds, chunking)))
        engine.close()


if __name__ == "__main__":
    main()
