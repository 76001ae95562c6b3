"""Batches of training windows as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch

from training.mel import FLOOR, MEL_BANDS
from training.synthesize import Corpus
from training.targets import IGNORED, POSITION_SECONDS, FrameLabels, TargetMaker, TokenTargets
from training.utterance import Utterance
from training.vocabulary import Vocabulary
from training.windows import FULL_FRAMES, Window, WindowMaker

SIZES = {"single": 28, "several": 6, "full": 4}
_POSITIONS = FULL_FRAMES // 2
_DYNAMIC_RANGE = 8.0  # whisper clips this far (log10) under the loudest


@dataclass(frozen=True)
class Batch:
    """B windows with T frames (T/2 positions) and S tokens.

    `mel` [B, 80, T] lies at encoder position `start` of 1500; before it everything is `lead`, after it
    `trail`, both [B]. `rows`, `targets` [B, S]; `spans` [B, S, 2] in seconds, -1 where there is none;
    `phonemes`, `words` [B, T/2].
    """

    mel: torch.Tensor
    lead: torch.Tensor
    trail: torch.Tensor
    start: int
    rows: torch.Tensor
    targets: torch.Tensor
    spans: torch.Tensor
    phonemes: torch.Tensor
    words: torch.Tensor


@dataclass(frozen=True)
class Sample:
    """A window and all that is to be learned from it."""

    window: Window
    tokens: TokenTargets
    labels: FrameLabels


class BatchMaker:
    """Draws batches from a corpus; the same seed gives the same batches."""

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, seed: int) -> None:
        self.rng = Random(seed)
        self._utterances = sorted(corpus.utterances, key=lambda utterance: utterance.frames)
        texts = [utterance.text for utterance in corpus.utterances if utterance.language == "en"]
        self._windows = WindowMaker(self._utterances, corpus.noises, self.rng)
        self._targets = TargetMaker(vocabulary, texts, self.rng)

    def draw(self, kind: str, prompt_share: float = 0.0) -> Batch:
        """A batch of `single`, `several` or `full` windows; if prompted, which takes longer, of fewer."""
        prompted = self.rng.random() < prompt_share
        size = max(3, SIZES[kind] // 2) if prompted else SIZES[kind]
        if kind == "single":
            return self._single(size, prompted)
        if kind == "several":
            samples = [self._sample(self._windows.several(), 0, prompted) for _ in range(size)]
            return self._collate(samples, 0, _even(_longest(samples) + 12))
        samples = [self._sample(self._full_or_silence(), 0, prompted) for _ in range(size)]
        return self._collate(samples, 0, FULL_FRAMES)

    def _single(self, size: int, prompted: bool) -> Batch:
        """Utterances of about the same length, one in fourteen silent, a quarter anywhere in 30 s."""
        picked = self._neighbours(size)
        longest = int(max(utterance.frames for utterance in picked) * 1.14) + 100
        start = self.rng.randrange(2, _POSITIONS - longest // 2 - 40) if self.rng.random() < 0.25 else 0
        silent = max(1, size // 14)
        samples = []
        for index, utterance in enumerate(picked):
            if index < silent:
                window = self._windows.silence(min(self.rng.choice([120, 200, 300, 400]), longest))
            else:
                window = self._windows.single(utterance, first=start == 0)
            samples.append(self._sample(window, start, prompted))
        return self._collate(samples, start, _even(_longest(samples) + 12))

    def _neighbours(self, size: int) -> list[Utterance]:
        first = int(self.rng.random() * max(1, len(self._utterances) - 2 * size))
        return self.rng.sample(self._utterances[first : first + 2 * size], size)

    def _full_or_silence(self) -> Window:
        return self._windows.full() if self.rng.random() < 0.85 else self._windows.silence(FULL_FRAMES)

    def _sample(self, window: Window, start: int, prompted: bool) -> Sample:
        tokens = None
        while tokens is None:
            tokens = self._targets.tokens(window, start * POSITION_SECONDS, prompted)
        return Sample(window, tokens, self._targets.labels(window))

    def _collate(self, samples: list[Sample], start: int, frames: int) -> Batch:
        length = max(len(sample.tokens.rows) for sample in samples)
        scaled = [self._scaled(sample.window.mel, frames) for sample in samples]
        mels, leads, trails = zip(*scaled, strict=True)
        positions = frames // 2
        return Batch(
            mel=torch.from_numpy(np.stack(mels)).transpose(1, 2).contiguous(),
            lead=torch.tensor(leads, dtype=torch.float32),
            trail=torch.tensor(trails, dtype=torch.float32),
            start=start,
            rows=_stacked([sample.tokens.rows for sample in samples], length, 0),
            targets=_stacked([sample.tokens.targets for sample in samples], length, IGNORED),
            spans=torch.tensor(
                [_padded_spans(sample.tokens, length) for sample in samples], dtype=torch.float32
            ),
            phonemes=_stacked([sample.labels.phonemes[:positions] for sample in samples], positions, 0),
            words=_stacked([sample.labels.words[:positions] for sample in samples], positions, 0),
        )

    def _scaled(self, mel: np.ndarray, frames: int) -> tuple[np.ndarray, float, float]:
        """Clip and scale as whisper does; pad to `frames`. Returns the mel and the values around it.

        Whisper pads recordings with silence when it detects the language but log-mels with 0.0 when it
        transcribes, so both are trained.
        """
        lowest = max(max(mel.max(), FLOOR) - _DYNAMIC_RANGE, FLOOR)
        silence = (lowest + 4) / 4
        scaled = (np.maximum(mel, lowest) + 4) / 4
        trail = 0.0 if self.rng.random() < 0.6 else silence
        if self.rng.random() < 0.2:
            width = self.rng.randrange(1, 8)
            band = self.rng.randrange(MEL_BANDS - width)
            scaled[:, band : band + width] = silence
        padded = np.full((frames, MEL_BANDS), trail, np.float32)
        padded[: len(scaled)] = scaled
        return padded, silence, trail


def _longest(samples: list[Sample]) -> int:
    return max(len(sample.window.mel) for sample in samples)


def _even(frames: int) -> int:
    frames = min(FULL_FRAMES, frames)
    return frames + frames % 2


def _padded_spans(tokens: TokenTargets, length: int) -> list[tuple[float, float]]:
    spans = [span or (-1.0, -1.0) for span in tokens.spans]
    return spans + [(-1.0, -1.0)] * (length - len(spans))


def _stacked(rows: Sequence[list[int] | np.ndarray], length: int, filler: int) -> torch.Tensor:
    stacked = torch.full((len(rows), length), filler)
    for index, row in enumerate(rows):
        stacked[index, : len(row)] = torch.as_tensor(row)
    return stacked
