"""What a request costs, counted by all the threads that work for it."""

from dataclasses import astuple, dataclass, replace
from threading import Condition


@dataclass(frozen=True)
class CostTotals:
    """What one request has cost up to a moment.

    `audio_seconds` is the length of its recordings, `read_seconds` what reading their files took.
    `windows` were decoded (each temperature counts), `fallbacks` of them at a higher temperature than
    the first. `short_contexts` windows have their text from a short context. `queue_seconds` and
    `model_seconds` are how long its engine calls waited and ran, added up over all calls, of which many run
    at a time. Calls that are still `unfinished` are not in them.
    """

    audio_seconds: float = 0.0
    read_seconds: float = 0.0
    windows: int = 0
    fallbacks: int = 0
    short_contexts: int = 0
    queue_seconds: float = 0.0
    model_seconds: float = 0.0
    unfinished: int = 0

    def since(self, earlier: "CostTotals") -> "CostTotals":
        """What came to them after an earlier moment."""
        return CostTotals(
            *(now - before for now, before in zip(astuple(self), astuple(earlier), strict=True))
        )


class RequestCost:
    """One request's totals. Any thread may add to them or read them."""

    def __init__(self, totals: CostTotals | None = None) -> None:
        self._totals = totals or CostTotals()
        self._changed = Condition()

    def totals(self) -> CostTotals:
        """All of them, as they are at one moment."""
        with self._changed:
            return self._totals

    def add_audio(self, seconds: float) -> None:
        """A recording is this long."""
        self._add(audio_seconds=seconds)

    def add_reading(self, seconds: float) -> None:
        """Reading an audio file took this long, whether or not it succeeded."""
        self._add(read_seconds=seconds)

    def add_fallback(self) -> None:
        """A window is decoded again at a higher temperature."""
        self._add(fallbacks=1)

    def add_short_context(self) -> None:
        """A window's text is that of a short context."""
        self._add(short_contexts=1)

    def start_call(self) -> None:
        """An engine call was submitted. `finish_call` must follow."""
        self._add(unfinished=1)

    def finish_call(self, windows: int, queue_seconds: float, model_seconds: float) -> None:
        """An engine call has ended, in which `windows` were decoded."""
        self._add(unfinished=-1, windows=windows, queue_seconds=queue_seconds, model_seconds=model_seconds)

    def wait_until_finished(self, seconds: float) -> None:
        """Wait until no engine call is unfinished, but no longer than `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._totals.unfinished, seconds)

    def _add(self, **amounts: float) -> None:
        with self._changed:
            sums = {name: getattr(self._totals, name) + amount for name, amount in amounts.items()}
            self._totals = replace(self._totals, **sums)
            self._changed.notify_all()
