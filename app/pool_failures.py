"""Models that could not be loaded: not tried again for a while."""

import logging
from collections.abc import Callable, Hashable

from app.errors import ServerBusy, StartError
from app.memory import out_of_memory

RETRY_SECONDS = 10
"""For so long after a model could not be loaded, it is not tried again."""


_log = logging.getLogger(__name__)


def load_failure(name: str, error: BaseException | None, loaded: str) -> str:
    """What clients are told, with what is loaded; the log has the rest."""
    if isinstance(error, StartError):
        _log.error("The model %s can't be loaded: %s", name, error)
    elif error:
        _log.error("The model %s can't be loaded", name, exc_info=error)
    why = "there is not enough memory for it" if out_of_memory(error) else "the server's log says why"
    return f"The model '{name}' can't be loaded at present; {why}. {loaded} Please retry."


def too_large(name: str, size: int, loaded: str) -> str:
    """What clients are told of a model that takes more than all may."""
    return (
        f"The model '{name}' takes {size} bytes, more than this server may use for models "
        f"(WHISPER_MODEL_MEMORY). {loaded}"
    )


class LoadFailures:
    """What clients are told of each model's last failure. Whoever calls has the pool's lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: dict[Hashable, tuple[float, str]] = {}

    def remember(self, key: Hashable, failure: str) -> None:
        """A model could not be loaded."""
        self._found[key] = (self._clock() + RETRY_SECONDS, failure)

    def remembers(self, key: Hashable) -> bool:
        """Whether the model is not to be tried again yet."""
        return self._left(key) > 0

    def check(self, key: Hashable) -> None:
        """Raises ServerBusy if the model is not to be tried again yet."""
        if (left := self._left(key)) > 0:
            raise ServerBusy(self._found[key][1], retry_after_seconds=int(left) + 1)

    def _left(self, key: Hashable) -> float:
        until, _ = self._found.get(key, (0.0, ""))
        return until - self._clock()
