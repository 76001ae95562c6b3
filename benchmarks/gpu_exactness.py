"""Is every text of the demo weights openai-whisper's on this device: a part of `gpu_check`."""

import argparse
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from app import engines
from app.checkpoints import resolve
from app.engines.interface import EngineOptions, Window, WindowOptions, WindowResult
from app.engines.reference import ReferenceEngine
from app.settings import Settings
from app.transcription.windows import short_context
from app.waveform import SAMPLE_RATE, Samples
from benchmarks.gpu_check import Row
from benchmarks.parting import gap

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
SOUNDS = ("flagship", "german", "numbers", "flite", "three_utterances")
CLOSE = 0.02
"""Texts may part where float16 can't tell two tokens apart: within so many logits."""

WORD_SECONDS = 0.0201

EN = WindowOptions(language="en")
KINDS = {
    "greedy": EN,
    "after text": replace(EN, prompt=tuple(range(300, 340))),
    "beam 5": replace(EN, beam_size=5),
    "translated": WindowOptions(language="de", task="translate"),
    "nothing suppressed": replace(EN, suppress_tokens=(), suppress_blank=False),
}


def sound(name: str) -> Samples:
    """A recording of tests/data at 16 kHz, resampled roughly: both engines hear the same."""
    with wave.open(str(DATA / f"{name}.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32_768
        rate = file.getframerate()
    places = np.arange(0, len(samples), rate / SAMPLE_RATE)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


@dataclass
class Compared:
    """Windows whose answers were compared."""

    equal: int = 0
    parted: int = 0
    wrong: list[str] = field(default_factory=list)

    def row(self, measured: str) -> Row:
        """Their numbers."""
        total = self.equal + self.parted + len(self.wrong)
        close = f", {self.parted} part within {CLOSE} logits" if self.parted else ""
        differ = f", {len(self.wrong)} differ: {', '.join(self.wrong)}" if self.wrong else ""
        return Row(measured, f"{self.equal} of {total} equal{close}{differ}", bool(self.wrong))


class Exactness:
    """The same windows on this engine and on openai-whisper, with the demo weights.

    Each with all of the encoder's positions, and in a short context.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        checkpoint = resolve(Settings(model="demo"))
        threads = int(options.tiny)
        reference = engines.start("reference", checkpoint, options.device, EngineOptions(threads))
        assert isinstance(reference, ReferenceEngine)
        self.reference = reference
        self.ours = engines.start("batched", checkpoint, options.device, EngineOptions(threads))
        sounds = {name: sound(name) for name in (SOUNDS[:1] if options.tiny else SOUNDS)}
        kinds = list(KINDS)[:3] if options.tiny else list(KINDS)
        both = self.reference, self.ours
        self._windows = {
            name: tuple(whole(engine, samples) for engine in both) for name, samples in sounds.items()
        }
        self._windows |= {
            f"{name}, short": tuple(map(in_short_context, self._windows[name])) for name in sounds
        }
        self._cases = [(name, kind) for name in self._windows for kind in kinds]
        self._expected = {
            (name, kind): self.reference.submit(self._windows[name][0], KINDS[kind]).result()
            for name, kind in self._cases
        }

    def close(self) -> None:
        """Stop both."""
        self.reference.close()
        self.ours.close()

    def alone(self) -> Compared:
        """One window after the other."""
        return self._compared({case: self._submit(case).result() for case in self._cases})

    def together(self) -> Compared:
        """All at the same time."""
        futures = {case: self._submit(case) for case in self._cases}
        return self._compared({case: future.result() for case, future in futures.items()})

    def words(self) -> Compared:
        """Words and their times, of the greedy texts."""
        compared = Compared()
        for name, (theirs, ours) in self._windows.items():
            eot = self.ours.tokenizer("en", "transcribe").eot
            text = [token for token in self._expected[name, "greedy"].tokens if token < eot]
            expected = self.reference.align(theirs, text, "en", "transcribe").result()
            found = self.ours.align(ours, text, "en", "transcribe").result()
            same = [word.text for word in expected] == [word.text for word in found] and all(
                abs(getattr(a, end) - getattr(b, end)) < WORD_SECONDS
                for a, b in zip(expected, found, strict=True)
                for end in ("start_seconds", "end_seconds")
            )
            if same:
                compared.equal += 1
            else:
                compared.wrong.append(name)
        return compared

    def _submit(self, case: tuple[str, str]) -> Any:
        name, kind = case
        return self.ours.submit(self._windows[name][1], KINDS[kind])

    def _compared(self, found: dict[tuple[str, str], WindowResult]) -> Compared:
        compared = Compared()
        for case, result in found.items():
            if result.tokens == self._expected[case].tokens:
                compared.equal += 1
            elif self._apart(case, result) < CLOSE:
                compared.parted += 1
            else:
                compared.wrong.append(" ".join(case))
        return compared

    def _apart(self, case: tuple[str, str], found: WindowResult) -> float:
        name, kind = case
        expected = self._expected[case]
        if KINDS[kind].beam_size:
            return abs(expected.avg_logprob - found.avg_logprob)
        features = self.reference._encode(self._windows[name][0])
        options = self.reference._decoding_options(KINDS[kind])
        return gap(self.reference._model, features, options, expected.tokens, found.tokens)


def whole(engine: Any, samples: Samples) -> Window:
    """All of a recording as one window."""
    recording = engine.open(samples)
    return Window(recording, 0, recording.frames)


def in_short_context(window: Window) -> Window:
    """The same window, with fewer of the encoder's positions."""
    return replace(window, positions=short_context(window.frames))


def exactness(options: argparse.Namespace) -> Iterator[Row]:
    """The demo weights' windows, one by one and side by side."""
    both = Exactness(options)
    try:
        yield both.alone().row("demo weights, one window after the other")
        yield both.together().row("demo weights, all windows at once")
        yield both.words().row(f"demo weights, word times within {WORD_SECONDS:.2f} s")
    finally:
        both.close()
