"""A model that has been loaded, and what is known of it."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from app.checkpoints.verified import Verified
from app.engines.interface import Engine, LiveEngine, ModelCard
from app.engines.metered import Meter, MeteredEngine
from app.request_context import RequestContext
from app.version import VERSION

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelFacts:
    """A checkpoint's names, owner and date, whether it is loaded or not.

    `created` is when the checkpoint's file was last written, in Unix seconds; `notice` what every answer
    must carry as `x-model-notice`; `fingerprint` the chat API's `system_fingerprint`, which changes whenever
    answers may. `quantized` weights are no longer those that were trained. `file_bytes`: on disk.
    """

    names: tuple[str, ...]
    owner: str = ""
    created: int = 0
    notice: str | None = None
    fingerprint: str = ""
    quantized: bool = False
    file_bytes: int = 0

    @classmethod
    def of(cls, verified: Verified, precision: str, context: str) -> "ModelFacts":
        """A checkpoint, for answers of a precision and usual context. Its files may have gone since."""
        checkpoint = verified.checkpoint
        return cls(
            checkpoint.names,
            checkpoint.owner,
            verified.written_at,
            checkpoint.notice,
            _fingerprint(checkpoint.sha256, precision, context),
            checkpoint.quantization is not None,
            verified.file_bytes,
        )


@dataclass(frozen=True)
class LoadedModel:
    """A started engine. `meter` counts what it does, over all requests."""

    engine: LiveEngine
    meter: Meter

    @classmethod
    def of(cls, engine: LiveEngine, clock: Callable[[], float] = monotonic) -> "LoadedModel":
        """An engine that has just been started."""
        # without the turns of other models, since admission adds up what each of them takes
        return cls(engine, Meter(engine.warm_up_seconds, lambda: clock() - engine.others_seconds))

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

    def close(self) -> None:
        """End the engine. If that fails the log says so: whoever waits for it is not to wait for ever."""
        try:
            self.engine.close()
        except BaseException:
            _log.exception("The engine of %s has not ended properly", self.card.name)


def _fingerprint(sha256: str, precision: str, context: str) -> str:
    """`fp_` and ten hexadecimal digits, the same on every machine."""
    answers = f"{sha256} {precision} {VERSION}" + (" short" if context == "short" else "")
    digest = hashlib.sha256(answers.encode()).hexdigest()
    return f"fp_{digest[:10]}"
