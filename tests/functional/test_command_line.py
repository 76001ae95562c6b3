"""`python -m app` as an operator types it."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.checkpoints import RELEASES
from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, environment
from tests.functional.recordings import FLAGSHIP_TEXT
from tests.hub_server import HubServer, running


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=environment(NO_PROXY="*", **environ),
        capture_output=True,
        text=True,
        check=False,
    )


def states(text: str) -> dict[str, str]:
    return {line[6:21].strip(): line[:5].strip() for line in text.splitlines() if line[:1].isupper()}


def test_the_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    settings = tmp_path / "nginx.conf"
    settings.write_text("client_max_body_size 101m; proxy_read_timeout 3600s;")
    visit = run("doctor", "--nginx", str(settings), WHISPER_MODELS="small=demo;int8")
    assert visit.returncode == 0, visit.stdout + visit.stderr
    found = states(visit.stdout)
    assert found["checkpoint"] == "WARN"
    good = (
        "python",
        "packages",
        "confinement",
        "devices",
        "models",
        "nginx bodies",
        "nginx timeout",
        "sample",
    )
    assert [found[name] for name in good] == ["OK"] * len(good)
    assert repr(FLAGSHIP_TEXT) in visit.stdout
    assert "\033" not in visit.stdout
    assert visit.stderr == ""


def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    settings = tmp_path / "nginx.conf"
    settings.write_text("server { listen 80; }")
    missing = str(tmp_path / "ca.pem")
    visit = run(
        "doctor",
        "--nginx",
        str(settings),
        WHISPER_MODEL=str(tmp_path / "my.pt"),
        WHISPER_MODELS=f"other={tmp_path}/none.pt",
        SSL_CERT_FILE=missing,
    )
    assert visit.returncode == 1
    failed = {name for name, state in states(visit.stdout).items() if state == "FAIL"}
    assert failed >= {"authorities", "nginx bodies", "nginx timeout", "checkpoint", "models"}
    assert states(visit.stdout)["sample"] == "WARN"
    assert "there is no such file" in visit.stdout
    assert "client_max_body_size 101m" in visit.stdout


def test_a_start_whose_list_names_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    start = subprocess.run(
        [sys.executable, "-m", "app.preflight"],
        cwd=ROOT,
        env=environment(WHISPER_MODELS=f"good=demo,other={tmp_path}/none.pt"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (start.returncode, start.stdout) == (1, "")
    assert start.stderr.startswith(f"Error: WHISPER_MODELS, '{tmp_path}/none.pt': ")
    assert "there is no such file" in start.stderr
    assert start.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("checkpoint", "list"), ("doctor",)])
def test_a_reader_that_has_read_enough(arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=environment(NO_PROXY="*"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as command:
        assert command.stdout is not None
        command.stdout.close()
        assert command.stderr is not None
        assert command.stderr.read() == b""
    assert command.returncode == 1


def test_a_download_that_is_not_what_it_should_be(tmp_path: Path) -> None:
    contents = b"<html>Please log in</html>"
    with running(HubServer(contents)) as hub:
        fetch = run("checkpoint", "fetch", "tiny", "--to", str(tmp_path), WHISPER_HUB=hub.url)
    assert fetch.returncode == 1
    assert fetch.stdout == ""
    [error] = [line for line in fetch.stderr.splitlines() if line.startswith("Error: ")]
    hashes = (hashlib.sha256(contents).hexdigest(), RELEASES["tiny"].sha256)
    assert all(sha256 in error for sha256 in hashes)
    assert "Traceback" not in fetch.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_stopped_is_gone_on_with(tmp_path: Path) -> None:
    contents = bytes(1_000_000)
    with running(HubServer(contents)) as hub:
        hub.stall_after = 600_000
        command = [sys.executable, "-m", "app", "checkpoint", "fetch", "tiny", "--to", str(tmp_path)]
        environ = environment(NO_PROXY="*", WHISPER_HUB=hub.url)
        with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE) as first:
            wait_for_bytes(tmp_path / "tiny.pt.part", 500_000)
            first.kill()
        hub.stall_after = None
        second = run("checkpoint", "fetch", "tiny", "--to", str(tmp_path), WHISPER_HUB=hub.url)
    assert hub.asked[1][1] == "bytes=524288-"
    assert hashlib.sha256(contents).hexdigest() in second.stderr


def wait_for_bytes(path: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() or path.stat().st_size < count:
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)
