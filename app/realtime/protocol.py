"""The WebSocket protocol of a session: a message that is too long is skipped, and the connection goes on."""

from collections.abc import Generator, Sequence
from dataclasses import replace

from websockets.exceptions import ProtocolError
from websockets.frames import CTRL_OPCODES, Frame
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import Subprotocol

SUBPROTOCOL = "realtime"
MAX_MESSAGE_BYTES = 20 * 1024 * 1024 + 64 * 1024
"""15 MiB of audio in base64, and the event around it."""


class TooLong(bytes):
    """The data of a frame that was skipped: none."""


class RealtimeProtocol(ServerProtocol):
    """A server's side of a WebSocket, without compression: a few bytes can't become megabytes.

    The data of a frame that is longer than MAX_MESSAGE_BYTES is a TooLong.
    """

    reader: "SkippingReader"

    def __init__(self) -> None:
        super().__init__(subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None)
        self.reader = SkippingReader()
        self.parser = self.parse()  # the one that there is has begun to read elsewhere
        next(self.parser)

    @property
    def buffered_bytes(self) -> int:
        """How much of a frame that isn't complete is held."""
        return len(self.reader.buffer)

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """`realtime` if it is offered, and none for other clients."""
        return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in subprotocols else None

    def recv_frame(self, frame: Frame) -> None:
        """Called by the parser with each frame."""
        if self.reader.skipped:
            self.reader.skipped = False
            if frame.opcode in CTRL_OPCODES:
                raise ProtocolError("control frame too long")
            frame = replace(frame, data=TooLong())
        super().recv_frame(frame)


class SkippingReader(StreamReader):
    """A stream of bytes. `skipped`: the last bytes that were to be read are more than a message may have."""

    skipped = False

    def read_exact(self, n: int) -> Generator[None, None, bytes]:
        """The next `n` bytes, or none if those are too many: then they are dropped as they come."""
        if n <= MAX_MESSAGE_BYTES:
            return (yield from super().read_exact(n))
        self.skipped = True
        while len(self.buffer) < n:
            n -= len(self.buffer)
            self.buffer.clear()
            if self.eof:
                raise EOFError("the stream ends within a frame")
            yield
        del self.buffer[:n]
        return b""
