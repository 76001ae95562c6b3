"""Audio files -> 16 kHz samples, equal to those that openai-whisper's `load_audio` gets from ffmpeg.

Uploads are untrusted. Only the containers below are tried, a file that refers to another file or address is
refused, and length, sample rate, channels and time are limited while reading: 72 kB of FLAC can hold ten
hours, and headers may be wrong.
"""

import io
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, groupby
from typing import BinaryIO, NoReturn, cast

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from app.waveform import SAMPLE_RATE, Pcm
from app.waveform.audio_budget import AudioBudget
from app.waveform.audio_limits import HIGHEST_RATE, LOWEST_RATE, MAX_CHANNELS, SHORTEST_SAMPLES, AudioLimits
from app.waveform.audio_refusals import AudioRefused, RefusalCode, audio_error

CONTAINERS = "wav,w64,aiff,mp3,mov,matroska,ogg,flac,aac,mpeg,mpegts,amr,asf,caf,au"
"""The demuxers that are tried, by ffmpeg's names; mov reads mp4, m4a and 3gp, matroska also webm."""
MAX_MIXED_CHANNELS = 8
"""For more channels than this, ffmpeg guesses the layout, and its mix leaves some channels out."""
MAX_BAD_PACKETS = 1_000
BLOCK_SECONDS = 30
BLOCK_VALUES = 4_000_000
"""A block ends before 30 s at this many values: 30 s of 16 channels at 384 kHz would be 0.7 GB."""

BYTES_FOR_A_SEEK = 16
"""One seek is allowed for so many bytes of the last read; further ones count as searches. FFmpeg takes zeros
after a WAV file for empty chunks, and seeks four times for every 8 of them. Among real files, fragmented MP4
comes closest, with one seek for every 45 bytes."""
MAX_SEARCHES = 100_000
"""The max_samples searches in a file, which then ends where they were."""

Signal = tuple[str, AudioLayout, int]
"""What one resampler takes: sample format, channel layout, sample rate."""


def read_audio(file: BinaryIO, limits: AudioLimits) -> Pcm:
    """All audio of a seekable file, mixed down: 16 bits `[samples]` at 16 kHz.

    Up to 8 channels are mixed as ffmpeg does, more are averaged. Raises UndecodableAudio,
    AudioTooShort (under 0.1 s) or AudioTooLong (over one of the limits).
    """
    samples: Pcm = _joined(_read_blocks(file, limits, mixed=True))[0]
    return samples


def read_audio_channels(file: BinaryIO, limits: AudioLimits) -> Pcm:
    """Each channel apart: 16 bits `[channels, samples]` at 16 kHz.

    Memory grows with the channels, so beyond two of them `max_seconds` shrinks in proportion.
    Raises what `read_audio` raises.
    """
    return _joined(_read_blocks(file, limits, mixed=False))


def _read_blocks(file: BinaryIO, limits: AudioLimits, *, mixed: bool) -> list[Pcm]:
    try:
        return list(audio_blocks(file, limits, mixed=mixed))
    except AudioRefused as refused:
        error = audio_error(refused.code, limits, refused.number)
        raise error from refused.__cause__ or refused


def audio_blocks(file: BinaryIO, limits: AudioLimits, *, mixed: bool) -> Iterator[Pcm]:
    """The samples of a file in blocks `[channels, samples]`, as it is read; one channel if `mixed`.

    Raises AudioRefused; for a file that is too short, after the last block.
    """
    budget = AudioBudget(limits)
    upload = _Upload(file, budget)
    total = 0
    try:
        with _opened(upload) as container:
            stream = _audio_stream(container)
            budget.check_declared(_declared_seconds(container, stream))
            for block in _resampled(_frames(container, stream, budget, mixed=mixed), mixed=mixed):
                total += block.shape[1]
                yield block
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        budget.check_time()
        raise AudioRefused(RefusalCode.UNDECODABLE) from error
    if total < SHORTEST_SAMPLES:
        raise AudioRefused(RefusalCode.TOO_SHORT)


class _Upload:
    """The bytes of a file without its name, which would influence ffmpeg's guess of the format.

    It ends when the time is up, and where it has been searched too often, so that no demuxer searches a
    hostile file for long. Bytes before that end are read normally.
    """

    def __init__(self, file: BinaryIO, budget: AudioBudget) -> None:
        self._end = file.seek(0, io.SEEK_END)
        if self._end == 0:
            raise AudioRefused(RefusalCode.TOO_SHORT)
        file.seek(0)
        self.tell = file.tell
        self._file = file
        self._budget = budget
        self._read_end = 0  # the end of the last read
        self._seeks_left = 0  # in the bytes of that read
        self._searches_left = MAX_SEARCHES

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._seeks_left -= 1
        if self._seeks_left < 0:
            self._searches_left -= 1
            if self._searches_left < 0:
                self._end = min(self._end, self._read_end)
                self._searches_left = MAX_SEARCHES
        return self._file.seek(offset, whence)

    def read(self, size: int) -> bytes:
        if self._budget.late:
            return b""
        chunk = self._file.read(max(0, min(size, self._end - self.tell())))
        self._read_end = self.tell()
        self._seeks_left = len(chunk) // BYTES_FOR_A_SEEK
        return chunk


