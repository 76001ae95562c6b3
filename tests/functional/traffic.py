"""Clients that ask again and again, and how each of their requests ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType

from tests.functional.gunicorn_server import PATIENCE_SECONDS


@dataclass(frozen=True)
class Outcome:
    """What a request brought (a text, or what was raised instead), and when, on the monotonic clock."""

    began: float
    ended: float
    result: str | Exception


PAUSE_SECONDS = 0.3
"""After each request, so that a worker that is starting gets some of the machine."""


class Traffic:
    """So many clients, each of which calls `ask` again and again until the block is left."""

    def __init__(self, ask: Callable[[], str], clients: int) -> None:
        self._ask = ask
        self._stopped = Event()
        self._outcomes: list[Outcome] = []
        self._clients = [Thread(target=self._go_on) for _ in range(clients)]

    def __enter__(self) -> "Traffic":
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for client in self._clients:
            client.join()

    @property
    def outcomes(self) -> list[Outcome]:
        """So far, in the order in which they ended."""
        return list(self._outcomes)

    @property
    def failures(self) -> list[Outcome]:
        """Those that brought no text."""
        return [outcome for outcome in self.outcomes if isinstance(outcome.result, Exception)]

    @property
    def successes(self) -> list[Outcome]:
        """Those that did."""
        return [outcome for outcome in self.outcomes if isinstance(outcome.result, str)]

    @property
    def texts(self) -> set[str | Exception]:
        """All different answers."""
        return {outcome.result for outcome in self.successes}

    def wait_for(self, count: int) -> None:
        """Wait until so many more requests, begun from now on, have brought a text."""
        now = time.monotonic()
        while sum(outcome.began > now for outcome in self.successes) < count:
            assert time.monotonic() < now + PATIENCE_SECONDS, f"no more answers: {self.outcomes[-5:]}"
            time.sleep(0.05)

    def _go_on(self) -> None:
        while not self._stopped.wait(PAUSE_SECONDS):
            began = time.monotonic()
            result: str | Exception
            try:
                result = self._ask()
            except Exception as error:
                result = error
            self._outcomes.append(Outcome(began, time.monotonic(), result))
