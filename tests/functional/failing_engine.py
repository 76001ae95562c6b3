"""The batched engine, but a window with one particular seed breaks the batch that it is decoded in.

There is no request that makes the real one fail, so this one stands in for it where a failure of
the model is to be seen from outside. Everything else about it is real.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.checkpoints import Checkpoint
from app.engines import batched
from app.engines.batched.batch import DecodingWindow
from app.engines.batched.beam import Candidates, Continuation, Hypothesis, Search
from app.engines.batched.engine import BatchedEngine
from app.engines.interface import EngineOptions, Window, WindowOptions

FATAL_SEED = 13


def start(checkpoint: Checkpoint, device: str, options: EngineOptions) -> BatchedEngine:
    """The engine, with the fault in it."""
    engine = batched.start(checkpoint, device, options)
    make, doomed = engine._runner._new_decoding, set[Window]()

    def failing(window: Window, options: WindowOptions) -> DecodingWindow:
        made = make(window, options)
        if options.seed == FATAL_SEED:
            made.search = Fatal(made.search, engine, window, doomed)
        return made

    engine._runner._new_decoding = failing  # type: ignore[method-assign]
    return engine


@dataclass
class Fatal:
    """A search that fails in the first step that its window takes with others, and from then on always."""

    sound: Search
    engine: BatchedEngine
    window: Window
    doomed: set[Window]
    begun: bool = False

    def __post_init__(self) -> None:
        self.rows = self.sound.rows

    def advance(self, found: Sequence[Candidates]) -> list[Continuation]:
        """Go on, or fail."""
        if self.begun and len(self.engine._runner.batch.running) > 1:
            self.doomed.add(self.window)
        self.begun = True  # a window's first tokens are chosen when it joins, before any step
        if self.window in self.doomed:
            raise IndexError("index 51865 is out of bounds")
        return self.sound.advance(found)

    def hypotheses(self) -> list[Hypothesis]:
        """The sound one's."""
        return self.sound.hypotheses()
