"""How long a note of 5 s takes while an hour is being transcribed.

Random weights on one thread, this engine without a server. Prints a table in Markdown.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter

from app import engines
from app.checkpoints import Checkpoint
from app.engines.interface import Engine, EngineOptions, Window
from app.errors import ClientGone
from app.transcription.patience import Patience
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import stream, transcribe
from app.waveform import Samples
from benchmarks import random_weights, recordings
from benchmarks.engine_speed import TOKENS

NOTE_SECONDS = 5
_WAIT_SECONDS = 3_600.0
_REQUEST = TranscriptionRequest(language="en", temperatures=(0.0,), condition_on_previous_text=False)


@dataclass(frozen=True)
class Waits:
    """Median seconds: the note alone, beside a meeting, and one run of the encoder."""

    alone: float
    beside: float
    encode: float

    @property
    def bound(self) -> float:
        """What it may take beside a meeting: twice its time alone and one encode."""
        return 2 * self.alone + self.encode


def table(waits: Waits) -> str:
    """Markdown, in seconds."""
    cells = [f"{seconds:.2f} s" for seconds in (waits.alone, waits.encode, waits.beside, waits.bound)]
    verdict = "kept" if waits.beside <= waits.bound else "broken"
    return "\n".join(
        (
            "| note alone | one encode | note beside a meeting | bound | |",
            "| --- | --- | --- | --- | --- |",
            f"| {' | '.join(cells)} | {verdict} |",
        )
    )


@contextmanager
def meeting(engine: Engine, samples: Samples) -> Iterator[None]:
    """A long recording that is being transcribed; its first segment is out already."""
    begun, over = Event(), Event()

    def attend() -> None:
        try:
            patience = Patience.of(_WAIT_SECONDS, over.is_set)
            for _ in stream(engine, samples, _REQUEST, Policy(), patience):
                begun.set()
        except ClientGone:
            pass

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


def note_seconds(engine: Engine, note: Samples) -> float:
    """Seconds until a note has its transcript."""
    started = perf_counter()
    transcribe(engine, note, _REQUEST, Policy(), Patience.of(_WAIT_SECONDS))
    return perf_counter() - started


def encode_seconds(engine: Engine, note: Samples) -> float:
    """Seconds that the encoder and one step of the decoder take."""
    recording = engine.open(note)
    started = perf_counter()
    engine.detect_language(Window(recording, 0, recording.frames)).result()
    return perf_counter() - started


def measure(engine: Engine, minutes: int, rounds: int) -> Waits:
    """The same note again and again, alone and beside a meeting."""
    note, long = recordings.speech(NOTE_SECONDS), recordings.speech(60 * minutes)
    encode = median(encode_seconds(engine, note) for _ in range(rounds))
    alone = median(note_seconds(engine, note) for _ in range(rounds))
    with meeting(engine, long):
        beside = median(note_seconds(engine, note) for _ in range(rounds))
    return Waits(alone, beside, encode)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="short_note", description=__doc__)
    parser.add_argument("--size", choices=random_weights.SIZES, default="base", help="dimensions (base)")
    parser.add_argument("--minutes", type=int, default=60, help="length of the meeting (60)")
    parser.add_argument("--rounds", type=int, default=5, help="notes (5)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pt"
        random_weights.write(path, random_weights.SIZES[options.size], TOKENS)
        engine = engines.start("batched", Checkpoint("random", path, ""), "cpu", EngineOptions(threads=1))
        print(table(measure(engine, options.minutes, options.rounds)))
        engine.close()


if __name__ == "__main__":
    main()
