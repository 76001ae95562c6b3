"""Keys for realtime sessions alone."""

import zlib
from base64 import urlsafe_b64decode
from hashlib import sha256

import pytest

from app.errors import IncorrectKey
from app.realtime.client_secrets import ClientSecret, ClientSecrets

CALLER = sha256(b"sk-key").hexdigest()
SECRET = ClientSecret(1_000, CALLER, {"type": "transcription"})


def at(seconds: float) -> ClientSecrets:
    return ClientSecrets(b"key", lambda: seconds)


def test_a_secret_is_read_by_all_who_have_the_key() -> None:
    assert at(999).read(at(0).create(SECRET)) == SECRET


def test_it_fits_into_a_subprotocol() -> None:
    letters = set(at(0).create(SECRET))
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in letters)


@pytest.mark.parametrize("now", [1_000, 2_000])
def test_it_expires(now: float) -> None:
    with pytest.raises(IncorrectKey):
        at(now).read(at(0).create(SECRET))


def test_every_changed_letter_is_noticed() -> None:
    value = at(0).create(SECRET)
    for place in range(3, len(value)):
        other = "A" if value[place] != "A" else "B"
        changed = f"{value[:place]}{other}{value[place + 1 :]}"
        if place == len(value) - 1:
            continue  # some of its bits are no bytes
        with pytest.raises(IncorrectKey):
            at(0).read(changed)


@pytest.mark.parametrize("value", ["ek_", "ek_x", "ek_ü", "ek_" + "A" * 100, "sk-key"])
def test_what_is_no_secret(value: str) -> None:
    with pytest.raises(IncorrectKey):
        at(0).read(value)


def test_nobody_else_reads_the_digest_of_the_api_key() -> None:
    values = [at(0).create(SECRET).removeprefix("ek_") for _ in range(2)]
    read = [urlsafe_b64decode(value + "=" * (-len(value) % 4)) for value in values]
    assert b"transcription" in zlib.decompress(read[0][48:]), "this is where the rest is read"
    callers = [zlib.decompress(content[48:]).split(b'"')[1] for content in read]
    assert len(set(callers)) == 2
    assert CALLER.encode() not in b"".join(callers)
    assert CALLER.encode().hex().encode() not in callers


def test_a_secret_without_a_key_has_no_caller() -> None:
    keyless = ClientSecret(1_000, "", {"type": "transcription"})
    assert at(0).read(at(0).create(keyless)) == keyless


def test_instances_with_one_secret_have_one_key() -> None:
    first, second, other = (ClientSecrets.of(secret * 32) for secret in "aab")
    assert first.key == second.key != other.key
    assert first.key != b"a" * 32
    assert ClientSecrets.of("").key != ClientSecrets.of("").key


def test_another_server_has_another_key() -> None:
    assert ClientSecrets().key != ClientSecrets().key
    assert "key" not in repr(ClientSecrets())
