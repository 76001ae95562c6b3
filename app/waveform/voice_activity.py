"""Voice activity detection by silero-vad's sequence model, on onnxruntime.

Importing silero_vad imports torch and sets its thread count to 1, so that happens only when a
VoiceActivity is made: once in the worker, before the engine sets the count it wants.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.waveform import SAMPLE_RATE, Samples, step_of
from app.waveform.voice_stream import VoiceStream

LONGEST_SPAN_SECONDS = 30.0
PIECE_FRAMES = 32
"""Frames of 32 ms (about 1 s in all) that one run of the model sees."""
SYLLABLE_FRAMES = 8
"""About 0.26 s. Speech keeps its probability for so long; the attack of a plucked string doesn't."""
AUDIBLE_PEAK, HIGHEST_GAIN = 0.1, 100.0
"""Quiet audio is amplified to this peak, by at most this factor: of faint sounds the model is never sure."""


class VoiceActivity:
    """A loaded silero-vad. It has no state between calls, so threads may share it."""

    def __init__(self) -> None:
        from silero_vad import get_speech_timestamps_from_probs, load_silero_vad  # noqa: PLC0415  see above
        from silero_vad.sequence_vad import RATE_CONFIG, frame_blocks  # noqa: PLC0415

        self._session = load_silero_vad(sequence=True).session
        self._timestamps = get_speech_timestamps_from_probs
        self._frame_blocks = frame_blocks
        self._frame_samples, self._context_samples = RATE_CONFIG[SAMPLE_RATE]

    def stream(self) -> VoiceStream:
        """For audio that is still coming: its own state, this model."""
        return VoiceStream(self._session.run)

    def has_speech(self, samples: Samples, floor: float) -> bool:
        """Whether the probability of speech, averaged over 8 frames, reaches `floor` in 16 kHz samples `[n]`.

        Samples that are quiet as a whole are amplified for the model. Where there are fewer than 8 frames,
        the average is that of all. The model runs second by second, up to the first with speech: speech
        takes milliseconds, silence about 70 ms of one core for 30 s. With a `floor` of 0 or less it doesn't
        run; with a higher one there is no speech in no samples.
        """
        return floor <= 0 or any(average >= floor for average in self._highest_averages(samples))

    def _highest_averages(self, samples: Samples) -> Iterator[np.float32]:
        """Per piece, the highest average probability of SYLLABLE_FRAMES frames that end in it."""
        recent = np.zeros(0, np.float32)
        for piece in self._probabilities(samples, _gain(samples)):
            recent = np.concatenate([recent[1 - SYLLABLE_FRAMES :], piece])
            yield sliding_window_view(recent, min(SYLLABLE_FRAMES, len(recent))).mean(axis=1).max()

    def _probabilities(self, samples: Samples, gain: float = 1.0) -> Iterator[NDArray[np.float32]]:
        """Speech probabilities `[frames]`, piece by piece, equal to those of one run over all samples."""
        hidden = cell = np.zeros((1, 1, 128), np.float32)
        step = step_of(samples) * np.float32(gain)
        for frames in self._frame_blocks(samples, self._frame_samples, self._context_samples, PIECE_FRAMES):
            probabilities, hidden, cell = self._session.run(
                ["speech_probs", "hn", "cn"], {"input": frames * step, "h": hidden, "c": cell}
            )
            yield probabilities

    def find_speech(
        self, samples: Samples, threshold: float, silence_seconds: float, padding_seconds: float
    ) -> list[tuple[float, float]]:
        """The spans of speech in 16 kHz samples `[n]`: (start, end) seconds, each under 30 s.

        Between spans the probability of speech is under `threshold` for at least `silence_seconds`. Speech
        of 30 s and more is cut at its longest pause.
        """
        probabilities = [float(value) for piece in self._probabilities(samples) for value in piece]
        spans = self._timestamps(
            probabilities,
            sampling_rate=SAMPLE_RATE,
            threshold=threshold,
            min_silence_duration_ms=round(silence_seconds * 1000),
            speech_pad_ms=round(padding_seconds * 1000),
            max_speech_duration_s=LONGEST_SPAN_SECONDS,
            audio_length_samples=len(samples),
        )
        return [(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in spans]


def _gain(samples: Samples) -> float:
    """The factor, 1 or more, that makes quiet samples audible to the model."""
    if not len(samples):
        return 1.0
    peak = max(float(samples.max()), -float(samples.min())) * float(step_of(samples))
    return min(max(1.0, AUDIBLE_PEAK / peak), HIGHEST_GAIN) if peak else 1.0
