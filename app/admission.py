"""Who may come in: so many requests are worked on and so many bodies read, and nobody waits too long.

Gunicorn has THREADS. What is neither worked on nor read here takes one of the rest for a moment
only, so that there is always one for health, metrics and refusals.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, inf
from threading import Lock
from time import monotonic

from app.errors import ServerBusy

ADMITTED = 24
"""Requests that are worked on at a time, those that wait for the model included."""
SPEAKING = 8
"""Texts that are spoken at a time."""
READING = 32
"""Request bodies that are read at a time."""
DRAINING = 4
"""Refused bodies that are read and dropped at a time, so that their senders see why."""
SPARE = 8
"""Threads for everything that takes a moment."""
WRITING = ADMITTED + SPEAKING + SPARE // 2
"""Answers at a time that wait for their clients to take them."""
THREADS = ADMITTED + SPEAKING + READING + DRAINING + SPARE

SLOW_BYTES_PER_SECOND = 64 * 1024
"""A client under this pace must give way when all places are taken."""
FAIR_SHARE = ADMITTED // 2
"""Permits that one caller has at most while others ask."""
OTHERS_SECONDS = 60.0
"""How long a caller counts among those who ask after its last request."""

_PACE_SECONDS = 10.0
_MOST_MARKS = 12
_NEW_SECONDS = 1.0
"""A place as new as this is not taken away: nothing is known about its client."""
_BUSY_SECONDS = 5
_WINDOW_SECONDS = 30


class Place:
    """One of Places, for a client that sends or takes bytes; `lost` once another client got it.

    One that doesn't give way is kept however few bytes are counted.
    """

    def __init__(self, *, gives_way: bool = True) -> None:
        self.began = monotonic()
        self.gives_way = gives_way
        self.lost = False
        self._bytes = 0
        # At most one for each second: when it began, and how many bytes had been counted then.
        self._marks = deque([(self.began, 0)], maxlen=_MOST_MARKS)

    def count(self, size: int) -> None:
        """So many bytes came or went."""
        now = monotonic()
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, self._bytes))
        self._bytes += size

    def bytes_per_second(self) -> float:
        """The client's pace in the last ten seconds, whether or not anything was counted in them."""
        now = monotonic()
        while len(self._marks) > 1 and self._marks[0][0] <= now - _PACE_SECONDS:
            self._marks.popleft()
        marked, bytes_before = self._marks[0]
        if marked <= now - _PACE_SECONDS:
            return 0.0
        return (self._bytes - bytes_before) / max(_NEW_SECONDS, min(now - self.began, _PACE_SECONDS))


class Places:
    """So many clients at a time. When all places are taken a newcomer gets that of the slowest slow one.

    As long as places are free nobody loses one for being slow.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._taken: set[Place] = set()
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return len(self._taken)

    def take(self, *, gives_way: bool = True) -> Place | None:
        """A place, for which `give_back` must follow; None if there is none."""
        with self._lock:
            if len(self._taken) >= self.count and not self._take_away():
                return None
            place = Place(gives_way=gives_way)
            self._taken.add(place)
            return place

    def give_back(self, place: Place) -> None:
        """Leave a place, lost or not."""
        with self._lock:
            self._taken.discard(place)

    def _take_away(self) -> bool:
        """Free the place of the slowest client, the first of several. Called with the lock held."""
        newest = monotonic() - _NEW_SECONDS
        paces = [(place.bytes_per_second(), place.began, place) for place in self._taken if place.gives_way]
        slow = [pace for pace in paces if pace[0] < SLOW_BYTES_PER_SECOND and pace[1] <= newest]
        if not slow:
            return False
        *_, place = min(slow, key=lambda pace: pace[:2])
        place.lost = True
        self._taken.discard(place)
        return True


class Permits:
    """So many at a time, of which one caller has at most `share` while others ask."""

    def __init__(self, count: int, share: int) -> None:
        self.count = count
        self.taken = 0
        self._share = share
        self._lock = Lock()
        self._held = Counter[str]()
        self._last_caller: str | None = None
        self._last_asked = self._another_asked = -inf

    def take(self, caller: str) -> bool:
        """One more, if there is room and the caller hasn't its share; then `give_back` must follow."""
        with self._lock:
            others = self._others_ask(caller)
            if self.taken >= self.count or (others and self._held[caller] >= self._share):
                return False
            self.taken += 1
            self._held[caller] += 1
            return True

    def give_back(self, caller: str) -> None:
        """One less."""
        with self._lock:
            self.taken -= 1
            self._held[caller] -= 1
            self._held += Counter()  # forgets those that have none

    def _others_ask(self, caller: str) -> bool:
        """Whether anybody but this caller holds a permit, or has asked for one of late."""
        now = monotonic()
        if self._last_caller != caller:
            self._another_asked = self._last_asked
        self._last_caller, self._last_asked = caller, now
        return self._another_asked > now - OTHERS_SECONDS or self.taken > self._held[caller]


