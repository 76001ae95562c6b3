"""What a process holds at each stage, beside openai-whisper and faster-whisper with the same weights.

Each program runs in a process of its own, on one thread: everything imported, weights loaded, warmed up and
idle, and idle again after speech. A worker of the real server, with everything that a server has, is looked
at from outside, by root alone: it hides its memory from all others. Random weights of OpenAI's dimensions
where no file is given. Prints tables in Markdown.
"""

import argparse
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import numpy as np

TOKENS = 100
"""Text tokens that random weights say in a window of 30 s."""
IDLE_SECONDS = 4.0
"""After so long without work a worker has given back what it doesn't need."""
RATE = 16_000

IMPORTS, WEIGHTS, REST, SPEECH = "imports", "weights loaded", "at rest", "after speech"
STAGES = (IMPORTS, WEIGHTS, REST, SPEECH)

LOADING_GOALS = {("turbo", "batched exact"): 3500, ("turbo", "batched int8"): 3500}
REST_GOALS = {
    ("base", "batched exact"): 700,
    ("base", "batched int8"): 500,
    ("turbo", "batched exact"): 2600,
    ("turbo", "batched int8"): 1600,
}
"""(size, program) -> MB."""


class Held(NamedTuple):
    """MB (10^6 bytes) that a process has in memory.

    `proportional` divides what it shares by the number of processes that share it. `private` are no pages of
    files; the system can drop those and read them again. `peak` is the most that was resident so far.
    """

    resident: float
    proportional: float
    private: float
    peak: float

    @classmethod
    def by(cls, pid: int | str = "self") -> "Held":
        """What a process holds now."""
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
        return cls.of(rollup, status)

    @classmethod
    def of(cls, rollup: str, status: str) -> "Held":
        """What the two files in /proc/PID say."""
        return cls(
            _megabytes(rollup, "Rss"),
            _megabytes(rollup, "Pss"),
            _megabytes(rollup, "Anonymous"),
            _megabytes(status, "VmHWM"),
        )


def _megabytes(text: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


@dataclass
class Measured:
    """A program at its stages; a server's worker is seen at the last two alone."""

    size: str
    program: str
    stages: dict[str, Held] = field(default_factory=dict)


class Job(NamedTuple):
    """What a process needs to know: where weights and samples `[n]` lie. `samples` None: no speech."""

    weights: Path
    size: str
    precision: str
    samples: Path | None


Program = Callable[[Job], Iterator[str]]
"""Yields the name of each stage when it has reached it."""


def ours(job: Job) -> Iterator[str]:
    """The batched engine and voice activity detection, as a worker has them."""
    import_module("app.memory").limit_arenas()
    voices = import_module("app.waveform.voice_activity").VoiceActivity()
    torch, model, engine = map(
        import_module, ("torch", "app.engines.batched.model", "app.engines.batched.engine")
    )
    startup, interface, checkpoints = map(
        import_module, ("app.engines.startup", "app.engines.interface", "app.checkpoints")
    )
    transcribe = import_module("app.transcription.transcribe")
    torch.set_num_threads(1)
    yield IMPORTS
    loaded = model.load(checkpoints.found_at(job.weights), torch.device("cpu"), job.precision)
    yield WEIGHTS
    options = interface.EngineOptions(1, precision=job.precision)

    def build(loaded: Any, thread: Any) -> Any:
        return engine.BatchedEngine(loaded, thread, options.rows("cpu"), options.on_step)

    started = startup.start_engine(lambda: loaded, build, 1)
    yield REST
    if job.samples:
        _hear_ours(transcribe, started, voices, np.load(job.samples))
        yield SPEECH
    started.close()


def _hear_ours(transcribe: Any, engine: Any, voices: Any, samples: Any) -> None:
    requests, contexts = map(import_module, ("app.transcription.request", "app.request_context"))
    request = requests.TranscriptionRequest(
        language="en",
        temperatures=(0.0,),
        condition_on_previous_text=False,
        compression_ratio_threshold=None,
        logprob_threshold=None,
        no_speech_threshold=None,
    )
    policy = requests.Policy(has_speech=voices.has_speech)
    deltas = transcribe.stream_samples(engine, samples, request, policy, contexts.RequestContext.of(3_600.0))
    assert transcribe.collected(deltas, request.task).text


def openai_whisper(job: Job) -> Iterator[str]:
    """openai-whisper as it is."""
    module = import_module("benchmarks.contenders.openai_whisper")
    yield IMPORTS
    yield from _heard(module.OpenAIWhisper(job.weights, job.size), job)


def faster_whisper(job: Job) -> Iterator[str]:
    """faster-whisper, from the folder that lies beside the weights."""
    module = import_module("benchmarks.contenders.faster_whisper")
    yield IMPORTS
    yield from _heard(module.FasterWhisper(job.weights.parent / "ctranslate2", job.precision), job)


def _heard(contender: Any, job: Job) -> Iterator[str]:
    yield WEIGHTS
    contender.hear(np.zeros(RATE, np.float32))
    yield REST
    if job.samples:
        assert contender.hear(np.load(job.samples))
        yield SPEECH


PROGRAMS: dict[str, tuple[Program, str]] = {
    "batched exact": (ours, "exact"),
    "batched int8": (ours, "int8"),
    "openai-whisper": (openai_whisper, "float32"),
    "faster-whisper float32": (faster_whisper, "float32"),
    "faster-whisper int8": (faster_whisper, "int8"),
}
"""Name -> a program and the precision of its weights."""


def looked_at(name: str, job: Job, idle_seconds: float = IDLE_SECONDS) -> Measured:
    """Run a program in this process, and look at it whenever it has reached a stage and is idle."""
    # numba loads the tests' scipy where it finds it; a server's requirements don't have it.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    measured = Measured(job.size, name)
    for stage in PROGRAMS[name][0](job):
        sleep(idle_seconds if stage in (REST, SPEECH) else 0)
        measured.stages[stage] = Held.by()
    return measured


def worker(job: Job) -> Measured:
    """The only worker of a real server, at rest and after it has transcribed the speech."""
    serving = import_module("benchmarks.gunicorn_process").serving
    recordings, requests = map(import_module, ("benchmarks.recordings", "requests"))
    measured = Measured(job.size, f"worker {job.precision}")
    settings = {
        "WHISPER_MODEL": str(job.weights),
        "WHISPER_PRECISION": job.precision,
        "WHISPER_DEVICES": "cpu",
        "WHISPER_THREADS": "1",
    }
    with serving("wsgi:app", job.weights.parent / "log", **settings) as server:
        (pid,) = server.workers()
        sleep(IDLE_SECONDS)
        measured.stages[REST] = Held.by(pid)
        if job.samples:
            audio = recordings.encode(np.load(job.samples), "wav")
            url = f"{server.url}/v1/audio/transcriptions"
            form = {"model": "whisper-1", "language": "en"}
            requests.post(url, form, files={"file": ("speech.wav", audio)}, timeout=3_600).raise_for_status()
            sleep(IDLE_SECONDS)
            measured.stages[SPEECH] = Held.by(pid)
    return measured


def table(measured: Iterable[Measured]) -> Iterator[str]:
    """Markdown, line by line: resident and proportional MB, and the verdict on each goal."""
    head = ["size", "program", IMPORTS, "loading, at most", WEIGHTS, REST, "of it private", SPEECH]
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join(['---'] * len(head))} |"
    verdicts = []
    for one in measured:
        yield f"| {' | '.join(_cells(one))} |"
        verdicts += _verdicts(one)
    yield ""
    yield from verdicts


