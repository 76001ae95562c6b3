"""Decoding steps as CUDA graphs: one launch for a step instead of hundreds, which take longer than the work.

A graph reads and writes fixed memory. So every row has its own copy of its window's keys and values, and
there is a graph for each of a few sizes: the smallest that holds the rows, their tokens and their windows'
positions is replayed. Its rows beyond the running ones write to places in the cache that a joining row
overwrites.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from app.engines.batched.cross_attention import CrossKV, FloatCrossKV
from app.engines.batched.decoder import Decoder, RowRange
from app.engines.batched.kv_cache import MaskedKVCache
from app.engines.batched.token_rules import RowStates, Selection
from app.engines.batched.weights import DecoderWeights
from app.engines.interface import WINDOW_POSITIONS

_log = logging.getLogger(__name__)

_WARM_UP_STEPS = 3
_FEWEST_TOKENS = 64
_SHORT_POSITIONS = 512
"""Of what a clip of 7 s has. For longer ones a size of its own would save little and double the graphs."""

Step = Callable[[], Tensor]

Capture = Callable[[Step], Step]
"""Makes a step on fixed memory replayable. Every replay writes its result to the same memory."""


class CapturedSteps:
    """Steps that are captured when they are needed first, by key; where one can't be, it runs as it is."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._steps: dict[Hashable, Step] = {}

    @property
    def keys(self) -> set[Hashable]:
        """Those of all steps so far."""
        return set(self._steps)

    def run(self, key: Hashable, step: Step) -> Tensor:
        """The result of a step, the same one for a key as ever. The key's next run overwrites it."""
        if key not in self._steps:
            self._steps[key] = self._captured(key, step)
        return self._steps[key]()

    def clear(self) -> None:
        """Forget all steps, and free their memory."""
        self._steps.clear()

    def _captured(self, key: Hashable, step: Step) -> Step:
        try:
            return self._capture(step)
        except torch.OutOfMemoryError:
            raise  # there is less to do about it here than where the batch can be made smaller
        except RuntimeError as error:
            _log.warning("steps of size %s run without a CUDA graph: %s", key, error)
            return step


class Context(NamedTuple):
    """The first `positions` of all rows' windows; `masked` where some rows have fewer."""

    positions: int
    masked: bool


_FULL = Context(WINDOW_POSITIONS, masked=False)


class RowCrossKV:
    """Each row's copy of its window's keys, transposed, `[layers, rows, heads, head, 1500]`, and values,
    `[layers, rows, heads, 1500, head]`; and a mask `[rows, 1, 1, 1500]`, 0 for the row's own positions, -inf
    past them. Keys and values are zeros there, and nothing that another window has left.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._copied: list[CrossKV | None] = [None] * rows
        self._keys = self._values = self._mask = torch.empty(0)

    def update(self, row_ranges: Sequence[RowRange]) -> Context:
        """Copy a window to every row that doesn't have its copy yet. Returns what the rows must attend to."""
        row_windows = [rows.cross for rows in row_ranges for _ in range(rows.first, rows.end)]
        for row, cross in enumerate(row_windows):
            if self._copied[row] is not cross:
                self._copy(row, cross)
        self._copied[len(row_windows) :] = [None] * (self._rows - len(row_windows))
        return _context([rows.cross.positions for rows in row_ranges])

    def attend(self, layer: int, q: Tensor, context: Context = _FULL) -> Tensor:
        """Cross-attention of the first rows' queries `[rows, heads, 1, head]`: `[rows, 1, state]`."""
        rows, heads = q.shape[:2]
        keys = self._keys[layer, :rows, ..., : context.positions].flatten(0, 1)
        values = self._values[layer, :rows, :, : context.positions].flatten(0, 1)
        scores = torch.bmm(q.flatten(0, 1), keys)
        if context.masked:
            by_row = scores.view(rows, heads, 1, -1) + self._mask[:rows, ..., : context.positions]
            scores = by_row.flatten(0, 1)
        output = torch.bmm(scores.softmax(-1), values)
        return output.view(rows, heads, -1).view(rows, 1, -1)

    def _copy(self, row: int, cross: CrossKV) -> None:
        assert isinstance(cross, FloatCrossKV)
        if not self._keys.numel():
            self._allocate(cross)
        own, rest = slice(cross.positions), slice(cross.positions, None)
        self._keys[:, row, ..., own].copy_(cross.keys)
        self._values[:, row, :, own].copy_(cross.values)
        self._mask[row, ..., own] = 0
        if cross.positions < WINDOW_POSITIONS:
            self._keys[:, row, ..., rest] = 0
            self._values[:, row, :, rest] = 0
            self._mask[row, ..., rest] = float("-inf")
        self._copied[row] = cross

    def _allocate(self, like: FloatCrossKV) -> None:
        layers, heads, head, _ = like.keys.shape
        size = layers, self._rows, heads
        self._keys = like.keys.new_zeros(*size, head, WINDOW_POSITIONS)
        self._values = like.values.new_zeros(*size, WINDOW_POSITIONS, head)
        self._mask = like.keys.new_zeros(self._rows, 1, 1, WINDOW_POSITIONS)