def _opened(upload: _Upload) -> InputContainer:
    return av.open(
        upload,
        mode="r",
        container_options={
            "format_whitelist": CONTAINERS,
            "codec_whitelist": _audio_decoders(),
            "protocol_whitelist": "",
        },
        metadata_errors="replace",
        io_open=_refuse_reference,
    )


@cache
def _audio_decoders() -> str:
    """The decoders that may be used: those for audio, so that pictures and video are never decoded."""
    return ",".join(name for name in av.codecs_available if _decodes_audio(name))


def _decodes_audio(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except av.codec.codec.UnknownCodecError:
        return False


def _refuse_reference(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise AudioRefused(RefusalCode.REFERS_TO_A_FILE)


def _audio_stream(container: InputContainer) -> AudioStream:
    """The stream that ffmpeg would choose."""
    stream = container.streams.best("audio")
    if stream is None:
        raise AudioRefused(RefusalCode.NO_AUDIO_TRACK)
    if not isinstance(stream, AudioStream):
        raise AudioRefused(RefusalCode.UNDECODABLE)
    return stream


def _declared_seconds(container: InputContainer, stream: AudioStream) -> float:
    """The length in the file's header, 0.0 if there is none."""
    if container.format.name == "aac":  # no header: ffmpeg extrapolates from the first frames' sizes
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _frames(
    container: InputContainer, stream: AudioStream, budget: AudioBudget, *, mixed: bool
) -> Iterator[AudioFrame]:
    """The stream's frames, counted and checked. Damaged packets are skipped, as by ffmpeg."""
    damage: list[av.error.FFmpegError] = []
    for packet in _packets(container, stream, damage):
        budget.check_time()
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damage.append(error)
            if len(damage) > MAX_BAD_PACKETS:
                raise
            continue
        for frame in frames:
            channels = frame.layout.nb_channels
            _check_signal(frame.sample_rate, channels)
            budget.spend(frame.samples / frame.sample_rate, 1 if mixed else channels)
            yield frame
    if damage and not budget.spent_seconds:
        raise damage[0]


def _packets(
    container: InputContainer, stream: AudioStream, damage: list[av.error.FFmpegError]
) -> "Iterator[Packet[AudioStream]]":
    """All packets, or those before the position from which the container can't be read."""
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        damage.append(error)
        last = Packet()  # an empty packet flushes the decoder
        last.stream = stream
        yield cast("Packet[AudioStream]", last)


def _check_signal(rate: int, channels: int) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise AudioRefused(RefusalCode.SAMPLE_RATE, rate)
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioRefused(RefusalCode.CHANNELS, channels)


def _resampled(frames: Iterable[AudioFrame], *, mixed: bool) -> Iterator[Pcm]:
    """Blocks of 16 kHz samples `[channels, samples]`. A change of signal starts a new resampler."""
    output_layout: AudioLayout | None = None
    for (_, layout, _), run in groupby(frames, _signal):
        if mixed:
            output_layout = AudioLayout("mono") if layout.nb_channels <= MAX_MIXED_CHANNELS else layout
        resampler = AudioResampler("s16", output_layout := output_layout or layout, SAMPLE_RATE)
        for block in chain(_joined_frames(run), [None]):
            for frame in resampler.resample(block):
                yield _samples(frame, mixed=mixed)


def _signal(frame: AudioFrame) -> Signal:
    return frame.format.name, frame.layout, frame.sample_rate


def _joined_frames(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """Frames of one signal, joined: resampling each by itself would take twice the time.

    Blocks are limited in seconds, on which alone the size of a resampled block depends.
    """
    fifo = AudioFifo()
    for frame in frames:
        frame.pts = None  # otherwise the fifo requires gapless timestamps
        fifo.write(frame)
        max_samples = min(BLOCK_SECONDS * frame.sample_rate, BLOCK_VALUES // frame.layout.nb_channels)
        if fifo.samples >= max_samples and (block := fifo.read()):
            yield block
    if block := fifo.read():
        yield block


def _samples(frame: AudioFrame, *, mixed: bool) -> Pcm:
    """A packed frame as `[channels, samples]`, averaged to one channel if it should have been mixed."""
    samples = np.asarray(frame.to_ndarray(), np.int16).reshape(-1, frame.layout.nb_channels).T
    if mixed and len(samples) > 1:
        samples = samples.mean(axis=0, keepdims=True).round().astype(np.int16)
    return samples


def _joined(blocks: list[Pcm]) -> Pcm:
    """One array `[channels, samples]`. Empties the list on the way, so that memory holds little more."""
    total = sum(block.shape[1] for block in blocks)
    joined = np.empty((len(blocks[0]), total), np.int16)
    while blocks:
        block = blocks.pop()
        joined[:, total - block.shape[1] : total] = block
        total -= block.shape[1]
    return joined
