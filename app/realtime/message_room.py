"""Limits what all sessions of a worker hold of long messages: a session alone may send one of 20 MiB."""

from threading import Lock

SHORT_BYTES = 1024 * 1024
"""Messages up to this length need no room: 20 seconds of audio."""
MOST_BYTES = 160 * 1024 * 1024


class MessageRoom:
    """Counts bytes of long messages that were received and not handled yet."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.taken_bytes = 0
        self._lock = Lock()

    def place(self) -> "MessagePlace":
        """A connection's part of it, empty at first."""
        return MessagePlace(self)

    def resize(self, place: "MessagePlace", size: int) -> bool:
        """Whether a place may have so many bytes; if so, it has them now."""
        with self._lock:
            taken = self.taken_bytes - place.size + size
            if size > place.size and taken > self.most_bytes:
                return False
            self.taken_bytes, place.size = taken, size
            return True


class MessagePlace:
    """What one connection holds."""

    def __init__(self, room: MessageRoom) -> None:
        self.size = 0
        self._room = room

    def resize(self, size: int) -> bool:
        """Hold so many bytes of messages in all. False, and no change, if there is no room."""
        return self._room.resize(self, size if size > SHORT_BYTES else 0)
