"""The series of the metrics, each at zero until it is counted. Their names must not change."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

from app.request_cost import CostTotals

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_WAITS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_LATENCIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)
_USUAL_CODES = (1000, 1001, 1006, 1012)
_FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class RequestSeries:
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


class RealtimeSeries:
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


class ModelSeries:
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
        self.real_time_factor = histogram(
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
        for histogram in (self._queue_seconds, self.real_time_factor):
            histogram.labels(model)
        self._batch_fill.labels(model)

    def count_work(self, model: str, cost: CostTotals) -> None:
        """What a request has cost, and the audio that it was for."""
        self.show(model)
        self._audio_seconds.labels(model).inc(cost.audio_seconds)
        self._model_seconds.labels(model).inc(cost.model_seconds)
        self._windows.labels(model).inc(cost.windows)
        self._fallbacks.labels(model).inc(cost.fallbacks)
        if cost.windows:
            self._queue_seconds.labels(model).observe(cost.queue_seconds)

    def count_step(self, model: str, rows: int, capacity: int) -> None:
        """A decoding step."""
        self._batch_fill.labels(model).observe(rows / capacity)
