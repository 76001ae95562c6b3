"""nginx's limits beside the server's."""

from pathlib import Path

import pytest

from app.commands import nginx
from app.settings import Settings

ENOUGH = "server { client_max_body_size 101m; location / { proxy_pass http://app; proxy_read_timeout 1h; } }"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /etc/nginx, and without the settings that come with the server."""
    (tmp_path / "conf.d").mkdir()
    monkeypatch.setattr(nginx, "INSTALLED", tmp_path)
    monkeypatch.setattr(nginx, "TEMPLATE", tmp_path / "template.conf")
    return tmp_path


def states(text: str, folder: Path) -> list[str]:
    (folder / "given.conf").write_text(text)
    return [row.state for row in nginx.check(Settings(), folder / "given.conf")]


@pytest.mark.parametrize(
    ("sizes", "state"),
    [
        ("", "FAIL"),
        ("client_max_body_size 101m;", "OK"),
        ("client_max_body_size 100M;", "FAIL"),
        ("client_max_body_size 1g;", "OK"),
        ("client_max_body_size 0;", "OK"),
        ("client_max_body_size 105906176;", "OK"),
        ("client_max_body_size 103423k;", "FAIL"),
        ("client_max_body_size 103424k;", "OK"),
        ("# client_max_body_size 101m;", "FAIL"),
        ("client_max_body_size 1m; } server { client_max_body_size 200m;", "WARN"),
        ("client_max_body_size lots;", "FAIL"),
    ],
)
def test_bodies(folder: Path, sizes: str, state: str) -> None:
    assert states(f"server {{ {sizes}\nproxy_read_timeout 1h;\n}}", folder) == [state, "OK"]


@pytest.mark.parametrize(
    ("times", "state"),
    [
        ("", "FAIL"),
        ("proxy_read_timeout 3600;", "OK"),
        ("proxy_read_timeout 3599s;", "FAIL"),
        ("proxy_read_timeout 1h;", "OK"),
        ("proxy_read_timeout 59m 60s;", "OK"),
        ("proxy_read_timeout 3600000ms;", "OK"),
        ("proxy_read_timeout 60; proxy_read_timeout 1d;", "WARN"),
    ],
)
def test_timeout(folder: Path, times: str, state: str) -> None:
    assert states(f"client_max_body_size 0; {times}", folder) == ["OK", state]


def test_says_what_to_set(folder: Path) -> None:
    (folder / "given.conf").write_text("client_max_body_size 100m;")
    bodies, timeout = nginx.check(Settings(), folder / "given.conf")
    assert bodies.finding == f"100.0 MiB in {folder}/given.conf; needed 101.0 MiB"
    assert bodies.advice.startswith("Set client_max_body_size 101m;")
    assert timeout.finding == f"60 s in {folder}/given.conf; needed 3600 s"
    assert timeout.advice.startswith("Set proxy_read_timeout 3600s;")


def test_nothing_to_compare(folder: Path) -> None:
    (folder / "conf.d" / "site.conf").write_text("server { root /var/www; }")
    [row] = nginx.check(Settings())
    assert row.state == "OK"
    assert "nothing was compared" in row.finding


def test_the_machines_own_come_before_those_of_the_server(folder: Path) -> None:
    (folder / "template.conf").write_text(ENOUGH)
    assert all("template.conf" in row.finding and row.state == "OK" for row in nginx.check(Settings()))
    (folder / "conf.d" / "speech.conf").write_text(ENOUGH.replace("101m", "10m"))
    assert [row.state for row in nginx.check(Settings())] == ["FAIL", "OK"]


def test_a_file_that_was_named_must_be_there(folder: Path) -> None:
    [row] = nginx.check(Settings(), folder / "none.conf")
    assert row.state == "FAIL"
    assert "none.conf can't be read" in row.finding
