"""Synthesize the training corpus: `python -m training.synthesize build/corpus.pkl`."""

import argparse
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from training import flite, german, grammar
from training.espeak import Espeak, Voice
from training.noise import noises
from training.utterance import Utterance, from_espeak, from_flite

# The accents and flite voices that come more than once are drawn that much more often.
ACCENTS = ("en-us", "en-us", "en-us", "en", "en", "en-gb-x-rp", "en-gb-scotland", "en-029")
VARIANTS = (
    *("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+Annie", "+Alex"),
    *(
        "+Andy",
        "+Denis",
        "+Gene",
        "+Lee",
        "+Linda",
        "+Michael",
        "+Mike",
        "+steph",
        "+zac",
        "+klatt",
        "+klatt2",
    ),
)
HELD_OUT_VARIANTS = ("+f5", "+m8", "+Jacky", "+Andrea")  # for evaluation only
FLITE_VOICES = ("slt", "slt", "slt", "rms", "rms", "kal16", "kal16", "kal", "awb")


@dataclass(frozen=True)
class Corpus:
    """Utterances, and noises as mel power, [frames, 80] each."""

    utterances: list[Utterance]
    noises: list[np.ndarray]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, path: Path) -> "Corpus":
        """Read what `save` wrote. It is a pickle: open only your own."""
        return pickle.loads(path.read_bytes())


def random_voice(rng: Random, accent: str, plain_share: float) -> Voice:
    """A voice of that accent: the plain one or a variant, with a random rate, pitch and gap between words."""
    variant = "" if rng.random() < plain_share else rng.choice(VARIANTS)
    return Voice(
        name=accent + variant,
        words_per_minute=rng.choice([120, 130, 140, 150, 160, 170, 175, 175, 180, 190, 200, 210]),
        pitch=rng.choice([30, 40, 45, 50, 50, 50, 55, 60, 70]),
        pitch_range=rng.choice([35, 50, 50, 65]),
        word_gap=rng.choice([0, 0, 0, 0, 2, 5]),
    )


def speak_english(espeak: Espeak, rng: Random) -> Utterance | None:
    """A random English sentence from espeak-ng; None where its word times cannot be told."""
    text = grammar.sentence(rng)
    voice = random_voice(rng, rng.choice(ACCENTS), plain_share=0.3)
    return from_espeak(espeak.speak(text, voice), text, "en", voice.name)


def speak_german(espeak: Espeak, rng: Random) -> Utterance | None:
    """A random German sentence with its translation, as `speak_english`."""
    pair = german.sentence(rng)
    voice = random_voice(rng, "de", plain_share=0.4)
    return from_espeak(espeak.speak(pair.german, voice), pair.german, "de", voice.name, pair.english)


def speak_flite(rng: Random) -> Utterance:
    """A random English sentence from flite."""
    text, voice = grammar.sentence(rng), rng.choice(FLITE_VOICES)
    samples, phones = flite.speak(text, voice, stretch=rng.choice([0.85, 0.95, 1, 1, 1.1, 1.2]))
    return from_flite(samples, phones, text, voice)


def synthesize(english: int, german_count: int, flite_count: int, seed: int) -> Iterator[Utterance]:
    """So many sentences of each kind, less the few whose word times cannot be told."""
    rng, espeak = Random(seed), Espeak()
    spoken = (speak_english(espeak, rng) for _ in range(english))
    yield from (utterance for utterance in spoken if utterance)
    spoken = (speak_german(espeak, rng) for _ in range(german_count))
    yield from (utterance for utterance in spoken if utterance)
    yield from (speak_flite(rng) for _ in range(flite_count))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.synthesize", description=__doc__)
    parser.add_argument("corpus", type=Path, help="the file to write")
    parser.add_argument(
        "--english", type=int, default=16_000, help="sentences from espeak-ng (default 16000)"
    )
    parser.add_argument("--german", type=int, default=2_200, help="German ones from espeak-ng (default 2200)")
    parser.add_argument("--flite", type=int, default=4_200, help="sentences from flite (default 4200)")
    parser.add_argument("--seed", type=int, default=11)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    started = time.monotonic()
    spoken = list(synthesize(arguments.english, arguments.german, arguments.flite, arguments.seed))
    Corpus(spoken, noises()).save(arguments.corpus)
    hours = sum(utterance.frames for utterance in spoken) / 360_000
    print(f"{len(spoken)} utterances, {hours:.2f} h of speech, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
