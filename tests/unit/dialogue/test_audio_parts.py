from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from threading import Barrier
from typing import Any, BinaryIO

import pytest

from app.dialogue.audio_parts import ConversationTranscriber, texts_of_audio_parts, transcribe_audio_parts
from app.dialogue.request import AudioPart, chat_request
from app.errors import AudioTooLong, ClientGone, EngineFailure, UndecodableAudio
from app.request_context import RequestContext
from app.runtime import Runtime
from app.settings import Settings
from app.transcript import TokenUsage, TranscriptDelta
from app.transcription.transcriber import Deltas
from tests.functional.recordings import silence
from tests.scripted_engine import ScriptedEngine, result, spell, ts
from tests.unit.dialogue.conftest import ScriptedTranscriber, audio, base64, fields, user

PATIENCE_SECONDS = 30


def parts(*said: str) -> tuple[AudioPart, ...]:
    return chat_request(fields(user(*map(audio, said)))).recordings


def test_a_line_for_each(transcriber: ScriptedTranscriber) -> None:
    deltas = list(transcribe_audio_parts(parts("a b", "", "c"), transcriber))
    assert "".join(delta.text for delta in deltas) == "a b\n\nc"
    assert [delta.usage for delta in deltas if delta.usage] == [
        TokenUsage(10, 0, words) for words in (2, 0, 1)
    ]


def test_transcripts_of_all(transcriber: ScriptedTranscriber) -> None:
    assert texts_of_audio_parts(parts("a b", "", "c"), transcriber) == (["a b", "", "c"], 30)
    assert texts_of_audio_parts((), transcriber) == ([], 0)


def test_an_undecodable_one_is_named(transcriber: ScriptedTranscriber) -> None:
    with pytest.raises(UndecodableAudio) as caught:
        list(transcribe_audio_parts(parts("a", "noise"), transcriber))
    assert caught.value.param == "messages[0].content[1].input_audio"


class Meeting(ScriptedTranscriber):
    """Nobody goes on before all have begun."""

    def __init__(self, size: int) -> None:
        super().__init__(threads=size)
        self.barrier = Barrier(size, timeout=PATIENCE_SECONDS)

    def stream(self, file: BinaryIO) -> Deltas:
        return self._met(super().stream(file))

    def _met(self, deltas: Deltas) -> Deltas:
        self.barrier.wait()
        yield from deltas


def test_side_by_side() -> None:
    meeting = Meeting(3)
    assert "".join(delta.text for delta in transcribe_audio_parts(parts("a", "b", "c"), meeting)) == "a\nb\nc"
    meeting.side_by_side.close()


class Failing(ScriptedTranscriber):
    def stream(self, file: BinaryIO) -> Deltas:
        return self._failing(file.read().decode())

    def _failing(self, said: str) -> Deltas:
        yield TranscriptDelta("en", said)
        raise EngineFailure("broken")


@pytest.mark.parametrize("said", [["a"], ["a", "b"]])
def test_what_fails_below_comes_through(said: list[str]) -> None:
    with pytest.raises(EngineFailure, match="broken"):
        list(transcribe_audio_parts(parts(*said), Failing()))


def heard(_window: Any, _options: Any) -> Any:
    return result(ts(0), *spell(" Hello."), ts(30))


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(heard)


@pytest.fixture
def runtime(engine: ScriptedEngine) -> Runtime:
    return Runtime(Settings(speech_floor=0, max_audio_seconds=70), engine)


def conversation(
    runtime: Runtime, client_gone: Callable[[], bool] = lambda: False
) -> ConversationTranscriber:
    context = RequestContext.of(PATIENCE_SECONDS, client_gone)
    return ConversationTranscriber(runtime.transcriber, context, 70, runtime.count_tokens)


def test_counts_tokens(runtime: Runtime) -> None:
    assert conversation(runtime).count_tokens("four") == 4


def test_a_file_is_read_at_once_and_transcribed_later(runtime: Runtime, engine: ScriptedEngine) -> None:
    deltas = conversation(runtime).stream(BytesIO(silence(2.0)))
    assert engine.decoded == []
    assert "".join(delta.text for delta in deltas) == "Hello."


def test_all_recordings_together_are_limited(runtime: Runtime) -> None:
    transcriber = conversation(runtime)
    opened = [transcriber.stream(BytesIO(silence(seconds))) for seconds in (60, 10)]
    with pytest.raises(AudioTooLong, match="WHISPER_MAX_AUDIO_SECONDS"):
        transcriber.stream(BytesIO(silence(0.2)))
    held_audio = runtime.transcriber.reader.held_audio
    assert held_audio.samples == 70 * 16_000
    for deltas in opened:
        deltas.close()
    assert held_audio.samples == 0


def test_cancelling_ends_the_work(runtime: Runtime, engine: ScriptedEngine) -> None:
    transcriber = conversation(runtime)
    deltas = transcriber.stream(BytesIO(silence(60)))
    next(deltas)
    transcriber.context.cancel()
    with pytest.raises(ClientGone):
        list(deltas)
    assert len(engine.decoded) == 1
    assert engine.recordings[0].closed


def test_a_client_that_left_is_not_worked_for(runtime: Runtime, engine: ScriptedEngine) -> None:
    left: list[bool] = []
    transcriber = conversation(runtime, lambda: bool(left))
    deltas = transcriber.stream(BytesIO(silence(60)))
    next(deltas)
    left.append(True)
    with pytest.raises(ClientGone):
        list(deltas)
    with pytest.raises(ClientGone):
        transcriber.stream(BytesIO(b""))
    assert len(engine.decoded) == 1


def sounds(*seconds: float) -> tuple[AudioPart, ...]:
    encoded = (b64encode(silence(length)).decode() for length in seconds)
    return tuple(AudioPart(0, number, "input_audio", data) for number, data in enumerate(encoded))


@pytest.mark.parametrize("leave_after", [1, 2, 3], ids=["in the first", "between them", "in the second"])
def test_a_conversation_that_comes_back_goes_on_where_it_was(
    runtime: Runtime, engine: ScriptedEngine, leave_after: int
) -> None:
    """Two recordings of two windows each. The first one's are known until the second is done, too."""
    recordings = sounds(35, 33)
    with pytest.raises(ClientGone):
        texts_of_audio_parts(recordings, conversation(runtime, lambda: len(engine.decoded) >= leave_after))
    assert len(engine.decoded) == leave_after
    texts, _ = texts_of_audio_parts(recordings, conversation(runtime))
    assert texts == ["Hello. Hello."] * 2
    assert len(engine.decoded) == 4
    assert len(runtime.transcriber.resume_store) == 0
    runtime.close()


def test_an_unreadable_recording_leaves_nothing_held(runtime: Runtime, engine: ScriptedEngine) -> None:
    recordings = (*sounds(5), AudioPart(0, 1, "input_audio", base64("noise" * 99)))
    with pytest.raises(UndecodableAudio) as caught:
        list(transcribe_audio_parts(recordings, conversation(runtime)))
    assert caught.value.param == "messages[0].content[1].input_audio"
    assert engine.recordings == []
    assert runtime.transcriber.reader.held_audio.samples == 0
    assert len(runtime.transcriber.resume_store) == 0
