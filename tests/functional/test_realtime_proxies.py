"""Realtime sessions behind deploy/nginx.conf and over TLS."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from websockets.exceptions import InvalidStatus

from tests.functional.certificates import make_certificate
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer, free_port
from tests.functional.nginx_proxy import Nginx
from tests.functional.realtime_client import RealtimeClient, audio_of, realtime, session_of, websocket
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nginx(server: GunicornServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{server.port}") as running:
        yield running


def transcribes(session: RealtimeClient) -> None:
    session.update(session_of())
    assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT


@pytest.mark.needs("nginx")
def test_behind_nginx(nginx: Nginx) -> None:
    with realtime(nginx.url) as session:
        transcribes(session)


@pytest.mark.needs("nginx")
def test_nginx_passes_refusals_on(nginx: Nginx) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websocket(nginx.port, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    assert b"WHISPER_CORS_ORIGINS" in (refused.value.response.body or b"")


@pytest.mark.needs("nginx")
def test_a_page_behind_nginx_is_the_servers_own(nginx: Nginx) -> None:
    with websocket(nginx.port, origin=nginx.url) as socket:
        assert "session.created" in str(socket.recv(PATIENCE_SECONDS))


@pytest.mark.needs("nginx")
def test_nginx_upgrades_to_websockets_alone(nginx: Nginx) -> None:
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": ""}
    answer = requests.get(f"{nginx.url}/health", headers=upgrade, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    assert requests.get(f"{nginx.url}/v1/realtime", timeout=PATIENCE_SECONDS).status_code == 426


@pytest.mark.needs("nginx")
def test_pings_keep_nginx_from_closing_a_silent_session(server: GunicornServer, tmp_path: Path) -> None:
    shorter = {"proxy_read_timeout 3700s;": "proxy_read_timeout 25s;"}
    with (
        Nginx(tmp_path, f"127.0.0.1:{server.port}", **shorter) as nginx,
        websocket(nginx.port) as socket,
    ):
        assert "session.created" in str(socket.recv(PATIENCE_SECONDS))
        with pytest.raises(TimeoutError):
            socket.recv(55)
        socket.send('{"type": "input_audio_buffer.clear"}')
        assert "cleared" in str(socket.recv(PATIENCE_SECONDS))


@pytest.mark.needs("openssl")
@pytest.mark.needs("nginx")
@pytest.mark.parametrize("behind_nginx", [False, True])
def test_over_tls(
    server: GunicornServer, start_server: StartServer, tmp_path: Path, *, behind_nginx: bool
) -> None:
    certificate = make_certificate(tmp_path)
    key = tmp_path / "key.pem"
    with ExitStack() as held:
        if behind_nginx:
            port = free_port()
            listen = f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
            held.enter_context(Nginx(tmp_path, f"127.0.0.1:{server.port}", **{"listen 80;": listen}))
        else:
            own = start_server(GUNICORN_CMD_ARGS=f"--certfile {certificate} --keyfile {key}")
            own.wait_for_log("Serving ")
            port = own.port
        trusted = ssl.create_default_context(cafile=certificate)
        with realtime(f"https://127.0.0.1:{port}", socket={"ssl": trusted}) as session:
            transcribes(session)
            session.append(audio_of(FLAGSHIP), 500_000)
            session.send("input_audio_buffer.commit")
            session.receive_until("input_audio_buffer.committed")
