"""Word error rate with OpenAI's own weights: this engine, exact and int8, beside faster-whisper.

Greedy, language given; everything else as each program has it by default, fallback included. Texts are
normalised as by openai-whisper's EnglishTextNormalizer, those in other languages by its BasicTextNormalizer,
Chinese and Japanese letter by letter. Clips that count to ten are left out: in words or in figures, both
are right. Prints a table in Markdown: errors, words and their ratio.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from app import engines
from app.checkpoints import PACKAGED, model_dir, resolve, unpack
from app.checkpoints.wheels import wheel
from app.engines.interface import EngineOptions
from app.request_context import RequestContext
from app.settings import Settings
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import collected, stream_samples
from app.waveform.voice_activity import VoiceActivity
from benchmarks import speech
from benchmarks.speech import Recording
from training.word_errors import word_errors

Hear = Callable[[Recording], str]
"""A recording -> its text."""

_COUNTING = (
    "counting",
    "conteo",
    "comptage",
    "ginti",
    "conteggio",
    "kazoeru",
    "liczenie",
    "contagem",
    "jishu",
)
_WITHOUT_SPACES = ("zh", "ja")
_PATIENCE_SECONDS = 3_600.0


def words(text: str, language: str) -> list[str]:
    """The words that are compared; letters where a language has no spaces."""
    if language == "en":
        normalise = EnglishTextNormalizer()
    else:
        normalise = BasicTextNormalizer(split_letters=language in _WITHOUT_SPACES)
    return normalise(text).split()


def errors(recordings: Iterable[Recording], hear: Hear) -> tuple[int, int]:
    """The fewest words to insert, leave out or replace in all texts together, and how many there are."""
    wrong = total = 0
    for recording in recordings:
        said, heard = (words(text, recording.language) for text in (recording.text, hear(recording)))
        wrong += word_errors(said, heard)
        total += len(said)
    return wrong, total


def ours(folder: Path, precision: str) -> Hear:
    """The batched engine."""
    checkpoint = resolve(Settings(model=str(folder)))
    engine = engines.start("batched", checkpoint, "cpu", EngineOptions(1, precision=precision))
    policy = Policy(has_speech=VoiceActivity().has_speech)

    def hear(recording: Recording) -> str:
        request = TranscriptionRequest(language=recording.language)
        context = RequestContext.of(_PATIENCE_SECONDS)
        deltas = stream_samples(engine, recording.samples, request, policy, context)
        return collected(deltas, request.task).text

    return hear


def theirs(folder: Path, precision: str) -> Hear:
    """faster-whisper."""
    loaded = import_module("faster_whisper").WhisperModel
    model = loaded(str(folder), device="cpu", compute_type=precision, cpu_threads=1)

    def hear(recording: Recording) -> str:
        segments, _ = model.transcribe(recording.samples, recording.language, beam_size=1)
        return "".join(segment.text for segment in segments)

    return hear


CONTENDERS: Mapping[str, tuple[Callable[[Path, str], Hear], str]] = {
    "exact": (ours, "exact"),
    "int8": (ours, "int8"),
    "faster-whisper float32": (theirs, "float32"),
    "faster-whisper int8": (theirs, "int8"),
}


def sentences(settings: Settings) -> list[Recording]:
    """The clips that don't count to ten. Raises CheckpointError where they can't be had."""
    clips = speech.clips(wheel(speech.CLIPS, model_dir(settings) / "packaged" / "wheels"))
    return [clip for clip in clips if not clip.name.endswith(_COUNTING)]


def sets(settings: Settings) -> dict[str, tuple[Recording, ...]]:
    """What is heard, by name. Raises CheckpointError where the clips can't be had."""
    clips = sentences(settings)
    folder = os.environ.get(speech.SAMPLES_VARIABLE)
    return {
        **({"people, English": speech.human(Path(folder))} if folder else {}),
        "clips, English": tuple(clip for clip in clips if clip.language == "en"),
        "clips, eight other languages": tuple(clip for clip in clips if clip.language != "en"),
    }


def rows(model: str, heard: Mapping[str, tuple[Recording, ...]], folder: Path) -> Iterator[str]:
    """A table in Markdown, a row for each contender."""
    yield f"| {' | '.join([model, *heard])} |"
    yield f"| {' | '.join(['---'] * (1 + len(heard)))} |"
    for name, (start, precision) in CONTENDERS.items():
        hear = start(folder, precision)
        cells = (cell(*errors(recordings, hear)) for recordings in heard.values())
        yield f"| {' | '.join([name, *cells])} |"


def cell(wrong: int, total: int) -> str:
    """Errors, words and the rate."""
    return f"{wrong} of {total}, {wrong / total:.1%}"


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each model. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="word_errors", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=PACKAGED, default=list(PACKAGED))
    options = parser.parse_args(arguments)
    settings = Settings.from_environ()
    heard = sets(settings)
    for name in options.models:
        known = {key: value for key, value in heard.items() if "other" not in key or not name.endswith(".en")}
        print(flush=True)
        for row in rows(name, known, unpack(name, model_dir(settings))):
            print(row, flush=True)


if __name__ == "__main__":
    main()
