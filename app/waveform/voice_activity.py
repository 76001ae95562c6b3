"""Does anybody speak here? Answered by silero-vad's sequence model, on onnxruntime.

Importing silero_vad imports torch and sets its thread count to 1, so that happens only when a
VoiceActivity is made: once in the worker, before the engine sets the count it wants.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.waveform import SAMPLE_RATE, Samples, step_of

LONGEST_SPAN_SECONDS = 30.0
PIECE_FRAMES = 32
"""Frames of 32 ms (about 1 s in all) that one run of the model sees."""


class VoiceActivity:
    """A loaded silero-vad. It keeps nothing between calls, so threads may share it."""

    def __init__(self) -> None:
        from silero_vad import get_speech_timestamps_from_probs, load_silero_vad  # noqa: PLC0415  see above
        from silero_vad.sequence_vad import RATE_CONFIG, frame_blocks  # noqa: PLC0415

        self._session = load_silero_vad(sequence=True).session
        self._timestamps = get_speech_timestamps_from_probs
        self._frame_blocks = frame_blocks
        self._frame_samples, self._context_samples = RATE_CONFIG[SAMPLE_RATE]

    def has_speech(self, samples: Samples, floor: float) -> bool:
        """Whether the probability of speech reaches `floor` anywhere in 16 kHz samples `[n]`.

        Listens second by second and stops at the first that does: speech costs milliseconds, only
        silence the whole way (about 70 ms of one core for 30 s). A `floor` of 0 or less is reached
        without window_loop; above that, nothing is heard in no samples.
        """
        return floor <= 0 or any(piece.max() >= floor for piece in self._probabilities(samples))

    def _probabilities(self, samples: Samples) -> Iterator[NDArray[np.float32]]:
        """Speech probabilities `[frames]`, piece after piece: those of the whole in one run."""
        hidden = cell = np.zeros((1, 1, 128), np.float32)
        step = step_of(samples)
        for frames in self._frame_blocks(samples, self._frame_samples, self._context_samples, PIECE_FRAMES):
            probabilities, hidden, cell = self._session.run(
                ["speech_probs", "hn", "cn"], {"input": frames * step, "h": hidden, "c": cell}
            )
            yield probabilities

    def find_speech(
        self, samples: Samples, threshold: float, silence_seconds: float, padding_seconds: float
    ) -> list[tuple[float, float]]:
        """Where somebody speaks in 16 kHz samples `[n]`: (start, end) seconds, each under 30 s.

        Spans are parted by at least `silence_seconds` in which the probability of speech stays under
        `threshold`, or by the best pause at hand where speech goes on for 30 s.
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
