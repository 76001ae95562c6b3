"""What is counted, in one process and in the files that workers share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics, forget_dead
from app.request_cost import CostTotals

ENDPOINT = "/v1/audio/transcriptions"
MODEL = "base"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the metrics of a test are shared; what prometheus_client opens there is closed again."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    yield tmp_path
    values.close_all_multiprocess_files()


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    families = text_string_to_metric_families(metrics.text().decode())
    found = [entry for family in families for entry in family.samples if entry.name == name]
    if any("model" in entry.labels for entry in found):
        labels = {"model": MODEL, **labels}
    return next((entry.value for entry in found if entry.labels == labels), None)


def transcribed(metrics: Metrics, status: int = 200, **cost: float) -> None:
    metrics.begin()
    metrics.end(ENDPOINT, status, 2.0, CostTotals(**cost), MODEL)


def test_a_request_is_counted() -> None:
    metrics = Metrics()
    transcribed(
        metrics,
        audio_seconds=8.0,
        read_seconds=0.5,
        windows=3,
        fallbacks=2,
        queue_seconds=0.25,
        model_seconds=1.5,
    )
    expected = {
        "requests_in_progress": 0.0,
        "audio_seconds_total": 8.0,
        "decode_seconds_total": 0.5,
        "windows_total": 3.0,
        "fallbacks_total": 2.0,
        "queue_seconds_sum": 0.25,
        "queue_seconds_count": 1.0,
        "model_seconds_total": 1.5,
        "real_time_factor_sum": 0.25,
        "requests_refused_total": 0.0,
        "decoder_restarts_total": 0.0,
    }
    assert {name: sample(metrics, f"whisper_{name}") for name in expected} == expected
    assert sample(metrics, "whisper_requests_total", endpoint=ENDPOINT, status="200") == 1.0
    assert sample(metrics, "whisper_request_seconds_sum", endpoint=ENDPOINT) == 2.0


def test_audio_that_was_not_answered_is_not_counted_but_its_cost_is() -> None:
    metrics = Metrics()
    transcribed(metrics, status=499, audio_seconds=8.0, model_seconds=1.5)
    assert sample(metrics, "whisper_audio_seconds_total") == 0.0
    assert sample(metrics, "whisper_real_time_factor_count") == 0.0
    assert sample(metrics, "whisper_model_seconds_total") == 1.5


def test_each_model_is_counted_by_its_name() -> None:
    metrics = Metrics()
    for model, seconds in (("base", 1.0), ("turbo", 3.0), ("turbo", 4.0), ("", 0.0)):
        metrics.begin()
        metrics.end(
            ENDPOINT, 200, 2.0, CostTotals(audio_seconds=8.0, windows=1, model_seconds=seconds), model
        )
    metrics.batch_step("turbo", 1, 8)
    assert sample(metrics, "whisper_model_seconds_total", model="base") == 1.0
    assert sample(metrics, "whisper_model_seconds_total", model="turbo") == 7.0
    assert sample(metrics, "whisper_queue_seconds_count", model="turbo") == 2.0
    assert sample(metrics, "whisper_batch_fill_count", model="turbo") == 1.0
    assert sample(metrics, "whisper_requests_total", endpoint=ENDPOINT, status="200", model="turbo") == 2.0
    assert sample(metrics, "whisper_requests_total", endpoint=ENDPOINT, status="200", model="") == 1.0
    assert sample(metrics, "whisper_model_seconds_total", model="") is None


def test_a_model_that_is_known_is_at_zero_before_its_first_request() -> None:
    metrics = Metrics()
    metrics.know("turbo")
    for name in ("audio_seconds_total", "model_seconds_total", "windows_total", "queue_seconds_count"):
        assert sample(metrics, f"whisper_{name}", model="turbo") == 0.0


def test_a_request_without_windows_says_nothing_of_the_queue() -> None:
    metrics = Metrics()
    transcribed(metrics)
    assert sample(metrics, "whisper_queue_seconds_count") == 0.0


def test_the_rate_of_the_batch_fill_is_its_mean() -> None:
    metrics = Metrics()
    for rows in (8, 4, 0):
        metrics.batch_step(MODEL, rows, 8)
    assert sample(metrics, "whisper_batch_fill_sum") == 1.5
    assert sample(metrics, "whisper_batch_fill_count") == 3.0


def test_refusals_and_restarts() -> None:
    metrics = Metrics()
    metrics.refuse()
    metrics.decoder_restarted()
    assert sample(metrics, "whisper_requests_refused_total") == 1.0
    assert sample(metrics, "whisper_decoder_restarts_total") == 1.0


def test_each_application_counts_for_itself() -> None:
    first, second = Metrics(), Metrics()
    first.refuse()
    assert sample(second, "whisper_requests_refused_total") == 0.0


def worker(folder: Path, number: int) -> Metrics:
    metrics = Metrics()
    metrics.share(folder, number)
    return metrics


def test_workers_see_the_sum_of_all(folder: Path) -> None:
    first = worker(folder, 0)
    transcribed(first, audio_seconds=1.0)
    second = worker(folder, 1)
    transcribed(second, audio_seconds=2.0)
    for metrics in (first, second):
        assert sample(metrics, "whisper_audio_seconds_total") == 3.0
        assert sample(metrics, "whisper_requests_total", endpoint=ENDPOINT, status="200") == 2.0
        assert sample(metrics, "whisper_request_seconds_count", endpoint=ENDPOINT) == 2.0


def test_a_dead_workers_counts_go_on_in_its_files(folder: Path) -> None:
    died = worker(folder, 0)
    transcribed(died, audio_seconds=1.0)
    died.begin()
    files = set(folder.iterdir())
    forget_dead(folder, 0)
    replacement = worker(folder, 0)
    assert sample(replacement, "whisper_requests_in_progress") == 0.0
    transcribed(replacement, audio_seconds=2.0)
    assert sample(replacement, "whisper_audio_seconds_total") == 3.0
    assert set(folder.iterdir()) == files
