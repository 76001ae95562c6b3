"""`python -m app transcribe`: recordings, or folders of them -> text files beside them."""

import sys
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event, Lock

from tqdm import tqdm  # type: ignore[import-untyped]

from app.background import run_in_background
from app.commands.server_transcriber import ServerTranscriber
from app.commands.transcriber import FileTranscriber, LocalTranscriber
from app.errors import ServerBusy, SpeechError, StartError, listed
from app.formats import FORMATS, RenderOptions
from app.settings import Settings
from app.transcript import Transcript
from app.waveform.duration import declared_seconds

OUTPUTS = {"txt": "text", "srt": "srt", "vtt": "vtt", "json": "verbose_json"}
"""Suffix -> the `response_format` that such a file holds."""
SUFFIXES = frozenset(
    f".{name}"
    for line in (
        "3gp aac aif aiff amr au avi caf flac m4a m4b mka mkv mov mp3 mp4 mpeg",
        "mpg mpga mts oga ogg opus ts w64 wav weba webm wma wmv",
    )
    for name in line.split()
)
"""What is taken from a folder; a file that is named is taken whatever it is called."""


def main(options: Namespace, settings: Settings) -> int:
    """Do what the command line asks for. Raises StartError for what is wrong with it."""
    suffixes = [suffix.strip().removeprefix(".") for suffix in options.format.split(",")]
    if unknown := [suffix for suffix in suffixes if suffix not in OUTPUTS]:
        raise StartError(f"--format is {options.format!r}: {unknown[0]!r} is not one of {listed(OUTPUTS)}.")
    if options.at_a_time < 1:
        raise StartError(f"--at-a-time is {options.at_a_time}; it must be 1 or more.")
    todo = recordings(options.paths, options.to, suffixes)
    fields = {name: value for name in ("language", "prompt") if (value := getattr(options, name))}
    if all(recording.is_done for recording in todo):
        print(Outcome(skipped=len(todo)))
        return 0
    try:
        transcriber = _transcriber(options, settings, fields)
    except SpeechError as error:  # a language that there isn't
        raise StartError(str(error)) from error
    return run(todo, transcriber, options.at_a_time)


def _transcriber(options: Namespace, settings: Settings, fields: dict[str, str]) -> FileTranscriber:
    if options.server:
        model = {"model": options.model or "whisper-1"}
        return ServerTranscriber(options.server, settings.openai_api_key, settings.ca_file, fields | model)
    return LocalTranscriber(replace(settings, model=options.model or settings.model), fields)


@dataclass(frozen=True)
class Recording:
    """A recording and the files that are to be made of it."""

    path: Path
    outputs: tuple[Path, ...]

    @property
    def is_done(self) -> bool:
        """Whether all its files are there."""
        return all(output.exists() for output in self.outputs)


def recordings(paths: Sequence[Path], to: Path | None, suffixes: Sequence[str]) -> list[Recording]:
    """All recordings, and the files to make: beside them, or in the same folders below `to`.

    Of two recordings that differ in their suffix alone, that suffix stays in the names. Raises StartError.
    """
    targets = dict(_targets(paths, to))
    if not targets:
        raise StartError(f"There is no recording. What is taken from folders: {listed(sorted(SUFFIXES))}.")
    stems = Counter(target.with_suffix("") for target in targets.values())
    return [
        Recording(path, tuple(_output(target, suffix, stems) for suffix in suffixes))
        for path, target in targets.items()
    ]


@dataclass
class Outcome:
    """What came of many recordings. `failures` are lines to print."""

    made: int = 0
    skipped: int = 0
    left: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        left = f", {self.left} left" if self.left else ""
        return f"{self.made} transcribed, {self.skipped} already there, {len(self.failures)} failed{left}."