class Admission:
    """Permits to work and to speak, and places to read and to drop a body or to write an answer.

    `seconds_per_window` tells how fast the engine is at present, 0.0 for unknown.
    """

    def __init__(self, max_wait_seconds: float, seconds_per_window: Callable[[], float]) -> None:
        self.working = Permits(ADMITTED, FAIR_SHARE)
        self.speaking = Permits(SPEAKING, SPEAKING // 2)
        self.reading = Places(READING)
        self.draining = Places(DRAINING)
        self.writing = Places(WRITING)
        self._max_wait_seconds = max_wait_seconds
        self._seconds_per_window = seconds_per_window

    @contextmanager
    def admit(self, caller: str = "") -> Iterator[None]:
        """Hold a permit to work. Raises ServerBusy at once if there is none, or the wait is too long."""
        self._check_wait()
        wait_seconds = max(_BUSY_SECONDS, ceil(self._seconds_per_window()))
        with _held(self.working, caller, f"working on {ADMITTED} requests", wait_seconds):
            yield

    @contextmanager
    def admit_speaker(self, caller: str = "") -> Iterator[None]:
        """Hold a permit to speak a text. Raises ServerBusy at once if there is none."""
        with _held(self.speaking, caller, f"speaking {SPEAKING} texts", _BUSY_SECONDS):
            yield

    @contextmanager
    def read(self, *, gives_way: bool = True) -> Iterator[Place]:
        """Hold a place to read a body. Raises ServerBusy at once when there is none."""
        place = self.reading.take(gives_way=gives_way)
        if place is None:
            raise ServerBusy(
                f"The server is reading {READING} uploads, which is its maximum. Please retry shortly.",
                retry_after_seconds=_BUSY_SECONDS,
            )
        try:
            yield place
        finally:
            self.reading.give_back(place)

    def longest_seconds(self, limit_seconds: float) -> float:
        """The longest audio that this engine can transcribe within a limit, if it has nothing else to do."""
        pace = self._seconds_per_window()
        return limit_seconds / pace * _WINDOW_SECONDS if pace else float("inf")

    def _check_wait(self) -> None:
        """The scheduler takes turns: each running request has at most one window before this one's first."""
        ahead, pace = self.working.taken, self._seconds_per_window()
        wait = ahead * pace
        if wait > self._max_wait_seconds:
            raise ServerBusy(
                f"This request would begin after about {wait:.0f} seconds: {ahead} requests are before it, "
                f"and 30 seconds of audio take {pace:.1f} seconds at present. The longest wait on this "
                f"server is {self._max_wait_seconds:g} seconds (WHISPER_MAX_WAIT_SECONDS).",
                retry_after_seconds=ceil(wait - self._max_wait_seconds),
            )


@contextmanager
def _held(permits: Permits, caller: str, doing: str, retry_after_seconds: int) -> Iterator[None]:
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
