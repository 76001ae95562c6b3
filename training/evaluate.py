"""Measure a checkpoint with `whisper.transcribe`: `python -m training.evaluate models/demo.pt`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import whisper

from training.evaluation_sets import SpeechMaker, Spoken, evaluation_sets
from training.mel import SAMPLE_RATE
from training.synthesize import Corpus
from training.word_errors import word_error_rate

HEADER = (
    "| set | n | WER | exact | language right | right number of segments | avg_logprob median / min |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)
PROMPT = "The teacher opens the door. The sun sets in the west."
SEEN = "seen voices, unseen sentences"


@dataclass(frozen=True)
class Run:
    """A set to transcribe, with which of whisper's options; `translated` compares with the translation."""

    name: str
    spoken: list[Spoken]
    options: dict[str, Any]
    translated: bool = False

    def expected(self, spoken: Spoken) -> str:
        return spoken.translation or "" if self.translated else spoken.text


def measure(model: whisper.Whisper, run: Run) -> str:
    """Transcribe a set; returns its row of the table."""
    results = [model.transcribe(spoken.samples, fp16=False, **run.options) for spoken in run.spoken]
    expected = [run.expected(spoken) for spoken in run.spoken]
    heard = [result["text"].strip() for result in results]
    exact = sum(text == said for text, said in zip(expected, heard, strict=True))
    languages = sum(
        spoken.language == result["language"] for spoken, result in zip(run.spoken, results, strict=True)
    )
    segments = sum(
        len(spoken.sentences) == len(result["segments"])
        for spoken, result in zip(run.spoken, results, strict=True)
    )
    sure = [segment["avg_logprob"] for result in results for segment in result["segments"]] or [np.nan]
    errors = word_error_rate(list(zip(expected, heard, strict=True)))
    count = len(results)
    return (
        f"| {run.name} | {count} | {errors:.1%} | {exact}/{count} | {languages}/{count} | {segments}/{count} "
        f"| {median(sure):.2f} / {min(sure):.2f} |"
    )


def runs(sets: dict[str, list[Spoken]], maker: SpeechMaker) -> list[Run]:
    """Every set with whisper's defaults, some with other options, then more and more sentences in a row."""
    seen, german = sets[SEEN], sets["german"]
    plain = [Run(name, spoken, {}) for name, spoken in sets.items()]
    optioned = [
        Run("seen voices, without_timestamps", seen, {"without_timestamps": True}),
        Run("seen voices, word_timestamps", seen, {"word_timestamps": True}),
        Run("seen voices, initial_prompt", seen, {"language": "en", "initial_prompt": PROMPT}),
        Run("seen voices, beam_size 5", seen, {"beam_size": 5}),
        Run("german, translate", german, {"task": "translate"}, translated=True),
    ]
    rows = [
        Run(f"sentences in a row: {count}", [maker.several(count) for _ in range(10)], {})
        for count in (1, 2, 3, 4, 6, 8)
    ]
    return plain + optioned + rows


def sounds_without_speech() -> dict[str, np.ndarray]:
    """Silence, noise and tones at 16 kHz."""
    rng = np.random.default_rng(1)
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    sounds = {f"zeros {length} s": np.zeros(length * SAMPLE_RATE) for length in (1, 3, 30)}
    sounds |= {
        "white noise, -40 dB, 5 s": 0.01 * rng.standard_normal(5 * SAMPLE_RATE),
        "white noise, -20 dB, 5 s": 0.1 * rng.standard_normal(5 * SAMPLE_RATE),
        "white noise, -80 dB, 40 s": 1e-4 * rng.standard_normal(40 * SAMPLE_RATE),
        "tone, 440 Hz, 3 s": 0.2 * np.sin(2 * np.pi * 440 * seconds),
        "hum, 50 Hz, 3 s": 0.1 * np.sin(2 * np.pi * 50 * seconds),
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--corpus", type=Path, help="what it was trained on: leave its sentences out")
    parser.add_argument(
        "--size", type=int, default=40, help="recordings in each of the larger sets (default 40)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    torch.set_num_threads(1)
    model = whisper.load_model(arguments.checkpoint, device="cpu")
    utterances = Corpus.load(arguments.corpus).utterances if arguments.corpus else []
    maker = SpeechMaker({utterance.text for utterance in utterances})
    print(HEADER)
    for run in runs(evaluation_sets(maker, arguments.size), maker):
        print(measure(model, run), flush=True)
    for name, sound in sounds_without_speech().items():
        print(f"No speech, {name}: {model.transcribe(sound, fp16=False)['text']!r}", flush=True)


if __name__ == "__main__":
    main()
