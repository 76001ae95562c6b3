"""A checkpoint that has been loaded."""

from dataclasses import dataclass

from app.checkpoints import Checkpoint
from app.engines.interface import Engine, LiveEngine, ModelCard
from app.engines.metered import Meter, MeteredEngine
from app.request_context import RequestContext


@dataclass(frozen=True)
class LoadedModel:
    """A started engine and its checkpoint's names, owner and date.

    `meter` counts the engine's work over all requests. `created` is when the checkpoint's file was
    last written, in Unix seconds; `notice` is the `x-model-notice` of every answer.
    """

    engine: LiveEngine
    meter: Meter
    names: tuple[str, ...]
    owner: str = ""
    created: int = 0
    notice: str | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint, engine: LiveEngine) -> "LoadedModel":
        """An engine that was started with a checkpoint."""
        return cls(
            engine,
            Meter(engine.warm_up_seconds),
            checkpoint.names,
            checkpoint.owner,
            int(checkpoint.path.stat().st_mtime),
            checkpoint.notice,
        )

    @property
    def card(self) -> ModelCard:
        """The model's name and dimensions."""
        return self.engine.card

    def engine_for(self, context: RequestContext) -> Engine:
        """The engine for one request, whose work is counted."""
        return MeteredEngine(self.engine, self.meter, context.cost)

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""
        return len(self.engine.tokenizer(None, "transcribe").encode(text))
