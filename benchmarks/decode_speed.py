"""Reading audio files in this process with threads, and in as many decoder processes, in turn.

The same files, all submitted at once. Prints a table in Markdown.
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import SpooledTemporaryFile
from time import perf_counter, process_time
from typing import BinaryIO, cast

from app.waveform import Samples
from app.waveform.audio_decoder_pool import AudioDecoderPool
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from benchmarks import recordings

CASES = ((5, "wav", 40), (5, "mp3", 40), (60, "mp3", 12), (600, "wav", 4), (600, "mp3", 4))
"""Seconds, container, files."""
_LIMITS = AudioLimits()
_IN_MEMORY_BYTES = 500 * 1024
"""Larger uploads are on the disk."""

Reader = Callable[[BinaryIO], Samples]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of processor time in this process and its children."""

    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Case:
    """What all files took, round by round."""

    seconds: int
    container: str
    files: int
    threads: list[Cost]
    processes: list[Cost]

    @property
    def wall_ratio(self) -> float:
        """The speed of processes over that of threads: the median of the rounds' ratios."""
        return median(a.wall_seconds / b.wall_seconds for a, b in self._rounds())

    @property
    def cpu_ratio(self) -> float:
        """The same in processor time, which other work on the machine sways less."""
        return median(a.cpu_seconds / b.cpu_seconds for a, b in self._rounds())

    def _rounds(self) -> Iterator[tuple[Cost, Cost]]:
        return zip(self.threads, self.processes, strict=True)


def table(cases: list[Case]) -> str:
    """Markdown; medians, seconds of all files."""
    head = "| recording | files | threads | processes | speed, processes / threads | processor time alone |"
    return "\n".join((head, f"|{' --- |' * 6}", *map(_line, cases)))


def _line(case: Case) -> str:
    threads, processes = (
        median(cost.wall_seconds for cost in costs) for costs in (case.threads, case.processes)
    )
    return (
        f"| {case.seconds} s {case.container} | {case.files} | {threads:.3f} s | {processes:.3f} s "
        f"| {case.wall_ratio:.2f} | {case.cpu_ratio:.2f} |"
    )


def cpu_seconds() -> float:
    """Processor time of this process and of its children so far."""
    tasks = Path("/proc/self/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    nanoseconds = (int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) for child in children)
    return process_time() + sum(nanoseconds) / 1e9


def in_process(file: BinaryIO) -> Samples:
    """16 kHz samples `[n]`, decoded here."""
    return read_audio(file, _LIMITS)


def uploaded(audio: bytes) -> BinaryIO:
    """A file as the server gets it."""
    file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  closed by who takes it
    file.write(audio)
    return cast(BinaryIO, file)


def cost_of(read: Reader, audio: bytes, files: int, workers: int) -> Cost:
    """What so many files take with so many threads asking."""
    with ExitStack() as stack, ThreadPoolExecutor(workers) as pool:
        uploads = [stack.enter_context(uploaded(audio)) for _ in range(files)]
        started, used = perf_counter(), cpu_seconds()
        list(pool.map(lambda file: len(read(file)), uploads))
        return Cost(perf_counter() - started, cpu_seconds() - used)


def measure(decoders: AudioDecoderPool, case: tuple[int, str, int], workers: int, rounds: int) -> Case:
    """One kind of file, in this process and in the others in turn; a first round isn't counted."""

    def in_processes(file: BinaryIO) -> Samples:
        return decoders.read_audio(file, _LIMITS, by_channel=False, check=lambda: None)

    seconds, container, files = case
    audio = recordings.encode(recordings.speech(seconds), container)
    pairs = [
        [cost_of(read, audio, files, workers) for read in (in_process, in_processes)]
        for _ in range(rounds + 1)
    ]
    threads, processes = zip(*pairs[1:], strict=True)
    return Case(seconds, container, files, list(threads), list(processes))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="decode_speed", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="threads, and processes (2)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (7)")
    options = parser.parse_args(arguments)
    decoders = AudioDecoderPool(options.workers, _LIMITS.max_seconds, on_restart=lambda: None)
    decoders.wait_until_started()
    try:
        print(table([measure(decoders, case, options.workers, options.rounds) for case in CASES]))
    finally:
        decoders.close()


if __name__ == "__main__":
    main()
