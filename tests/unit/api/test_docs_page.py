"""/docs and /openapi.json: who gets them, and what the viewer is made of."""

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.api.openapi import document
from app.api.static_files import SECURITY_HEADERS
from app.settings import Settings
from tests.unit.scripted import ScriptedRuntime, error_of

FOLDER = Path(__file__).parents[3] / "app" / "web" / "docs"
OWN = {"index.html", "page.css", "page.js", "VENDORED.md"}
FILES = sorted(path.name for path in FOLDER.iterdir())
PAGES = ["/docs", "/openapi.json", *(f"/docs/{name}" for name in FILES)]


@pytest.fixture
def locked(runtime: ScriptedRuntime) -> FlaskClient:
    return create_app(Settings(api_keys=("sk-first",)), runtime).test_client()


@pytest.mark.parametrize("path", PAGES)
def test_no_key_is_needed(locked: FlaskClient, path: str) -> None:
    response = locked.get(path)
    assert response.status_code == 200
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("path", PAGES)
def test_they_can_be_switched_off(runtime: ScriptedRuntime, path: str) -> None:
    client = create_app(Settings(web=False), runtime).test_client()
    response = client.get(path)
    assert response.status_code == 404
    assert error_of(response)["code"] == "unknown_url"


def test_the_document(client: FlaskClient, locked: FlaskClient) -> None:
    response = client.get("/openapi.json")
    assert response.content_type == "application/json"
    assert response.json == document(keys_required=False)
    assert locked.get("/openapi.json").json == document(keys_required=True)


def test_the_page_loads_its_own_files_alone(client: FlaskClient) -> None:
    response = client.get("/docs")
    assert response.content_type == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert loaded
    assert [client.get(f"/{address}").status_code for address in loaded] == [200] * len(loaded)
    assert not [address for address in loaded if ":" in address or address.startswith("/")]


@pytest.mark.parametrize("prefix", ["", "/speech"])
def test_with_a_slash_it_leads_to_the_page(client: FlaskClient, prefix: str) -> None:
    """By a relative address, since a proxy may have taken away what is in front of it."""
    response = client.get("/docs/")
    assert response.status_code == 308
    assert urljoin(f"http://host{prefix}/docs/", response.headers["Location"]) == f"http://host{prefix}/docs"


@pytest.mark.parametrize("name", ["nothing.js", "../page.js", "..%2f..%2fsettings.py", "a/page.js"])
def test_other_files_are_not_found(client: FlaskClient, name: str) -> None:
    response = client.get(f"/docs/{name}")
    assert response.status_code == 404
    error_of(response)


def test_only_reading_is_allowed(client: FlaskClient) -> None:
    assert client.post("/docs").status_code == 405


def vendored() -> dict[str, str]:
    text = (FOLDER / "VENDORED.md").read_text(encoding="utf-8")
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)}


def test_what_is_vendored_is_as_it_was_published() -> None:
    assert vendored() == {
        name: sha256((FOLDER / name).read_bytes()).hexdigest() for name in FILES if name not in OWN
    }
    assert {"swagger-ui.LICENSE.txt", "swagger-ui.NOTICE.txt"} < set(vendored())
