"""Servers for functional tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import GunicornServer

StartServer = Callable[..., GunicornServer]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One ready server for all tests that only talk to it."""
    with GunicornServer(tmp_path_factory.mktemp("server") / "server.log") as running:
        yield running.wait_until_ready()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers of a test's own, with environment variables as keywords; they end with the test."""
    with ExitStack() as running:

        def start(**environ: str) -> GunicornServer:
            log = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}.log"
            return running.enter_context(GunicornServer(log, **environ))

        yield start
