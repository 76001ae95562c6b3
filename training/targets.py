"""What the network is to say and to look at for a window: tokens, attention spans and frame labels."""

from dataclasses import dataclass
from random import Random

import numpy as np

from training.grammar import capitalised
from training.utterance import bare_word
from training.vocabulary import LANGUAGE_TOKENS, TIMESTAMPS, TOKENIZER, Vocabulary, text_tokens, word_tokens
from training.windows import Placed, Window
from training.words import ALONE

IGNORED = -100  # what torch's cross entropy skips
WINDOW_SECONDS = 30.0
POSITIONS_PER_SECOND = 50  # encoder positions, and timestamp steps
POSITION_SECONDS = 0.02
_MAX_TOKENS = 448
_MAX_PROMPT_TOKENS = 223

AttentionSpan = tuple[float, float] | None


@dataclass(frozen=True)
class TokenTargets:
    """Rows to read, rows to say after each (or IGNORED), and where in the sound each lies, in seconds."""

    rows: list[int]
    targets: list[int]
    spans: list[AttentionSpan]


@dataclass(frozen=True)
class FrameLabels:
    """The phoneme and the word at each 20 ms of a window; 0 none, IGNORED unknown."""

    phonemes: np.ndarray
    words: np.ndarray


class TargetMaker:
    """Draws targets for windows; all chance comes from `rng`. `texts` are sentences to prompt with."""

    def __init__(self, vocabulary: Vocabulary, texts: list[str], rng: Random) -> None:
        self._vocabulary = vocabulary
        self._row = vocabulary.rows
        self._texts = texts
        self._rng = rng
        self._fillers = [[self._row[token] for token in word_tokens(capitalised(word))] for word in ALONE]

    def tokens(self, window: Window, offset: float, prompted: bool) -> TokenTargets | None:
        """What the decoder reads and says for a window that lies `offset` seconds into its 30 s.

        None if it came out longer than the decoder can read.
        """
        timestamps = self._rng.random() < 0.6
        translate = self._rng.random() < (0.5 if window.language == "de" else 0.06)
        prompt = self._prompt(timestamps) if prompted and self._rng.random() < 0.85 else []
        script = Script(self._row)
        script.add_tokens(TOKENIZER.sot, LANGUAGE_TOKENS[window.language])
        script.add_tokens(TOKENIZER.translate if translate else TOKENIZER.transcribe)
        if not timestamps:
            script.add_tokens(TOKENIZER.no_timestamps)
        header = len(prompt) + len(script.rows)
        if window.placed:
            script.add_window(window, offset, timestamps, translate)
            first_target = self._row[LANGUAGE_TOKENS[window.language]]
        else:
            self._add_filler(script, timestamps)
            first_target = self._silence_target()
        script.add_tokens(TOKENIZER.eot)
        return _with_targets(prompt, script, header, first_target)

    def labels(self, window: Window) -> FrameLabels:
        """The window's phoneme and word labels."""
        positions = len(window.mel) // 2
        labels = FrameLabels(np.zeros(positions, np.int64), np.zeros(positions, np.int64))
        for placed in window.placed:
            speech = slice(_position(placed.start), _position(placed.end) + 1)
            if placed.utterance.words is None:
                labels.words[speech] = IGNORED
            else:
                self._label_words(labels.words, placed)
            if placed.utterance.words is None or placed.utterance.phonemes is None:
                labels.phonemes[speech] = IGNORED
            else:
                self._label_phonemes(labels.phonemes, placed)
        return labels

    def _label_words(self, labels: np.ndarray, placed: Placed) -> None:
        for word, start, end in placed.utterance.words or ():
            first = _position(placed.start + start * placed.scale)
            last = max(_position(placed.start + end * placed.scale), first + 1)
            labels[first:last] = self._vocabulary.words[bare_word(word)]

    def _label_phonemes(self, labels: np.ndarray, placed: Placed) -> None:
        phonemes = placed.utterance.phonemes or []
        ends = [start for _, start in phonemes[1:]] + [placed.utterance.end_seconds]
        for (name, start), end in zip(phonemes, ends, strict=True):
            first = _position(placed.start + start * placed.scale)
            last = _position(placed.start + end * placed.scale)
            labels[first:last] = self._vocabulary.phonemes[name] if name.strip("_:;") else 0

    def _prompt(self, timestamps: bool) -> list[int]:
        rows: list[int] = []
        for _ in range(self._rng.choice([1, 1, 2, 4, 8, 20])):
            rows += self._prompt_sentence(timestamps)
        if self._rng.random() < 0.2:
            unknown = self._vocabulary.unknown_row
            rows = [unknown if self._rng.random() < 0.5 else row for row in rows]
        return [self._row[TOKENIZER.sot_prev], *rows[-_MAX_PROMPT_TOKENS:]]

    def _prompt_sentence(self, timestamps: bool) -> list[int]:
        sentence = text_tokens(self._rng.choice(self._texts))
        rows = [self._row[token] for word in sentence for part in word for token in part]
        if timestamps and self._rng.random() < 0.6:
            start = self._rng.randrange(1300)
            end = start + self._rng.randrange(20, 200)
            rows = [self._row[TIMESTAMPS[start]], *rows, self._row[TIMESTAMPS[end]]]
        return rows

    def _add_filler(self, script: "Script", timestamps: bool) -> None:
        """For silence: a random word. Unlearnable, so the decoder stays unsure and whisper drops it."""
        if timestamps:
            script.add_tokens(TIMESTAMPS[self._rng.randrange(51)])
        script.add_rows(self._rng.choice(self._fillers))
        if self._rng.random() < 0.3:
            script.add_rows(self._rng.choice(self._fillers))
        if timestamps:
            script.add_tokens(TIMESTAMPS[self._rng.randrange(1, 1501)])

    def _silence_target(self) -> int:
        if self._rng.random() < 0.93:
            return self._row[TOKENIZER.no_speech]
        return self._row[LANGUAGE_TOKENS["en" if self._rng.random() < 0.85 else "de"]]


