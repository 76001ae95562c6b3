"""Speech that was not trained on, in named sets."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

from training import flite, german, grammar
from training.espeak import Espeak, Voice
from training.mel import SAMPLE_RATE
from training.synthesize import HELD_OUT_VARIANTS
from training.utterance import spoken_span

LEAD_SECONDS, TAIL_SECONDS = 0.25, 0.4
SEEN_VOICES = ("en-us", "en-us", "en", "en-gb-x-rp", "en-us+f3", "en-us+m3", "en+f2", "en-us+klatt")
FESTIVAL_VOICES = ("cmu_us_slt_arctic_hts", "kal_diphone")


@dataclass(frozen=True)
class Spoken:
    """16 kHz samples and what is said in them, sentence by sentence; `translation` of German."""

    samples: np.ndarray
    sentences: tuple[str, ...]
    language: str = "en"
    translation: str | None = None

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


class SpeechMaker:
    """Speaks sentences that are not among `trained`; all chance comes from `rng`."""

    def __init__(self, trained: Set[str], seed: int = 4242) -> None:
        self.rng = Random(seed)
        self._trained = trained
        self._espeak = Espeak()

    def unseen_sentence(self) -> str:
        while True:
            by_template = self.rng.random() < 0.7
            text = grammar.from_template(self.rng) if by_template else grammar.word_row(self.rng)
            if text not in self._trained and len(text.split()) > 1:
                return text

    def speak(
        self, text: str, voice: Voice, lead: float = LEAD_SECONDS, tail: float = TAIL_SECONDS
    ) -> Spoken:
        """The text from espeak-ng with so many seconds of silence before and after."""
        samples = self._espeak.speak(text, voice).samples
        speech = spoken_span(samples).cut(samples)
        return Spoken(np.concatenate([silence(lead), speech, silence(tail)]), (text,))

    def unseen(self, names: tuple[str, ...], rates: tuple[int, ...], pitches: tuple[int, ...]) -> Spoken:
        text = self.unseen_sentence()
        voice = Voice(self.rng.choice(names), self.rng.choice(rates), self.rng.choice(pitches))
        return self.speak(text, voice)

    def german(self) -> Spoken:
        pair = german.sentence(self.rng)
        name = self.rng.choice(["de", "de+f2", "de+m3"])
        voice = Voice(name, self.rng.choice([150, 165, 175]), self.rng.choice([40, 50, 60]))
        return replace(self.speak(pair.german, voice), language="de", translation=pair.english)

    def flite(self, text: str, voice: str) -> Spoken:
        samples, _ = flite.speak(text, voice)
        return Spoken(np.concatenate([silence(0.125), samples, silence(0.25)]), (text,))

    def festival(self) -> Spoken:
        """From an engine that was not trained on; needs the program text2wave."""
        text, voice = self.unseen_sentence(), self.rng.choice(FESTIVAL_VOICES)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speech.wav"
            command = ["text2wave", "-o", str(path), "-eval", f"(voice_{voice})"]
            subprocess.run(command, input=text, text=True, check=True, capture_output=True)
            return Spoken(flite.read_wave(path), (text,))

    def several(self, count: int) -> Spoken:
        """So many sentences one after the other by one voice, 0.3 to 1.2 s apart."""
        voice = Voice(self.rng.choice(["en-us", "en", "en-us+f3"]), words_per_minute=170)
        parts = [self._with_pause(voice) for _ in range(count)]
        samples = np.concatenate([part.samples for part in parts])
        return Spoken(samples, tuple(sentence for part in parts for sentence in part.sentences))

    def _with_pause(self, voice: Voice) -> Spoken:
        return self.speak(self.unseen_sentence(), voice, lead=0, tail=self.rng.uniform(0.3, 1.2))


def silence(seconds: float) -> np.ndarray:
    """So many seconds of zeros at 16 kHz."""
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def with_white_noise(spoken: Spoken, decibels: float) -> Spoken:
    """The same with white noise so far under the speech."""
    samples = spoken.samples
    noise = np.random.default_rng(len(samples)).standard_normal(len(samples))
    power = (samples[np.abs(samples) > 1e-3] ** 2).mean()
    noisy = samples + noise * np.sqrt(power * 10 ** (-decibels / 10))
    return replace(spoken, samples=noisy.astype(np.float32))


def evaluation_sets(maker: SpeechMaker, size: int) -> dict[str, list[Spoken]]:
    """The sets of the model card, `size` recordings in each of the larger ones."""

    def times(make: Callable[[], Spoken], count: int = size) -> list[Spoken]:
        return [make() for _ in range(count)]

    rng = maker.rng
    seen = times(lambda: maker.unseen(SEEN_VOICES, (140, 160, 175, 190), (40, 50, 60)))
    held_out = tuple(accent + variant for accent in ("en-us", "en") for variant in HELD_OUT_VARIANTS)
    rates, pitches = (110, 165, 185, 215, 225), (20, 35, 65, 80)
    sets = {
        "seen voices, unseen sentences": seen,
        "same, white noise 20 dB": [with_white_noise(spoken, 20) for spoken in seen],
        "same, white noise 10 dB": [with_white_noise(spoken, 10) for spoken in seen],
        "unseen rate and pitch": times(lambda: maker.unseen(("en-us", "en", "en-us+f2"), rates, pitches)),
        "unseen variants": times(lambda: maker.unseen(held_out, (150, 165, 185), (40, 50, 60))),
        "flite slt/rms/kal16": times(
            lambda: maker.flite(maker.unseen_sentence(), rng.choice(["slt", "rms", "kal16"]))
        ),
        "german": times(maker.german),
        "flagship": _flagship(maker),
        "long (several utterances)": times(lambda: maker.several(rng.choice([4, 8, 16, 24])), 6),
    }
    if shutil.which("text2wave"):
        sets["festival (engine never seen)"] = times(maker.festival, 20)
    return sets


def _flagship(maker: SpeechMaker) -> list[Spoken]:
    names = ("en-us", "en", "en-gb-x-rp", "en-us+f3", "en-us+f5", "en-us+m3")
    spoken = [maker.speak(grammar.FLAGSHIP, Voice(name, rate)) for name in names for rate in (150, 175)]
    return spoken + [maker.flite(grammar.FLAGSHIP, voice) for voice in ("slt", "rms", "kal16", "kal", "awb")]
