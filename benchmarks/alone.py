"""One short request alone: this engine beside openai-whisper as it is, behind the same transcription loop.

Both in one process, on one thread each and in turn. Prints a table in Markdown: a ratio is the median
of those of each round. On a busy machine look at the processor's time, which others don't add to.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

from app import engines
from app.checkpoints import Checkpoint, resolve
from app.engines.interface import Engine, EngineOptions
from app.request_context import RequestContext
from app.settings import Settings
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import collected, stream_samples
from app.waveform import Samples
from benchmarks import random_weights, recordings
from benchmarks.engine_speed import TOKENS

REFERENCE, OURS = "reference", "batched"
SAID = {1: 4, 5: 20, 30: TOKENS}
"""Seconds of a recording -> tokens that random weights say in it, about as many as speech has."""

DEMO = "demo"
LONGEST_WITH_RANDOM_WORDS = 5
"""Random weights place words anywhere in a window, so a full one is read again and again from there."""
_WAIT_SECONDS = 3_600.0


class Spent(NamedTuple):
    """Seconds: what passed, and what this process had of its processor."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Alone:
    """What a kind of request took in each round."""

    weights: str
    kind: str
    reference: list[Spent]
    ours: list[Spent]

    def ratios(self, clock: int) -> list[float]:
        """How many times as fast as openai-whisper, round by round, on one of the clocks of Spent."""
        return [theirs[clock] / own[clock] for theirs, own in zip(self.reference, self.ours, strict=True)]


def table(results: Iterable[Alone]) -> Iterator[str]:
    """Markdown with medians, and the worst round's; a line as soon as it is known."""
    head = ["weights", "request", "rounds", REFERENCE, OURS, "ratio", "ratio of processor time", "worst"]
    yield _line(head)
    yield _line(["---"] * len(head))
    for alone in results:
        yield _line(_cells(alone))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(alone: Alone) -> list[str]:
    return [
        alone.weights,
        alone.kind,
        str(len(alone.ours)),
        f"{median(spent.wall for spent in alone.reference):.3f} s",
        f"{median(spent.wall for spent in alone.ours):.3f} s",
        f"{median(alone.ratios(0)):.2f}",
        f"{median(alone.ratios(1)):.2f}",
        f"{min(alone.ratios(1)):.2f}",
    ]


def spent_on(engine: Engine, samples: Samples, request: TranscriptionRequest) -> Spent:
    """What a transcript takes."""
    started = perf_counter(), process_time()
    context = RequestContext.of(_WAIT_SECONDS)
    collected(stream_samples(engine, samples, request, Policy(), context), request.task)
    return Spent(perf_counter() - started[0], process_time() - started[1])


def request_of(tokens: int | None, words: bool) -> TranscriptionRequest:
    """Greedy, language given. Random weights end early where a prompt takes part of what they say."""
    beside = TOKENS - tokens - 1 if tokens else 0
    return TranscriptionRequest(
        language="en",
        temperatures=(0.0,),
        word_timestamps=words,
        prompt=" ".join(["one"] * beside) if beside > 0 else None,
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
    )


def measure(weights: str, checkpoint: Checkpoint, rounds: int) -> Iterator[Alone]:
    """Every kind of request with one checkpoint; the first round is not counted."""
    theirs, ours = (engines.start(name, checkpoint, "cpu", EngineOptions(1)) for name in (REFERENCE, OURS))
    for seconds, tokens in SAID.items():
        for words in (False, True) if weights == DEMO or seconds <= LONGEST_WITH_RANDOM_WORDS else (False,):
            samples = recordings.speech(seconds)
            request = request_of(None if weights == DEMO else tokens, words)
            spent = [
                (spent_on(theirs, samples, request), spent_on(ours, samples, request))
                for _ in range(rounds + 1)
            ]
            reference, own = zip(*spent[1:], strict=True)
            kind = f"{seconds} s, words" if words else f"{seconds} s"
            yield Alone(weights, kind, list(reference), list(own))
    theirs.close()
    ours.close()


def checkpoint_of(weights: str, folder: Path) -> Checkpoint:
    """The demo model, or random weights of a size's dimensions."""
    if weights == DEMO:
        return resolve(Settings(model=DEMO))
    path = folder / f"{weights}-random.pt"
    random_weights.write(path, random_weights.SIZES[weights], TOKENS)
    return Checkpoint(weights, path, "")


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="alone", description=__doc__)
    choices = [DEMO, *random_weights.SIZES]
    parser.add_argument("--weights", nargs="+", choices=choices, default=[DEMO, "tiny"], help="(demo tiny)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (9)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        results = (
            alone
            for weights in options.weights
            for alone in measure(weights, checkpoint_of(weights, Path(folder)), options.rounds)
        )
        for line in table(results):
            print(line, flush=True)


if __name__ == "__main__":
    main()
