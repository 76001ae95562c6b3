"""How the wall time of a request splits into upload, decode, model and answer.

Random weights of `base` dimensions behind a real Gunicorn on loopback, one request at a time:
recordings of 30 s and 10 min, each as wav and as mp3. Prints a table in Markdown.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic

import requests

from benchmarks import random_weights, recordings
from benchmarks.gunicorn_process import serving
from benchmarks.measured_app import HEADER

LONG_SECONDS = 60
"""A longer recording is sent once: its stages are long enough to be told from noise."""
TOKENS = 100
"""Tokens of text in each window of 30 s, about as many as speech has."""
FORM = {
    "model": "whisper-1",
    "response_format": "verbose_json",
    # What follows keeps the model's work as small and as even as it can be.
    "language": "en",
    "condition_on_previous_text": "false",
    "temperature_increment_on_fallback": "0",
}


@dataclass(frozen=True)
class Split:
    """Where the seconds of one request went; the stages add up to its wall time.

    `upload_seconds` is everything until the form has been read and checked, `loop_seconds` the work
    between windows, `answer_seconds` everything from the finished transcript to the client's last byte.
    `model_seconds` includes the log-mel.
    """

    upload_seconds: float
    decode_seconds: float
    gate_seconds: float
    model_seconds: float
    loop_seconds: float
    answer_seconds: float

    @classmethod
    def of(cls, sent: float, measured: dict[str, float], ended: float) -> "Split":
        """From the client's times and the server's, all on one monotonic clock."""
        decode, gate, model = (measured[stage] for stage in ("decode", "gate", "model"))
        worked = measured["answered"] - measured["received"]
        return cls(
            upload_seconds=measured["received"] - sent,
            decode_seconds=decode,
            gate_seconds=gate,
            model_seconds=model,
            loop_seconds=worked - decode - gate - model,
            answer_seconds=ended - measured["answered"],
        )

    @property
    def wall_seconds(self) -> float:
        """From the client's first byte to its last."""
        return float(sum(asdict(self).values()))

    @property
    def overhead(self) -> float:
        """The share of the wall time that is not the model's, from 0 to 1."""
        return 1 - self.model_seconds / self.wall_seconds


def typical(splits: list[Split]) -> Split:
    """The median of each stage by itself."""
    rows = [asdict(split) for split in splits]
    return Split(**{stage: median(row[stage] for row in rows) for stage in rows[0]})


@dataclass(frozen=True)
class Case:
    """One kind of recording and what its requests took."""

    seconds: int
    container: str
    size_bytes: int
    rounds: int
    split: Split


def table(cases: list[Case]) -> str:
    """Markdown, milliseconds but for the wall time."""
    stages = ("upload", "decode", "gate", "model", "loop", "answer")
    head = ("recording", "file", "size", "rounds", "wall", *stages, "not the model")
    return "\n".join(map(_line, (head, ["---"] * len(head), *map(_cells, cases))))


def _cells(case: Case) -> list[str]:
    return [
        f"{case.seconds} s",
        case.container,
        f"{case.size_bytes / 1e6:.1f} MB",
        str(case.rounds),
        f"{case.split.wall_seconds:.2f} s",
        *(f"{1000 * seconds:.1f} ms" for seconds in asdict(case.split).values()),
        f"{case.split.overhead:.2%}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def ask(url: str, name: str, audio: bytes) -> Split:
    """Send one recording on a connection of its own. Raises requests.HTTPError for a refusal."""
    post = requests.Request(
        "POST", f"{url}/v1/audio/transcriptions", data=FORM, files={"file": (name, audio)}
    )
    with requests.Session() as session:
        prepared = session.prepare_request(post)
        sent = monotonic()
        answer = session.send(prepared)
        ended = monotonic()
    answer.raise_for_status()
    return Split.of(sent, json.loads(answer.headers[HEADER]), ended)


def measure(url: str, seconds: int, container: str, rounds: int) -> Case:
    """Send a recording as often as its length allows."""
    audio = recordings.encode(recordings.speech(seconds), container)
    times = 1 if seconds > LONG_SECONDS else rounds
    splits = [ask(url, f"speech.{container}", audio) for _ in range(times)]
    return Case(seconds, container, len(audio), times, typical(splits))


def run(lengths: list[int], rounds: int, threads: int) -> Iterator[Case]:
    """Start a server and measure every length and container; one request before that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "base-random.pt"
        random_weights.write(checkpoint, random_weights.BASE, TOKENS)
        settings = {
            "WHISPER_MODEL": str(checkpoint),
            "WHISPER_DEVICES": "cpu",
            "WHISPER_THREADS": str(threads),
        }
        with serving("benchmarks.measured_app:create()", Path(folder) / "log", **settings) as server:
            measure(server.url, min(lengths), "wav", 1)
            for seconds in lengths:
                for container in recordings.CODECS:
                    yield measure(server.url, seconds, container, rounds)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="request_cost", description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[30, 600], help="seconds of audio (30 600)")
    parser.add_argument("--rounds", type=int, default=5, help="requests for each recording up to 60 s (5)")
    parser.add_argument("--threads", type=int, default=1, help="WHISPER_THREADS (1)")
    options = parser.parse_args(arguments)
    print(table(list(run(options.lengths, options.rounds, options.threads))))


if __name__ == "__main__":
    main()
