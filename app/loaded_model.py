"""A checkpoint that has been loaded."""

import hashlib
from dataclasses import dataclass

from app.checkpoints import Checkpoint
from app.engines.interface import Engine, LiveEngine, ModelCard
from app.engines.metered import Meter, MeteredEngine
from app.request_context import RequestContext
from app.version import VERSION


@dataclass(frozen=True)
class LoadedModel:
    """A started engine and its checkpoint's names, owner and date.

    `meter` counts what the engine does, over all requests. `created` is when the checkpoint's file was
    last written, in Unix seconds; `notice` what every answer must carry as `x-model-notice`; `fingerprint`
    the chat API's `system_fingerprint`, which changes whenever answers may. `quantized`
    weights are no longer those that were trained.
    """

    engine: LiveEngine
    meter: Meter
    names: tuple[str, ...]
    owner: str = ""
    created: int = 0
    notice: str | None = None
    fingerprint: str = ""
    quantized: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint, engine: LiveEngine, precision: str, context: str) -> "LoadedModel":
        """An engine that was started with a checkpoint, for answers of a precision and usual context."""
        return cls(
            engine,
            Meter(engine.warm_up_seconds),
            checkpoint.names,
            checkpoint.owner,
            int(checkpoint.path.stat().st_mtime),
            checkpoint.notice,
            _fingerprint(checkpoint.sha256, precision, context),
            checkpoint.quantization is not None,
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


def _fingerprint(sha256: str, precision: str, context: str) -> str:
    """`fp_` and ten hexadecimal digits, the same on every machine."""
    answers = f"{sha256} {precision} {VERSION}" + (" short" if context == "short" else "")
    digest = hashlib.sha256(answers.encode()).hexdigest()
    return f"fp_{digest[:10]}"
