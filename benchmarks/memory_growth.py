"""How a worker's memory grows over hundreds of requests of all kinds.

The real server with the demo model, and clients at once. Prints a table in Markdown.
"""

import argparse
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import sleep
from typing import NamedTuple

import requests

from app.engines.engine_thread import IDLE_SECONDS
from benchmarks import recordings
from benchmarks.gunicorn_process import Server, serving

CLIENTS = 4
SEED = 1
LENGTHS_SECONDS = (2, 5, 12, 31, 60)
KINDS: tuple[Mapping[str, str], ...] = (
    {"response_format": "json"},
    {"response_format": "text", "language": "en"},
    {"response_format": "srt", "max_words_per_line": "6"},
    {"response_format": "vtt", "prompt": "Numbers are said."},
    {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
    {"response_format": "json", "include[]": "logprobs"},
    {"stream": "true"},
    {"beam_size": "5"},
    {"temperature": "0.6", "best_of": "5", "seed": "7"},
    {"chunking_strategy": "auto"},
)
"""Form fields of requests that take different ways through the server."""

GOAL_PERCENT = 5
_WAIT_SECONDS = 600


File = tuple[str, bytes]
"""Its name and what is in it."""


class Sent(NamedTuple):
    """One request: a file and its form."""

    name: str
    audio: bytes
    form: Mapping[str, str]


@dataclass(frozen=True)
class Resident:
    """A worker's resident memory after so many requests."""

    requests: int
    megabytes: float


def table(measured: Iterable[Resident]) -> Iterator[str]:
    """Markdown, line by line; growth is since the first row, and the last one is held to the goal."""
    yield "| requests | resident | growth |"
    yield "| --- | --- | --- |"
    growth, first = 0.0, None
    for at in measured:
        first = first or at
        growth = 100 * (at.megabytes / first.megabytes - 1)
        yield f"| {at.requests} | {at.megabytes:.0f} MiB | {growth:+.1f} % |"
    yield ""
    yield f"At most {GOAL_PERCENT} %: {'kept' if growth <= GOAL_PERCENT else 'broken'}."


def files() -> list[File]:
    """Speech of all lengths, in every container."""
    return [
        (f"{seconds}.{container}", recordings.encode(recordings.speech(seconds), container))
        for seconds in LENGTHS_SECONDS
        for container in recordings.CODECS
    ]


def mixture(files: Sequence[File], seed: int) -> Iterator[Sent]:
    """Requests without end: in every round all kinds come once, in any order, with any recording."""
    random = Random(seed)
    while True:
        for form in random.sample(KINDS, len(KINDS)):
            yield Sent(*random.choice(files), form)


def ask(url: str, sent: Sent) -> None:
    """Send a request and read its answer. Raises RuntimeError for a refusal."""
    answer = requests.post(
        f"{url}/v1/audio/transcriptions",
        data={"model": "whisper-1", **sent.form},
        files={"file": (sent.name, sent.audio)},
        timeout=_WAIT_SECONDS,
    )
    if not answer.ok:
        raise RuntimeError(f"{sent.form} was refused: {answer.text}")


def resident_megabytes(pid: int) -> float:
    """A process's resident memory now, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def measure(server: Server, marks: Sequence[int], seed: int) -> Iterator[Resident]:
    """Send requests until each of the marks in turn, and look at the only worker once it is idle."""
    (worker,) = server.workers()
    coming, sent = mixture(files(), seed), 0
    with ThreadPoolExecutor(CLIENTS) as clients:
        for mark in marks:
            batch = [next(coming) for _ in range(mark - sent)]
            list(clients.map(partial(ask, server.url), batch))
            sent = mark
            sleep(2 * IDLE_SECONDS)
            yield Resident(mark, resident_megabytes(worker))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="memory_growth", description=__doc__)
    marks = [50, 100, 200, 300, 400, 500]
    parser.add_argument("--marks", type=int, nargs="+", default=marks, help="after how many requests to look")
    options = parser.parse_args(arguments)
    settings = {"WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("wsgi:app", Path(folder) / "log", **settings) as server,
    ):
        for line in table(measure(server, options.marks, SEED)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
