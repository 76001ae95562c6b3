"""What is written and counted of a realtime session."""

import re
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.realtime_client import INTENT, audio_of, realtime, session_of
from tests.functional.recordings import FLAGSHIP
from tests.functional.test_faults import wait_until

Counts = dict[str, float]
SECRET_WORDS = "quite secret words"


def counts(server: GunicornServer) -> Counts:
    families = text_string_to_metric_families(server.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {f"{entry.name}{''.join(entry.labels.values())}": entry.value for entry in samples}


@pytest.fixture
def growth(server: GunicornServer) -> Callable[[str], float]:
    wait_until(lambda: counts(server)["whisper_realtime_sessions"] == 0, "no other session is open")
    before = counts(server)
    return lambda name: counts(server).get(name, 0.0) - before.get(name, 0.0)


def test_a_session_is_counted(server: GunicornServer, growth: Callable[[str], float]) -> None:
    with realtime(server.url) as session:
        session.update(session_of())
        session.transcribe(audio_of(FLAGSHIP))
        session.transcribe(audio_of(FLAGSHIP))
        assert growth("whisper_realtime_sessions") == 1
    wait_until(lambda: growth("whisper_realtime_sessions") == 0, "the session has ended")
    expected = {
        "whisper_realtime_utterances_totalcompleted": 2,
        "whisper_realtime_utterances_totalfailed": 0,
        "whisper_realtime_completed_seconds_count": 2,
        "whisper_realtime_sessions_closed_total1000": 1,
    }
    assert {name: growth(name) for name in expected} == expected
    assert growth("whisper_windows_totaldemo") >= 2
    assert growth("whisper_audio_seconds_totaldemo") == pytest.approx(5.533, abs=0.01)
    assert growth("whisper_model_seconds_totaldemo") > 0


def test_a_session_has_one_line(server: GunicornServer) -> None:
    before = server.log.count("realtime session closed")
    name = {"X-Request-ID": "session-with-one-line"}
    with realtime(server.url, INTENT, default_headers=name) as session:
        session.update(session_of(transcription={"model": "gpt-4o-transcribe", "prompt": SECRET_WORDS}))
        session.transcribe(audio_of(FLAGSHIP))
    server.wait_for_log("realtime session closed", before + 1)
    lines = [line for line in server.log.splitlines() if "session-with-one-line" in line]
    assert len(lines) == 1
    fields = dict(re.findall(r"(\w+)=(\S+)", lines[0]))
    assert fields["path"] == "/v1/realtime"
    assert (fields["close_code"], fields["model"]) == ("1000", "gpt-4o-transcribe")
    assert (fields["utterances"], fields["failed"], fields["audio_seconds"]) == ("1", "0", "2.766")
    assert int(fields["windows"]) >= 1
    assert SECRET_WORDS not in server.log
    assert "sun rises" not in server.log
