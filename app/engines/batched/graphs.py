"""Decoding steps as CUDA graphs: one launch for a step instead of hundreds, which take longer than the work.

A graph reads and writes fixed memory. So every row has its own copy of its window's keys and values, and
there is a graph for each of a few sizes: the smallest that holds the rows and their tokens is replayed.
Its rows beyond the running ones write to cache positions that a joining row overwrites.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from app.engines.batched.cross_attention import CrossKV, FloatCrossKV
from app.engines.batched.decoder import Decoder, RowRange
from app.engines.batched.weights import DecoderWeights

_log = logging.getLogger(__name__)

_WARM_UP_STEPS = 3

Step = Callable[[], Tensor]


class RowCrossKV:
    """Each row's copy of its window's keys, transposed, `[layers, rows, heads, head, 1500]`, and values,
    `[layers, rows, heads, 1500, head]`.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._copied: list[CrossKV | None] = [None] * rows
        self._keys = self._values = torch.empty(0)

    def update(self, row_ranges: Sequence[RowRange]) -> None:
        """Copy a window to every row that doesn't have its copy yet."""
        row_windows = [rows.cross for rows in row_ranges for _ in range(rows.first, rows.end)]
        for row, cross in enumerate(row_windows):
            if self._copied[row] is not cross:
                self._copy(row, cross)
        self._copied[len(row_windows) :] = [None] * (self._rows - len(row_windows))

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """Cross-attention of the first rows' queries `[rows, heads, 1, head]`: `[rows, 1, state]`."""
        rows, heads = q.shape[:2]
        keys = self._keys[layer, :rows].flatten(0, 1)
        values = self._values[layer, :rows].flatten(0, 1)
        output = torch.bmm(torch.bmm(q.flatten(0, 1), keys).softmax(-1), values)
        return output.view(rows, heads, -1).view(rows, 1, -1)

    def _copy(self, row: int, cross: CrossKV) -> None:
        assert isinstance(cross, FloatCrossKV)
        if not self._keys.numel():
            self._keys, self._values = self._allocate(cross.keys), self._allocate(cross.values)
        self._keys[:, row].copy_(cross.keys)
        self._values[:, row].copy_(cross.values)
        self._copied[row] = cross

    def _allocate(self, like: Tensor) -> Tensor:
        layers, *rest = like.shape
        return torch.zeros((layers, self._rows, *rest), dtype=like.dtype, device=like.device)


class GraphedDecoder(Decoder):
    """A Decoder whose steps are captured once for each size and then replayed."""

    def __init__(self, weights: DecoderWeights, rows: int, context: int) -> None:
        super().__init__(weights, rows, context)
        self._context = context
        self._capacity = rows
        self._cross = RowCrossKV(rows)
        self._tokens = torch.zeros(rows, dtype=torch.long, device=self._positions.device)
        self._lengths = torch.zeros(rows, dtype=torch.long, device=self._positions.device)
        self._steps: dict[tuple[int, int], Step] = {}

    def step(self, tokens: Tensor, lengths: Tensor, max_length: int, row_ranges: list[RowRange]) -> Tensor:
        """One more token for each of the first rows: logits `[rows, vocabulary]`.

        The next step overwrites them.
        """
        rows = len(tokens)
        self._cross.update(row_ranges)
        self._tokens[:rows].copy_(tokens, non_blocking=True)
        self._lengths.zero_()
        self._lengths[:rows].copy_(lengths, non_blocking=True)
        size = bucket(rows, 1, self._capacity), bucket(max_length + 1, 64, self._context)
        if size not in self._steps:
            self._steps[size] = self._capture(*size)
        return self._steps[size]()[:rows]

    def _capture(self, rows: int, length: int) -> Step:
        """The graph of a step of one size; where it can't be captured, the step itself."""
        step = partial(self._forward, self._tokens[:rows], self._lengths[:rows], length, self._cross.attend)
        try:
            return capture_graph(step)
        except RuntimeError as error:
            _log.warning("steps of %d rows run without a CUDA graph: %s", rows, error)
            return step


def bucket(size: int, smallest: int, largest: int) -> int:
    """`smallest` doubled until it holds `size`, at most `largest`."""
    while smallest < size:
        smallest *= 2
    return min(smallest, largest)


def capture_graph(step: Step) -> Step:
    """Capture what `step` launches. Each replay writes its result to the same memory."""
    side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(_WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
