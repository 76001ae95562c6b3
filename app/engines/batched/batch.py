"""The rows that are being decoded. Rows are added and removed between steps: continuous batching.

Running rows are always rows 0 to `size` of every tensor: the last rows move to where others have left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.engines.batched.beam import Candidates, Continuation, Search
from app.engines.batched.cross_attention import CrossKV
from app.engines.batched.decoder import Decoder, RowRange
from app.engines.batched.token_rules import RowStates, Selection

CopyStates = Callable[[Tensor, Tensor], None]

Select = Callable[[Tensor, Selection], Tensor]
"""RowStates.select for the first rows."""


@dataclass(eq=False)
class DecodingWindow:
    """A window that is being decoded. `rows`: its rows in the batch now, one for each beam or sample.

    `prompt` ends with `prefix`: the window's first tokens, which are known already.
    suppression_mask: `[vocabulary]`, 0 or -inf; uniform_noise: `[rows at the start, max_tokens]`;
    candidate_count: how many candidates its beam search needs of each row, 0 without beam search.
    """

    cross: CrossKV
    prompt: list[int]
    search: Search
    suppression_mask: Tensor
    temperature: float
    uniform_noise: Tensor
    candidate_count: int
    prefix: tuple[int, ...] = ()
    rows: list[int] = field(default_factory=list)
    no_speech_prob: float = 0.0


class Batch:
    """The running rows, their tokens, caches and states. The scheduler decides what is added.

    `select`: for the logits of steps, if not `states.select`. A row's latest token is in no cache and no
    state yet: the next step takes it there.
    """

    def __init__(self, decoder: Decoder, states: RowStates, select: Select | None = None) -> None:
        self.decoder = decoder
        self._states = states
        self._select = select or self._select_first
        self._owners: list[DecodingWindow] = []
        self._tokens: list[int] = []
        self._lengths: list[int] = []
        self._generated_tokens: list[list[int]] = []
        self._row_ranges: list[RowRange] = []

    @property
    def size(self) -> int:
        """How many rows run."""
        return len(self._owners)

    @property
    def running(self) -> list[DecodingWindow]:
        """The running windows, in the order of their first rows."""
        return list(dict.fromkeys(self._owners))

    def add(self, decoding: DecodingWindow) -> Tensor:
        """Prefill a window's prompt and select its first tokens. Returns the states `[length, state]`."""
        first, rows = self.size, decoding.search.rows
        decoding.rows = list(range(first, first + rows))
        self.decoder.cache.prepare(slice(first, first + rows))
        states = self.decoder.prefill(decoding.prompt, decoding.cross, row=first)
        for row, noise in zip(decoding.rows, decoding.uniform_noise, strict=True):
            self._states.start(row, decoding.suppression_mask, decoding.temperature, noise, decoding.prefix)
        self._owners += [decoding] * rows
        self._lengths += [len(decoding.prompt)] * rows
        self._tokens += [0] * rows
        self._generated_tokens += [[] for _ in range(rows)]
        self._copy_prompt(decoding.rows)
        logits = self.decoder.logits(states[-1:]).repeat(rows, 1)
        joined = slice(first, first + rows)
        self._advance(self._states.select(logits, joined, _selection_of([decoding])), joined)
        return states

    def step(self) -> list[DecodingWindow]:
        """One more token for every row. Returns the windows that are finished; their rows have left."""
        running = self.running
        rows = slice(0, self.size)
        tokens, lengths = self._upload([self._tokens, self._lengths])
        logits = self.decoder.step(tokens, lengths, max(self._lengths), self._row_ranges)
        self._states.append(rows, tokens)
        self._lengths = [length + 1 for length in self._lengths]
        for generated, token in zip(self._generated_tokens, self._tokens, strict=True):
            generated.append(token)
        self._advance(self._select(logits, _selection_of(running)), rows)
        return [decoding for decoding in running if not decoding.rows]

    def remove(self, decodings: Sequence[DecodingWindow]) -> None:
        """Take windows out of the batch, finished or not."""
        for decoding in decodings:
            decoding.rows = []
        self._close_gaps()

    def _copy_prompt(self, rows: list[int]) -> None:
        """Copy the prompt's keys and values from a window's first row to its other rows."""
        first, *others = rows
        if others:
            sources, targets = self._upload([[first] * len(others), others])
            self.decoder.cache.copy(sources, targets, slice(0, self._lengths[first]))

    def _select_first(self, logits: Tensor, selection: Selection) -> Tensor:
        return self._states.select(logits, slice(0, len(logits)), selection)

    def _advance(self, selected: Tensor, rows: slice) -> None:
        """Let each window's search decide which of the rows continue, and close the gaps."""
        candidates = _to_host(selected)
        for decoding in dict.fromkeys(self._owners[rows]):
            continuations = decoding.search.advance([candidates[row - rows.start] for row in decoding.rows])
            self._continue_rows(decoding, continuations)
        self._close_gaps()

    def _continue_rows(self, decoding: DecodingWindow, continuations: Sequence[Continuation]) -> None:
        """Keep the rows that continue. If a beam continues another beam's row, that row is copied."""
        sources = [decoding.rows[continuation.source] for continuation in continuations]
        targets = sources if len(set(sources)) == len(sources) else decoding.rows[: len(continuations)]
        if targets != sources:
            generated = [self._generated_tokens[row] for row in sources]
            replaced = (self._generated_tokens[row] for row in targets)
            shared = len(decoding.prompt) + min(map(common_prefix_length, generated, replaced))
            self._copy(sources, targets, self._states.copy_history, shared)
            for row, tokens in zip(targets, generated, strict=True):
                self._generated_tokens[row] = tokens.copy()
        for row, continuation in zip(targets, continuations, strict=True):
            self._tokens[row] = continuation.token
        decoding.rows = targets

    def _close_gaps(self) -> None:
        """Move the last rows to where others have left, so that rows 0 to `size` run."""
        owners = {row: decoding for decoding in self.running for row in decoding.rows}
        size = len(owners)
        gaps = [row for row in range(size) if row not in owners]
        last = sorted(row for row in owners if row >= size)
        if gaps:
            self._copy(last, gaps, self._states.copy)
        for source, target in zip(last, gaps, strict=True):
            owner = owners.pop(source)
            owners[target] = owner
            owner.rows[owner.rows.index(source)] = target
            self._tokens[target], self._lengths[target] = self._tokens[source], self._lengths[source]
            self._generated_tokens[target] = self._generated_tokens[source]
        self._owners = [owners[row] for row in range(size)]
        del self._tokens[size:], self._lengths[size:], self._generated_tokens[size:]
        self._row_ranges = _group_rows(self._owners)

    def _copy(self, sources: list[int], targets: list[int], copy_states: CopyStates, shared: int = 0) -> None:
        """Give rows `targets` what `sources` have; the first `shared` positions are equal already."""
        pairs = [
            (source, target) for source, target in zip(sources, targets, strict=True) if source != target
        ]
        from_rows, to_rows = self._upload([list(side) for side in zip(*pairs, strict=True)])
        # the targets' lengths too, so that all of their old contents is overwritten
        max_length = max(self._lengths[row] for pair in pairs for row in pair)
        self.decoder.cache.copy(from_rows, to_rows, slice(shared, max_length))
        copy_states(from_rows, to_rows)

    def _upload(self, numbers: list[list[int]]) -> Tensor:
        """Lists of the same length, in one transfer that nobody waits for."""
        device = self._states.token_count.device
        pinned = torch.tensor(numbers, pin_memory=device.type == "cuda")
        return pinned.to(device, non_blocking=True)


