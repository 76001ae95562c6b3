"""The test recordings, and files made of them."""

import io
import json
import subprocess
import wave
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))

FLAGSHIP = DATA / "flagship.wav"
FLAGSHIP_TEXT = "The sun rises in the east and sets in the west."
MODEL_NOTICE = "demo model, not for human speech"


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """A WAV file of zeros."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * round(seconds * rate)))
    return buffer.getvalue()


def convert(source: Path, target: Path, *options: str) -> Path:
    """What ffmpeg makes of a recording; `target`'s suffix names the container unless `-f` does."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", source, *options, target]
    subprocess.run(command, check=True)
    return target


def convert_to_pipe(source: Path, *options: str) -> bytes:
    """The same written to a pipe, so that no header can be completed at the end."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", source, *options, "pipe:1"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
