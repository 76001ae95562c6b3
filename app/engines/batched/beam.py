"""Greedy decoding, best-of sampling and beam search, on the host, with each step's tokens.

Source: openai-whisper's GreedyDecoder, BeamSearchDecoder and MaximumLikelihoodRanker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from app.engines.interface import WindowOptions


class Candidates(NamedTuple):
    """One row's outcome of a step: the selected token; for beam search also the likeliest, best first."""

    token: int
    logprob: float
    tokens: Sequence[int]
    logprobs: Sequence[float]


class Continuation(NamedTuple):
    """A row that continues: the index of the window's row that it continues, and its next token."""

    source: int
    token: int


@dataclass(frozen=True)
class Hypothesis:
    """A text's tokens, without the end token, and their summed log-probability."""

    tokens: tuple[int, ...]
    sum_logprob: float


class Search(Protocol):
    """One window's search. `rows` is how many rows it starts with."""

    rows: int

    def advance(self, candidates: Sequence[Candidates]) -> list[Continuation]:
        """Take a step's outcome for each running row. Returns the rows that continue, none at the end."""

    def hypotheses(self) -> list[Hypothesis]:
        """The texts, finished or not."""


class Sampling:
    """Independent rows that take their selected tokens: greedy decoding, or best of several samples."""

    def __init__(self, rows: int, eot: int, max_tokens: int) -> None:
        self.rows = rows
        self._eot = eot
        self._max_tokens = max_tokens
        self._running = list(range(rows))
        self._tokens: list[list[int]] = [[] for _ in range(rows)]
        self._sums = [np.float32(0)] * rows

    def advance(self, candidates: Sequence[Candidates]) -> list[Continuation]:
        """A row ends with the end token, or after `max_tokens`."""
        continuations, still_running = [], []
        for index, (row, candidate) in enumerate(zip(self._running, candidates, strict=True)):
            self._sums[row] += np.float32(candidate.logprob)
            if candidate.token == self._eot:
                continue
            self._tokens[row].append(candidate.token)
            if len(self._tokens[row]) < self._max_tokens:
                continuations.append(Continuation(index, candidate.token))
                still_running.append(row)
        self._running = still_running
        return continuations

    def hypotheses(self) -> list[Hypothesis]:
        """One for each row."""
        return [
            Hypothesis(tuple(tokens), float(total))
            for tokens, total in zip(self._tokens, self._sums, strict=True)
        ]


class BeamSearch:
    """The `rows` likeliest unfinished texts continue, until round(rows x patience) texts are finished."""

    def __init__(self, rows: int, eot: int, max_tokens: int, patience: float | None) -> None:
        self.rows = rows
        self._eot = eot
        self._max_tokens = max_tokens
        self._max_finished = round(rows * (patience or 1.0))
        self._beams: list[tuple[int, ...]] = [()] * rows
        self._sums = [np.float32(0)] * rows
        self._finished: dict[tuple[int, ...], float] = {}

    def advance(self, candidates: Sequence[Candidates]) -> list[Continuation]:
        """Keep the best continuations of all beams; those that end join the finished ones."""
        continuations, beams, sums, ended = [], [], [], {}
        for tokens, (score, source) in self._ranked(candidates):
            if tokens[-1] == self._eot:
                ended[tokens] = float(score)
                continue
            continuations.append(Continuation(source, tokens[-1]))
            beams.append(tokens)
            sums.append(score)
            if len(beams) == self.rows:
                break
        self._beams, self._sums = beams, sums
        self._finish(ended)
        over = len(self._finished) >= self._max_finished or len(beams[0]) >= self._max_tokens
        return [] if over else continuations

    def hypotheses(self) -> list[Hypothesis]:
        """The finished texts, filled up with the best unfinished ones."""
        hypotheses = dict(self._finished)
        order = np.argsort(np.array(self._sums))[::-1]
        for beam in order:
            if len(hypotheses) >= self.rows:
                break
            hypotheses[(*self._beams[beam], self._eot)] = float(self._sums[beam])
        return [Hypothesis(tokens[:-1], total) for tokens, total in hypotheses.items()]

    def _ranked(
        self, candidates: Sequence[Candidates]
    ) -> list[tuple[tuple[int, ...], tuple[np.float32, int]]]:
        """Every continued text with its score and its beam's index, best first; equal texts count once."""
        continued: dict[tuple[int, ...], tuple[np.float32, int]] = {}
        for beam, candidate in enumerate(candidates):
            likeliest = zip(candidate.tokens[: self.rows + 1], candidate.logprobs, strict=False)
            for token, logprob in likeliest:
                continued[(*self._beams[beam], token)] = (self._sums[beam] + np.float32(logprob), beam)
        return sorted(continued.items(), key=lambda entry: entry[1][0], reverse=True)

    def _finish(self, ended: dict[tuple[int, ...], float]) -> None:
        for tokens in sorted(ended, key=lambda tokens: ended[tokens], reverse=True):
            if len(self._finished) >= self._max_finished:
                break
            self._finished[tokens] = ended[tokens]


def best_hypothesis(hypotheses: Sequence[Hypothesis], length_penalty: float | None) -> Hypothesis:
    """The one with the greatest log-probability, divided by its length or by Google NMT's penalty."""

    def score(hypothesis: Hypothesis) -> float:
        length = len(hypothesis.tokens)
        penalty = length if length_penalty is None else ((5 + length) / 6) ** length_penalty
        return hypothesis.sum_logprob / max(penalty, 1e-9)

    return max(hypotheses, key=score)


def new_search(options: WindowOptions, eot: int, max_tokens: int) -> Search:
    """The search that the options ask for: at most `max_tokens` tokens in every hypothesis."""
    if options.beam_size:
        return BeamSearch(options.beam_size, eot, max_tokens, options.patience)
    return Sampling(options.best_of or 1, eot, max_tokens)
