"""A recording cut at its pauses."""

import pytest

from app.engines.interface import Window, WindowOptions
from app.request_context import RequestContext
from app.transcription.pieces import join_spans
from app.transcription.request import Chunking, Policy, Spans, TranscriptionRequest
from tests.scripted_engine import ScriptedEngine, result, silence, spell, ts
from tests.transcripts import transcribe


@pytest.mark.parametrize(
    ("spans", "joined"),
    [
        ([], []),
        ([(1.0, 2.0)], [(1.0, 2.0)]),
        ([(1.0, 2.0), (5.0, 30.0), (31.0, 32.0)], [(1.0, 30.0), (31.0, 32.0)]),
        ([(0.0, 30.0), (30.0, 60.0)], [(0.0, 30.0), (30.0, 60.0)]),
        ([(0.0, 10.0), (20.0, 30.0), (30.0, 40.0)], [(0.0, 30.0), (30.0, 40.0)]),
    ],
)
def test_neighbours_share_a_piece_as_long_as_it_fits_a_window(spans: Spans, joined: Spans) -> None:
    assert join_spans(spans) == joined


def answer(window: Window, options: WindowOptions) -> object:
    return result(ts(0), *spell(f" At {window.seek}."), ts(1))


def run(engine: ScriptedEngine, spans: Spans, **request: object) -> object:
    policy = Policy(find_speech=lambda samples, chunking: spans)
    wanted = TranscriptionRequest(chunking=Chunking(), **request)
    return transcribe(engine, silence(100), wanted, policy, RequestContext.of(60))


def test_pieces_are_decoded_apart_and_come_out_in_order() -> None:
    engine = ScriptedEngine(answer)
    transcript = run(engine, [(1.0, 5.0), (40.0, 60.0), (80.0, 99.0)])
    assert sorted((seek, frames) for seek, frames, _ in engine.decoded) == [
        (100, 400),
        (4000, 2000),
        (8000, 1900),
    ]
    assert all(options.prompt == () for _, _, options in engine.decoded)
    assert transcript.text == "At 100. At 4000. At 8000."
    assert [segment.id for segment in transcript.segments] == [0, 1, 2]
    assert [segment.start_seconds for segment in transcript.segments] == [1.0, 40.0, 80.0]


def test_the_first_piece_tells_the_language_of_all() -> None:
    engine = ScriptedEngine(answer)
    engine.languages = {"de": 0.9, "en": 0.1}
    assert run(engine, [(1.0, 5.0), (40.0, 60.0)]).language == "de"
    assert engine.detected == [(100, 400)]
    assert {options.language for _, _, options in engine.decoded} == {"de"}


def test_the_prompt_goes_to_every_piece() -> None:
    engine = ScriptedEngine(answer)
    transcript = run(engine, [(1.0, 5.0), (40.0, 60.0)], prompt="Ann")
    assert {options.prompt for _, _, options in engine.decoded} == {spell(" Ann")}
    assert transcript.usage.prompt_tokens == len(" Ann")


def test_without_speech_there_is_nothing_to_read() -> None:
    engine = ScriptedEngine(answer)
    transcript = run(engine, [])
    assert (transcript.text, transcript.language, engine.decoded) == ("", "en", [])


def test_a_failing_piece_fails_the_request() -> None:
    def fail(window: Window, options: WindowOptions) -> object:
        if window.seek == 4000:
            raise ValueError("broken")
        return answer(window, options)

    engine = ScriptedEngine(fail)
    with pytest.raises(ValueError, match="broken"):
        run(engine, [(1.0, 5.0), (40.0, 60.0), (80.0, 99.0)])
    assert engine.recordings[0].closed
