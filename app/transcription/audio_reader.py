"""Audio files -> samples, within a worker's limits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import BinaryIO

from app.errors import InvalidParameter
from app.held_audio import HeldAudio
from app.request_context import RequestContext
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.audio_decoder_pool import AudioDecoderPool
from app.waveform.audio_file import read_audio, read_audio_channels
from app.waveform.audio_limits import AudioLimits


@dataclass(frozen=True)
class AudioReader:
    """Reads the audio files of a worker's requests, in `decoders`, or in this process if there are none.

    `longest_seconds(limit)` is the longest recording that can be transcribed within so many seconds at
    the present speed. `held_audio` limits how much audio all requests hold at a time.
    """

    limits: AudioLimits
    longest_seconds: Callable[[float], float]
    decoders: AudioDecoderPool | None = None
    held_audio: HeldAudio = field(default_factory=HeldAudio)

    @contextmanager
    def read(
        self,
        file: BinaryIO,
        context: RequestContext,
        *,
        by_channel: bool = False,
        mono_is_plain: bool = False,
    ) -> Iterator[Samples]:
        """An audio file as 16 kHz samples: mono `[n]`, or `[channels, n]` with one speaker on each.

        By channel, a recording that is mono, also on several channels, is refused, or `[n]` if
        `mono_is_plain`. Raises InvalidRequest (no audio, over this server's limits, or refused for being
        mono), RequestTimeout, ClientGone, ServerBusy.
        """
        context.check()
        began = perf_counter()
        try:
            samples = self._read(file, context, by_channel=by_channel)
        finally:
            context.cost.add_reading(perf_counter() - began)
        with self.held_audio.share() as share:
            share.take(samples.size)
            context.cost.add_audio(samples.shape[-1] / SAMPLE_RATE)
            yield _by_speaker(samples, mono_is_plain=mono_is_plain) if by_channel else samples

    def _read(self, file: BinaryIO, context: RequestContext, *, by_channel: bool) -> Samples:
        limits = self._limits_at_this_speed(context.limit_seconds)
        if self.decoders:
            return self.decoders.read_audio(file, limits, by_channel=by_channel, check=context.check)
        return (read_audio_channels if by_channel else read_audio)(file, limits)

    def _limits_at_this_speed(self, request_seconds: float) -> AudioLimits:
        """The limits, without recordings that the engine can't transcribe before the deadline even alone."""
        longest = self.longest_seconds(request_seconds)
        if longest >= self.limits.max_seconds:
            return self.limits
        why = (
            f"which is all that this server can transcribe at its present speed within the "
            f"{request_seconds:g} seconds that it allows a request (WHISPER_REQUEST_SECONDS)."
        )
        return replace(self.limits, max_seconds=longest, why=why)


def _by_speaker(channels: Samples, *, mono_is_plain: bool) -> Samples:
    """The same `[channels, n]`; of mono, also where it fills several channels, `[n]` or InvalidParameter."""
    first: Samples = channels[0]
    if (channels[1:] == first).all():
        if mono_is_plain:
            return first
        raise InvalidParameter(
            "Speakers are told apart by channel, so the recording must have a channel for each speaker. "
            "This one is mono, or the same on all of its channels.",
            param="file",
        )
    return channels
