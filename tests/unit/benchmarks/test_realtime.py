"""What is counted of sessions, from events that a server might send."""

import pytest

from benchmarks.realtime import Client, Speech, Spoken, cells

TRANSCRIPTION = "conversation.item.input_audio_transcription"
SPEECH = Speech(bytes(48_000 * 6), "One two", [("One", 1.0), ("One two", 2.0)])


def client() -> Client:
    found = Client("http://127.0.0.1:1", [SPEECH], 1.0, seed=0)
    found.spoken = [Spoken(SPEECH, 10.0, committed=16.0), Spoken(SPEECH, 20.0, committed=26.0)]
    return found


def note(to: Client, item: str, kind: str, now: float, **values: str) -> None:
    to._note({"type": f"{TRANSCRIPTION}.{kind}", "item_id": item, **values}, now)


def test_events_belong_to_the_utterances_in_their_order() -> None:
    session = client()
    note(session, "a", "delta", 12.0, delta="One")
    session._note({"type": "input_audio_buffer.committed", "item_id": "b"}, 26.0)
    note(session, "a", "delta", 17.0, delta=" two")
    note(session, "a", "completed", 17.0, transcript="One two")
    note(session, "b", "completed", 27.0, transcript="One two")
    first, second = session.spoken
    assert first.sent == [(12.0, "One"), (17.0, "One two")]
    assert list(first.received()) == [(11.0, 12.0), (12.0, 17.0)]
    assert list(second.received()) == [(21.0, 27.0), (22.0, 27.0)]
    assert (first.joins, second.joins) == (True, False)


def test_the_columns() -> None:
    session = client()
    note(session, "a", "delta", 12.0, delta="One")
    note(session, "a", "completed", 17.0, transcript="Won two")
    assert list(cells(session.spoken)) == [
        "1 of 2 answered",
        "0 of 1",
        "1 of 2, 50%",
        "3.00 s, 5.00 s",
        "1.00 s, 1.00 s",
    ]
    assert list(cells([])) == ["0 of 0 answered", "0 of 0", "-", "-", "-"]


@pytest.mark.parametrize("kind", ["error", f"{TRANSCRIPTION}.failed"])
def test_a_session_that_fails_says_why(kind: str) -> None:
    with pytest.raises(RuntimeError, match="no room"):
        client()._note({"type": kind, "error": {"message": "no room"}}, 1.0)
