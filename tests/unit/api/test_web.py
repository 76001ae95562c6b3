"""The page for people: its headers, its files, and the switch."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.runtime import Runtime
from app.settings import Settings

FOLDER = Path(__file__).resolve().parents[3] / "app" / "web"
FILES = [
    path.relative_to(FOLDER)
    for path in sorted(FOLDER.rglob("*"))
    if path.is_file() and path.parent.name in ("web", "vendor", "strings") and path.name != "index.html"
]
MAX_BYTES = 300_000


def policy(client: FlaskClient) -> dict[str, str]:
    header = client.get("/").headers["Content-Security-Policy"]
    return dict(rule.strip().split(" ", 1) for rule in header.split(";"))


def test_the_page_is_not_framed_not_guessed_and_tells_no_other_page_where_it_is(client: FlaskClient) -> None:
    response = client.get("/")
    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"


def test_the_policy_lets_it_load_from_here_alone(client: FlaskClient) -> None:
    rules = policy(client)
    assert rules["default-src"] == "'self'"
    assert rules["media-src"] == "'self' blob:"
    assert rules["img-src"] == "'self' data:"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in " ".join(rules.values())


def test_the_style_nonce_is_the_page_s_and_new_each_time(client: FlaskClient) -> None:
    nonces = set()
    for _ in range(2):
        response = client.get("/")
        [sent] = re.findall("style-src 'self' 'nonce-([^']+)'", response.headers["Content-Security-Policy"])
        assert re.findall('nonce="([^"]+)"', response.text) == [sent]
        nonces.add(sent)
    assert len(nonces) == 2


def test_no_address_is_absolute(client: FlaskClient) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]*)"', client.get("/").text)
    assert "web/main.js" in addresses
    assert [address for address in addresses if address.startswith("/") or ":" in address] == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_each_file_is_served_with_an_etag(client: FlaskClient, path: Path) -> None:
    response = client.get(f"/web/{path}")
    assert response.status_code == 200
    assert response.data == (FOLDER / path).read_bytes()
    again = client.get(f"/web/{path}", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/nothing.js",
        "/web/vendor/nothing.js",
        "/web/docs/index.html",
        "/web/strings/../main.js",
        "/web/%2e%2e/settings.py",
        "/web/vendor/%2e%2e/%2e%2e/settings.py",
    ],
)
def test_no_other_file_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_page_is_small() -> None:
    assert sum((FOLDER / path).stat().st_size for path in [*FILES, Path("index.html")]) < MAX_BYTES


def test_every_module_that_is_imported_is_there() -> None:
    for path in FILES:
        if path.suffix != ".js" or "vendor" in path.parts:
            continue
        source = (FOLDER / path).read_text(encoding="utf-8")
        for name in re.findall(r'^import .* from "([^"]+)";$', source, re.MULTILINE):
            assert ((FOLDER / path).parent / name).is_file(), f"{path}: {name}"


def test_nothing_is_put_into_html_by_the_page_s_own_scripts() -> None:
    found = [
        path
        for path in FILES
        if path.suffix == ".js" and "vendor" not in path.parts
        if re.search(
            "innerHTML|outerHTML|insertAdjacentHTML|document.write|eval\\(|new Function",
            (FOLDER / path).read_text(encoding="utf-8"),
        )
    ]
    assert found == []


def strings(language: str) -> dict[str, set[str]]:
    source = (FOLDER / "strings" / f"{language}.js").read_text(encoding="utf-8")
    pairs = re.findall(r'^  "([\w.]+)": "((?:[^"\\]|\\.)*)",$', source, re.MULTILINE)
    return {key: set(re.findall(r"\{(\w+)\}", text)) for key, text in pairs}


def test_both_languages_have_the_same_sentences_with_the_same_values() -> None:
    assert strings("en") == strings("de")


def test_every_sentence_is_there_and_used() -> None:
    """Keys that are put together, such as `state.` and a state, are counted as used."""
    sources = "".join((FOLDER / path).read_text(encoding="utf-8") for path in FILES if len(path.parts) == 1)
    page = sources + (FOLDER / "index.html").read_text(encoding="utf-8")
    known = strings("en")
    asked = set(re.findall(r'say\("([\w.]+)"', page)) | set(re.findall(r'data-say(?:-\w+)?="([\w.]+)"', page))
    assert asked - set(known) == set()
    put_together = ("state.", "list.", "player.", "record.")
    assert {key for key in set(known) - asked if not key.startswith(put_together)} == set()


def test_it_can_be_switched_off(runtime: Runtime) -> None:
    client = create_app(Settings(web=False), runtime).test_client()
    assert client.get("/").status_code == 404
    assert client.get("/web/main.js").status_code == 404
    assert client.get("/limits").status_code == 200
