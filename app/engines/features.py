"""Log-mel features of a whole recording, computed in blocks.

openai-whisper clips the log-mel at the maximum of the whole recording less 8, so no window can be
finished before all are computed: first every block, then the clip. Source: `whisper.audio`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

from app.engines.interface import WINDOW_FRAMES
from app.scheduling import SchedulingClass
from app.waveform import Samples, step_of

_EDGE_FRAMES = 2
"""Frames past the audio's end whose STFT window reaches into it."""


@contextmanager
def closed_on_error(recording: "LogMel") -> Iterator[None]:
    """Close a recording that can't be opened, so that what is queued for it is cancelled."""
    try:
        yield
    except BaseException:
        recording.close()
        raise


class LogMel:
    """A recording's features `[n_mels, frames]`, padded with silence up to one full window.

    Call `compute` for every block but the last, then `finish`. `window` must not be called earlier.
    """

    def __init__(
        self,
        samples: Samples,
        n_mels: int,
        device: torch.device,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
    ) -> None:
        self.scheduling_class = scheduling_class
        self.frames = len(samples) // HOP_LENGTH
        self._shape = n_mels, max(self.frames + _EDGE_FRAMES, WINDOW_FRAMES)
        self._device = device
        self._samples: Tensor | None = torch.from_numpy(samples)
        self._step = float(step_of(samples))
        self._mel = torch.empty(0)
        self._closed = False

    @property
    def closed(self) -> bool:
        """True once its windows are no longer needed."""
        return self._closed

    def close(self) -> None:
        """Cancel what is queued or runs for it."""
        self._closed = True

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First and end frame of each block of at most 30 s."""
        total_frames = self._shape[1]
        for first in range(0, total_frames, WINDOW_FRAMES):
            yield first, min(first + WINDOW_FRAMES, total_frames)

    def compute(self, first: int, end: int) -> None:
        """Compute the log-mel of one block, before clipping."""
        if not self._mel.numel():  # not before: the engine's thread alone can make room for it
            self._mel = torch.empty(self._shape, device=self._device)
        device = self._device
        audio = self._samples_of(first, end).to(device, torch.float32) * self._step
        stft = torch.stft(
            audio,
            N_FFT,
            HOP_LENGTH,
            window=torch.hann_window(N_FFT, device=device),
            center=False,
            return_complex=True,
        )
        power = mel_filters(device, self._mel.shape[0]) @ (stft.abs() ** 2)
        self._mel[:, first:end] = torch.clamp(power, min=1e-10).log10()

    def finish(self, first: int, end: int) -> None:
        """Compute the last block, and clip all."""
        self.compute(first, end)
        self.clip()

    def clip(self) -> None:
        """Clip at 8 below the maximum and scale, as the model was trained."""
        self._samples = None
        floor = self._mel.max() - 8.0
        self._mel.clamp_(min=floor.item()).add_(4.0).div_(4.0)

    def window(self, seek: int, frames: int, padded_frames: int = WINDOW_FRAMES) -> Tensor:
        """`[n_mels, padded_frames]` from frame `seek`, padded with 0.0 after `frames` frames."""
        mel = self._mel[:, seek : seek + frames]
        return F.pad(mel, (0, padded_frames - mel.shape[1]))

    def _samples_of(self, first: int, end: int) -> Tensor:
        """The samples of frames `first` to `end`: half an STFT window more on both sides."""
        assert self._samples is not None
        half = N_FFT // 2
        start, stop = first * HOP_LENGTH - half, (end - 1) * HOP_LENGTH + half
        audio = self._samples[max(start, 0) : stop]
        missing = stop - max(start, 0) - len(audio)
        audio = F.pad(audio, (0, max(0, missing)))
        if start < 0:
            audio = torch.cat([audio[1 : half + 1].flip(0), audio])
        return audio
