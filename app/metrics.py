"""The metrics for Prometheus. Their names must not change."""

from dataclasses import replace
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from app.request_cost import CostTotals

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_WAITS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_USUAL_CODES = (1000, 1001, 1006, 1012)
_FIRST_CODE, _LAST_CODE = 1000, 1015
_LATENCIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)
_FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class _Series:
    """All series, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "whisper_requests",
            "Answers, by route and HTTP status. A stream counts as what it ended in; 499: the client left.",
            ["endpoint", "status"],
            registry=registry,
        )
        self.in_progress = Gauge(
            "whisper_requests_in_progress",
            "Requests that are being read, worked on or answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.refused = Counter(
            "whisper_requests_refused", "Requests for work answered with 503.", registry=registry
        )
        self.request_seconds = Histogram(
            "whisper_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["endpoint"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.audio_seconds = Counter(
            "whisper_audio_seconds", "Length of the recordings that were answered.", registry=registry
        )
        self.decode_seconds = Counter(
            "whisper_decode_seconds", "Time spent on reading audio files.", registry=registry
        )
        self.queue_seconds = Histogram(
            "whisper_queue_seconds",
            "How long the work of one request waited for the model, over all its windows.",
            registry=registry,
            buckets=_WAITS,
        )
        self.model_seconds = Counter(
            "whisper_model_seconds",
            "How long the model took, added up over windows that run side by side.",
            registry=registry,
        )
        self.windows = Counter(
            "whisper_windows", "Windows decoded, again at each temperature.", registry=registry
        )
        self.fallbacks = Counter(
            "whisper_fallbacks", "Windows decoded once more at a higher temperature.", registry=registry
        )
        self.batch_fill = Summary(
            "whisper_batch_fill",
            "At each decoding step: rows that run, divided by the rows there is room for.",
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "whisper_real_time_factor",
            "Seconds that a second of audio took, from request to answer.",
            registry=registry,
            buckets=_FACTORS,
        )
        self.decoder_restarts = Counter(
            "whisper_decoder_restarts", "Audio decoders replaced because they died.", registry=registry
        )


class _RealtimeSeries:
    """Those of realtime sessions, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sessions = Gauge(
            "whisper_realtime_sessions",
            "Realtime sessions that are open.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.closed = Counter(
            "whisper_realtime_sessions_closed",
            "Realtime sessions that have ended, by WebSocket close code; 1006: the client has gone.",
            ["code"],
            registry=registry,
        )
        self.utterances = Counter(
            "whisper_realtime_utterances",
            "Utterances of realtime sessions that were answered: completed or failed.",
            ["outcome"],
            registry=registry,
        )
        self.delta_seconds = Histogram(
            "whisper_realtime_delta_seconds",
            "From the arrival of an utterance's audio to the delta with what was heard in it.",
            registry=registry,
            buckets=_LATENCIES,
        )
        self.completed_seconds = Histogram(
            "whisper_realtime_completed_seconds",
            "From the commit of an utterance to its transcript.",
            registry=registry,
            buckets=_LATENCIES,
        )
        for outcome in ("completed", "failed"):  # a series that begins at its first value shows no increase
            self.utterances.labels(outcome)
        for code in _USUAL_CODES:
            self.closed.labels(str(code))


class Metrics:
    """One application's counts, in this process alone until `share` is called. Any thread may count.

    prometheus_client chooses between the two by an environment variable when it is imported. Here the
    choice is made explicitly, after the fork.
    """

    def __init__(self) -> None:
        values.ValueClass = values.MutexValue
        self._shown = CollectorRegistry()
        self._series = _Series(self._shown)
        self._realtime = _RealtimeSeries(self._shown)

    def share(self, folder: Path, number: int) -> None:
        """Count in files of `folder`, which PROMETHEUS_MULTIPROC_DIR must name; `text()` sums them up.

        No two living processes may have the same `number`. A process with a dead one's number continues
        its counts, so there are never more files than there were processes at a time.
        """
        values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self._series, self._realtime = _Series(registry), _RealtimeSeries(registry)
        self._shown = CollectorRegistry()
        MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        """Count a request that has arrived."""
        self._series.in_progress.inc()

    def end(self, endpoint: str, status: int, seconds: float, cost: CostTotals) -> None:
        """Count a request that has been answered. `endpoint` becomes a label, so it must be one of few."""
        series = self._series
        series.in_progress.dec()
        series.requests.labels(endpoint, str(status)).inc()
        series.request_seconds.labels(endpoint).observe(seconds)
        answered_seconds = cost.audio_seconds if status < 400 else 0.0
        self.work(replace(cost, audio_seconds=answered_seconds))
        if answered_seconds:
            series.real_time_factor.observe(seconds / answered_seconds)

    def work(self, cost: CostTotals) -> None:
        """Count what the model and the decoders have done for a request, or an utterance."""
        series = self._series
        series.decode_seconds.inc(cost.read_seconds)
        series.model_seconds.inc(cost.model_seconds)
        series.windows.inc(cost.windows)
        series.fallbacks.inc(cost.fallbacks)
        series.audio_seconds.inc(cost.audio_seconds)
        if cost.windows:
            series.queue_seconds.observe(cost.queue_seconds)

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

    def batch_step(self, rows: int, capacity: int) -> None:
        """Count a decoding step with so many running rows."""
        self._series.batch_fill.observe(rows / capacity)

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
