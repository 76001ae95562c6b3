"""What loading a checkpoint gives."""

from dataclasses import dataclass

from app.checkpoints import Checkpoint
from app.engines.interface import Engine, LiveEngine, ModelCard
from app.engines.metered import Meter, MeteredEngine
from app.request_context import RequestContext


@dataclass(frozen=True)
class LoadedModel:
    """A started engine and what is known of its weights.

    `meter` counts what the engine does, over all requests. `created` is when the checkpoint's file was
    last written, in Unix seconds; `notice` what every answer must carry as `x-model-notice`. `quantized`
    weights are no longer those that were trained.
    """

    engine: LiveEngine
    meter: Meter
    names: tuple[str, ...]
    owner: str = ""
    created: int = 0
    notice: str | None = None
    quantized: bool = False

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
            checkpoint.quantization is not None,
        )

    @property
    def card(self) -> ModelCard:
        """The model's name and dimensions."""
        return self.engine.card

    def engine_for(self, context: RequestContext) -> Engine:
        """The engine as one request uses it: its work is counted."""
        return MeteredEngine(self.engine, self.meter, context.cost)

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""
        return len(self.engine.tokenizer(None, "transcribe").encode(text))
