"""URLs as clients make them of a base URL: all spellings are served at once, none is a redirect."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from openai import OpenAI

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.nginx_proxy import Nginx
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import read_as

URL = "/v1/audio/transcriptions"
SPELLINGS = [
    f"{URL}/",
    "/v1//audio/transcriptions",
    f"/{URL}",
    "/v1/v1/audio/transcriptions",
    "/v1/v1/audio/transcriptions/",
    "/audio/transcriptions",
    "/openai/v1/audio/transcriptions",
    "/openai/deployments/dictation/audio/transcriptions?api-version=2024-06-01",
]


@pytest.fixture(scope="module")
def nginx(server: GunicornServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{server.port}") as running:
        yield running


@pytest.fixture(params=["direct", "nginx"])
def url(request: pytest.FixtureRequest, server: GunicornServer) -> str:
    return server.url if request.param == "direct" else request.getfixturevalue("nginx").url


def upload(url: str, path: str) -> requests.Response:
    with FLAGSHIP.open("rb") as file:
        return requests.post(
            url + path,
            data={"model": "whisper-1"},
            files={"file": file},
            allow_redirects=False,
            timeout=PATIENCE_SECONDS,
        )


@pytest.mark.parametrize("path", SPELLINGS)
def test_an_upload(url: str, path: str) -> None:
    answer = upload(url, path)
    assert answer.status_code == 200
    assert read_as("transcription_json", answer.content)["text"] == FLAGSHIP_TEXT


def chunked(path: Path) -> Iterator[bytes]:
    yield from (b"--B\r\n", b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n')
    yield path.read_bytes()
    yield b'\r\n--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--B--\r\n'


def test_a_body_that_can_be_sent_only_once(url: str) -> None:
    answer = requests.post(
        f"{url}/audio/transcriptions/",
        data=chunked(FLAGSHIP),
        headers={"Content-Type": "multipart/form-data; boundary=B"},
        timeout=PATIENCE_SECONDS,
    )
    assert (answer.status_code, answer.history) == (200, [])
    assert answer.json()["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize("base", ["", "/v1/v1", "/v1//", "/openai"])
def test_the_sdk_with_a_base_url_that_is_not_quite_right(server: GunicornServer, base: str) -> None:
    with OpenAI(
        base_url=f"{server.url}{base}", api_key="dummy", max_retries=0, timeout=PATIENCE_SECONDS
    ) as client:
        assert client.models.list().data[0].id == "demo"
        assert client.models.retrieve("whisper-1").id == "whisper-1"
        with FLAGSHIP.open("rb") as file:
            assert client.audio.transcriptions.create(model="whisper-1", file=file).text == FLAGSHIP_TEXT
        ping = [{"role": "user", "content": "ping"}]
        chat = client.chat.completions.create(model="gpt-audio", messages=ping)  # type: ignore[arg-type]
        assert chat.choices[0].message.content == "Pong"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/audio/transcription/", "Invalid URL (POST /v1/audio/transcription/)"),
        ("/v1/v1/nothing", "Invalid URL (POST /v1/v1/nothing)"),
        (
            "/openai/deployments/x/embeddings",
            "Unknown request URL: POST /openai/deployments/x/embeddings. Please check the URL for typos.",
        ),
    ],
)
def test_an_unknown_path_is_still_openais_404(url: str, path: str, message: str) -> None:
    answer = upload(url, path)
    assert answer.status_code == 404
    assert read_as("error", answer.content)["error"]["message"] == message


def test_log_and_counts(server: GunicornServer) -> None:
    """The log has the path that came; the counts know the endpoint alone."""
    headers = {"X-Request-ID": "spelling-1"}
    answer = requests.get(f"{server.url}/models/whisper-1/", headers=headers, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    server.wait_for_log("request_id=spelling-1 ")
    [line] = [line for line in server.log.splitlines() if "request_id=spelling-1 " in line]
    assert " path=/models/whisper-1/ " in line
    counts = server.get("/metrics").text
    assert 'endpoint="/v1/models/<path:name>"' in counts
    assert "/models/whisper-1" not in counts