def _context(positions: Sequence[int]) -> Context:
    """The smallest of three that holds windows of so many positions; full ones alone need no mask."""
    size = _SHORT_POSITIONS if max(positions) <= _SHORT_POSITIONS else WINDOW_POSITIONS
    return Context(size, masked=min(positions) < WINDOW_POSITIONS)


class StepSize(NamedTuple):
    """What a captured step is made for: so many rows, tokens in each with the new one, and a context."""

    rows: int
    length: int
    context: Context


class GraphedDecoder(Decoder):
    """A Decoder whose steps are captured once for each size and then replayed.

    step_logits: `[rows, vocabulary]`, where every step writes.
    """

    cache_class = MaskedKVCache

    def __init__(self, weights: DecoderWeights, rows: int, context: int, capture: Capture) -> None:
        super().__init__(weights, rows, context)
        self._context = context
        self._capacity = rows
        self._cross = RowCrossKV(rows)
        self._tokens = torch.zeros(rows, dtype=torch.long, device=self._positions.device)
        self._lengths = torch.zeros(rows, dtype=torch.long, device=self._positions.device)
        self.step_logits = torch.zeros(rows, len(weights.embedding), device=self._positions.device)
        self._steps = CapturedSteps(capture)

    def step(self, tokens: Tensor, lengths: Tensor, max_length: int, row_ranges: list[RowRange]) -> Tensor:
        """One more token for each of the first rows: logits `[rows, vocabulary]`.

        The next step overwrites them.
        """
        rows = len(tokens)
        context = self._cross.update(row_ranges)
        self._tokens[:rows].copy_(tokens)
        self._lengths.zero_()
        self._lengths[:rows].copy_(lengths)
        length = bucket(max_length + 1, _FEWEST_TOKENS, self._context)
        size = StepSize(bucket(rows, 1, self._capacity), length, context)
        return self._steps.run(size, partial(self._run, size))[:rows]

    def shrink(self, rows: int) -> None:
        """Free the windows' copies and the graphs, which refer to them."""
        self._capacity = rows
        self._steps.clear()
        self._cross = RowCrossKV(rows)

    def _run(self, size: StepSize) -> Tensor:
        """A step of one size, on fixed memory alone."""
        tokens, lengths = self._tokens[: size.rows], self._lengths[: size.rows]
        attend = partial(self._cross.attend, context=size.context)
        states = self._step_states(tokens, lengths, size.length, attend)
        return self.step_logits[: size.rows].copy_(self.weights.vocabulary(states))


class GraphedSelection:
    """RowStates.select for the rows of a GraphedDecoder's step, captured once for each size and kind."""

    def __init__(self, decoder: GraphedDecoder, states: RowStates, capture: Capture) -> None:
        self._logits = decoder.step_logits
        self._states = states
        self._steps = CapturedSteps(capture)

    def __call__(self, logits: Tensor, selection: Selection) -> Tensor:
        """Select from the decoder's latest logits `[rows, vocabulary]`: as RowStates.select does."""
        rows = len(logits)
        size = bucket(rows, 1, len(self._logits))
        select = partial(self._states.select, self._logits[:size], slice(0, size), selection)
        return self._steps.run((size, *selection), select)[:rows]


def bucket(size: int, smallest: int, largest: int) -> int:
    """`smallest` doubled until it holds `size`, at most `largest`."""
    while smallest < size:
        smallest *= 2
    return min(smallest, largest)


def capture_graph(step: Step) -> Step:
    """Capture what `step` launches. Each replay writes its result to the same memory.

    `step` runs several times first, so that libraries choose their kernels: it must bear that.
    """
    side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(_WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    # by default, memory that another thread takes meanwhile would end the capture
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
