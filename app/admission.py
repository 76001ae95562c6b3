"""Admission control: how many requests are worked on, read and answered at a time.

Gunicorn has THREADS threads, which is the sum of these limits and SPARE. So a thread is always free for
health, metrics and refusals, which take it for a moment only.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, inf
from threading import Lock
from time import monotonic
from typing import NamedTuple

from app.errors import ServerBusy

ADMITTED = 24
"""The most requests that work on audio at a time, including those that wait for the model."""
SPEAKING = 8
"""The most texts that are synthesized at a time."""
READING = 32
"""The most request bodies that are read at a time."""
DRAINING = 4
"""The most bodies of refused requests that are read and dropped at a time, so that their senders see why."""
SPARE = 8
"""Threads for requests that take a moment."""
WAITING = 16
"""The most requests that wait at a time for a model to be loaded; they hold no permit."""
WRITING = ADMITTED + SPEAKING + SPARE // 2
"""The most answers that wait at a time for their clients to receive them."""
THREADS = ADMITTED + SPEAKING + READING + DRAINING + WAITING + SPARE

SLOW_BYTES_PER_SECOND = 64 * 1024
"""A client slower than this may lose its slot when all slots are in use."""
FAIR_SHARE = ADMITTED // 2
"""The most permits that one caller holds while other callers are active."""
OTHERS_SECONDS = 60.0
"""How long a caller counts as active after its last request."""

_PACE_SECONDS = 10.0
_MAX_MARKS = 12
_NEW_SECONDS = 1.0
"""What a client sends in its first second counts as one second's, and its slot is safe."""
_BUSY_SECONDS = 5
_WINDOW_SECONDS = 30


class TransferSlot:
    """One of TransferSlots, held by a client that sends or receives bytes. `lost`: another client has it now.

    With `gives_way` False it is never taken away, however slow its client is. `on_lost()` is called in the
    thread of the one that takes it, and must not block.
    """

    def __init__(self, *, gives_way: bool = True, on_lost: Callable[[], None] | None = None) -> None:
        self.began = monotonic()
        self.gives_way = gives_way
        self.on_lost = on_lost
        self.lost = False
        self._bytes = 0
        # At most one for each second: when it began, and how many bytes had been counted then.
        self._marks = deque([(self.began, 0)], maxlen=_MAX_MARKS)

    def count(self, size: int) -> None:
        """Count bytes that were sent or received."""
        now = monotonic()
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, self._bytes))
        self._bytes += size

    def bytes_per_second(self) -> float:
        """The client's mean speed over the last ten seconds, or since it has the slot."""
        now = monotonic()
        while len(self._marks) > 1 and self._marks[0][0] <= now - _PACE_SECONDS:
            self._marks.popleft()
        marked, bytes_before = self._marks[0]
        if marked <= now - _PACE_SECONDS:
            return 0.0
        return (self._bytes - bytes_before) / max(_NEW_SECONDS, min(now - self.began, _PACE_SECONDS))


class TransferSlots:
    """`count` slots. When all are in use, a new client gets that of the slowest client under the limit.

    While slots are free, no client loses one for being slow. A slot is safe for its first `safe_seconds`.
    """

    def __init__(self, count: int, safe_seconds: float = _NEW_SECONDS) -> None:
        self.count = count
        self._safe_seconds = safe_seconds
        self._taken: set[TransferSlot] = set()
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """How many slots are in use."""
        return len(self._taken)

    def take(
        self, *, gives_way: bool = True, on_lost: Callable[[], None] | None = None
    ) -> TransferSlot | None:
        """A slot, which `give_back` must follow; None if there is none."""
        with self._lock:
            if len(self._taken) >= self.count and not self._evict_slowest():
                return None
            slot = TransferSlot(gives_way=gives_way, on_lost=on_lost)
            self._taken.add(slot)
            return slot

    def give_back(self, slot: TransferSlot) -> None:
        """Release a slot, lost or not."""
        with self._lock:
            self._taken.discard(slot)

    def _evict_slowest(self) -> bool:
        """Free the slowest client's slot, the oldest of equally slow ones'. Called with the lock held."""
        newest = monotonic() - self._safe_seconds
        speeds = [(slot.bytes_per_second(), slot.began, slot) for slot in self._taken if slot.gives_way]
        slow = [speed for speed in speeds if speed[0] < SLOW_BYTES_PER_SECOND and speed[1] <= newest]
        if not slow:
            return False
        *_, slot = min(slow, key=lambda speed: speed[:2])
        slot.lost = True
        self._taken.discard(slot)
        if slot.on_lost:
            slot.on_lost()
        return True