def _selection_of(decodings: Sequence[DecodingWindow]) -> Selection:
    """What the rows of some windows need."""
    return Selection(
        sample=any(decoding.temperature > 0 for decoding in decodings),
        candidate_count=max(decoding.candidate_count for decoding in decodings),
    )


def _to_host(selected: Tensor) -> list[Candidates]:
    """A step's outcome in one transfer from the device."""
    rows = selected.tolist()
    width = (len(rows[0]) - 2) // 2
    return [
        Candidates(int(row[0]), row[1], [int(token) for token in row[2 : 2 + width]], row[2 + width :])
        for row in rows
    ]


def _group_rows(owners: Sequence[DecodingWindow]) -> list[RowRange]:
    """Group neighbouring rows of the same window."""
    ranges: list[RowRange] = []
    for row, owner in enumerate(owners):
        if ranges and ranges[-1].cross is owner.cross:
            ranges[-1] = ranges[-1]._replace(end=row + 1)
        else:
            ranges.append(RowRange(owner.cross, row, row + 1))
    return ranges


def common_prefix_length(tokens: list[int], others: list[int]) -> int:
    """How many tokens two lists of the same length have in common before they differ."""
    pairs = zip(tokens, others, strict=True)
    return next((index for index, (token, other) in enumerate(pairs) if token != other), len(tokens))
