"""Accounting for each session: one line in the log when it has ended, and the counts for Prometheus."""

import logging
from collections.abc import Mapping
from threading import Lock
from time import perf_counter

from app.errors import ClientGone, SpeechError
from app.logs import fields
from app.metrics import Metrics
from app.request_cost import CostTotals, RequestCost

_log = logging.getLogger(__name__)


class SessionRecord:
    """One session. `described` begins its line; `cost` is that of all its utterances. `model` is the name
    of the last one, as the client sent it, and `served` that of the model it means, which becomes a label.
    """

    def __init__(self, metrics: Metrics, described: Mapping[str, object]) -> None:
        self.cost = RequestCost()
        self.model = self.served = ""
        self._metrics = metrics
        self._described = described
        self._began = perf_counter()
        self._utterances = self._failed = 0
        self._counted = CostTotals()
        self._lock = Lock()

    def opened(self) -> None:
        """The session has begun."""
        self._metrics.session_opened()

    def delta_sent(self, seconds: float) -> None:
        """So long after the audio had come, what was heard in it was sent."""
        self._metrics.delta_sent(seconds)

    def answered(self, item_id: str, seconds: float, error: SpeechError | None) -> None:
        """An utterance was, so long after its commit; `error` if it failed. An error's cause is logged."""
        self._count_cost()
        if isinstance(error, ClientGone):
            return
        self._utterances += 1
        self._failed += error is not None
        self._metrics.utterance_answered("failed" if error else "completed", seconds)
        if error and error.status == SpeechError.status and error.__cause__:
            known = fields(request_id=self._described["request_id"], item_id=item_id)
            _log.error("An utterance of a realtime session failed", exc_info=error, extra=known)

    def closed(self, code: int, heard_ms: int) -> None:
        """The session has ended, and so much audio came. Called once."""
        self._count_cost()
        self._metrics.session_closed(code)
        cost = self.cost.totals()
        values = {
            **self._described,
            "close_code": int(code),
            "model": self.model,
            "audio_seconds": round(heard_ms / 1000, 3),
            "utterances": self._utterances,
            "failed": self._failed,
            "queue_ms": round(1000 * cost.queue_seconds),
            "model_ms": round(1000 * cost.model_seconds),
            "total_ms": round(1000 * (perf_counter() - self._began)),
            "windows": cost.windows,
            "fallbacks": cost.fallbacks,
        }
        _log.info("realtime session closed", extra=fields(**values))

    def _count_cost(self) -> None:
        """Count what has been done since the last time."""
        with self._lock:
            totals = self.cost.totals()
            self._metrics.work(totals.since(self._counted), self.served)
            self._counted = totals
