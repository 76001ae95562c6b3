"""Static files: their headers, their compression, and what a browser that has them is told."""

from gzip import decompress
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.api.static_files import SECURITY_HEADERS, StaticFile, StaticFolder

SCRIPT = b"export const sentence = 'The sun rises in the east.'\n" * 100
PICTURE = bytes(range(256)) * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.js").write_bytes(SCRIPT)
    (tmp_path / "picture.png").write_bytes(PICTURE)
    (tmp_path / "short.css").write_bytes(b"body {}")
    (tmp_path / "page.html").write_text("<p>ü</p>", encoding="utf-8")
    (tmp_path / "LICENSE").write_bytes(b"MIT")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "secret.js").write_bytes(SCRIPT)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> FlaskClient:
    app, files = Flask(__name__, static_folder=None), StaticFolder(folder)

    @app.get("/<path:name>")
    def send(name: str) -> object:
        file = files.get(name)
        return file.response() if file else ("", 404)

    return app.test_client()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.js", "text/javascript; charset=utf-8"),
        ("page.html", "text/html; charset=utf-8"),
        ("short.css", "text/css; charset=utf-8"),
        ("picture.png", "image/png"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_a_file_comes_as_it_is(client: FlaskClient, folder: Path, name: str, content_type: str) -> None:
    response = client.get(f"/{name}")
    assert (response.status_code, response.content_type) == (200, content_type)
    assert response.data == (folder / name).read_bytes()
    assert "Content-Encoding" not in response.headers
    assert {key: response.headers[key] for key in SECURITY_HEADERS} == SECURITY_HEADERS


def test_the_policy_names_no_other_host_and_nothing_unsafe() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "frame-ancestors 'none'" in policy
    assert not [word for word in ("http", "unsafe", "*") if word in policy]


@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate, br, zstd", "*", "br;q=1, gzip;q=0.1"])
def test_text_is_compressed_for_those_who_take_it(client: FlaskClient, accepted: str) -> None:
    response = client.get("/page.js", headers={"Accept-Encoding": accepted})
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.content_type == "text/javascript; charset=utf-8"
    assert int(response.headers["Content-Length"]) == len(response.data) < len(SCRIPT)
    assert decompress(response.data) == SCRIPT


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip;q=0, *"])
def test_nobody_else_gets_it_compressed(client: FlaskClient, accepted: str) -> None:
    response = client.get("/page.js", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in response.headers
    assert response.data == SCRIPT


@pytest.mark.parametrize("name", ["picture.png", "short.css"])
def test_what_would_not_shrink_is_not_compressed(client: FlaskClient, folder: Path, name: str) -> None:
    response = client.get(f"/{name}", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in response.headers
    assert response.data == (folder / name).read_bytes()


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_a_browser_that_has_the_file_gets_no_body(client: FlaskClient, accepted: str) -> None:
    headers = {"Accept-Encoding": accepted}
    first = client.get("/page.js", headers=headers)
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["Vary"] == "Accept-Encoding"
    again = client.get("/page.js", headers=headers | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary", "Content-Security-Policy"):
        assert again.headers[name] == first.headers[name]


def test_the_etag_is_that_of_the_bytes_sent(client: FlaskClient, folder: Path) -> None:
    plain, compressed = (
        client.get("/page.js", headers={"Accept-Encoding": accepted}).headers["ETag"]
        for accepted in ("identity", "gzip")
    )
    assert plain != compressed
    assert StaticFile.read(folder / "page.js").etag == StaticFile(SCRIPT, "text/plain").etag
    changed = StaticFile(SCRIPT + b"\n", "text/plain").etag
    assert changed != StaticFile(SCRIPT, "text/plain").etag
    assert client.get("/page.js", headers={"If-None-Match": f'"{changed}"'}).status_code == 200


def test_head_has_the_headers_alone(client: FlaskClient) -> None:
    response = client.head("/page.js")
    assert (response.data, response.headers["Content-Length"]) == (b"", str(len(SCRIPT)))


@pytest.mark.parametrize(
    "name", ["nothing.js", "inner", "inner/secret.js", "../page.js", "%2e%2e/page.js", "."]
)
def test_only_names_in_the_folder_are_found(client: FlaskClient, name: str) -> None:
    response: TestResponse = client.get(f"/{name}")
    assert response.status_code == 404


def test_two_workers_compress_alike() -> None:
    first, second = StaticFile(SCRIPT, "text/css"), StaticFile(SCRIPT, "text/css")
    assert first.gzipped == second.gzipped is not None


def test_a_file_is_read_once(folder: Path) -> None:
    files = StaticFolder(folder)
    kept = files.get("page.js")
    (folder / "page.js").unlink()
    assert files.get("page.js") is kept is not None
