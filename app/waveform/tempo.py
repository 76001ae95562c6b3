"""Changes the tempo of speech, but not its pitch."""

from collections.abc import Iterable, Iterator

import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from app.waveform import Pcm

_STEPS = 2
"""One `atempo` filter slows down to 0.5 at most."""


def at_tempo(blocks: Iterable[Pcm], rate: int, tempo: float) -> Iterator[Pcm]:
    """Mono blocks `[n]` at `rate`, played `tempo` (0.25 or more) times as fast."""
    graph = Graph()
    source = graph.add_abuffer(sample_rate=rate, format="s16", layout="mono")
    steps = [graph.add("atempo", str(tempo ** (1 / _STEPS))) for _ in range(_STEPS)]
    graph.link_nodes(source, *steps, graph.add("abuffersink")).configure()
    position = 0
    for block in blocks:
        source.push(_frame(block, rate, position))
        position += len(block)
        yield from _pulled(graph)
    source.push(None)
    yield from _pulled(graph)


def _frame(block: Pcm, rate: int, position: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frame.pts = position
    return frame


def _pulled(graph: Graph) -> Iterator[Pcm]:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return
        yield np.asarray(frame.to_ndarray(), np.int16).reshape(-1)
