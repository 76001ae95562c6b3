"""Downloads over real connections on loopback: cut, resumed, refused, by proxy, with a company's CA."""

import fcntl
import hashlib
import re
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.checkpoints import download as module
from app.checkpoints.download import download, masked, part_of
from app.errors import DownloadFailed
from tests.hub_server import HubServer, ProxyServer, make_certificates, running

BLOCK = module._BLOCK_BYTES
CONTENTS = bytes(range(251)) * (4 * BLOCK // 251)
SHA256 = hashlib.sha256(CONTENTS).hexdigest()
PATIENCE_SECONDS = 60

PROXY_VARIABLES = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")]
CA_VARIABLES = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*PROXY_VARIABLES, *map(str.lower, PROXY_VARIABLES), *CA_VARIABLES]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with running(HubServer(CONTENTS)) as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "model.pt"


def fetch(hub: HubServer, target: Path, ca_file: str = "") -> None:
    download(f"{hub.url}/model.pt", target, SHA256, ca_file)
    assert target.read_bytes() == CONTENTS
    assert list(target.parent.iterdir()) == [target]


def refusal(hub: HubServer, target: Path, sha256: str = SHA256, ca_file: str = "") -> str:
    with pytest.raises(DownloadFailed) as caught:
        download(f"{hub.url}/model.pt", target, sha256, ca_file)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leave_behind(target: Path, contents: bytes) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(contents)


def test_shows_progress(hub: HubServer, target: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetch(hub, target)
    assert hub.asked == [("/model.pt", None)]
    assert "100%" in capfd.readouterr().err


def test_goes_on_after_a_cut(hub: HubServer, target: Path) -> None:
    hub.cuts = [2 * BLOCK + 7, BLOCK + 1]
    fetch(hub, target)
    assert [wanted for _, wanted in hub.asked] == [None, f"bytes={2 * BLOCK}-", f"bytes={3 * BLOCK}-"]


def test_what_came_is_kept_for_the_next_try(hub: HubServer, target: Path) -> None:
    hub.cuts = [BLOCK + 1, 0]
    assert "can't be reached (IncompleteRead" in refusal(hub, target)
    assert part_of(target).read_bytes() == CONTENTS[:BLOCK]
    hub.asked.clear()
    fetch(hub, target)
    assert hub.asked == [("/model.pt", f"bytes={BLOCK}-")]


def test_a_server_without_ranges_sends_all_anew(hub: HubServer, target: Path) -> None:
    hub.ranges = False
    leave_behind(target, b"another file's beginning")
    fetch(hub, target)
    assert len(hub.asked) == 1


def test_a_server_that_always_breaks_off_at_the_same_place_is_given_up(hub: HubServer, target: Path) -> None:
    hub.ranges = False
    hub.cuts = [BLOCK] * 9
    refusal(hub, target)
    assert len(hub.asked) == 2


def test_all_was_there_already(hub: HubServer, target: Path) -> None:
    leave_behind(target, CONTENTS)
    fetch(hub, target)


def test_a_wrong_hash_names_both_and_deletes(hub: HubServer, target: Path) -> None:
    message = refusal(hub, target, sha256="0" * 64)
    assert f"has the sha256 {SHA256}, expected is {'0' * 64}; it was deleted" in message
    assert list(target.parent.iterdir()) == []


def test_a_wrong_beginning_is_found_out_and_not_kept(hub: HubServer, target: Path) -> None:
    leave_behind(target, b"<html>Please log in</html>")
    assert "expected is" in refusal(hub, target)
    fetch(hub, target)


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "WHISPER_HUB"), (401, "WHISPER_HUB=https://USER:PASSWORD@"), (503, "")]
)
def test_a_refusal_is_shown_and_leaves_nothing(
    hub: HubServer, target: Path, status: int, advice: str
) -> None:
    hub.status = status
    message = refusal(hub, target)
    assert f"{hub.url}/model.pt answers {status} " in message
    assert advice in message
    assert list(target.parent.iterdir()) == []


def test_room_is_looked_at_first(hub: HubServer, target: Path) -> None:
    hub.announced = 2**60
    message = refusal(hub, target)
    assert re.search(r"no room in .*/new: 1,099,511,627,776\.0 MiB are to come, [\d,.]+ MiB free", message)
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_called_so(hub: HubServer, target: Path) -> None:
    target.parent.mkdir()
    part_of(target).symlink_to("/dev/full")
    message = refusal(hub, target)
    assert "no room" in message
    assert "the disk is full" in message


