"""The metrics for Prometheus. Their names must not change."""

from collections.abc import Sequence
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
_FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class _Series:
    """What is counted of a worker and its requests. The label `model` is empty where a request needs none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "whisper_requests",
            "Answers, by route and HTTP status. A stream counts as what it ended in; 499: the client left.",
            ["endpoint", "status", "model"],
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
            ["endpoint", "model"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.decode_seconds = Counter(
            "whisper_decode_seconds", "Time spent on reading audio files.", registry=registry
        )
        self.decoder_restarts = Counter(
            "whisper_decoder_restarts", "Audio decoders replaced because they died.", registry=registry
        )


class _ModelSeries:
    """What is counted of each model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str) -> Counter:
            return Counter(name, meaning, ["model"], registry=registry)

        def histogram(name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, meaning, ["model"], registry=registry, buckets=buckets)

        self._audio_seconds = counter("whisper_audio_seconds", "Length of the recordings that were answered.")
        self._queue_seconds = histogram(
            "whisper_queue_seconds",
            "How long the work of one request waited for the model, over all its windows.",
            _WAITS,
        )
        self._model_seconds = counter(
            "whisper_model_seconds", "How long the model took, added up over windows that run side by side."
        )
        self._windows = counter("whisper_windows", "Windows decoded, again at each temperature.")
        self._fallbacks = counter("whisper_fallbacks", "Windows decoded once more at a higher temperature.")
        self._real_time_factor = histogram(
            "whisper_real_time_factor",
            "Seconds that a second of audio took, from request to answer.",
            _FACTORS,
        )
        self._batch_fill = Summary(
            "whisper_batch_fill",
            "At each decoding step: rows that run, divided by the rows there is room for.",
            ["model"],
            registry=registry,
        )

    def show(self, model: str) -> None:
        """Zeros, until there is something to count."""
        for counter in (self._audio_seconds, self._model_seconds, self._windows, self._fallbacks):
            counter.labels(model)
        for histogram in (self._queue_seconds, self._real_time_factor):
            histogram.labels(model)
        self._batch_fill.labels(model)

    def count_work(self, model: str, cost: CostTotals) -> None:
        """What a request has cost, whatever became of it."""
        self.show(model)
        self._model_seconds.labels(model).inc(cost.model_seconds)
        self._windows.labels(model).inc(cost.windows)
        self._fallbacks.labels(model).inc(cost.fallbacks)
        if cost.windows:
            self._queue_seconds.labels(model).observe(cost.queue_seconds)

    def count_answer(self, model: str, seconds: float, cost: CostTotals) -> None:
        """What a request has brought."""
        if cost.audio_seconds:
            self._audio_seconds.labels(model).inc(cost.audio_seconds)
            self._real_time_factor.labels(model).observe(seconds / cost.audio_seconds)

    def count_step(self, model: str, rows: int, capacity: int) -> None:
        """A decoding step."""
        self._batch_fill.labels(model).observe(rows / capacity)


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
        self._series, self._models = _Series(registry), _ModelSeries(registry)

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
        series.decode_seconds.inc(cost.read_seconds)
        if model:
            self._models.count_work(model, cost)
        if model and status < 400:
            self._models.count_answer(model, seconds, cost)

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


def forget_dead(folder: Path, number: int) -> None:
    """Remove a dead process's gauges, such as its requests in progress; its counts stay."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
