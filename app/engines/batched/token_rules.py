"""Logit filters and token selection for all rows at once, on logits `[rows, vocabulary]`.

The rules are those of openai-whisper's logit filters. All of a row's state is in tensors: no step loops over
rows or copies a tensor to the host.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_FORBIDDEN = float("-inf")

_GROUP = 128
"""Tokens in each group of `top_k_tokens`."""


class Vocabulary(NamedTuple):
    """The token ids that the rules refer to, and the vocabulary's size."""

    eot: int
    timestamp_begin: int
    no_timestamps: int
    size: int
    max_initial_timestamp: int
    """The latest start of a window's first segment, in timestamp tokens from the window's start."""


class Selection(NamedTuple):
    """How rows select their tokens: whether any of them samples, and how many candidates beam search needs of
    each of them, 0 for none.
    """

    sample: bool
    candidate_count: int


class SelectedTokens(NamedTuple):
    """One token for each row, and the `k` likeliest candidates where beam search asks for them.

    tokens, logprobs: `[rows]`; candidates, candidate_logprobs: `[rows, k]` or None.
    """

    tokens: Tensor
    logprobs: Tensor
    candidates: Tensor | None
    candidate_logprobs: Tensor | None

    def joined(self) -> Tensor:
        """All in one float32 tensor `[rows, 2 + 2k]`, for one transfer to the host: no token id is too large
        to be exact.
        """
        chosen = [self.tokens[:, None], self.logprobs[:, None]]
        if self.candidates is None or self.candidate_logprobs is None:
            return torch.cat(chosen, dim=1)
        return torch.cat([*chosen, self.candidates, self.candidate_logprobs], dim=1)


