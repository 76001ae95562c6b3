"""/docs and /openapi.json through curl, Gunicorn and nginx, on a server that wants keys."""

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import ROOT, GunicornServer
from tests.functional.nginx_proxy import BELOW_A_PATH, Nginx

pytestmark = pytest.mark.needs("curl")

FOLDER = ROOT / "app" / "web" / "docs"
BUNDLE = "/docs/swagger-ui-bundle.js"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("docs") / "server.log"
    with GunicornServer(log, WHISPER_API_KEYS="sk-docs") as running:
        yield running.wait_until_ready()


def curl(url: str, *options: str) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body as it was sent."""
    command = ["curl", "-sS", "-i", *options, url]
    head, _, body = subprocess.run(command, check=True, capture_output=True).stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", BUNDLE])
def test_no_key_is_needed_and_nothing_of_another_host_is_allowed(server: GunicornServer, path: str) -> None:
    status, headers, body = curl(server.url + path)
    assert (status, "content-encoding" in headers) == (200, False)
    assert int(headers["content-length"]) == len(body) > 0
    assert headers["content-security-policy"].startswith("default-src 'self'; ")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_everything_else_needs_one(server: GunicornServer) -> None:
    for path in ("/v1/models", "/metrics", "/docs-and-more"):
        assert curl(server.url + path)[0] == 401


def test_it_is_compressed(server: GunicornServer) -> None:
    whole = (FOLDER / "swagger-ui-bundle.js").read_bytes()
    status, headers, body = curl(server.url + BUNDLE, "-H", "Accept-Encoding: gzip, deflate, br")
    assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "accept-encoding")
    assert gzip.decompress(body) == whole
    assert int(headers["content-length"]) == len(body) < len(whole) / 3


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", BUNDLE])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_browser_that_has_it_gets_a_304(server: GunicornServer, path: str, encoding: str) -> None:
    accepted = ("-H", f"Accept-Encoding: {encoding}")
    _, first, _ = curl(server.url + path, *accepted)
    assert first["cache-control"] == "no-cache"
    status, again, body = curl(server.url + path, *accepted, "-H", f"If-None-Match: {first['etag']}")
    assert (status, again["etag"], body) == (304, first["etag"], b"")


def test_the_manual_says_how_to_serve_below_a_path() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [line for line in BELOW_A_PATH.values() if line not in manual] == []


@pytest.mark.needs("nginx")
def test_below_a_path(server: GunicornServer, tmp_path: Path) -> None:
    """What the page loads is found below the path, and so is the page with a slash behind it."""
    with Nginx(tmp_path, f"127.0.0.1:{server.port}", **BELOW_A_PATH) as nginx:
        status, _, page = curl(f"{nginx.url}/speech/docs")
        assert (status, page) == (200, (FOLDER / "index.html").read_bytes())
        assert b'src="docs/swagger-ui-bundle.js"' in page
        assert curl(f"{nginx.url}/speech{BUNDLE}")[0] == 200
        _, _, document = curl(f"{nginx.url}/speech/openapi.json")
        assert [entry["url"] for entry in json.loads(document)["servers"]] == ["."]
        status, headers, _ = curl(f"{nginx.url}/speech/docs/")
        assert (status, headers["location"]) == (308, "../docs")
