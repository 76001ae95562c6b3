"""A request through the measured application, with a scripted engine and a real recording."""

import json
from dataclasses import replace
from pathlib import Path

from app.settings import Settings
from benchmarks.measured_app import HEADER, MeasuredRuntime, create, measured_gate
from benchmarks.request_cost import FORM
from tests.scripted_engine import ScriptedEngine, result, spell, ts

FLAGSHIP = Path(__file__).resolve().parents[2] / "data" / "flagship.wav"


def test_every_stage_is_measured() -> None:
    settings = Settings()
    engine = ScriptedEngine(lambda window, options: result(ts(0.0), *spell(" Hello."), ts(2.0)))
    runtime = MeasuredRuntime(settings, engine)
    policy = replace(runtime.transcriber.policy, has_speech=measured_gate(lambda samples, floor: True))
    runtime.transcriber = replace(runtime.transcriber, policy=policy)
    with FLAGSHIP.open("rb") as file:
        answer = (
            create(settings, runtime)
            .test_client()
            .post("/v1/audio/transcriptions", data={**FORM, "file": (file, "speech.wav")})
        )
    assert answer.status_code == 200
    assert answer.json["text"] == "Hello."
    measured = json.loads(answer.headers[HEADER])
    stages = {name: measured.pop(name) for name in ("decode", "gate", "model")}
    assert all(seconds > 0 for seconds in stages.values())
    assert measured["answered"] - measured["received"] >= sum(stages.values())


def test_other_answers_are_left_alone() -> None:
    settings = Settings()
    client = create(settings, MeasuredRuntime(settings)).test_client()
    assert HEADER not in client.get("/health").headers