def run(todo: Sequence[Recording], transcriber: FileTranscriber, at_a_time: int) -> int:
    """Transcribe what isn't done yet and print a summary; 1 if any failed, 130 after Ctrl-C."""
    waiting = deque(recording for recording in todo if not recording.is_done)
    outcome = Outcome(skipped=len(todo) - len(waiting), left=len(waiting))
    interrupted = False
    with Progress(recording.path for recording in waiting) as progress:
        try:
            _transcribe_all(waiting, transcriber, at_a_time, progress, outcome)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress.stopped.set()
            transcriber.close()
    for line in outcome.failures:
        print(f"Failed: {line}", file=sys.stderr)
    print(outcome)
    return 130 if interrupted else min(len(outcome.failures), 1)


def _transcribe_all(
    waiting: deque[Recording],
    transcriber: FileTranscriber,
    at_a_time: int,
    progress: "Progress",
    outcome: Outcome,
) -> None:
    """Files are written in this thread alone, so that Ctrl-C can't leave half of one."""
    running: dict[Future[Transcript], Recording] = {}
    while waiting or running:
        while waiting and len(running) < at_a_time:
            recording = waiting.popleft()
            work = partial(_transcribed, recording.path, transcriber, progress)
            running[run_in_background(work, "transcribe")] = recording
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            recording = running.pop(future)
            outcome.left -= 1
            try:
                write(future.result(), recording.outputs)
                outcome.made += 1
            except (SpeechError, OSError) as error:
                outcome.failures.append(f"{recording.path}: {error}")


class Progress:
    """A bar of the seconds transcribed, of the seconds in all recordings, for any thread."""

    def __init__(self, paths: Iterator[Path]) -> None:
        self.stopped = Event()
        self._seconds = {path: declared_seconds(path) or 0.0 for path in paths}
        self._reached = dict.fromkeys(self._seconds, 0.0)
        self._lock = Lock()
        self._bar = tqdm(
            total=round(sum(self._seconds.values())),
            unit="s",
            disable=None,  # where nobody watches
            bar_format="{l_bar}{bar}| {n:.0f} of {total:.0f} s of sound [{elapsed}<{remaining}]{postfix}",
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def reach(self, path: Path, seconds: float) -> None:
        """So much of a recording is transcribed."""
        with self._lock:
            seconds = min(max(seconds, self._reached[path]), self._seconds[path])
            self._bar.update(seconds - self._reached[path])
            self._reached[path] = seconds

    def finish(self, path: Path) -> None:
        """All of it is, or it failed."""
        self.reach(path, self._seconds[path])


def write(transcript: Transcript, outputs: Sequence[Path]) -> None:
    """Write a transcript's files, each of which gets its name only once it is complete."""
    for output in outputs:
        body = FORMATS[OUTPUTS[output.suffix[1:]]].render(transcript, RenderOptions())
        output.parent.mkdir(parents=True, exist_ok=True)
        part = output.with_name(f".{output.name}.part")
        try:
            part.write_text(body, encoding="utf-8")
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)


def _targets(paths: Sequence[Path], to: Path | None) -> Iterator[tuple[Path, Path]]:
    """Each recording and where its files go, with the recording's own suffix."""
    for path in paths:
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                if found.suffix.lower() in SUFFIXES and found.is_file() and not found.name.startswith("."):
                    yield found, (to / found.relative_to(path) if to else found)
        elif path.is_file():
            yield path, (to / path.name if to else path)
        else:
            raise StartError(f"There is no file or folder {path}.")


def _output(target: Path, suffix: str, stems: Counter[Path]) -> Path:
    stem = target.with_suffix("")
    return target.with_name(f"{target.name if stems[stem] > 1 else stem.name}.{suffix}")


def _transcribed(path: Path, transcriber: FileTranscriber, progress: Progress) -> Transcript:
    """Waits as long as the server is busy."""
    try:
        while True:
            try:
                return transcriber.transcribe(path, partial(progress.reach, path))
            except ServerBusy as busy:
                if progress.stopped.wait(busy.retry_after_seconds):
                    raise
    finally:
        progress.finish(path)