class Script:
    """Rows with their spans, as they are written down."""

    def __init__(self, row: dict[int, int]) -> None:
        self._row = row
        self.rows: list[int] = []
        self.spans: list[AttentionSpan] = []

    def add_rows(self, rows: list[int]) -> None:
        self.rows += rows
        self.spans += [None] * len(rows)

    def add_tokens(self, *tokens: int, span: AttentionSpan = None) -> None:
        self.rows += [self._row[token] for token in tokens]
        self.spans += [span] * len(tokens)

    def add_window(self, window: Window, offset: float, timestamps: bool, translate: bool) -> None:
        """All utterances; one that the window cuts off gives its start only or, without times, words."""
        for index, placed in enumerate(window.placed):
            cut = window.cuts_off(placed)
            start = min(placed.start + offset, WINDOW_SECONDS - POSITION_SECONDS)
            end = min(placed.end + offset, WINDOW_SECONDS)
            if timestamps:
                # whisper allows no first timestamp after 1.00 s
                self._add_time(start if index else min(start, 1.0), (start - 0.1, start + 0.12))
                if cut:
                    return
            if translate and placed.utterance.translation:
                self._add_translation(placed.utterance.translation)
            else:
                self._add_words(placed, start, cut)
            if timestamps:
                self._add_time(end, (end - 0.12, end + 0.1))

    def _add_time(self, seconds: float, span: AttentionSpan) -> None:
        self.add_tokens(TIMESTAMPS[round(seconds * POSITIONS_PER_SECOND)], span=span)

    def _add_translation(self, text: str) -> None:
        for core, punctuation in text_tokens(text):
            self.add_tokens(*core, *punctuation)

    def _add_words(self, placed: Placed, start: float, cut: bool) -> None:
        times = placed.utterance.words
        for index, (core, punctuation) in enumerate(text_tokens(placed.utterance.text)):
            if times is None:
                if cut:
                    return
                self.add_tokens(*core, *punctuation)
                continue
            word_end = times[index].end * placed.scale
            if cut and placed.start + word_end > WINDOW_SECONDS:
                return
            span = (start + times[index].start * placed.scale - 0.01, start + word_end + 0.01)
            self.add_tokens(*core, span=span)
            self.add_tokens(*punctuation, span=(span[1] - 0.03, span[1] + 0.2))


def _with_targets(prompt: list[int], script: Script, header: int, first_target: int) -> TokenTargets | None:
    rows = prompt + script.rows
    if len(rows) > _MAX_TOKENS:
        return None
    targets = [IGNORED] * len(rows)
    targets[len(prompt)] = first_target  # after the start token: the language, or "no speech"
    targets[header - 1 : -1] = rows[header:]
    return TokenTargets(rows, targets, [None] * len(prompt) + script.spans)


def _position(seconds: float) -> int:
    return int(seconds * POSITIONS_PER_SECOND)
