"""How a window's rows become one text: host-side searches over the tokens that each step brings.

Source: openai-whisper's GreedyDecoder, BeamSearchDecoder and MaximumLikelihoodRanker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from app.engines.interface import WindowOptions


class Candidates(NamedTuple):
    """What a step brings for one row: its own choice, and for beams the best of all tokens."""

    token: int
    logprob: float
    tokens: Sequence[int]
    logprobs: Sequence[float]


class Move(NamedTuple):
    """A row goes on: from which row of its window (by number), and with which token."""

    source: int
    token: int


@dataclass(frozen=True)
class Hypothesis:
    """A finished text's tokens, without the end token, and their summed log-probability."""

    tokens: tuple[int, ...]
    sum_logprob: float


class Search(Protocol):
    """One window's search. `rows` is how many rows it starts with."""

    rows: int

    def advance(self, candidates: Sequence[Candidates]) -> list[Move]:
        """Take a step's outcome for the running rows; the rows that go on, none if the search is over."""

    def hypotheses(self) -> list[Hypothesis]:
        """What was found, finished or not."""


class Sampling:
    """Independent rows that each take their own choice: greedy decoding, or best of several samples."""

    def __init__(self, rows: int, eot: int, longest: int) -> None:
        self.rows = rows
        self._eot = eot
        self._longest = longest
        self._running = list(range(rows))
        self._tokens: list[list[int]] = [[] for _ in range(rows)]
        self._sums = [np.float32(0)] * rows

    def advance(self, candidates: Sequence[Candidates]) -> list[Move]:
        """A row ends with the end token, or when it is as long as it may get."""
        moves, still = [], []
        for place, (row, found) in enumerate(zip(self._running, candidates, strict=True)):
            self._sums[row] += np.float32(found.logprob)
            if found.token == self._eot:
                continue
            self._tokens[row].append(found.token)
            if len(self._tokens[row]) < self._longest:
                moves.append(Move(place, found.token))
                still.append(row)
        self._running = still
        return moves

    def hypotheses(self) -> list[Hypothesis]:
        """One for each row."""
        return [
            Hypothesis(tuple(tokens), float(total))
            for tokens, total in zip(self._tokens, self._sums, strict=True)
        ]


class BeamSearch:
    """The `rows` best beginnings go on together, until round(rows x patience) texts are finished."""

    def __init__(self, rows: int, eot: int, longest: int, patience: float | None) -> None:
        self.rows = rows
        self._eot = eot
        self._longest = longest
        self._wanted = round(rows * (patience or 1.0))
        self._beams: list[tuple[int, ...]] = [()] * rows
        self._sums = [np.float32(0)] * rows
        self._finished: dict[tuple[int, ...], float] = {}

    def advance(self, candidates: Sequence[Candidates]) -> list[Move]:
        """Keep the best continuations of all beams; those that end join the finished ones."""
        ranked = self._ranked(candidates)
        moves, beams, sums, ended = [], [], [], {}
        for tokens, (score, source) in ranked:
            if tokens[-1] == self._eot:
                ended[tokens] = float(score)
                continue
            moves.append(Move(source, tokens[-1]))
            beams.append(tokens)
            sums.append(score)
            if len(beams) == self.rows:
                break
        self._beams, self._sums = beams, sums
        self._finish(ended)
        over = len(self._finished) >= self._wanted or len(beams[0]) >= self._longest
        return [] if over else moves

    def hypotheses(self) -> list[Hypothesis]:
        """The finished texts, filled up with the best unfinished ones."""
        found = dict(self._finished)
        order = np.argsort(np.array(self._sums))[::-1]
        for beam in order:
            if len(found) >= self.rows:
                break
            found[(*self._beams[beam], self._eot)] = float(self._sums[beam])
        return [Hypothesis(tokens[:-1], total) for tokens, total in found.items()]

    def _ranked(
        self, candidates: Sequence[Candidates]
    ) -> list[tuple[tuple[int, ...], tuple[np.float32, int]]]:
        """All continuations with their scores and beams, best first; the same text counts once."""
        continued: dict[tuple[int, ...], tuple[np.float32, int]] = {}
        for beam, found in enumerate(candidates):
            best = zip(found.tokens[: self.rows + 1], found.logprobs, strict=False)
            for token, logprob in best:
                continued[(*self._beams[beam], token)] = (self._sums[beam] + np.float32(logprob), beam)
        return sorted(continued.items(), key=lambda entry: entry[1][0], reverse=True)

    def _finish(self, ended: dict[tuple[int, ...], float]) -> None:
        for tokens in sorted(ended, key=lambda tokens: ended[tokens], reverse=True):
            if len(self._finished) >= self._wanted:
                break
            self._finished[tokens] = ended[tokens]


def best(hypotheses: Sequence[Hypothesis], length_penalty: float | None) -> Hypothesis:
    """The likeliest, its log-probability divided by its length or by Google NMT's penalty."""

    def score(found: Hypothesis) -> float:
        length = len(found.tokens)
        penalty = length if length_penalty is None else ((5 + length) / 6) ** length_penalty
        return found.sum_logprob / max(penalty, 1e-9)

    return max(hypotheses, key=score)


def search_for(options: WindowOptions, eot: int, longest: int) -> Search:
    """How a window is searched: at most `longest` tokens in every hypothesis."""
    if options.beam_size:
        return BeamSearch(options.beam_size, eot, longest, options.patience)
    return Sampling(options.best_of or 1, eot, longest)
