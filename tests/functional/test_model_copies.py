"""Several names of the same weights: one loaded copy for each precision, and a context for each name."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app.checkpoints.published import DEMO_PATH
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, MODEL_NOTICE

pytestmark = pytest.mark.slow

SAME = {"demo", "copy", "twin", "brief"}
"""Names of the demo model's weights as they are."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """Two copies of the demo model's file, and two names that differ from it in what comes after `;`."""
    folder = tmp_path_factory.mktemp("copies")
    for name in ("copy", "twin"):
        shutil.copyfile(DEMO_PATH, folder / f"{name}.pt")
    listed = f"copy={folder}/copy.pt,twin={folder}/twin.pt,brief=demo;short,small=twin;int8"
    with GunicornServer(folder / "server.log", WHISPER_MODELS=listed) as running:
        yield running.wait_until_ready()


def loaded(server: GunicornServer) -> list[dict[str, Any]]:
    [worker] = server.get("/api/ps").json()["workers"]
    models: list[dict[str, Any]] = worker["models"]
    return models


def change(server: GunicornServer, method: str, name: str) -> int:
    return requests.request(method, f"{server.url}/api/ps/{name}", timeout=PATIENCE_SECONDS).status_code


def test_names_of_the_same_weights_are_one_loaded_copy(server: GunicornServer) -> None:
    for name in sorted(SAME):
        assert server.transcribe(FLAGSHIP, model=name).json()["text"] == FLAGSHIP_TEXT
        assert change(server, "POST", name) == 409, "it is loaded already"
    [copy] = loaded(server)
    assert set(copy["names"]) == SAME
    assert "Loaded " not in server.log
    models = {model["id"]: model.get("loaded") for model in server.get("/v1/models").json()["data"]}
    assert [name for name in (*SAME, "small") if not models[name]] == ["small"]


def test_another_precision_is_another_copy_and_a_smaller_one(server: GunicornServer) -> None:
    assert change(server, "POST", "small") == 201
    exact, small = sorted(loaded(server), key=lambda copy: len(copy["names"]), reverse=True)
    assert (set(exact["names"]), small["names"]) == (SAME, ["small"])
    assert 0 < small["size"] < exact["size"]
    assert server.transcribe(FLAGSHIP, model="small").status_code == 200
    assert change(server, "DELETE", "small") == 200
    assert [set(copy["names"]) for copy in loaded(server)] == [SAME]


def test_each_name_has_its_own_context(server: GunicornServer) -> None:
    notices = {
        name: server.transcribe(FLAGSHIP, model=name).headers["x-model-notice"]
        for name in ("whisper-1", "copy", "brief")
    }
    short = f"{MODEL_NOTICE}; short audio context, no longer exact"
    assert notices == {"whisper-1": MODEL_NOTICE, "copy": MODEL_NOTICE, "brief": short}


def test_what_one_name_unloads_is_unloaded_under_all(server: GunicornServer) -> None:
    assert change(server, "DELETE", "twin") == 200
    assert loaded(server) == []
    assert change(server, "DELETE", "demo") == 404
    assert server.transcribe(FLAGSHIP, model="copy").json()["text"] == FLAGSHIP_TEXT
    [copy] = loaded(server)
    assert set(copy["names"]) == SAME
