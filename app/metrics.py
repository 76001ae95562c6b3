"""The metrics for Prometheus."""

from dataclasses import replace
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app.metric_series import ModelSeries, RealtimeSeries, RequestSeries
from app.request_cost import CostTotals

CONTENT_TYPE = CONTENT_TYPE_LATEST

_FIRST_CODE, _LAST_CODE = 1000, 1015


class Metrics:
    """One application's counts, in this process alone until `share` is called. Any thread may count.

    prometheus_client chooses between the two by an environment variable when it is imported. Here the
    choice is made explicitly, after the fork.
    """

    def __init__(self) -> None:
        values.ValueClass = values.MutexValue
        self._shown = CollectorRegistry()
        self._count_in(self._shown)

    def share(self, folder: Path, number: int) -> None:
        """Count in files of `folder`, which PROMETHEUS_MULTIPROC_DIR must name; `text()` sums them up.

        No two living processes may have the same `number`. A process with a dead one's number continues
        its counts, so there are never more files than there were processes at a time.
        """
        values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
        self._count_in(CollectorRegistry())
        self._shown = CollectorRegistry()
        MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]

    def _count_in(self, registry: CollectorRegistry) -> None:
        self._series, self._models = RequestSeries(registry), ModelSeries(registry)
        self._realtime = RealtimeSeries(registry)

    def know(self, model: str) -> None:
        """Show a model's counts from now on, though they are zero."""
        self._models.show(model)

    def begin(self) -> None:
        """Count a request that has arrived."""
        self._series.in_progress.inc()

    def end(self, endpoint: str, status: int, seconds: float, cost: CostTotals, model: str = "") -> None:
        """Count a request that has been answered.

        `endpoint` and `model`, the name of the model that answered, become labels, so both must be of few.
        """
        series = self._series
        series.in_progress.dec()
        series.requests.labels(endpoint, str(status), model).inc()
        series.request_seconds.labels(endpoint, model).observe(seconds)
        answered_seconds = cost.audio_seconds if status < 400 else 0.0
        self.work(replace(cost, audio_seconds=answered_seconds), model)
        if model and answered_seconds:
            self._models.real_time_factor.labels(model).observe(seconds / answered_seconds)

    def work(self, cost: CostTotals, model: str) -> None:
        """Count what the decoders and a model have done for a request, or for an utterance."""
        self._series.decode_seconds.inc(cost.read_seconds)
        if model:
            self._models.count_work(model, cost)

    def session_opened(self) -> None:
        """Count a realtime session."""
        self._realtime.sessions.inc()

    def session_closed(self, code: int) -> None:
        """Count the end of a realtime session; `code` is the WebSocket's."""
        self._realtime.sessions.dec()
        self._realtime.closed.labels(_close_label(code)).inc()

    def delta_sent(self, seconds: float) -> None:
        """Count a delta, so long after the audio had come."""
        self._realtime.delta_seconds.observe(seconds)

    def utterance_answered(self, outcome: str, seconds: float) -> None:
        """Count an utterance that is `completed` or `failed`, so long after its commit."""
        self._realtime.utterances.labels(outcome).inc()
        if outcome == "completed":
            self._realtime.completed_seconds.observe(seconds)

    def refuse(self) -> None:
        """Count a request that was refused with a 503."""
        self._series.refused.inc()

    def batch_step(self, model: str, rows: int, capacity: int) -> None:
        """Count a decoding step of a model with so many running rows."""
        self._models.count_step(model, rows, capacity)

    def decoder_restarted(self) -> None:
        """Count a decoder process that died and was replaced."""
        self._series.decoder_restarts.inc()

    def text(self) -> bytes:
        """All counts of all processes, in Prometheus's text format."""
        return generate_latest(self._shown)


def _close_label(code: int) -> str:
    """A close code as a label: those of the protocol, and one for all that clients make up."""
    return str(code) if _FIRST_CODE <= code <= _LAST_CODE else "other"


def forget_dead(folder: Path, number: int) -> None:
    """Remove a dead process's gauges, such as its requests in progress; its counts stay."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