class Permits:
    """`count` permits, of which one caller holds at most `share` while other callers are active."""

    def __init__(self, count: int, share: int) -> None:
        self.count = count
        self.taken = 0
        self._share = share
        self._lock = Lock()
        self._held = Counter[str]()
        self._last_caller: str | None = None
        self._last_asked = self._another_asked = -inf

    def take(self, caller: str) -> bool:
        """Take a permit if one is free and the caller is under its share; then `give_back` must follow."""
        with self._lock:
            others = self._others_are_active(caller)
            if self.taken >= self.count or (others and self._held[caller] >= self._share):
                return False
            self.taken += 1
            self._held[caller] += 1
            return True

    def give_back(self, caller: str) -> None:
        """Return a permit."""
        with self._lock:
            self.taken -= 1
            self._held[caller] -= 1
            self._held += Counter()  # removes callers with none

    def _others_are_active(self, caller: str) -> bool:
        """Whether another caller holds a permit, or has asked for one in the last OTHERS_SECONDS."""
        now = monotonic()
        if self._last_caller != caller:
            self._another_asked = self._last_asked
        self._last_caller, self._last_asked = caller, now
        return self._another_asked > now - OTHERS_SECONDS or self.taken > self._held[caller]


class Pace(NamedTuple):
    """How long a window takes at present, 0.0 for unknown: one like those that are waited for, which may have
    a short context, and a full one, of 30 s.
    """

    seconds_per_window: float
    seconds_per_full_window: float


PaceOf = Callable[[], Pace]
"""How fast a model is at present."""


class Admission:
    """Permits to work and to speak, and slots to read a body, to drop one and to write an answer.

    `pace()` is how fast the first model is; a request for another one comes with that one's.
    """

    def __init__(self, max_wait_seconds: float, pace: PaceOf) -> None:
        self.working = Permits(ADMITTED, FAIR_SHARE)
        self.speaking = Permits(SPEAKING, SPEAKING // 2)
        self.reading = TransferSlots(READING)
        self.draining = TransferSlots(DRAINING)
        # Threads that wait without a slot would be more than there are: so the slowest goes at once.
        self.writing = TransferSlots(WRITING, safe_seconds=0.0)
        self._max_wait_seconds = max_wait_seconds
        self._pace = pace
        self._others: list[PaceOf] = []  # of each running request for another model

    @contextmanager
    def admit(self, caller: str = "", pace: PaceOf | None = None) -> Iterator[None]:
        """Hold a permit to work. Raises ServerBusy at once if none is free or the wait would be too long.

        `pace` is that of the model that will work, if it is not the first one.
        """
        self._check_wait()
        wait_seconds = max(_BUSY_SECONDS, ceil((pace or self._pace)().seconds_per_window))
        with _permit(self.working, caller, f"working on {ADMITTED} requests", wait_seconds):
            self._others += [pace] if pace else []
            try:
                yield
            finally:
                if pace:
                    self._others.remove(pace)

    @contextmanager
    def admit_speaker(self, caller: str = "") -> Iterator[None]:
        """Hold a permit to synthesize a text. Raises ServerBusy at once if none is free."""
        with _permit(self.speaking, caller, f"speaking {SPEAKING} texts", _BUSY_SECONDS):
            yield

    @contextmanager
    def read(self, *, gives_way: bool = True) -> Iterator[TransferSlot]:
        """Hold a slot to read a body. Raises ServerBusy at once if none is free."""
        slot = self.reading.take(gives_way=gives_way)
        if slot is None:
            raise ServerBusy(
                f"The server is reading {READING} uploads, which is its maximum. Please retry shortly.",
                retry_after_seconds=_BUSY_SECONDS,
            )
        try:
            yield slot
        finally:
            self.reading.give_back(slot)

    def longest_seconds(self, limit_seconds: float) -> float:
        """The longest audio that the first model can transcribe within a limit, for one request alone."""
        return longest_seconds(limit_seconds, self._pace)

    def _check_wait(self) -> None:
        """Raise ServerBusy if a new request's first window would wait for too long.

        Schedulers serve requests in turn, and models take turns, so at most one window of each running
        request comes before it.
        """
        others = [pace().seconds_per_window for pace in list(self._others)]
        running = self.working.taken
        wait = (running - len(others)) * self._pace().seconds_per_window + sum(others)
        seconds = wait / max(1, running)
        if wait > self._max_wait_seconds:
            raise ServerBusy(
                f"This request would begin after about {wait:.0f} seconds: {running} requests are before it, "
                f"and a window of each takes {seconds:.1f} seconds at present. The longest wait on this "
                f"server is {self._max_wait_seconds:g} seconds (WHISPER_MAX_WAIT_SECONDS).",
                retry_after_seconds=ceil(wait - self._max_wait_seconds),
            )


def longest_seconds(limit_seconds: float, pace: PaceOf) -> float:
    """The longest audio that a model can transcribe within a limit if it serves one request alone."""
    seconds = pace().seconds_per_full_window
    return limit_seconds / seconds * _WINDOW_SECONDS if seconds else inf


@contextmanager
def _permit(permits: Permits, caller: str, doing: str, retry_after_seconds: int) -> Iterator[None]:
    if not permits.take(caller):
        raise ServerBusy(
            f"The server is {doing}, which is its maximum, or half of them for you while others wait. "
            "Please retry shortly.",
            retry_after_seconds=retry_after_seconds,
        )
    try:
        yield
    finally:
        permits.give_back(caller)
