"""The list of models, as OpenAI's client and curl ask for it."""

import json
import subprocess
from collections.abc import Iterator

import openai
import pytest
import requests
from openai import OpenAI

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer
from tests.functional.recordings import MODEL_NOTICE
from tests.openai_spec import conforming

SLASHED = "Systran/faster-whisper-tiny"


@pytest.fixture(scope="module")
def aliased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("models") / "server.log"
    with GunicornServer(log, WHISPER_MODEL_ALIASES=f"{SLASHED},dept-*") as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def client(aliased: GunicornServer) -> Iterator[OpenAI]:
    options = {"base_url": f"{aliased.url}/v1", "max_retries": 0, "timeout": PATIENCE_SECONDS}
    with OpenAI(api_key="dummy", **options) as client:
        yield client


def read_as(name: str, answer: requests.Response) -> dict[str, object]:
    """An answer's body, held against OpenAI's schema."""
    assert answer.headers["Content-Type"] == "application/json"
    return conforming(name, answer.json())


def test_list(client: OpenAI) -> None:
    written = int((ROOT / "models" / "demo.pt").stat().st_mtime)
    models = list(client.models.list())
    names = [model.id for model in models]
    assert names[0] == "demo"
    assert {"whisper-1", "gpt-4o-transcribe", "gpt-4o-transcribe-diarize", "gpt-audio", SLASHED} <= {*names}
    assert {(model.object, model.created, model.owned_by) for model in models} == {
        ("model", written, "tiny-openai-whisper-api")
    }


@pytest.mark.parametrize(
    "name",
    [
        SLASHED,
        "whisper-1",
        "demo",
        "dept-7",
        "gpt-4o-mini-transcribe-2030-01-01",
        "openai/whisper-demo",
        "Systran/faster-whisper-demo",
    ],
)
def test_retrieve(client: OpenAI, name: str) -> None:
    model = client.models.retrieve(name)
    assert (model.id, model.object) == (name, "model")


@pytest.mark.parametrize("name", ["gpt-4o", "Systran/other", "whisper-large-v3", "größer 100%", "a/b/c"])
def test_an_unknown_model(client: OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve(name)
    error = refused.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert f"The model '{name}' does not exist" in error.message
    assert "WHISPER_MODEL_ALIASES" in error.message
    assert error.request_id.startswith("req_")


@pytest.mark.parametrize("id", [SLASHED, SLASHED.replace("/", "%2F"), SLASHED.replace("/", "%2f")])
def test_curl(aliased: GunicornServer, id: str) -> None:
    command = ["curl", "-sS", "--fail", f"{aliased.url}/v1/models/{id}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert json.loads(done.stdout)["id"] == SLASHED


def test_bodies_are_openais(aliased: GunicornServer) -> None:
    listed = aliased.get("/v1/models")
    one = aliased.get("/v1/models/whisper-1")
    assert read_as("model", one) in read_as("model_list", listed)["data"]
    assert {answer.headers["x-model-notice"] for answer in (listed, one)} == {MODEL_NOTICE}
    for path in ("/v1/models/nothing", "/v1/modelx/"):
        answer = aliased.get(path)
        assert answer.status_code == 404
        read_as("error", answer)
