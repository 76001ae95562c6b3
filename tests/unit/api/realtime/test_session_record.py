import logging
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api.realtime.session_record import SessionRecord
from app.errors import ClientGone, EngineFailure, ServerBusy, SpeechError
from app.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def record(metrics: Metrics) -> SessionRecord:
    return SessionRecord(metrics, {"request_id": "req_1", "who": "key:12345678"})


def counts(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text().decode())
    samples = [sample for family in families for sample in family.samples]
    return {entry.name + "".join(entry.labels.values()): entry.value for entry in samples}


def test_the_line_and_the_counts(
    metrics: Metrics, record: SessionRecord, caplog: pytest.LogCaptureFixture
) -> None:
    record.opened()
    assert counts(metrics)["whisper_realtime_sessions"] == 1
    record.model, record.served = "whisper-1", "base"
    record.delta_sent(0.5)
    record.cost.add_audio(2.0)
    record.cost.start_call()
    record.cost.finish_call(2, 0.25, 1.5)
    record.answered("item_1", 0.5, None)
    record.answered("item_2", 0.5, EngineFailure("The model failed."))
    with caplog.at_level(logging.INFO):
        record.closed(1000, 2_500)
    found = counts(metrics)
    expected = {
        "whisper_realtime_sessions": 0.0,
        "whisper_realtime_sessions_closed_total1000": 1.0,
        "whisper_realtime_utterances_totalcompleted": 1.0,
        "whisper_realtime_utterances_totalfailed": 1.0,
        "whisper_realtime_delta_seconds_sum": 0.5,
        "whisper_realtime_completed_seconds_count": 1.0,
        "whisper_audio_seconds_totalbase": 2.0,
        "whisper_windows_totalbase": 2.0,
        "whisper_model_seconds_totalbase": 1.5,
        "whisper_queue_seconds_countbase": 1.0,
    }
    assert {name: found[name] for name in expected} == expected
    [line] = caplog.records
    values: dict[str, Any] = line.fields  # type: ignore[attr-defined]
    assert line.message == "realtime session closed"
    assert list(values)[:3] == ["request_id", "who", "close_code"]
    told = {name: values[name] for name in ("model", "audio_seconds", "utterances", "failed", "windows")}
    assert told == {"model": "whisper-1", "audio_seconds": 2.5, "utterances": 2, "failed": 1, "windows": 2}
    assert (values["queue_ms"], values["model_ms"]) == (250, 1500)


def test_a_client_that_has_gone_is_no_failure(metrics: Metrics, record: SessionRecord) -> None:
    record.answered("item_1", 0.5, ClientGone("Gone."))
    assert counts(metrics)["whisper_realtime_utterances_totalfailed"] == 0


def test_the_cause_of_an_error_is_logged(record: SessionRecord, caplog: pytest.LogCaptureFixture) -> None:
    unexpected = SpeechError("The server had an error.")
    unexpected.__cause__ = ZeroDivisionError("the cause")
    busy = ServerBusy("Busy.")
    busy.__cause__ = ValueError("said already")
    for error in (unexpected, busy, EngineFailure("Known.")):
        record.answered("item_1", 0.5, error)
    [line] = caplog.records
    assert "the cause" in caplog.text
    assert line.fields == {"request_id": "req_1", "item_id": "item_1"}  # type: ignore[attr-defined]


def test_codes_that_clients_make_up_are_one_label(metrics: Metrics, record: SessionRecord) -> None:
    for code in (4000, 4001, 3000):
        record.opened()
        record.closed(code, 0)
    assert counts(metrics)["whisper_realtime_sessions_closed_totalother"] == 3
