"""/api/ps: which models are loaded, loading and unloading them; one worker, whose models are by script."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.loaded_model import LoadedModel
from app.model_list import ServedModel
from app.pool_slots import Wanted
from app.runtime import Runtime
from app.settings import Settings
from tests.functional.recordings import FLAGSHIP
from tests.scripted_engine import ScriptedEngine, result, spell
from tests.unit.scripted import error_of


class Loads:
    """The model `other` of WHISPER_MODELS, loaded by script, beside the first one."""

    def __init__(self, **settings: object) -> None:
        self.settings = Settings(**settings)
        self.runtime = Runtime(self.settings, self.engine())
        self.failure: Exception | None = None
        models = self.runtime.models
        models.pool._on_unloaded = lambda engine: None  # it is held here: no memory to give back
        models.more["other"] = replace(models.first, name="other", source="other.pt")
        first = models._given
        models._key = lambda served: served.name or first.key
        models.hold = self.hold
        self.client: FlaskClient = create_app(self.settings, self.runtime).test_client()

    def engine(self) -> ScriptedEngine:
        return ScriptedEngine(lambda window, options: result())

    def load(self) -> LoadedModel:
        if self.failure:
            raise self.failure
        return LoadedModel.of(self.engine())

    def hold(
        self, served: ServedModel, check: Callable[[], None], keep_seconds: float | None = None
    ) -> object:
        wanted = Wanted(served.name or self.runtime.models._given.key, served.name, 7, self.load)
        return self.runtime.models.pool.lease(wanted, check, keep_seconds)

    def listed(self) -> list[str]:
        names: list[str] = self.client.get("/api/ps").json["models"]
        return names


@pytest.fixture
def loads() -> Loads:
    return Loads()


def test_what_is_loaded(loads: Loads) -> None:
    body = loads.client.get("/api/ps").json
    assert (body["models"], body["silent_workers"]) == (["scripted"], [])
    [worker] = body["workers"]
    assert (worker["worker"], worker["device"]) == (0, "cpu")
    [model] = worker["models"]
    assert (model["name"], model["names"], model["requests"]) == ("scripted", ["scripted"], 0)
    assert model["expires_at"] is None


def test_workers_that_do_not_tell_in_time_are_named(loads: Loads, caplog: pytest.LogCaptureFixture) -> None:
    peers = loads.runtime.instance.peers
    ask_all = peers.ask_all
    peers.ask_all = lambda *asked: ask_all(*asked) | {3: None, 2: None}
    body = loads.client.get("/api/ps").json
    assert [worker["worker"] for worker in body["workers"]] == [0]
    assert body["silent_workers"] == [2, 3]
    assert "have not told their models within 2 s: [2, 3]" in caplog.text
    assert loads.client.get("/v1/models/whisper-1").json["loaded"]


def test_loading_and_unloading(loads: Loads) -> None:
    assert loads.client.post("/api/ps/other").status_code == 201
    assert loads.listed() == ["other", "scripted"]
    models = {model["id"]: model for model in loads.client.get("/v1/models").json["data"]}
    assert models["other"]["loaded"] and models["whisper-1"]["loaded"]
    assert loads.client.delete("/api/ps/other").json == {"model": "other", "loaded": False}
    assert loads.listed() == ["scripted"]
    models = {model["id"]: model for model in loads.client.get("/v1/models").json["data"]}
    assert not models["other"]["loaded"] and models["whisper-1"]["loaded"]


def test_names_of_the_first_model(loads: Loads) -> None:
    assert loads.client.delete("/api/ps/whisper-1").status_code == 200
    assert loads.listed() == []
    assert loads.client.get("/ready").status_code == 200


def test_the_first_models_own_name_may_be_anothers(loads: Loads) -> None:
    models = loads.runtime.models
    models.more["scripted"] = replace(models.first, name="scripted", source="other.pt")
    assert loads.listed() == ["whisper-1"]
    found = {model["id"]: model["loaded"] for model in loads.client.get("/v1/models").json["data"]}
    assert (found["whisper-1"], found["scripted"]) == (True, False)
    assert loads.client.post("/api/ps/scripted").status_code == 201
    assert loads.client.delete("/api/ps/whisper-1").status_code == 200
    found = {model["id"]: model["loaded"] for model in loads.client.get("/v1/models").json["data"]}
    assert (found["whisper-1"], found["scripted"]) == (False, True)


def test_one_that_is_loaded_is_409_unless_its_time_is_set(loads: Loads) -> None:
    conflict = loads.client.post("/api/ps/scripted")
    assert (conflict.status_code, error_of(conflict)["code"]) == (409, "model_already_loaded")
    again = loads.client.post("/api/ps/scripted?keep_alive=1h")
    assert (again.status_code, again.json) == (200, {"model": "scripted", "loaded": True})
    [worker] = loads.client.get("/api/ps").json["workers"]
    assert worker["models"][0]["expires_at"]
    assert loads.client.post("/api/ps/scripted?keep_alive=soon").status_code == 400


def test_one_in_use_is_409_and_stays(loads: Loads) -> None:
    with loads.hold(loads.runtime.models.first, lambda: None):
        assert loads.client.get("/api/ps").json["workers"][0]["models"][0]["requests"] == 1
        conflict = loads.client.delete("/api/ps/scripted")
    assert (conflict.status_code, error_of(conflict)["code"]) == (409, "model_in_use")
    assert loads.listed() == ["scripted"]


WAV = {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"}
CHAT = {
    "model": "gpt-audio",
    "stream": True,
    "messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": WAV}]}],
}


@pytest.mark.parametrize("kind", ["stream", "chat"])
def test_a_stream_uses_its_model_until_its_end(kind: str) -> None:
    engine = ScriptedEngine(lambda window, options: result(*spell(" Hello.")))
    runtime = Runtime(Settings(), engine)
    runtime.models.pool._on_unloaded = lambda engine: None
    client = create_app(runtime.settings, runtime).test_client()
    if kind == "chat":
        stream = client.post("/v1/chat/completions", json=CHAT)
    else:
        form = {"model": "gpt-4o-transcribe", "stream": "true", "file": FLAGSHIP.open("rb")}
        stream = client.post("/v1/audio/transcriptions", data=form)
    assert next(stream.iter_encoded()).startswith(b"data: ")
    conflict = client.delete("/api/ps/whisper-1")
    assert (conflict.status_code, error_of(conflict)["code"]) == (409, "model_in_use")
    assert engine.alive
    stream.close()
    assert client.delete("/api/ps/whisper-1").status_code == 200
    assert not engine.alive


def test_one_that_is_not_loaded_is_404(loads: Loads) -> None:
    missing = loads.client.delete("/api/ps/other")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_loaded")


@pytest.mark.parametrize("method", ["post", "delete"])
def test_unknown_names_are_404(loads: Loads, method: str) -> None:
    unknown = getattr(loads.client, method)("/api/ps/nobody")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "model_not_found")


def test_without_memory_for_it_it_is_a_503_that_says_what_is_loaded(loads: Loads) -> None:
    loads.failure = MemoryError()
    busy = loads.client.post("/api/ps/other")
    assert busy.status_code == 503
    assert "not enough memory" in str(error_of(busy)["message"])
    assert busy.headers["Retry-After"]
    assert loads.listed() == ["scripted"]


@pytest.mark.parametrize("method", ["post", "delete"])
def test_it_takes_an_admin_key_where_there_are_keys(method: str) -> None:
    loads = Loads(api_keys=("sk-user",), admin_keys=("sk-admin",))

    def status(key: str, method: str = method) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        code: int = getattr(loads.client, method)("/api/ps/nobody", headers=headers).status_code
        return code

    assert [status(key) for key in ("", "sk-other", "sk-user", "sk-admin")] == [401, 401, 403, 404]
    assert loads.client.get("/api/ps").status_code == 401
    assert loads.client.get("/api/ps", headers={"Authorization": "Bearer sk-user"}).status_code == 200
