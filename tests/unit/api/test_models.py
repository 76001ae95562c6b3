from dataclasses import replace

import pytest

from app import create_app
from app.model_catalogue import CHAT_MODELS, TRANSCRIPTION_MODELS
from app.runtime import Runtime
from app.settings import Settings
from tests.openai_spec import conforming
from tests.scripted_engine import ScriptedEngine, result
from tests.unit.scripted import error_of


def valid(name, body):
    return conforming(name, body)


@pytest.fixture
def runtime():
    settings = Settings(model_aliases=("Systran/faster-whisper-tiny", "dept-*", "größe"))
    return Runtime(settings, ScriptedEngine(lambda window, options: result()))


def retrieve(client, name):
    return client.open("/", environ_overrides={"PATH_INFO": f"/v1/models/{name}".encode().decode("latin-1")})


def test_the_list(client):
    response = client.get("/v1/models")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    names = [model["id"] for model in valid("model_list", response.json)["data"]]
    assert names[0] == "scripted"
    assert {*TRANSCRIPTION_MODELS, *CHAT_MODELS, "Systran/faster-whisper-tiny", "größe"} <= {*names}
    assert "dept-*" not in names


def test_everything_listed_is_found_and_the_same(client):
    listed = client.get("/v1/models").json["data"]
    for model in listed:
        response = retrieve(client, model["id"])
        assert response.status_code == 200
        assert valid("model", response.json) == model


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini-transcribe-2030-01-01", "gpt-audio-mini", "dept-7", "dept-7/x"]
)
def test_names_accepted_by_pattern_are_found(client, name):
    assert valid("model", retrieve(client, name).json)["id"] == name


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "Whisper-1", "whisper-1 ", "a/b/c", "dept", "%2F", "gr\u00f6\u00dfer", "\x7f"],
)
def test_an_unknown_name(client, name):
    response = retrieve(client, name)
    assert response.status_code == 404
    valid("error", response.json)
    assert error_of(response) == {
        "message": f"The model '{name}' does not exist. GET /v1/models lists the names that this server "
        "knows; WHISPER_MODEL_ALIASES adds more.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/whisper-1/", "/models/whisper-1"])
def test_other_spellings(client, path):
    response = client.get(path)
    assert response.status_code == 200
    valid("model_list" if path == "/v1/models/" else "model", response.json)


@pytest.mark.parametrize("path", ["/v1/modelx/", "/v1/model"])
def test_near_misses_are_unknown_urls(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert error_of(_valid(response))["message"] == f"Invalid URL (GET {path})"


def _valid(response):
    valid("error", response.json)
    return response


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/whisper-1"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_models_can_only_be_read(client, method, path):
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert error_of(_valid(response))["code"] == "method_not_supported"


def test_head_is_get_without_a_body(client):
    response = client.head("/v1/models")
    assert (response.status_code, response.data) == (200, b"")


def test_before_the_model_is_loaded_there_are_names_already():
    body = create_app(Settings()).test_client().get("/v1/models").json
    assert valid("model_list", body)["data"][0]["id"] == "whisper-1"


def test_only_some_weights_come_with_a_notice(client, runtime, monkeypatch):
    assert "x-model-notice" not in client.get("/v1/models").headers
    monkeypatch.setattr(Runtime, "notice", "a toy")
    assert client.get("/v1/models").headers["x-model-notice"] == "a toy"
    assert client.get("/v1/models/whisper-1").headers["x-model-notice"] == "a toy"


def test_quantized_weights_say_so_in_a_field_too(client, runtime):
    notice = "int8 weights, no longer exact"
    runtime.models.facts = replace(runtime.facts, notice=notice, quantized=True)
    listed = client.get("/v1/models")
    assert listed.headers["x-model-notice"] == notice
    assert {model.pop("notice") for model in listed.json["data"]} == {notice}
    runtime.models.facts = replace(runtime.facts, quantized=False)
    for model in valid("model_list", client.get("/v1/models").json)["data"]:
        assert "notice" not in model


def test_what_is_told_is_about_the_weights(client, runtime):
    runtime.models.facts = replace(runtime.facts, created=1_700_000_000, owner="somebody")
    for model in client.get("/v1/models").json["data"]:
        assert (model["created"], model["owned_by"]) == (1_700_000_000, "somebody")
