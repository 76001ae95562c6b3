"""The programs under tests/functional/node, which speak to the server through Node clients."""

import json
from errno import ENOENT
from pathlib import Path
from typing import Any

from tests.functional.client_programs import json_printed_by
from tests.functional.gunicorn_server import GunicornServer

NODE = Path(__file__).with_name("node")
INSTALLED = NODE / "node_modules" / ".installed"


def run_node(program: str, server: GunicornServer, call: str, **job: Any) -> dict[str, Any]:
    """What `call` in a program gave: `{"answer", ...}`, or `{"error"}` if the client raised.

    The job goes through stdin, since a recording in base64 is too long for a command line.
    """
    require_installed()
    return json_printed_by(["node", NODE / program, f"{server.url}/v1", call], json.dumps(job))


def require_installed() -> None:
    """Raise FileNotFoundError, which skips a test where it may, if the clients are not installed."""
    if not INSTALLED.exists():
        raise FileNotFoundError(ENOENT, "the Node clients are not installed: `make test` does that", "npm")
