"""A recording with one speaker on each channel."""

import numpy as np
import pytest

from app.engines.interface import Window, WindowOptions
from app.request_context import RequestContext
from app.transcription.request import Policy, TranscriptionRequest
from tests.scripted_engine import ScriptedEngine, result, spell, ts
from tests.transcripts import transcribe


def conversation(*names: str) -> object:
    """The second channel speaks first; the first one answers twice."""

    def answer(window: Window, options: WindowOptions) -> object:
        if window.recording is engine.recordings[1]:
            return result(ts(0.5), *spell(" Hello?"), ts(1), ts(4), *spell(" Bye."), ts(5))
        return result(ts(2), *spell(" Yes."), ts(3), ts(3), ts(3), ts(3), *spell(" And?"), ts(3.5))

    engine = ScriptedEngine(answer)
    request = TranscriptionRequest(by_channel=True, speaker_names=names)
    samples = np.zeros((2, 160_000), np.float32)
    return transcribe(engine, samples, request, Policy(), RequestContext.of(60))


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


def speakers_of(channels: int, *names: str) -> list[str | None]:
    """What the speakers are called who begin to speak in the order of their channels."""

    def answer(window: Window, options: WindowOptions) -> object:
        start = engine.recordings.index(window.recording) * 0.1
        return result(ts(start), *spell(" Yes."), ts(start + 1))

    engine = ScriptedEngine(answer)
    request = TranscriptionRequest(by_channel=True, speaker_names=names)
    samples = np.zeros((channels, 160_000), np.float32)
    heard = transcribe(engine, samples, request, Policy(), RequestContext.of(60))
    return [segment.speaker for segment in heard.segments]


@pytest.mark.parametrize(
    ("names", "speakers"),
    [
        (("B",), ["B", "A", "C"]),
        (("C", "A"), ["C", "A", "B"]),
        (("B", "Ann", "A"), ["B", "Ann", "A"]),
        (("", "A"), ["B", "A", "C"]),
        (("x", "y", "z", "A"), ["x", "y", "z"]),
    ],
)
def test_no_two_speakers_have_the_same_name(names: tuple[str, ...], speakers: list[str]) -> None:
    assert speakers_of(3, *names) == speakers


def test_more_speakers_than_letters() -> None:
    assert speakers_of(29, "AA", "Z")[-5:] == ["W", "X", "Y", "AB", "AC"]
