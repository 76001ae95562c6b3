"""Clients at once over HTTP, with this engine and with openai-whisper behind the same server.

Both servers run all the time and are asked in turn. Prints a table in Markdown.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import requests

from benchmarks import random_weights, recordings
from benchmarks.gunicorn_process import serving
from benchmarks.request_cost import FORM, TOKENS

ENGINES = ("reference", "batched")
SECONDS = 30


@dataclass(frozen=True)
class Served:
    """So many clients at once: seconds until the last has its answer, for each engine and round."""

    clients: int
    seconds: dict[str, list[float]]

    @property
    def ratio(self) -> float:
        """How many times as fast the batched engine is: the median of all rounds'."""
        rounds = zip(self.seconds["reference"], self.seconds["batched"], strict=True)
        return median(reference / batched for reference, batched in rounds)


def table(results: Sequence[Served]) -> str:
    """Markdown with the medians."""
    head = ["clients", "rounds", *ENGINES, "batched / reference"]
    lines = [head, ["---"] * len(head), *map(_cells, results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(served: Served) -> list[str]:
    return [
        str(served.clients),
        str(len(served.seconds[ENGINES[0]])),
        *(f"{median(served.seconds[engine]):.2f} s" for engine in ENGINES),
        f"{served.ratio:.2f}",
    ]


def ask(url: str, audio: bytes) -> int:
    """Send one recording; how many tokens the answer has. Raises requests.HTTPError for a refusal."""
    files = {"file": ("speech.wav", audio)}
    answer = requests.post(f"{url}/v1/audio/transcriptions", data=FORM, files=files, timeout=3_600)
    answer.raise_for_status()
    return sum(len(segment["tokens"]) for segment in answer.json()["segments"])


def ask_all(url: str, audio: bytes, clients: int) -> float:
    """Seconds until all clients have their answer. Raises RuntimeError for one of another length."""
    started = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        tokens = list(pool.map(partial(ask, url), [audio] * clients))
    seconds = perf_counter() - started
    if set(tokens) != {1 + TOKENS}:
        raise RuntimeError(f"{url} answered with {tokens} tokens, not with a timestamp and {TOKENS} of text.")
    return seconds


@contextmanager
def servers(checkpoint: Path, folder: Path) -> Iterator[Mapping[str, str]]:
    """The base URL of one server for each engine, on one torch thread."""
    settings = {"WHISPER_MODEL": str(checkpoint), "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1"}
    with ExitStack() as stack:
        yield {
            engine: stack.enter_context(
                serving("wsgi:app", folder / f"{engine}.log", WHISPER_ENGINE=engine, **settings)
            ).url
            for engine in ENGINES
        }


def run(size: str, clients: Sequence[int], rounds: int) -> Iterator[Served]:
    """Measure with random weights of a size's dimensions; one request before that is not counted."""
    audio = recordings.encode(recordings.speech(SECONDS), "wav")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = folder / f"{size}-random.pt"
        random_weights.write(checkpoint, random_weights.SIZES[size], TOKENS)
        with servers(checkpoint, folder) as urls:
            for url in urls.values():
                ask(url, audio)
            for count in clients:
                seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
                for _ in range(rounds):
                    for engine, url in urls.items():
                        seconds[engine].append(ask_all(url, audio, count))
                yield Served(count, seconds)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="http_speed", description=__doc__)
    parser.add_argument("--size", choices=random_weights.SIZES, default="base", help="dimensions (base)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="how many at once (1 8)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each (5)")
    options = parser.parse_args(arguments)
    print(table(list(run(options.size, options.clients, options.rounds))))


if __name__ == "__main__":
    main()
