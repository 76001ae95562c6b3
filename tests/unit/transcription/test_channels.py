"""A recording with one speaker on each channel."""

import numpy as np

from app.engines.interface import Window, WindowOptions
from app.transcription.patience import Patience
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import transcribe
from tests.scripted_engine import ScriptedEngine, result, spell, ts


def conversation(*names: str) -> object:
    """The second channel speaks first; the first one answers twice."""

    def answer(window: Window, options: WindowOptions) -> object:
        if window.recording is engine.recordings[1]:
            return result(ts(0.5), *spell(" Hello?"), ts(1), ts(4), *spell(" Bye."), ts(5))
        return result(ts(2), *spell(" Yes."), ts(3), ts(3), ts(3), ts(3), *spell(" And?"), ts(3.5))

    engine = ScriptedEngine(answer)
    request = TranscriptionRequest(by_channel=True, speaker_names=names)
    samples = np.zeros((2, 160_000), np.float32)
    return transcribe(engine, samples, request, Policy(), Patience.of(60))


def test_channels_are_merged_by_time_and_speakers_named_as_they_appear() -> None:
    transcript = conversation()
    heard = [(s.id, s.speaker, s.start_seconds, s.text) for s in transcript.segments]
    assert heard == [
        (0, "A", 0.5, " Hello?"),
        (1, "B", 2.0, " Yes."),
        (2, "B", 3.0, " And?"),
        (3, "A", 4.0, " Bye."),
    ]
    assert transcript.text == "Hello? Yes. And? Bye."
    assert transcript.duration_seconds == 10.0


def test_names_are_given_in_channel_order() -> None:
    speakers = [segment.speaker for segment in conversation("Agent", "Customer").segments]
    assert speakers == ["Customer", "Agent", "Agent", "Customer"]
    assert {segment.speaker for segment in conversation("Agent").segments} == {"Agent", "A"}
