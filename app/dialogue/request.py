"""A checked chat request -> its recordings and its texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from app.base64_data import decode_base64
from app.errors import InvalidParameter

Message = Mapping[str, Any]

MAX_RECORDINGS = 64
"""In one request: otherwise thousands of tiny files could be sent at once."""

_SOURCES = {
    "input_audio": "data",
    "image_url": "url",
    "audio_url": "url",
    "video_url": "url",
    "file": "file_data",
}
"""A part's type, which is also its key -> the field of the recording."""
_NOT_AUDIO = ("image/", "text/", "application/pdf", "application/json")
_REMOTE = ("http:", "https:", "ftp:", "file:")


@dataclass(frozen=True)
class AudioPart:
    """A recording in a message. `data` is its base64, or a data URL of any type.

    `param` is how error messages name it: `messages[1].content[0].input_audio`.
    """

    message: int
    part: int
    kind: str
    data: str

    @property
    def param(self) -> str:
        """The part as a path into the request."""
        return _param(self.message, self.part, self.kind)

    def file(self) -> BinaryIO:
        """The recording's bytes. Raises InvalidParameter if they are not base64."""
        comma = self.data.find(",")
        if comma >= 0 and not self.data[:comma].endswith(";base64"):
            raise self._refused("the data URL must end its header with ';base64'")
        try:
            return BytesIO(decode_base64(self.data[comma + 1 :]))
        except ValueError:
            raise self._refused("what was sent is not base64") from None

    def _refused(self, why: str) -> InvalidParameter:
        return InvalidParameter(f"Invalid '{self.param}': {why}.", param=self.param)


@dataclass(frozen=True)
class ChatRequest:
    """A conversation, the recordings of all user messages in order, and how many equal `choices` it gets."""

    model: str
    messages: Sequence[Message]
    recordings: tuple[AudioPart, ...]
    choices: int = 1

    @property
    def last_recordings(self) -> tuple[AudioPart, ...]:
        """The recordings of the last user message that has any."""
        last = self.recordings[-1].message if self.recordings else None
        return tuple(part for part in self.recordings if part.message == last)

    @property
    def texts(self) -> Iterator[str]:
        """All texts in the conversation."""
        return (text for message in self.messages for text in _texts(message))

    @property
    def question(self) -> str:
        """The text of the last user message."""
        messages = [message for message in self.messages if message["role"] == "user"]
        return " ".join(_texts(messages[-1])) if messages else ""


def chat_request(fields: Mapping[str, Any]) -> ChatRequest:
    """The request behind a body that the schema has checked. Raises InvalidParameter."""
    messages = fields["messages"]
    recordings = tuple(_recordings(messages))
    if len(recordings) > MAX_RECORDINGS:
        raise InvalidParameter(
            f"Invalid 'messages': expected at most {MAX_RECORDINGS} recordings, but got {len(recordings)}.",
            param="messages",
        )
    return ChatRequest(
        model=fields["model"],
        messages=messages,
        recordings=recordings,
        choices=int(fields.get("n") or 1),
    )


def check_all_audio(request: ChatRequest) -> None:
    """Raise InvalidParameter for remote files, and for a conversation with only pictures or documents.

    Beside a recording, pictures and documents are ignored: the reply is the transcript.
    """
    for param, kind, data in _others(request.messages):
        if data.lower().startswith(_REMOTE):
            raise InvalidParameter(
                f"Invalid '{param}': this server fetches nothing. Send the audio itself, as a data URL "
                "or as 'input_audio'.",
                param=param,
            )
        if not request.recordings:
            raise InvalidParameter(f"Invalid '{param}': expected audio, but got other {kind}.", param=param)


def _parts(messages: Sequence[Message]) -> Iterator[tuple[int, int, str, str]]:
    """The attachments of user messages: number of the message, number of the part, kind, and data."""
    for number, message in enumerate(messages):
        if message["role"] != "user" or isinstance(message["content"], str):
            continue
        for index, part in enumerate(message["content"]):
            kind = part["type"]
            if kind in _SOURCES:
                yield number, index, kind, part[kind].get(_SOURCES[kind]) or ""


def _recordings(messages: Sequence[Message]) -> Iterator[AudioPart]:
    for message, part, kind, data in _parts(messages):
        if _may_be_audio(kind, data):
            yield AudioPart(message, part, kind, data)


def _others(messages: Sequence[Message]) -> Iterator[tuple[str, str, str]]:
    for message, part, kind, data in _parts(messages):
        if not _may_be_audio(kind, data):
            yield _param(message, part, kind), kind, data


def _may_be_audio(kind: str, data: str) -> bool:
    """Whether a part is `input_audio`, a file's base64, or a data URL that is no picture or document."""
    if data[:5].lower() == "data:":
        return not data[5:].lower().startswith(_NOT_AUDIO)
    return kind == "input_audio" or (kind == "file" and data != "" and ":" not in data[:8])


def _texts(message: Message) -> Iterator[str]:
    content = message.get("content") or ""
    if isinstance(content, str):
        yield content
        return
    yield from (part["text"] for part in content if part["type"] == "text")


def _param(message: int, part: int, kind: str) -> str:
    return f"messages[{message}].content[{part}].{kind}"
