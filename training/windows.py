"""Training windows: one utterance, several, a full 30 s, or none; put together as log10 mel power."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from training import augment
from training.mel import FLOOR, FRAMES_PER_SECOND, MEL_BANDS
from training.utterance import Utterance

FULL_FRAMES = 3000
_LONGEST_STRETCH = 1.14
_GERMAN_SHARE = 0.12
_SHORT_GAPS = (0.12, 0.2, 0.3, 0.4, 0.5, 0.7)
_LONG_GAPS = (0.2, 0.4, 0.7, 1.0, 1.5, 2.5)


@dataclass(frozen=True)
class Placed:
    """An utterance in a window: where its speech lies in seconds, and how much longer it was made."""

    utterance: Utterance
    start: float
    end: float
    scale: float


@dataclass(frozen=True)
class Window:
    """Log10 mel power, [frames, 80], and the utterances in it, in order; none in silence or noise."""

    mel: np.ndarray
    placed: list[Placed]

    @property
    def language(self) -> str:
        return self.placed[0].utterance.language if self.placed else "en"

    def cuts_off(self, placed: Placed) -> bool:
        """Whether the window ends before this utterance does."""
        return placed.end > len(self.mel) / FRAMES_PER_SECOND + 0.02


@dataclass
class Layout:
    """Utterances with the silence before the first and after each, in seconds."""

    lead: float
    utterances: list[Utterance]
    gaps: list[float]


class WindowMaker:
    """Draws windows from utterances and noises (mel power); all chance comes from `rng`."""

    def __init__(self, utterances: Sequence[Utterance], noises: Sequence[np.ndarray], rng: Random) -> None:
        self._utterances = utterances
        self._noises = noises
        self._rng = rng

    def single(self, utterance: Utterance, first: bool) -> Window:
        """One utterance. Up to 0.6 s of silence come before it if it is the first thing in its 30 s."""
        gap = self._rng.choice([0, 0, 0, 0, 0.1, 0.2, 0.5])
        lead = 0.06
        if first:
            lead = 0.0 if self._rng.random() < 0.3 else self._rng.uniform(0, 0.6)
        return self._noisy(self._assembled(Layout(lead, [utterance], [gap])))

    def several(self) -> Window:
        """As many utterances of one language as fit into 5 to 18 s."""
        return self._filled(self._rng.randint(500, 1800), may_cut=False)

    def full(self) -> Window:
        """As many utterances of one language as fit into 30 s; half the time one more, cut off by the end."""
        return self._filled(FULL_FRAMES, may_cut=True)

    def silence(self, frames: int) -> Window:
        """Silence or noise."""
        if self._rng.random() < 0.3:
            return self._noisy(Window(_quiet(frames), []))
        noise = self._rng.choice(self._noises)
        offset = self._rng.randrange(len(noise) - frames)
        power = noise[offset : offset + frames] * 10 ** self._rng.uniform(-7, 0.7)
        return self._noisy(Window(np.log10(power + 10**FLOOR).astype(np.float32), []))

    def _filled(self, frames: int, may_cut: bool) -> Window:
        lead = 0.0 if self._rng.random() < 0.25 else self._rng.uniform(0, 1.4)
        language = "de" if self._rng.random() < _GERMAN_SHARE else "en"
        one_more = may_cut and self._rng.random() < 0.5
        gaps = _SHORT_GAPS if self._rng.random() < 0.5 else _LONG_GAPS
        layout = Layout(lead, [], [])
        self._fill(layout, frames, language, gaps, one_more)
        return self._noisy(self._assembled(layout))

    def _fill(
        self, layout: Layout, frames: int, language: str, gaps: Sequence[float], one_more: bool
    ) -> None:
        taken = layout.lead * FRAMES_PER_SECOND
        while True:
            utterance = self._any_of(language)
            gap = self._rng.choice(gaps)
            taken_then = taken + int(utterance.frames * _LONGEST_STRETCH + gap * FRAMES_PER_SECOND)
            fits = taken_then <= frames
            if fits or (one_more and utterance.frames > 60):
                layout.utterances.append(utterance)
                layout.gaps.append(gap)
            if fits:
                taken = taken_then
            elif layout.utterances:
                return

    def _any_of(self, language: str) -> Utterance:
        while True:
            utterance = self._rng.choice(self._utterances)
            if utterance.language == language:
                return utterance

    def _assembled(self, layout: Layout) -> Window:
        parts = [_quiet(int(layout.lead * FRAMES_PER_SECOND))]
        placed, frames = [], len(parts[0])
        for utterance, gap in zip(layout.utterances, layout.gaps, strict=True):
            mel, scale = augment.varied(utterance.mel, self._rng)
            start = frames / FRAMES_PER_SECOND
            placed.append(Placed(utterance, start, start + utterance.end_seconds * scale, scale))
            parts += [mel, _quiet(int(gap * FRAMES_PER_SECOND))]
            frames += len(parts[-2]) + len(parts[-1])
        return Window(np.concatenate(parts)[:FULL_FRAMES], placed)

    def _noisy(self, window: Window) -> Window:
        if self._rng.random() < 0.5:
            return window
        noise = self._rng.choice(self._noises)
        return Window(augment.with_noise(window.mel, _speech_power(window), noise, self._rng), window.placed)


def _speech_power(window: Window) -> float:
    spans = [
        window.mel[int(placed.start * FRAMES_PER_SECOND) : int(placed.end * FRAMES_PER_SECOND)]
        for placed in window.placed
    ]
    mel = np.concatenate(spans) if spans else window.mel
    return float((10**mel).sum(1).mean()) if len(mel) else 1.0


def _quiet(frames: int) -> np.ndarray:
    return np.full((frames, MEL_BANDS), FLOOR, np.float32)
