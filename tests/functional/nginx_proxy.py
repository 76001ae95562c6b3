"""A real nginx with deploy/nginx.conf, in which only addresses and paths are others."""

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, free_port

CONFIGURATION = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
BELOW_A_PATH = {
    "location / {": "location /speech/ {",
    "proxy_pass http://whisper;": "proxy_pass http://whisper/;",
}
"""Changes of the configuration: what clients ask for at /speech/... the server sees as /..."""
TEMPORARY = ("proxy", "fastcgi", "uwsgi", "scgi")


def configured(folder: Path, port: int, upstreams: tuple[str, ...], **changes: str) -> str:
    """The configuration for a port and instances, writing to `folder` alone; `changes` are plain text."""
    servers = "".join(f"server {upstream} max_fails=0;" for upstream in upstreams)
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    substitutions = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8000 max_fails=0;\n": f"{servers}\n",
        "access_log /var/log/nginx/access.log": f"access_log {folder}/access.log",
        "# client_body_temp_path /var/lib/nginx/body;": f"client_body_temp_path {folder}/body; {paths}",
        **changes,
    }
    text = CONFIGURATION
    for old, new in substitutions.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class Nginx:
    """nginx in front of upstreams such as `127.0.0.1:8000` or `unix:/path`."""

    def __init__(self, folder: Path, *upstreams: str, **changes: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = folder / "nginx.conf"
        configuration.write_text(configured(folder, self.port, upstreams, **changes), encoding="utf-8")
        # pytest's folders belong to its user alone, so nginx's workers must be that user too.
        user = "user root; " if os.geteuid() == 0 else ""
        settings = f"{user}daemon off; pid {folder}/nginx.pid;"
        self._process = subprocess.Popen(
            ["nginx", "-e", folder / "error.log", "-c", configuration, "-g", settings]
        )

    def __enter__(self) -> "Nginx":
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.folder / "nginx.pid").exists():
            assert self._process.poll() is None, (self.folder / "error.log").read_text()
            assert time.monotonic() < deadline, "nginx doesn't start"
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)

    @property
    def log(self) -> list[str]:
        """A line for each finished request."""
        return (self.folder / "access.log").read_text().splitlines()

    def wait_for_log(self, lines: int) -> list[str]:
        """The log once it has so many lines; they are written after the client has its answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.log) < lines:
            assert time.monotonic() < deadline, f"never {lines} lines: {self.log}"
            time.sleep(0.02)
        return self.log
