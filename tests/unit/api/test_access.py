import base64
import hmac
import io

import flask
import pytest

from app import create_app
from app.api import access
from app.api.access import WITHOUT_KEY, _is_one_of, _masked, address, caller_or_address
from app.settings import Settings
from tests.unit.scripted import error_of, upload

URL = "/v1/audio/transcriptions"
KEYS = ("sk-first-0123456789abcdef", "sk-second", "c2Vjb25k==")


@pytest.mark.parametrize("sent", ["a", "req_0123", "A.b-c_9", "x" * 128])
def test_a_well_formed_request_id_is_echoed(client, sent):
    assert client.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "two words", "a/b", "é", '"quoted"', "a,b"])
def test_any_other_request_id_is_replaced(client, sent):
    answered = client.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert answered.startswith("req_")
    assert len(answered) == len("req_") + 32


def test_generated_ids_differ(client):
    ids = {client.get("/health").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/health", 200), ("GET", "/nowhere", 404), ("PUT", "/health", 405), ("POST", "/v1/x", 404)],
)
def test_every_answer_carries_openais_headers(client, method, path, status):
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.headers["openai-version"] == "2020-10-01"
    assert int(response.headers["openai-processing-ms"]) >= 0
    assert response.headers["x-request-id"]


@pytest.fixture
def locked(runtime):
    return create_app(Settings(max_upload_mb=1, api_keys=KEYS), runtime).test_client()


@pytest.mark.parametrize("sent", ["Bearer anything", "Bearer ", "Basic !!!", "nonsense", "Bearer a=b=c"])
def test_without_keys_authorization_is_ignored(client, sent):
    response = client.get("/v1/nowhere", headers={"Authorization": sent, "api-key": "x"})
    assert response.status_code == 404


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("header", "form"), [("Authorization", "Bearer {}"), ("api-key", "{}")])
def test_every_key_opens(locked, key, header, form):
    assert locked.get("/v1/nowhere", headers={header: form.format(key)}).status_code == 404


@pytest.mark.parametrize("sent", ["bearer {}", "BEARER {}", "Bearer   {}  "])
def test_the_scheme_is_read_generously(locked, sent):
    assert locked.get("/v1/nowhere", headers={"Authorization": sent.format(KEYS[0])}).status_code == 404


def test_a_proxys_own_authorization_leaves_room_for_azures_header(locked):
    basic = "Basic " + base64.b64encode(b"proxy:password").decode()
    assert locked.get("/v1/x", headers={"Authorization": basic, "api-key": KEYS[1]}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": KEYS[0]},
        {"Authorization": f"Basic {KEYS[0]}"},
        {"Authorization": f"Token {KEYS[0]}"},
        {"api-key": " "},
        {"x-api-key": KEYS[0]},
    ],
)
def test_no_key(locked, headers):
    response = locked.get("/v1/nowhere", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    error = error_of(response)
    assert error["message"].startswith(
        "You didn't provide an API key. You need to provide your API key in an"
    )
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("sk-proj-0123456789abcdefWXYZ", "sk-...WXYZ"),
        ("sk-first-0123456789abcdeF", "sk-...cdeF"),
        ("sk-secon", "***"),
        ("sk-secondd", "***"),
        ("SK-SECOND", "***"),
        ("sk-first sk-second", "***"),
        ("schl\xfcssel", "***"),
        ("c2Vjb25k", "***"),
    ],
)
@pytest.mark.parametrize(("header", "form"), [("Authorization", "Bearer {}"), ("api-key", "{}")])
def test_a_wrong_key(locked, sent, shown, header, form):
    response = locked.get("/v1/nowhere", headers={header: form.format(sent)})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    error = error_of(response)
    assert error["message"].startswith(f"Incorrect API key provided: {shown}. ")
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "invalid_api_key",
    )


@pytest.mark.parametrize("length", [1, 7, 19, 20, 200])
def test_a_mask_hides_all_but_seven_characters_of_a_long_key(length):
    key = "".join(chr(0x100 + position) for position in range(length))
    shown = set(key) & set(_masked(key))
    assert len(shown) == (7 if length >= 20 else 0)


@pytest.mark.parametrize(
    ("sent", "found"),
    [("b", True), ("a", True), ("ab", False), ("", False), ("\xe9", False), ("\u20ac", False)],
)
def test_comparing_takes_any_text(sent, found):
    assert _is_one_of(("a", "b"), sent) is found


