"""Keys for realtime sessions alone, which expire: for browsers, which should not have an API key."""

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest, digest
from secrets import token_bytes
from time import time
from typing import Any

from app.errors import IncorrectKey, InvalidParameter

PREFIX = "ek_"
LONGEST = 6_000
"""Characters; servers and proxies take headers of about 8000."""

_SIGNATURE_BYTES = 32
_NONCE_BYTES = 16
_KEY_LABEL = b"client secrets of realtime sessions"
_CALLER_LABEL = b"caller"


@dataclass(frozen=True)
class ClientSecret:
    """What a secret stands for: `session` as its creator sent it, and `caller`, a digest of their API key,
    at most 64 ASCII characters long.
    """

    expires_at: int
    caller: str
    session: dict[str, Any]


@dataclass(frozen=True)
class ClientSecrets:
    """Makes secrets that hold what they stand for, signed with `key`: nothing is stored.

    Whoever has a secret can read its session, but not its caller: from a digest short API keys can be
    guessed. A key that is drawn is drawn before the workers are forked, so that all of them know it, and lost
    with the master.
    """

    key: bytes = field(default_factory=lambda: token_bytes(_SIGNATURE_BYTES), repr=False)
    now: Callable[[], float] = time

    @classmethod
    def of(cls, secret: str) -> "ClientSecrets":
        """Those of all instances that have the same `secret`; if it is empty, of this one alone."""
        return cls(digest(secret.encode(), _KEY_LABEL, "sha256")) if secret else cls()

    def create(self, secret: ClientSecret) -> str:
        """The secret as a text. Raises InvalidParameter if the session is too long."""
        nonce = token_bytes(_NONCE_BYTES)
        caller = self._hidden(nonce, secret.caller.encode()).hex()
        content = nonce + zlib.compress(json.dumps([secret.expires_at, caller, secret.session]).encode())
        value = PREFIX + _text(self._signature(content) + content)
        if len(value) > LONGEST:
            raise InvalidParameter(
                f"Invalid 'session': a client secret carries its session, and {len(value)} characters are "
                f"more than the {LONGEST} that fit into a header. Send a long prompt or many keywords with "
                "session.update instead.",
                param="session",
            )
        return value

    def read(self, value: str) -> ClientSecret:
        """What a secret stands for. Raises IncorrectKey if it has expired or is none of this server's."""
        secret = self._decoded(self._content(value))
        if secret is None or secret.expires_at <= self.now():
            raise IncorrectKey(
                "The client secret has expired, or this server did not create it. Create another one with "
                "POST /v1/realtime/client_secrets."
            )
        return secret

    def _decoded(self, content: bytes) -> ClientSecret | None:
        if not content:
            return None
        nonce, packed = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        expires_at, caller, session = json.loads(zlib.decompress(packed))
        return ClientSecret(expires_at, self._hidden(nonce, bytes.fromhex(caller)).decode(), session)

    def _hidden(self, nonce: bytes, caller: bytes) -> bytes:
        """A caller that only those who have the key can read, or back again."""
        mask = digest(self.key, _CALLER_LABEL + nonce, "sha512")
        return bytes(letter ^ mask[place] for place, letter in enumerate(caller))

    def _content(self, value: str) -> bytes:
        """What is signed; empty if the signature is wrong."""
        try:
            signed = _bytes(value.removeprefix(PREFIX))
        except ValueError:
            return b""
        signature, content = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        return content if compare_digest(signature, self._signature(content)) else b""

    def _signature(self, content: bytes) -> bytes:
        return digest(self.key, content, "sha256")


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
