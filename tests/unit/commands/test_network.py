"""Proxies and authorities."""

from pathlib import Path

import pytest

from app.commands import network
from app.settings import Settings

VARIABLES = [f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*VARIABLES, *map(str.lower, VARIABLES)]:
        monkeypatch.delenv(name, raising=False)


def test_no_proxy() -> None:
    row = network.proxies()
    assert (row.state, row.finding) == ("OK", "none")


def test_a_proxys_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hush@proxy:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    row = network.proxies()
    assert (row.state, row.finding) == ("OK", "https: http://me:***@proxy:3128")


def test_a_proxy_between_this_machine_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    row = network.proxies()
    assert row.state == "WARN"
    assert "NO_PROXY=localhost,127.0.0.1" in row.advice


def test_authorities(tmp_path: Path) -> None:
    assert network.authorities(Settings()).state == "OK"
    missing = network.authorities(Settings(ca_file=str(tmp_path / "ca.pem")))
    assert missing.state == "FAIL"
    assert "SSL_CERT_FILE" in missing.advice
    (tmp_path / "ca.pem").touch()
    assert network.authorities(Settings(ca_file=str(tmp_path / "ca.pem"))).state == "OK"
