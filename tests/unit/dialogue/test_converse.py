import pytest

from app.dialogue.converse import NOTE, Usage, converse
from app.dialogue.request import chat_request
from app.errors import InvalidParameter
from tests.unit.dialogue.conftest import ScriptedTranscriber, audio, fields, linked, text, user


def reply(transcriber: ScriptedTranscriber, *messages: dict[str, object]) -> tuple[list[str], Usage]:
    *deltas, last = converse(chat_request(fields(*messages)), transcriber)
    assert all(delta.usage is None for delta in deltas)
    assert last.usage is not None
    return [delta.text for delta in deltas], last.usage


def test_the_reply_is_what_was_said(transcriber: ScriptedTranscriber) -> None:
    texts, usage = reply(transcriber, user(audio("one")), user(text("What?"), audio("two words")))
    assert texts == ["two", " words"]
    assert usage == Usage(audio_tokens=10, text_tokens=5, reply_tokens=2)
    assert transcriber.opened == ["two words"]


def test_several_recordings_are_a_line_each(transcriber: ScriptedTranscriber) -> None:
    texts, usage = reply(transcriber, user(audio("a b"), audio(""), audio("c")))
    assert "".join(texts) == "a b\n\nc"
    assert usage == Usage(audio_tokens=30, text_tokens=0, reply_tokens=3)


def test_silence_is_an_answer(transcriber: ScriptedTranscriber) -> None:
    assert reply(transcriber, user(audio(" "))) == ([], Usage(10, 0, 0))


@pytest.mark.parametrize("ping", ["ping", " Ping\n", "PING"])
def test_ping(transcriber: ScriptedTranscriber, ping: str) -> None:
    expected = (["Pong"], Usage(0, len(ping), 4))
    assert reply(transcriber, {"role": "user", "content": ping}) == expected
    assert reply(transcriber, user(text(ping))) == expected


@pytest.mark.parametrize("content", ["ping?", "Hello.", ""])
def test_a_note_where_there_is_nothing_to_hear(transcriber: ScriptedTranscriber, content: str) -> None:
    texts, usage = reply(transcriber, {"role": "user", "content": content})
    assert texts == [NOTE]
    assert usage == Usage(0, len(content), len(NOTE))


def test_what_can_not_be_heard_is_refused_at_once(transcriber: ScriptedTranscriber) -> None:
    request = chat_request(fields(user(linked("image_url", "https://host/a.mp3"))))
    with pytest.raises(InvalidParameter):
        converse(request, transcriber)
