import io

import pytest

from app import create_app
from app.settings import Settings
from tests.unit.scripted import error_of, upload

URL = "/v1/audio/transcriptions"
OBSIDIAN = "app://obsidian.md"
ASKED = "authorization, content-type, x-stainless-lang"


@pytest.fixture
def serve(runtime):
    """A client of a server with these origins."""

    def serve(*origins, keys=()):
        settings = Settings(max_upload_mb=1, cors_origins=origins, api_keys=keys)
        return create_app(settings, runtime).test_client()

    return serve


def preflight(client, origin, path=URL, method="POST", headers=ASKED):
    sent = {"Origin": origin, "Access-Control-Request-Method": method}
    return client.options(
        path, headers=sent | ({"Access-Control-Request-Headers": headers} if headers else {})
    )


def cors_headers(response):
    return {name for name, _ in response.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("keys", [(), ("sk-key",)])
def test_preflight(serve, keys):
    response = preflight(serve("https://a.example", OBSIDIAN, keys=keys), OBSIDIAN)
    assert response.status_code == 204
    assert response.data == b""
    assert "Content-Type" not in response.headers
    assert response.headers["Access-Control-Allow-Origin"] == OBSIDIAN
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert response.headers["Access-Control-Allow-Headers"] == ASKED
    assert response.headers["Access-Control-Max-Age"] == "7200"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["Vary"] == "Origin"
    assert response.headers["x-request-id"]


def test_preflight_that_asks_for_no_headers(serve):
    response = preflight(serve(OBSIDIAN), OBSIDIAN, headers=None)
    assert response.status_code == 204
    assert "Access-Control-Allow-Headers" not in response.headers


def test_preflight_of_an_unknown_url_lets_the_page_see_the_404(serve):
    client = serve(OBSIDIAN)
    assert preflight(client, OBSIDIAN, path="/v1/nowhere").status_code == 204
    response = client.post("/v1/nowhere", headers={"Origin": OBSIDIAN})
    assert response.status_code == 404
    assert response.headers["Access-Control-Allow-Origin"] == OBSIDIAN


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((OBSIDIAN,), OBSIDIAN, True),
        ((OBSIDIAN,), "null", False),
        ((OBSIDIAN,), "https://evil.example", False),
        ((OBSIDIAN,), "app://obsidian.md.evil.example", False),
        ((OBSIDIAN,), "app://obsidianXmd", False),
        ((OBSIDIAN,), "APP://obsidian.md", False),
        (("null",), "null", True),
        (("null",), OBSIDIAN, False),
        (("*",), OBSIDIAN, True),
        (("*",), "null", True),
        (("http://[::1]:3000",), "http://[::1]:3000", True),
        (("http://[::1]:3000",), "http://1:3000", False),
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_who_is_allowed(serve, origins, origin, allowed, method):
    client = serve(*origins)
    if method == "OPTIONS":
        response = preflight(client, origin)
        assert response.status_code == (204 if allowed else 200)
    else:
        response = client.get("/health", headers={"Origin": origin})
        assert response.status_code == 200
    assert bool(cors_headers(response)) is allowed
    assert response.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert response.headers["Vary"] == "Origin"


def test_a_request_without_origin_says_only_that_answers_vary(serve):
    response = serve("*").get("/health")
    assert cors_headers(response) == set()
    assert response.headers["Vary"] == "Origin"


def test_what_a_page_may_read(serve):
    response = serve(OBSIDIAN).get("/health", headers={"Origin": OBSIDIAN})
    readable = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"x-request-id", "openai-processing-ms", "x-model-notice", "x-should-retry", "Retry-After"} <= {
        *readable
    }


@pytest.mark.parametrize("origin", [OBSIDIAN, "null"])
def test_without_origins_nothing_is_said(client, origin):
    response = preflight(client, origin)
    assert response.status_code == 200
    assert "POST" in response.headers["Allow"]
    assert response.headers["x-request-id"]
    assert cors_headers(response) == set()
    assert "Vary" not in response.headers
    assert cors_headers(client.get("/health", headers={"Origin": origin})) == set()


def test_a_plain_options_request_is_flasks(serve):
    response = serve(OBSIDIAN).options(URL, headers={"Origin": OBSIDIAN})
    assert response.status_code == 200
    assert "POST" in response.headers["Allow"]
    assert response.headers["Access-Control-Allow-Origin"] == OBSIDIAN


@pytest.mark.parametrize(
    ("keys", "path", "headers", "status"),
    [
        (("sk-key",), "/v1/models", {}, 401),
        (("sk-key",), "/v1/models", {"Authorization": "Bearer no"}, 401),
        ((), "/v1/nowhere", {}, 404),
        ((), URL, {}, 405),
        ((), "/v1/fail", {}, 500),
    ],
)
def test_a_page_sees_why_it_was_refused(serve, keys, path, headers, status):
    client = serve(OBSIDIAN, keys=keys)
    client.application.add_url_rule("/v1/fail", view_func=lambda: 1 // 0)
    response = client.get(path, headers={"Origin": OBSIDIAN, **headers})
    assert response.status_code == status
    assert error_of(response)["message"]
    assert response.headers["Access-Control-Allow-Origin"] == OBSIDIAN
    assert "x-request-id" in response.headers["Access-Control-Expose-Headers"]


def test_too_large_an_upload_is_seen_as_such(serve):
    head = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    head += b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = io.BytesIO(head + bytes(1_100_000) + b"\r\n--B--\r\n")
    sent = upload(body, None, "multipart/form-data; boundary=B")
    response = serve(OBSIDIAN).post(URL, environ_overrides=sent, headers={"Origin": OBSIDIAN})
    assert response.status_code == 413
    assert response.headers["Access-Control-Allow-Origin"] == OBSIDIAN


def test_streams_carry_the_headers(serve):
    client = serve(OBSIDIAN)
    client.application.add_url_rule("/v1/stream", view_func=lambda: iter(["data: 1\n\n"]))
    response = client.get("/v1/stream", headers={"Origin": OBSIDIAN})
    assert response.text == "data: 1\n\n"
    assert response.headers["Access-Control-Allow-Origin"] == OBSIDIAN


def test_other_reasons_to_vary_are_kept(serve):
    client = serve(OBSIDIAN)
    client.application.add_url_rule("/v1/varied", view_func=lambda: ("", {"Vary": "Accept"}))
    assert client.get("/v1/varied").headers["Vary"] == "Accept, Origin"
