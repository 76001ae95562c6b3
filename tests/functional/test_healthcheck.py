"""The Dockerfile's HEALTHCHECK, asked of a real server."""

import json
import re
import subprocess
import sys

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer, free_port

[COMMAND] = re.findall(
    r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
)


def status(port: int) -> int:
    """The exit code, beside a proxy that leads nowhere: it must not be asked."""
    environ = {
        "HTTP_PROXY": f"http://127.0.0.1:{free_port()}",
        "http_proxy": f"http://127.0.0.1:{free_port()}",
    }
    _, *arguments = json.loads(COMMAND.replace(":8000", f":{port}"))
    return subprocess.run(
        [sys.executable, *arguments],
        env=environ,
        check=False,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
    ).returncode


def test_a_ready_server_is_healthy(server: GunicornServer) -> None:
    assert status(server.port) == 0


def test_a_dead_one_is_not() -> None:
    assert status(free_port()) == 1