class RowStates:
    """What the rules need of each row's history; row r of every tensor is row r of the batch."""

    def __init__(self, rows: int, vocabulary: Vocabulary, max_tokens: int, device: torch.device) -> None:
        self.vocabulary = vocabulary
        self.suppression_mask = torch.zeros(rows, vocabulary.size, device=device)
        self.token_count = torch.zeros(rows, dtype=torch.long, device=device)
        self.last_was_timestamp = torch.zeros(rows, dtype=torch.bool, device=device)
        self.penultimate_was_timestamp = torch.ones(rows, dtype=torch.bool, device=device)
        self.last_timestamp = torch.zeros(rows, dtype=torch.long, device=device)
        self.temperature = torch.zeros(rows, device=device)
        self.uniform_noise = torch.zeros(rows, max_tokens, dtype=torch.float64, device=device)
        self._timestamps = torch.arange(vocabulary.size - vocabulary.timestamp_begin, device=device)
        # on the device, because each number that isn't is one more launch in every step
        self._forbidden = torch.tensor(_FORBIDDEN, device=device)
        self._allowed = torch.tensor(0.0, device=device)
        self._latest_initial = torch.tensor(vocabulary.max_initial_timestamp, device=device)
        self._latest = torch.tensor(len(self._timestamps), device=device)
        self.suppression_mask[:, vocabulary.no_timestamps] = _FORBIDDEN

    def start(
        self,
        row: int,
        suppression_mask: Tensor,
        temperature: float,
        uniform_noise: Tensor,
        prefix: Sequence[int] = (),
    ) -> None:
        """Reset a row: it has no tokens yet, or those of `prefix`.

        `suppression_mask` `[vocabulary]` is 0 or -inf; `uniform_noise` `[max_tokens]` is in [0, 1).
        """
        self.suppression_mask[row] = suppression_mask
        self.suppression_mask[row, self.vocabulary.no_timestamps] = _FORBIDDEN
        begin = self.vocabulary.timestamp_begin
        timestamps = tuple(filter(begin.__le__, prefix))
        self.token_count[row] = len(prefix)
        self.last_was_timestamp[row] = len(prefix) > 0 and prefix[-1] >= begin
        self.penultimate_was_timestamp[row] = len(prefix) < 2 or prefix[-2] >= begin
        self.last_timestamp[row] = timestamps[-1] - begin if timestamps else -1
        self.temperature[row] = temperature
        self.uniform_noise[row] = uniform_noise

    def copy(self, sources: Tensor, targets: Tensor) -> None:
        """Give rows `targets` all states of `sources`."""
        self.copy_history(sources, targets)
        for state in (self.suppression_mask, self.temperature, self.uniform_noise):
            state[targets] = state[sources]

    def copy_history(self, sources: Tensor, targets: Tensor) -> None:
        """As `copy` for rows of the same window, which differ in their tokens only."""
        for state in (
            self.token_count,
            self.last_was_timestamp,
            self.penultimate_was_timestamp,
            self.last_timestamp,
        ):
            state[targets] = state[sources]

    def append(self, rows: slice | Tensor, tokens: Tensor) -> None:
        """Append one token to each of some rows: a slice or numbers `[n]`, and tokens `[n]`."""
        is_timestamp = tokens >= self.vocabulary.timestamp_begin
        timestamps = tokens - self.vocabulary.timestamp_begin
        self.penultimate_was_timestamp[rows] = (self.token_count[rows] == 0) | self.last_was_timestamp[rows]
        self.last_was_timestamp[rows] = is_timestamp
        self.last_timestamp[rows] = torch.where(is_timestamp, timestamps, self.last_timestamp[rows])
        self.token_count[rows] += 1

    def select(self, logits: Tensor, rows: slice, selection: Selection) -> Tensor:
        """Filter `logits` `[len(rows), vocabulary]`, in place, and select: what SelectedTokens.joined gives.

        Nothing else is changed, and no tensor is copied to or from the host.
        """
        self.apply_logit_filters(logits, rows)
        return self.select_tokens(logits, rows, selection.sample, selection.candidate_count).joined()

    def apply_logit_filters(self, logits: Tensor, rows: slice) -> None:
        """Set the logits of forbidden tokens to -inf, in place: `[len(rows), vocabulary]`.

        There is no filter for blanks at the start: the first token is always a timestamp.
        """
        vocabulary = self.vocabulary
        begin, eot = vocabulary.timestamp_begin, vocabulary.eot
        first = self.token_count[rows] == 0
        # the end of a segment, after text: the start of the next one or the end of the text must follow
        unpaired = self.last_was_timestamp[rows] & ~self.penultimate_was_timestamp[rows]
        logits += self.suppression_mask[rows]
        logits[:, :eot] += self._forbidden_where(first | unpaired)
        logits[:, eot:begin] += self._forbidden_where(first)
        logits[:, begin:].masked_fill_(self._forbidden_timestamps(rows, first, unpaired), _FORBIDDEN)
        self._prefer_timestamps(logits)

    def _forbidden_timestamps(self, rows: slice, first: Tensor, unpaired: Tensor) -> Tensor:
        """Mask `[rows, timestamps]`. After a pair of timestamps text must follow; timestamps never decrease,
        and increase except from an end to the next start; the first one is at most `max_initial_timestamp`.
        """
        paired = self.last_was_timestamp[rows] & self.penultimate_was_timestamp[rows]
        earliest = self.last_timestamp[rows] + ~unpaired
        latest = torch.where(first, self._latest_initial, self._latest)
        too_early = self._timestamps < earliest[:, None]
        return too_early | (self._timestamps > latest[:, None]) | paired[:, None]

    def _prefer_timestamps(self, logits: Tensor) -> None:
        """Only a timestamp may follow where all together are likelier than the likeliest other token."""
        begin = self.vocabulary.timestamp_begin
        other = logits[:, :begin]
        timestamps_likelier = logits[:, begin:].logsumexp(-1) > other.amax(-1)
        other += self._forbidden_where(timestamps_likelier)

    def _forbidden_where(self, mask: Tensor) -> Tensor:
        """-inf where `mask` `[rows]` is True, else 0: `[rows, 1]`, to be added to logits.

        Much faster than `masked_fill_`.
        """
        return torch.where(mask, self._forbidden, self._allowed)[:, None]

    def select_tokens(
        self, logits: Tensor, rows: slice, sample: bool, candidate_count: int
    ) -> SelectedTokens:
        """The next token of `rows` and its log-probability.

        Rows above temperature 0 are sampled if `sample` is True. `candidate_count`: how many candidates beam
        search needs of each row, 0 for none.
        """
        likeliest = top_k_tokens(logits, max(candidate_count, 1))
        tokens = likeliest[:, 0]
        if sample:
            tokens = torch.where(self.temperature[rows] > 0, self._sample(logits, rows), tokens)
        all_logprobs = logits.log_softmax(-1)
        logprobs = all_logprobs.gather(-1, tokens[:, None])[:, 0]
        if not candidate_count:
            return SelectedTokens(tokens, logprobs, None, None)
        return SelectedTokens(tokens, logprobs, likeliest, all_logprobs.gather(-1, likeliest))

    def _sample(self, logits: Tensor, rows: slice) -> Tensor:
        """Inverse transform sampling with each row's next uniform number."""
        temperature = self.temperature[rows].clamp_min(1e-6)  # the result is not used for rows at 0
        cumulative = (logits / temperature[:, None]).softmax(-1, dtype=torch.float64).cumsum(-1)
        threshold = self.uniform_noise[rows].gather(-1, self.token_count[rows, None]) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, threshold, right=True)[:, 0].clamp_max(logits.shape[-1] - 1)


def top_k_tokens(logits: Tensor, count: int) -> Tensor:
    """`logits.topk(count).indices`, several times faster: `[rows, count]`, the greatest first.

    The `count` greatest logits lie in the `count` groups with the greatest maxima.
    """
    size = logits.shape[-1]
    grouped = size - size % _GROUP
    groups = logits[:, :grouped].view(len(logits), -1, _GROUP)
    top_groups = groups.amax(-1).topk(min(count, groups.shape[1])).indices
    in_groups = (top_groups[..., None] * _GROUP + torch.arange(_GROUP, device=logits.device)).flatten(1)
    ungrouped = torch.arange(grouped, size, device=logits.device).expand(len(logits), -1)
    indices = torch.cat([in_groups, ungrouped], -1)
    return indices.gather(-1, logits.gather(-1, indices).topk(count).indices)
