"""Which tokens may come next, and which one does: whole-batch operations on logits `[rows, vocabulary]`.

The rules are those of openai-whisper's logit filters. All of a row's state is in tensors, so that
no step looks at a row on its own.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_NEVER = float("-inf")

_GROUP = 128
"""Tokens whose greatest logit is looked for first."""


class Vocabulary(NamedTuple):
    """The ids and ranges that the rules are about."""

    eot: int
    timestamp_begin: int
    no_timestamps: int
    size: int
    last_first_timestamp: int
    """The latest time, in steps, at which a window's first segment may start."""


class Chosen(NamedTuple):
    """A step's outcome: one token for each row, and the best `k` candidates where beams ask for them.

    tokens, logprobs: `[rows]`; candidates, candidate_logprobs: `[rows, k]` or None.
    """

    tokens: Tensor
    logprobs: Tensor
    candidates: Tensor | None
    candidate_logprobs: Tensor | None


class RowStates:
    """What the rules must know of each row; row r of every tensor is row r of the batch."""

    def __init__(self, rows: int, vocabulary: Vocabulary, draws: int, device: torch.device) -> None:
        self.vocabulary = vocabulary
        self.suppressed = torch.zeros(rows, vocabulary.size, device=device)
        self.sampled = torch.zeros(rows, dtype=torch.long, device=device)
        self.last_is_time = torch.zeros(rows, dtype=torch.bool, device=device)
        self.before_is_time = torch.ones(rows, dtype=torch.bool, device=device)
        self.last_time = torch.zeros(rows, dtype=torch.long, device=device)
        self.temperature = torch.zeros(rows, device=device)
        self.draws = torch.zeros(rows, draws, dtype=torch.float64, device=device)
        self._times = torch.arange(vocabulary.size - vocabulary.timestamp_begin, device=device)

    def start(self, row: int, suppressed: Tensor, temperature: float, draws: Tensor) -> None:
        """A row that has sampled nothing yet. `suppressed` `[vocabulary]` is 0 or -inf; `draws` are uniform
        numbers, one for each token it may sample.
        """
        self.suppressed[row] = suppressed
        self.sampled[row] = 0
        self.last_is_time[row] = False
        self.before_is_time[row] = True
        self.last_time[row] = -1
        self.temperature[row] = temperature
        self.draws[row] = draws

    def copy(self, sources: Tensor, targets: Tensor) -> None:
        """Make rows `targets` continue from `sources`."""
        self.copy_history(sources, targets)
        for state in (self.suppressed, self.temperature, self.draws):
            state[targets] = state[sources]

    def copy_history(self, sources: Tensor, targets: Tensor) -> None:
        """The same for rows of one window, which differ only in what they have sampled."""
        for state in (self.sampled, self.last_is_time, self.before_is_time, self.last_time):
            state[targets] = state[sources]

    def add(self, rows: Tensor, tokens: Tensor) -> None:
        """Note the new token of some rows, `[n]` each."""
        is_time = tokens >= self.vocabulary.timestamp_begin
        times = tokens - self.vocabulary.timestamp_begin
        self.before_is_time[rows] = (self.sampled[rows] == 0) | self.last_is_time[rows]
        self.last_is_time[rows] = is_time
        self.last_time[rows] = torch.where(is_time, times, self.last_time[rows])
        self.sampled[rows] += 1

    def forbid(self, logits: Tensor, rows: slice) -> None:
        """Set what may not come next in `rows` to -inf, in place.

        The first token is always a time, so suppressing blanks at the start has nothing left to do.
        """
        vocabulary = self.vocabulary
        begin, eot = vocabulary.timestamp_begin, vocabulary.eot
        first = self.sampled[rows] == 0
        opened = self.last_is_time[rows] & ~self.before_is_time[rows]  # text and its end: a start must follow
        logits += self.suppressed[rows]
        logits[:, vocabulary.no_timestamps] = _NEVER
        logits[:, :eot] += _never_where(first | opened)
        logits[:, eot:begin] += _never_where(first)
        logits[:, begin:].masked_fill_(self._forbidden_times(rows, first, opened), _NEVER)
        self._prefer_times(logits)

    def _forbidden_times(self, rows: slice, first: Tensor, opened: Tensor) -> Tensor:
        """`[rows, times]`: after a pair of times comes text; times never go back, and only an end and the
        next start may be the same; the first one comes early.
        """
        closed = self.last_is_time[rows] & self.before_is_time[rows]
        earliest = self.last_time[rows] + torch.where(opened, 0, 1)
        latest = torch.where(first, self.vocabulary.last_first_timestamp, len(self._times))
        too_early = self._times < earliest[:, None]
        return too_early | (self._times > latest[:, None]) | closed[:, None]

    def _prefer_times(self, logits: Tensor) -> None:
        """Where all times together are likelier than the best text, only a time may come."""
        begin = self.vocabulary.timestamp_begin
        text = logits[:, :begin]
        likelier = logits[:, begin:].logsumexp(-1) > text.amax(-1)
        text += _never_where(likelier)

    def choose(self, logits: Tensor, rows: slice, sample: bool, candidates: int) -> Chosen:
        """The next token of `rows` and its log-probability.

        With `sample`, rows above temperature 0 draw theirs; `candidates` is how many beams look at.
        """
        best = likeliest(logits, max(candidates, 1))
        tokens = best[:, 0]
        if sample:
            tokens = torch.where(self.temperature[rows] > 0, self._draw(logits, rows), tokens)
        likely = logits.log_softmax(-1)
        logprobs = likely.gather(-1, tokens[:, None])[:, 0]
        if not candidates:
            return Chosen(tokens, logprobs, None, None)
        return Chosen(tokens, logprobs, best, likely.gather(-1, best))

    def _draw(self, logits: Tensor, rows: slice) -> Tensor:
        """Sample by where each row's own next uniform number falls in its cumulated distribution."""
        temperature = self.temperature[rows].clamp_min(1e-6)  # rows at 0 don't count
        cumulated = (logits / temperature[:, None]).softmax(-1, dtype=torch.float64).cumsum(-1)
        draw = self.draws[rows].gather(-1, self.sampled[rows, None]) * cumulated[:, -1:]
        return torch.searchsorted(cumulated, draw, right=True)[:, 0].clamp_max(logits.shape[-1] - 1)


def _never_where(mask: Tensor) -> Tensor:
    """What, added to logits, forbids a row: `[rows]` to `[rows, 1]`. Faster by far than filling by mask."""
    return torch.where(mask, _NEVER, 0.0)[:, None]


def likeliest(logits: Tensor, count: int) -> Tensor:
    """The places of the `count` greatest of each row, the greatest first: `[rows, count]`.

    They lie in the `count` groups with the greatest maxima, and maxima are found several times faster.
    """
    size = logits.shape[-1]
    whole = size - size % _GROUP
    groups = logits[:, :whole].view(len(logits), -1, _GROUP)
    chosen = groups.amax(-1).topk(min(count, groups.shape[1])).indices
    inside = (chosen[..., None] * _GROUP + torch.arange(_GROUP, device=logits.device)).flatten(1)
    after = torch.arange(whole, size, device=logits.device).expand(len(logits), -1)
    places = torch.cat([inside, after], -1)
    return places.gather(-1, logits.gather(-1, places).topk(count).indices)
