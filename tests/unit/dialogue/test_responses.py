"""Requests of the Responses API: what there is to hear, and the same with text in its place."""

from typing import Any

import pytest

from app.dialogue.responses import recordings_of, written
from app.errors import InvalidParameter
from tests.unit.dialogue.conftest import audio, base64

TEXT = {"type": "input_text", "text": "What is it about?"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def message(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts), **more}


def file(data: str) -> dict[str, Any]:
    return {"type": "input_file", "filename": "talk.wav", "file_data": data}


def said(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"input": None},
        {"input": "Hello."},
        {"input": []},
        {"input": [message(TEXT, PICTURE), {"role": "user", "content": "Hi."}]},
        {"input": [{"type": "function_call_output", "call_id": "a", "output": "b"}]},
        {
            "input": [
                message(file("data:application/pdf;base64,AAAA"), {"type": "input_file", "file_id": "f"})
            ]
        },
    ],
)
def test_what_has_no_recording_stays_as_it_is(sent: dict[str, Any]) -> None:
    assert recordings_of(sent) == ()
    assert written(sent, (), ()) == sent


def test_recordings_become_text_and_all_else_stays() -> None:
    sent = {
        "model": "gpt-5",
        "input": [
            {"role": "system", "content": "Be brief."},
            message(TEXT, audio("a"), PICTURE, id="item_1"),
            {"type": "item_reference", "id": "item_0"},
            audio("b"),
            message(file(f"data:audio/wav;base64,{base64('c')}")),
        ],
        "unheard_of": [1],
    }
    recordings = recordings_of(sent)
    assert [part.file().read() for part in recordings] == [b"a", b"b", b"c"]
    assert [part.param for part in recordings] == [
        "input[1].content[1].input_audio",
        "input[3].input_audio",
        "input[4].content[0].file_data",
    ]
    before = repr(sent)
    assert written(sent, recordings, ["A.", "", "C."]) == {
        "model": "gpt-5",
        "input": [
            {"role": "system", "content": "Be brief."},
            message(TEXT, said("A."), PICTURE, id="item_1"),
            {"type": "item_reference", "id": "item_0"},
            {"type": "message", "role": "user", "content": [said("")]},
            message(said("C.")),
        ],
        "unheard_of": [1],
    }
    assert repr(sent) == before


def test_at_most_64() -> None:
    assert len(recordings_of({"input": [audio("a")] * 64})) == 64
    with pytest.raises(InvalidParameter, match="at most 64 recordings, but got 65") as caught:
        recordings_of({"input": [audio("a")] * 65})
    assert caught.value.param == "input"


def test_what_is_no_base64_is_refused_by_its_place() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "&&&"}}
    [recording] = recordings_of({"input": [message(part)]})
    with pytest.raises(InvalidParameter) as caught:
        recording.file()
    assert caught.value.param == "input[0].content[0].input_audio"
