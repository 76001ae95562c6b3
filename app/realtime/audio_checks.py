"""What may be appended and committed."""

from math import ceil

from app.base64_data import decode_base64
from app.errors import InvalidParameter
from app.realtime.formats import AudioFormat
from app.realtime.input_audio import InputAudio
from app.waveform import SAMPLE_RATE

LEAST_MS = 100
"""Less audio can't be committed."""
MOST_BUFFERED_MS = 600_000
"""The most audio that waits for a commit."""
MOST_AUDIO_BYTES = 15 * 1024 * 1024
"""The most audio in one event."""


def decoded_audio(text: str) -> bytes:
    """The audio behind base64. Raises InvalidParameter."""
    try:
        audio = decode_base64(text)
    except ValueError as error:
        raise InvalidParameter(
            "Invalid 'audio': expected base64-encoded audio without a header.", param="audio"
        ) from error
    if len(audio) > MOST_AUDIO_BYTES:
        raise InvalidParameter(
            f"Invalid 'audio': expected at most {MOST_AUDIO_BYTES} bytes of audio in one event, but got "
            f"{len(audio)} bytes.",
            param="audio",
        )
    return audio


def samples_in(format: AudioFormat, size: int) -> int:
    """How many 16 kHz samples so many bytes are, rounded up."""
    return ceil(size / format.bytes_per_ms * SAMPLE_RATE / 1000)


def check_room(audio: InputAudio, size: int) -> None:
    """Raise InvalidParameter if so many more bytes are too much."""
    coming_ms = size / audio.format.bytes_per_ms
    if audio.milliseconds + coming_ms > MOST_BUFFERED_MS:
        raise InvalidParameter(
            f"The input audio buffer holds {audio.milliseconds / 1000:.1f} seconds, and "
            f"{coming_ms / 1000:.1f} more are over its limit of {MOST_BUFFERED_MS // 1000}. Send "
            "input_audio_buffer.commit or input_audio_buffer.clear before.",
            param="audio",
            code="input_audio_buffer_full",
        )


def check_length(audio: InputAudio) -> None:
    """Raise InvalidParameter if there is too little to commit."""
    if audio.milliseconds < LEAST_MS:
        raise InvalidParameter(
            f"Error committing input audio buffer: buffer too small. Expected at least {LEAST_MS}ms of "
            f"audio, but buffer only has {audio.milliseconds:.2f}ms of audio.",
            code="input_audio_buffer_commit_empty",
        )
