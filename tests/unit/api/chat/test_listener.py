from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from app.api.chat.listener import RuntimeListener
from app.errors import AudioTooLong, ClientGone
from app.runtime import Runtime
from app.settings import Settings
from tests.functional.recordings import silence
from tests.scripted_engine import ScriptedEngine, result, spell, ts


def heard(_window: Any, _options: Any) -> Any:
    return result(ts(0), *spell(" Hello."), ts(30))


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(heard)


def listener(engine: ScriptedEngine, client_gone: Callable[[], bool] = lambda: False) -> RuntimeListener:
    return RuntimeListener(Runtime(Settings(speech_floor=0, max_audio_seconds=70), engine), client_gone)


def test_counts_tokens(engine: ScriptedEngine) -> None:
    assert listener(engine).count_tokens("four") == 4


def test_a_file_is_decoded_at_once_and_transcribed_later(engine: ScriptedEngine) -> None:
    deltas = listener(engine).hear(BytesIO(silence(2.0)))
    assert engine.decoded == []
    assert "".join(delta.text for delta in deltas) == "Hello."


def test_all_recordings_together_are_limited(engine: ScriptedEngine) -> None:
    ears = listener(engine)
    ears.hear(BytesIO(silence(60)))
    ears.hear(BytesIO(silence(10)))
    with pytest.raises(AudioTooLong, match="WHISPER_MAX_AUDIO_SECONDS"):
        ears.hear(BytesIO(silence(0.2)))


def test_closing_ends_the_work(engine: ScriptedEngine) -> None:
    ears = listener(engine)
    deltas = ears.hear(BytesIO(silence(60)))
    next(deltas)
    ears.close()
    with pytest.raises(ClientGone):
        list(deltas)
    assert len(engine.decoded) == 1
    assert engine.recordings[0].closed


def test_a_client_that_left_is_not_listened_to(engine: ScriptedEngine) -> None:
    left: list[bool] = []
    ears = listener(engine, lambda: bool(left))
    deltas = ears.hear(BytesIO(silence(60)))
    next(deltas)
    left.append(True)
    with pytest.raises(ClientGone):
        list(deltas)
    with pytest.raises(ClientGone):
        ears.hear(BytesIO(b""))
    assert len(engine.decoded) == 1
