"""One worker with a thread per core, beside a worker with one thread for each core: clients at once.

Both servers run all the time and are asked in turn, with OpenAI's base. The clients of `short` send the short
clips of real_speech, those of `mixed` two minutes of speech; each sends its recordings one after the other.
Prints a table in Markdown: median seconds until the last client has its last answer, and the median ratio.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import requests

from app.checkpoints import model_dir, unpack
from app.settings import Settings
from benchmarks import recordings
from benchmarks.gunicorn_process import serving
from benchmarks.real_speech import mixed, short_clips

_PATIENCE_SECONDS = 3_600
_FORM = {"model": "whisper-1", "language": "en", "temperature": "0"}


def ask_all(url: str, files: Sequence[Sequence[bytes]]) -> float:
    """Seconds until every client, each with its own files, has all answers. Raises requests.HTTPError."""

    def ask(own: Sequence[bytes]) -> None:
        for file in own:
            answer = requests.post(
                f"{url}/v1/audio/transcriptions",
                data=_FORM,
                files={"file": ("speech.wav", file)},
                timeout=_PATIENCE_SECONDS,
            )
            answer.raise_for_status()

    started = perf_counter()
    with ThreadPoolExecutor(len(files)) as clients:
        list(clients.map(ask, files))
    return perf_counter() - started


def settings_of(cores: int) -> Mapping[str, Mapping[str, str]]:
    """What is compared: a server's name -> its settings."""
    return {
        f"1 worker, {cores} threads": {"WHISPER_DEVICES": "cpu", "WHISPER_THREADS": str(cores)},
        f"{cores} workers, 1 thread": {"WHISPER_DEVICES": ",".join(["cpu"] * cores), "WHISPER_THREADS": "1"},
    }


@contextmanager
def servers(checkpoint: Path, cores: int, folder: Path) -> Iterator[Mapping[str, str]]:
    """The base URL of each server by its name."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serving("wsgi:app", folder / f"{name}.log", WHISPER_MODEL=str(checkpoint), **settings)
            ).url
            for name, settings in settings_of(cores).items()
        }


def row(name: str, seconds: Mapping[str, Sequence[float]]) -> str:
    """A case's line of the table."""
    one, several = seconds.values()
    ratio = median(first / second for first, second in zip(one, several, strict=True))
    return f"| {name} | {median(one):.1f} s | {median(several):.1f} s | {ratio:.2f} |"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="workers_or_threads", description=__doc__)
    parser.add_argument("--clients", type=int, default=8, help="at once (8)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the mixed recording (2)")
    options = parser.parse_args(arguments)
    cores, settings = len(os.sched_getaffinity(0)), Settings.from_environ()
    clips = short_clips(settings)
    short = [recordings.encode(clip.samples, "wav") for clip in clips]
    long = recordings.encode(mixed(clips, options.minutes).samples, "wav")
    cases = {"short clips": [short[start:] + short[:start] for start in range(options.clients)]}
    cases["mixed speech"] = [[long]] * options.clients
    with (
        tempfile.TemporaryDirectory() as folder,
        servers(unpack("base", model_dir(settings)), cores, Path(folder)) as urls,
    ):
        print(f"| {options.clients} clients | {' | '.join(urls)} | ratio |\n| --- | --- | --- | --- |")
        for name, files in cases.items():
            seconds: dict[str, list[float]] = {each: [] for each in urls}
            for url in urls.values():
                ask_all(url, [own[:2] for own in files])
            for _ in range(options.rounds):
                for each, url in urls.items():
                    seconds[each].append(ask_all(url, files))
            print(row(name, seconds), flush=True)


if __name__ == "__main__":
    main()