def _cells(one: Measured) -> list[str]:
    held = [one.stages.get(stage) for stage in STAGES]
    both = [f"{at.resident:.0f} / {at.proportional:.0f}" if at else "" for at in held]
    peak = f"{held[1].peak:.0f}" if held[1] else ""
    private = f"{held[2].private:.0f}" if held[2] else ""
    return [one.size, one.program, both[0], peak, both[1], both[2], private, both[3]]


def _verdicts(one: Measured) -> Iterator[str]:
    key = one.size, one.program
    loaded, rest = one.stages.get(WEIGHTS), one.stages.get(REST)
    if loaded and key in LOADING_GOALS:
        yield _verdict(one, "while it loads", loaded.peak, LOADING_GOALS[key])
    if rest and key in REST_GOALS:
        yield _verdict(one, REST, rest.resident, REST_GOALS[key])


def _verdict(one: Measured, when: str, megabytes: float, goal: int) -> str:
    reached = "reached" if megabytes < goal else "missed"
    return f"* {one.size}, {one.program}, {when}: {megabytes:.0f} MB (goal {goal}: {reached})"


def write(path: Path, size: str, given: Path | None, seconds: int, peers: bool) -> None:
    """Put weights at `path`, and beside it speech, and for faster-whisper a folder."""
    random_weights, recordings = map(import_module, ("benchmarks.random_weights", "benchmarks.recordings"))
    if given:
        path.symlink_to(given.resolve())
    else:
        random_weights.write(path, random_weights.SIZES[size], TOKENS)
    np.save(path.with_suffix(".npy"), recordings.speech(seconds))
    if peers:
        import_module("benchmarks.ctranslate2_weights").convert(path, size, path.parent / "ctranslate2")


def measure(folder: Path, size: str, options: argparse.Namespace) -> Iterator[Measured]:
    """All programs, one after the other."""
    given = options.weights if size == options.sizes[0] else None
    weights = folder / f"{size}.pt"
    names: Sequence[str] = options.programs
    peers = any(name.startswith("faster") for name in names)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pool.apply(write, (weights, size, given, options.seconds, peers))
        samples = weights.with_suffix(".npy") if size in options.speak else None
        for name in names:
            job = Job(weights, size, PROGRAMS[name][1], samples)
            yield pool.apply(looked_at, (name, job))
        if options.server and os.geteuid() == 0:
            for precision in ("exact", "int8"):
                yield worker(Job(weights, size, precision, samples))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table for each size. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="memory", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["base", "turbo"], help="OpenAI's names (base turbo)")
    parser.add_argument("--weights", type=Path, help="a .pt of the first size; random weights without it")
    parser.add_argument("--speak", nargs="*", default=["base"], help="sizes that hear speech (base)")
    parser.add_argument("--seconds", type=int, default=120, help="length of the speech (120)")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument(
        "--server", action=argparse.BooleanOptionalAction, default=True, help="a server's worker too"
    )
    options = parser.parse_args(arguments)
    os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")
    for size in options.sizes:
        print(flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for line in table(measure(Path(folder), size, options)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
