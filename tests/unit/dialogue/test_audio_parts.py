from collections.abc import Iterator
from threading import Barrier
from typing import BinaryIO

import pytest

from app.dialogue.heard import hear_all, transcripts
from app.dialogue.request import AudioPart, chat_request
from app.errors import EngineFailure, UndecodableAudio
from app.transcript import TokenUsage, TranscriptDelta
from tests.unit.dialogue.conftest import ScriptedListener, audio, fields, user

PATIENCE_SECONDS = 30


def parts(*said: str) -> tuple[AudioPart, ...]:
    return chat_request(fields(user(*map(audio, said)))).recordings


def test_a_line_for_each(listener: ScriptedListener) -> None:
    deltas = list(hear_all(parts("a b", "", "c"), listener))
    assert "".join(delta.text for delta in deltas) == "a b\n\nc"
    assert [delta.usage for delta in deltas if delta.usage] == [
        TokenUsage(10, 0, words) for words in (2, 0, 1)
    ]


def test_transcripts_of_all(listener: ScriptedListener) -> None:
    assert transcripts(parts("a b", "", "c"), listener) == (["a b", "", "c"], 30)
    assert transcripts((), listener) == ([], 0)


def test_an_undecodable_one_is_named(listener: ScriptedListener) -> None:
    with pytest.raises(UndecodableAudio) as caught:
        list(hear_all(parts("a", "noise"), listener))
    assert caught.value.param == "messages[0].content[1].input_audio"


class Meeting(ScriptedListener):
    """Nobody goes on before all have begun."""

    def __init__(self, size: int) -> None:
        super().__init__(threads=size)
        self.barrier = Barrier(size, timeout=PATIENCE_SECONDS)

    def hear(self, file: BinaryIO) -> Iterator[TranscriptDelta]:
        return self._met(super().hear(file))

    def _met(self, deltas: Iterator[TranscriptDelta]) -> Iterator[TranscriptDelta]:
        self.barrier.wait()
        yield from deltas


def test_side_by_side() -> None:
    meeting = Meeting(3)
    assert "".join(delta.text for delta in hear_all(parts("a", "b", "c"), meeting)) == "a\nb\nc"
    meeting.side_by_side.close()


class Failing(ScriptedListener):
    def hear(self, file: BinaryIO) -> Iterator[TranscriptDelta]:
        return self._failing(file.read().decode())

    def _failing(self, said: str) -> Iterator[TranscriptDelta]:
        yield TranscriptDelta("en", said)
        raise EngineFailure("broken")


@pytest.mark.parametrize("said", [["a"], ["a", "b"]])
def test_what_fails_below_comes_through(said: list[str]) -> None:
    with pytest.raises(EngineFailure, match="broken"):
        list(hear_all(parts(*said), Failing()))
