from typing import Any

import pytest

from app.dialogue.request import MAX_RECORDINGS, chat_request, check_all_audio
from app.errors import InvalidParameter
from tests.unit.dialogue.conftest import audio, base64, fields, linked, text, user

PICTURE = linked("image_url", "data:image/png;base64,AAAA")


@pytest.mark.parametrize(
    "part",
    [
        audio("hi"),
        {"type": "input_audio", "input_audio": {"data": base64("hi"), "format": "mpeg"}},
        {"type": "input_audio", "input_audio": {"data": f"data:audio/wav;base64,{base64('hi')}"}},
        {"type": "input_audio", "input_audio": {"data": f"{base64('hi')[:2]}\n{base64('hi')[2:]}\n"}},
        linked("image_url", f"data:audio/mpeg;base64,{base64('hi')}"),
        linked("image_url", f"DATA:audio/mpeg;base64,{base64('hi')}"),
        linked("image_url", f"data:video/webm;codecs=opus;base64,{base64('hi')}"),
        linked("image_url", f"data:application/octet-stream;base64,{base64('hi')}"),
        linked("audio_url", f"data:audio/ogg;base64,{base64('hi')}"),
        linked("video_url", f"data:video/mp4;base64,{base64('hi')}"),
        {"type": "file", "file": {"file_data": f"data:audio/wav;base64,{base64('hi')}", "filename": "a"}},
        {"type": "file", "file": {"file_data": base64("hi")}},
    ],
)
def test_what_is_heard(part: dict[str, Any]) -> None:
    request = chat_request(fields(user(text("x"), part)))
    [recording] = request.recordings
    assert recording.file().read() == b"hi"
    assert recording.param == f"messages[0].content[1].{part['type']}"
    check_all_audio(request)


@pytest.mark.parametrize(
    "part",
    [
        PICTURE,
        linked("image_url", "data:IMAGE/png;base64,AAAA"),
        linked("image_url", ""),
        linked("image_url", "x.png"),
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
    ],
)
def test_what_can_be_neither_heard_nor_read(part: dict[str, Any]) -> None:
    alone = chat_request(fields(user(part)))
    assert alone.recordings == ()
    with pytest.raises(InvalidParameter, match="expected audio") as caught:
        check_all_audio(alone)
    assert caught.value.param == f"messages[0].content[0].{part['type']}"
    check_all_audio(chat_request(fields(user(part, audio("hi")))))


@pytest.mark.parametrize(
    "url", ["http://host/a.mp3", "https://host/a.mp3", "HTTPS://host", "file:///etc/passwd"]
)
@pytest.mark.parametrize("kind", ["image_url", "audio_url", "video_url"])
def test_nothing_is_fetched(kind: str, url: str) -> None:
    request = chat_request(fields(user(audio("hi")), user(text("x"), linked(kind, url))))
    with pytest.raises(InvalidParameter, match="fetches nothing") as caught:
        check_all_audio(request)
    assert caught.value.param == f"messages[1].content[1].{kind}"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("%%%", "not base64"),
        ("AAA", "not base64"),
        ("é", "not base64"),
        ("A=AA", "not base64"),
        ("data:audio/wav;base64,%%", "not base64"),
        ("data:audio/wav,abc", "';base64'"),
        ("data:,", "';base64'"),
    ],
)
def test_what_is_no_base64(sent: str, why: str) -> None:
    part = {"type": "input_audio", "input_audio": {"data": sent}}
    [recording] = chat_request(fields(user(part))).recordings
    with pytest.raises(InvalidParameter, match=why) as caught:
        recording.file()
    assert caught.value.param == "messages[0].content[0].input_audio"


def test_the_last_user_message_with_audio_counts() -> None:
    conversation = fields(
        user(audio("one")),
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
        user(audio("two"), audio("three")),
        {"role": "assistant", "content": [audio("never heard")]},
        user(text("And now?")),
    )
    request = chat_request(conversation)
    assert [part.file().read() for part in request.recordings] == [b"one", b"two", b"three"]
    assert [part.message for part in request.last_recordings] == [2, 2]


def test_what_is_written() -> None:
    request = chat_request(
        fields(
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": None},
            {"role": "assistant"},
            user(text("a"), PICTURE, text("b")),
            {"role": "tool", "content": "42", "tool_call_id": "x"},
        )
    )
    assert list(request.texts) == ["Be brief.", "", "", "a", "b", "42"]
    assert request.question == "a b"


def test_a_conversation_without_a_question() -> None:
    assert chat_request(fields({"role": "system", "content": "Be brief."})).question == ""


@pytest.mark.parametrize(("sent", "choices"), [({}, 1), ({"n": None}, 1), ({"n": 3}, 3), ({"n": 2.0}, 2)])
def test_how_often_it_is_answered(sent: dict[str, Any], choices: int) -> None:
    assert chat_request(fields(user(audio("hi")), **sent)).choices == choices


def test_not_too_many_recordings() -> None:
    most = [audio("hi")] * MAX_RECORDINGS
    assert len(chat_request(fields(user(*most))).recordings) == MAX_RECORDINGS
    with pytest.raises(InvalidParameter, match="at most 64 recordings, but got 65") as caught:
        chat_request(fields(user(*most), user(audio("hi"))))
    assert caught.value.param == "messages"