@pytest.mark.parametrize("sent", [*KEYS, "sk-wrong-0123456789abcdef"])
def test_a_key_is_compared_with_every_key_in_constant_time(locked, monkeypatch, sent):
    """Also after one that is right, so that timing tells neither which key it was nor how much of it."""
    compared = []

    def compare(left, right):
        compared.append((left, right))
        return hmac.compare_digest(left, right)

    monkeypatch.setattr(access, "compare_digest", compare)
    status = locked.get("/v1/nowhere", headers={"Authorization": f"Bearer {sent}"}).status_code
    assert status == (404 if sent in KEYS else 401)
    assert compared == [(sent.encode(), key.encode()) for key in KEYS]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/whisper-1"),
        ("POST", "/v1/audio/transcriptions"),
        ("GET", "/v1/audio/transcriptions"),
        ("POST", "/v1/nowhere"),
        ("POST", "//v1/audio/transcriptions"),
        ("POST", "/V1/audio/transcriptions"),
        ("POST", "/v1"),
        ("POST", "/"),
        ("POST", "/health"),
        ("GET", "/v1/health"),
        ("GET", "/metrics"),
    ],
)
def test_all_but_probes_limits_and_pages_is_locked(locked, method, path):
    assert locked.open("/", method=method, environ_overrides={"PATH_INFO": path}).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/limits", "/", "/web/main.js"])
def test_probes_limits_and_the_page_are_free(locked, path):
    assert locked.get(path).status_code == 200


def test_every_url_but_probes_limits_and_pages_is_locked_by_default(app):
    free = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] in WITHOUT_KEY}
    pages = {"/", "/web/<name>", "/web/<any(vendor, strings):folder>/<name>"}
    documentation = {"/docs", "/docs/<name>", "/openapi.json"}
    assert free == {"/health", "/ready", "/limits"} | pages | documentation


def test_options_needs_no_key(locked):
    response = locked.options("/v1/audio/transcriptions")
    assert response.status_code == 200
    assert "POST" in response.headers["Allow"]
    assert response.headers["x-request-id"]


def test_a_refused_upload_is_read_to_its_end(locked):
    body = io.BytesIO(b"x" * 300_000)
    assert locked.post("/v1/x", environ_overrides=upload(body, None)).status_code == 401
    assert body.tell() == 300_000


def test_no_key_is_logged(locked, caplog):
    caplog.set_level("DEBUG")
    for key in ("sk-wrong-0123456789abcdef", KEYS[0]):
        locked.get("/v1/x", headers={"Authorization": f"Bearer {key}"})
    assert "sk-" not in caplog.text


PROXIED = [
    ("10.0.0.1", "10.9.9.9", "10.0.0.1"),
    ("127.0.0.1", "10.9.9.9", "10.9.9.9"),
    ("::1", "10.9.9.9", "10.9.9.9"),
    ("::ffff:127.0.0.1", "10.9.9.9", "10.9.9.9"),
    ("127.0.0.1", "8.8.8.8, 10.9.9.9", "10.9.9.9"),
    ("127.0.0.1", None, "127.0.0.1"),
    ("127.0.0.10", "10.9.9.9", "127.0.0.10"),
    ("", "8.8.8.8,10.0.0.2", "10.0.0.2"),
    ("", None, "-"),
]
"""The peer, what it says for whom it asks, and who is meant: what a client says itself comes first."""


@pytest.mark.parametrize(("peer", "forwarded", "meant"), PROXIED)
def test_a_proxy_on_this_machine_alone_is_believed(app, peer, forwarded, meant):
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    with app.test_request_context(headers=headers, environ_overrides={"REMOTE_ADDR": peer}):
        assert address(flask.request) == meant
        assert caller_or_address() == meant


@pytest.mark.parametrize(
    ("peer", "meant"),
    [
        ("172.18.0.3", "10.9.9.9"),
        ("::ffff:172.18.0.3", "10.9.9.9"),
        ("fd00::7", "10.9.9.9"),
        ("127.0.0.1", "10.9.9.9"),
        ("172.19.0.3", "172.19.0.3"),
        ("fd00::8", "fd00::8"),
        ("no address", "no address"),
    ],
)
def test_proxies_that_are_told_are_believed_too(runtime, peer, meant):
    app = create_app(Settings(trusted_proxies=("172.18.0.0/16", "fd00::7")), runtime)
    with app.test_request_context(
        headers={"X-Forwarded-For": "8.8.8.8, 10.9.9.9"}, environ_overrides={"REMOTE_ADDR": peer}
    ):
        assert address(flask.request) == meant


def test_whoever_has_a_key_is_one_caller_wherever_it_asks(locked, runtime):
    for number, key in enumerate((KEYS[0], KEYS[0], KEYS[1])):
        form = {"model": "whisper-1", "file": (io.BytesIO(b"RIFF"), "a.wav")}
        environ = {"REMOTE_ADDR": f"10.0.0.{number}"}
        sent = {"Authorization": f"Bearer {key}"}
        assert locked.post(URL, data=form, headers=sent, environ_overrides=environ).status_code == 200
    one, one_again, two = runtime.admitted
    assert one == one_again != two
    assert "10.0" not in one and "sk-" not in one


def test_without_keys_an_address_is_one_caller(client, runtime):
    for last in (1, 2, 1):
        form = {"model": "whisper-1", "file": (io.BytesIO(b"RIFF"), "a.wav")}
        environ = {"REMOTE_ADDR": f"10.0.0.{last}"}
        sent = {"Authorization": f"Bearer {last}{len(runtime.admitted)}"}
        assert client.post(URL, data=form, headers=sent, environ_overrides=environ).status_code == 200
    assert runtime.admitted == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