def test_nobody_listens(target: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadFailed, match=r"^127\.0\.0\.1 can't be reached .*refused.* HTTPS_PROXY"):
            download(f"http://127.0.0.1:{taken.getsockname()[1]}/model.pt", target, SHA256)


def test_silence_is_not_waited_for_for_ever(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(DownloadFailed, match=r"can't be reached \(timed out\)"),
    ):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/model.pt", target, SHA256)


def test_a_second_download_waits_for_the_first(
    hub: HubServer, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target.parent.mkdir()
    with ThreadPoolExecutor() as threads, part_of(target).open("wb") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = threads.submit(fetch, hub, target)
        wait_for_output(capfd, "Waiting for another process")
        first.write(CONTENTS)
        first.flush()
        part_of(target).replace(target)
    second.result(PATIENCE_SECONDS)
    assert hub.asked == []


def wait_for_output(capfd: pytest.CaptureFixture[str], text: str) -> None:
    said = ""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in said:
        assert time.monotonic() < deadline, said
        time.sleep(0.01)
        said += capfd.readouterr().err


@pytest.mark.needs("openssl")
def test_an_unknown_authority_is_refused(
    hub: HubServer, target: Path, certificates: tuple[Path, Path, Path]
) -> None:
    hub.speak_tls(*certificates[1:])
    message = refusal(hub, target)
    assert message.startswith("The certificate of 127.0.0.1 is not trusted (")
    assert "SSL_CERT_FILE" in message
    assert hub.asked == []


@pytest.mark.needs("openssl")
def test_a_companys_own_authority(
    hub: HubServer,
    target: Path,
    certificates: tuple[Path, Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority, *rest = certificates
    hub.speak_tls(*rest)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    fetch(hub, target, ca_file=str(authority))


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_authorities_of_the_environment(
    hub: HubServer,
    target: Path,
    certificates: tuple[Path, Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    hub.speak_tls(*certificates[1:])
    monkeypatch.setenv(variable, str(certificates[0]))
    fetch(hub, target)


def test_a_file_of_authorities_that_is_not_there(hub: HubServer, target: Path) -> None:
    hub.scheme = "https"
    assert "/nowhere.pem" in refusal(hub, target, ca_file="/nowhere.pem")


def test_a_mirror_that_wants_a_password(hub: HubServer, target: Path) -> None:
    download(f"{hub.url.replace('://', '://me:p%40ss@')}/model.pt", target, SHA256)
    assert hub.authorizations == [f"Basic {b64encode(b'me:p@ss').decode()}"]


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    with running(ProxyServer("me", "p@ss:word")) as server:
        yield server


def use(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch, credentials: str) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://{credentials}127.0.0.1:{proxy.server_port}")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_wants_a_password(
    hub: HubServer, proxy: ProxyServer, target: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    hub.scheme = scheme
    use(proxy, monkeypatch, "me:wrong@")
    message = refusal(hub, target)
    assert "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT" in message
    assert "wrong" not in message
    assert hub.asked == proxy.passed == []


def test_through_the_proxy(
    hub: HubServer, proxy: ProxyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(proxy, monkeypatch, "me:p%40ss%3Aword@")
    fetch(hub, target)
    assert proxy.passed == [f"GET {hub.url}/model.pt"]


@pytest.mark.needs("openssl")
def test_through_the_proxy_to_a_companys_own_authority(
    hub: HubServer,
    proxy: ProxyServer,
    target: Path,
    certificates: tuple[Path, Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(proxy, monkeypatch, "me:p%40ss%3Aword@")
    hub.speak_tls(*certificates[1:])
    fetch(hub, target, ca_file=str(certificates[0]))
    assert proxy.passed == [f"CONNECT 127.0.0.1:{hub.server_port}"]


def test_a_proxy_that_is_not_there(hub: HubServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://me:hush@127.0.0.1:{taken.getsockname()[1]}")
        message = refusal(hub, target)
    assert message.startswith("The proxy that HTTPS_PROXY names can't be used (")
    assert "hush" not in message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:hush@proxy:3128", "http://me:***@proxy:3128"),
        ("http://me:hu@sh@proxy:3128", "http://me:***@proxy:3128"),
        ("bad proxy https://me:hu/sh@proxy/x here", "bad proxy https://me:***@proxy/x here"),
        ("http://proxy:3128", "http://proxy:3128"),
        ("https://host/a/b.pt", "https://host/a/b.pt"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert masked(text) == shown
