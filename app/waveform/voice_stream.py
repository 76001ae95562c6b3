"""Voice activity of audio that is still coming: silero-vad with its state kept from call to call."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.waveform import Samples

FRAME_SAMPLES = 512
FRAME_MS = 32
_CONTEXT_SAMPLES = 64
"""The model sees the end of the frame before, too."""
_STATE_SHAPE = (1, 1, 128)
_OUTPUTS = ("speech_probs", "hn", "cn")
_MOST_FRAMES = 32
"""In one run, so that a long piece of audio takes no more memory than a second of it."""

RunModel = Callable[[Sequence[str], Mapping[str, NDArray[np.float32]]], Sequence[NDArray[np.float32]]]
"""silero-vad's sequence model: names of outputs, inputs by name -> outputs. Any thread may call it."""


class VoiceStream:
    """One session's speech probabilities, equal to those of one run over all its samples."""

    def __init__(self, run: RunModel) -> None:
        self._run = run
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, and samples that made no whole frame."""
        self._hidden = self._cell = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: Samples) -> list[float]:
        """The probability of speech in each frame of 32 ms that 16 kHz float32 samples `[n]` complete.

        What is left is the beginning of the next frame. The model runs only if a frame is complete, once for
        up to 32 of them.
        """
        pending = np.concatenate([self._rest, samples.astype(np.float32, copy=False)])
        whole = len(pending) - len(pending) % FRAME_SAMPLES
        self._rest = pending[whole:].copy()
        step = _MOST_FRAMES * FRAME_SAMPLES
        blocks = (pending[first : min(first + step, whole)] for first in range(0, whole, step))
        return [probability for block in blocks for probability in self._of_frames(block)]

    def _of_frames(self, samples: NDArray[np.float32]) -> list[float]:
        frames = samples.reshape(-1, FRAME_SAMPLES)
        contexts = np.concatenate([self._context[None], frames[:-1, -_CONTEXT_SAMPLES:]])
        self._context = frames[-1, -_CONTEXT_SAMPLES:].copy()
        inputs = {"input": np.concatenate([contexts, frames], axis=1), "h": self._hidden, "c": self._cell}
        found, self._hidden, self._cell = self._run(_OUTPUTS, inputs)
        return [float(probability) for probability in found.reshape(-1)]
