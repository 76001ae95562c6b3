import pytest

from app.dialogue.converse import NOTE, Usage, converse
from app.dialogue.request import chat_request
from app.errors import InvalidParameter
from tests.unit.dialogue.conftest import ScriptedListener, audio, fields, linked, text, user


def reply(listener: ScriptedListener, *messages: dict[str, object]) -> tuple[list[str], Usage]:
    *deltas, last = converse(chat_request(fields(*messages)), listener)
    assert all(delta.usage is None for delta in deltas)
    assert last.usage is not None
    return [delta.text for delta in deltas], last.usage


def test_the_reply_is_what_was_said(listener: ScriptedListener) -> None:
    texts, usage = reply(listener, user(audio("one")), user(text("What?"), audio("two words")))
    assert texts == ["two", " words"]
    assert usage == Usage(audio_tokens=10, text_tokens=5, reply_tokens=2)
    assert listener.opened == ["two words"]


def test_several_recordings_are_a_line_each(listener: ScriptedListener) -> None:
    texts, usage = reply(listener, user(audio("a b"), audio(""), audio("c")))
    assert "".join(texts) == "a b\n\nc"
    assert usage == Usage(audio_tokens=30, text_tokens=0, reply_tokens=3)


def test_silence_is_an_answer(listener: ScriptedListener) -> None:
    assert reply(listener, user(audio(" "))) == ([], Usage(10, 0, 0))


@pytest.mark.parametrize("ping", ["ping", " Ping\n", "PING"])
def test_ping(listener: ScriptedListener, ping: str) -> None:
    expected = (["Pong"], Usage(0, len(ping), 4))
    assert reply(listener, {"role": "user", "content": ping}) == expected
    assert reply(listener, user(text(ping))) == expected


@pytest.mark.parametrize("content", ["ping?", "Hello.", ""])
def test_a_note_where_there_is_nothing_to_hear(listener: ScriptedListener, content: str) -> None:
    texts, usage = reply(listener, {"role": "user", "content": content})
    assert texts == [NOTE]
    assert usage == Usage(0, len(content), len(NOTE))


def test_what_can_not_be_heard_is_refused_at_once(listener: ScriptedListener) -> None:
    request = chat_request(fields(user(linked("image_url", "https://host/a.mp3"))))
    with pytest.raises(InvalidParameter):
        converse(request, listener)
