"""Stand-ins for what Gunicorn's workers and hooks talk to."""

from types import SimpleNamespace
from typing import Any

from app.admission import Admission
from app.checkpoints import Checkpoint
from app.settings import Settings

PATIENCE_SECONDS = 120.0
"""The longest that a test waits for what must happen."""


class FakeRuntime:
    """Notes what it is told, and fails to start with `failure`."""

    notice: str | None = None

    def __init__(self, failure: Exception | None = None, stall_seconds: int = 60) -> None:
        self.failure = failure
        self.settings = Settings(stall_seconds=stall_seconds)
        self.admission = Admission(300, lambda: 0.0)
        self.told: list[Any] = []
        self.metrics = SimpleNamespace(share=lambda *shared: self.told.append(shared))
        peers = SimpleNamespace(join=lambda *joined: self.told.append(("join", *joined)))
        self.instance = SimpleNamespace(peers=peers)

    def start(self, device: str, checkpoint: Checkpoint | None, known: Any) -> SimpleNamespace:
        self.told.append((device, checkpoint))
        if self.failure:
            raise self.failure
        return SimpleNamespace(card=SimpleNamespace(name="tiny"), notice=self.notice)

    def drain(self) -> None:
        self.told.append("drain")

    def close(self) -> None:
        self.told.append("close")


class FakeLog:
    """Keeps the level and the text of each line."""

    def __init__(self) -> None:
        self.levels: list[str] = []
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Any:
        def note(text: object = "", *values: object, **_: object) -> None:
            if level not in ("access", "debug"):
                self.levels.append(level)
                self.lines.append(str(text) % values if values else str(text))

        return note
