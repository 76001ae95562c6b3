"""Decoding steps on CUDA as graphs: one launch instead of hundreds, which is what a step waits for there.

A graph reads and writes fixed memory, so every row has its own copy of its window's keys and values,
and steps run at a few sizes: the smallest that holds the rows, over the shortest cache that holds their
tokens. Rows beyond those that run write to places that a joining row overwrites.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from app.engines.batched.cross_attention import CrossKV, FloatCrossKV
from app.engines.batched.decoder import Decoder, Run
from app.engines.batched.weights import DecoderWeights

_log = logging.getLogger(__name__)

_WARM_UPS = 3

Step = Callable[[], Tensor]


class RowCross:
    """Keys and values of the window of each row: `[layers, rows, heads, head, 1500]`, transposed, and
    `[layers, rows, heads, 1500, head]`.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._held: list[CrossKV | None] = [None] * rows
        self._keys = self._values = torch.empty(0)

    def arrange(self, runs: Sequence[Run]) -> None:
        """Copy what rows don't hold yet; a row keeps its copy for as long as its window stays."""
        wanted = [run.cross for run in runs for _ in range(run.first, run.end)]
        for row, cross in enumerate(wanted):
            if self._held[row] is not cross:
                self._copy(row, cross)
        self._held[len(wanted) :] = [None] * (self._rows - len(wanted))

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """Attention of the first rows' queries `[rows, heads, 1, head]`: `[rows, 1, state]`."""
        rows, heads = q.shape[:2]
        keys = self._keys[layer, :rows].flatten(0, 1)
        values = self._values[layer, :rows].flatten(0, 1)
        heard = torch.bmm(torch.bmm(q.flatten(0, 1), keys).softmax(-1), values)
        return heard.view(rows, heads, -1).view(rows, 1, -1)

    def _copy(self, row: int, cross: CrossKV) -> None:
        assert isinstance(cross, FloatCrossKV)
        if not self._keys.numel():
            self._keys, self._values = self._room(cross.keys), self._room(cross.values)
        self._keys[:, row].copy_(cross.keys)
        self._values[:, row].copy_(cross.values)
        self._held[row] = cross

    def _room(self, like: Tensor) -> Tensor:
        layers, *rest = like.shape
        return torch.zeros((layers, self._rows, *rest), dtype=like.dtype, device=like.device)


class GraphedDecoder(Decoder):
    """A Decoder whose steps are captured once for each size and then replayed."""

    def __init__(self, weights: DecoderWeights, rows: int, context: int) -> None:
        super().__init__(weights, rows, context)
        self._context = context
        self._capacity = rows
        self._cross = RowCross(rows)
        self._tokens = torch.zeros(rows, dtype=torch.long, device=self._places.device)
        self._lengths = torch.zeros(rows, dtype=torch.long, device=self._places.device)
        self._steps: dict[tuple[int, int], Step] = {}

    def step(self, tokens: Tensor, lengths: Tensor, longest: int, runs: list[Run]) -> Tensor:
        """One more token for each of the first rows: logits `[rows, vocabulary]`, until the next step."""
        rows = len(tokens)
        self._cross.arrange(runs)
        self._tokens[:rows].copy_(tokens, non_blocking=True)
        self._lengths.zero_()
        self._lengths[:rows].copy_(lengths, non_blocking=True)
        size = bucket(rows, 1, self._capacity), bucket(longest + 1, 64, self._context)
        if size not in self._steps:
            self._steps[size] = self._prepared(*size)
        return self._steps[size]()[:rows]

    def _prepared(self, rows: int, length: int) -> Step:
        """A replay of one size; where it can't be captured, the step itself."""
        step = partial(self._forward, self._tokens[:rows], self._lengths[:rows], length, self._cross.attend)
        try:
            return captured(step)
        except RuntimeError as error:
            _log.warning("steps of %d rows run without a CUDA graph: %s", rows, error)
            return step


def bucket(size: int, least: int, most: int) -> int:
    """The next power of two times `least`, at most `most`."""
    while least < size:
        least *= 2
    return min(least, most)


def captured(step: Step) -> Step:
    """A replay of what `step` launches; its result lies at the same place every time."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
