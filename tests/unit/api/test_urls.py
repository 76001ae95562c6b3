"""The one spelling of a URL behind those that clients make of it."""

import pytest

from app import create_app
from app.api.urls import canonical
from app.settings import Settings
from tests.unit.scripted import error_of

KNOWN = {
    "/health",
    "/v1/models",
    "/v1/models/whisper-1",
    "/v1/audio/transcriptions",
    "/v1/chat/completions",
    "/v1/responses",
}
URL = "/v1/audio/transcriptions"


@pytest.mark.parametrize("path", sorted(KNOWN))
def test_a_known_path_is_its_own_spelling(path):
    assert canonical(path, KNOWN.__contains__) == (path, "")


@pytest.mark.parametrize(
    ("path", "spelling"),
    [
        (f"{URL}/", URL),
        (f"{URL}//", URL),
        (f"/{URL}", URL),
        ("/v1//audio/transcriptions", URL),
        ("/v1/v1/audio/transcriptions", URL),
        ("/v1/v1/v1/audio/transcriptions/", URL),
        ("/audio/transcriptions", URL),
        ("/openai/v1/audio/transcriptions", URL),
        ("/openai/audio/transcriptions", URL),
        ("/openai/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/models/whisper-1/", "/v1/models/whisper-1"),
        ("/openai/models", "/v1/models"),
        ("/responses", "/v1/responses"),
        ("/health/", "/health"),
    ],
)
def test_other_spellings(path, spelling):
    assert canonical(path, KNOWN.__contains__) == (spelling, "")


@pytest.mark.parametrize("base", ["", "/v1", "/openai", "/openai/v1"])
@pytest.mark.parametrize("name", ["whisper", "v1", "openai/whisper-large-v3", "chat/completions", "größe"])
@pytest.mark.parametrize("endpoint", ["audio/transcriptions", "chat/completions", "responses"])
def test_deployments(base, name, endpoint):
    path = f"{base}/deployments/{name}/{endpoint}"
    assert canonical(path, KNOWN.__contains__) == (f"/v1/{endpoint}", name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/foo",
        "/v1/foo/",
        "/v1audio/transcriptions",
        "/V1/audio/transcriptions",
        "/v2/audio/transcriptions",
        "/v1/health",
        "/openai",
        "/openai/deployments",
        "/openai/deployments/whisper",
        "/openai/deployments/audio/transcriptions",
        "/openai/deployments/whisper/embeddings",
        "/deployments/whisper/health",
        "/x" * 10_000,
    ],
)
def test_unknown_paths_stay_as_they_are(path):
    assert canonical(path, KNOWN.__contains__) == (path, "")


def send(client, path, method="POST"):
    raw = {"PATH_INFO": path.encode().decode("latin-1")}
    return client.open("/", method=method, environ_overrides=raw)


@pytest.mark.parametrize(
    "path", [f"{URL}/", "/audio/transcriptions", "/openai/deployments/größe/audio/transcriptions"]
)
def test_errors_name_the_path_that_was_sent(client, path):
    response = send(client, path, "GET")
    assert (response.status_code, set(response.allow)) == (405, {"POST", "OPTIONS"})
    assert error_of(response)["message"].startswith(f"Not allowed to GET on {path}. ")


def test_what_is_free_and_what_needs_a_key_has_no_other_spelling(runtime):
    client = create_app(Settings(api_keys=("secret",)), runtime).test_client()
    assert send(client, "/health/", "GET").status_code == 200
    for path in ("/v1/models/", "/models", "/openai/models", "//v1/models", "/v1/health"):
        assert send(client, path, "GET").status_code == 401
