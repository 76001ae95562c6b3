"""docs/realtime.md says what is so."""

import re

import pytest

from app.realtime import connection, message_room, session, sessions
from app.realtime.audio_checks import LEAST_MS, MOST_AUDIO_BYTES, MOST_BUFFERED_MS
from app.realtime.configuration import LIVE_MODELS, LOGPROBS
from app.realtime.formats import FORMATS
from app.realtime.input_audio import LONGEST_TURN_MS
from app.realtime.protocol import MAX_MESSAGE_BYTES
from app.realtime.turn_detection import PAUSES
from tests.readme import REALTIME, table

MIB = 1024 * 1024
LIMITS = {row[0]: row for row in table("", REALTIME.split("## Limits")[1].replace("| | |", "|  | |", 1))}


def test_events() -> None:
    assert [row[0].strip("`") for row in table("from the client", REALTIME)] == list(session.CLIENT_EVENTS)


@pytest.mark.parametrize("name", [*FORMATS, *LIVE_MODELS, LOGPROBS])
def test_names(name: str) -> None:
    assert name in REALTIME


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("a message", f"{MAX_MESSAGE_BYTES // MIB} MiB and {MAX_MESSAGE_BYTES % MIB // 1024} KiB"),
        ("long messages", f"{message_room.MOST_BYTES // MIB} MiB"),
        ("audio that isn't committed", f"{MOST_BUFFERED_MS // 1000} s"),
        ("audio of all sessions", f"{sessions.MOST_HELD_SECONDS} s"),
        ("utterances of a session", f"{session.MOST_WAITING}, or {session.MOST_WAITING_SECONDS} s of audio"),
    ],
)
def test_limits(what: str, limit: str) -> None:
    [row] = [row for name, row in LIMITS.items() if name.startswith(what)]
    assert row[1] == limit


def test_numbers_in_the_text() -> None:
    text = re.sub(r"\s+", " ", REALTIME)
    assert f"at most {MOST_AUDIO_BYTES // MIB} MiB of it" in text
    assert f"At least {LEAST_MS} ms of audio" in text
    assert f"ended after {LONGEST_TURN_MS // 1000} seconds" in text
    assert f"within {sessions.STOP_SECONDS:g} seconds" in text
    assert f"a ping after {connection.PING_SECONDS:g} seconds" in text
    assert f"ends within {session.CANCEL_SECONDS:g} seconds" in text
    assert f"(over {message_room.SHORT_BYTES // MIB} MiB)" in text


def test_pauses() -> None:
    medium, high, low = (
        f"{PAUSES[name].after_sentence / 1000:g}{{}}{PAUSES[name].otherwise / 1000:g}"
        for name in ("medium", "high", "low")
    )
    text = re.sub(r"\s+", " ", REALTIME)
    after, otherwise = medium.split("{}")
    assert f"{after} s are enough" in text
    assert f"has {otherwise} s to go on" in text
    assert high.format(" and ") in text
    assert low.format(" and ") in text
    assert PAUSES["auto"] == PAUSES["medium"]
