"""A recording cut at its pauses."""

from concurrent.futures import Future
from typing import ClassVar

import pytest

from app.engines.interface import Window, WindowOptions
from app.request_context import RequestContext
from app.transcription.pieces import join_spans
from app.transcription.request import Chunking, Policy, Spans, TranscriptionRequest
from app.transcription.side_by_side import SideBySide
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


def run(
    engine: ScriptedEngine, spans: Spans, side_by_side: SideBySide | None = None, **request: object
) -> object:
    policy = Policy(find_speech=lambda samples, chunking: spans, side_by_side=side_by_side or SideBySide(0))
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


class Polyglot(ScriptedEngine):
    """`spoken`: a window's first frame -> its language and the probability of that."""

    spoken: ClassVar[dict[int, tuple[str, float]]] = {}

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        language, probability = self.spoken[window.seek]
        rest = {f"x{number}": (1 - probability) / 50 for number in range(50)}
        self.languages = {language: probability, **rest}
        return super().detect_language(window)


def languages_by_seek(engine: ScriptedEngine) -> dict[int, str | None]:
    return {seek: options.language for seek, _, options in engine.decoded}


@pytest.mark.parametrize("width", [0, 1, 4])
def test_each_piece_has_its_own_language_unless_it_is_short_or_unsure(width: int) -> None:
    engine = Polyglot(answer)
    engine.spoken = {100: ("de", 0.9), 3200: ("fr", 0.6), 6300: ("it", 0.9), 9400: ("en", 0.49)}
    side_by_side = SideBySide(width)
    transcript = run(engine, [(1.0, 5.0), (32.0, 40.0), (63.0, 65.9), (94.0, 99.0)], side_by_side)
    side_by_side.close()
    assert languages_by_seek(engine) == {100: "de", 3200: "fr", 6300: "fr", 9400: "fr"}
    assert [segment.language for segment in transcript.segments] == ["de", "fr", "fr", "fr"]
    assert transcript.language == "de"


def test_an_unsure_first_piece_is_heard_as_a_recording_alone_would_be() -> None:
    engine = Polyglot(answer)
    engine.spoken = {100: ("de", 0.4), 0: ("en", 0.3), 4000: ("fr", 0.2)}
    assert run(engine, [(1.0, 5.0), (40.0, 60.0)]).language == "en"
    assert languages_by_seek(engine) == {100: "en", 4000: "en"}


def test_a_language_that_was_told_is_that_of_all_pieces() -> None:
    engine = Polyglot(answer)
    assert run(engine, [(1.0, 5.0), (40.0, 60.0)], language="de").language == "de"
    assert languages_by_seek(engine) == {100: "de", 4000: "de"}
    assert not engine.detected


def test_a_silent_piece_keeps_the_language_of_the_one_before() -> None:
    engine = Polyglot(lambda window, options: answer(window, options) if window.seek != 4000 else result())
    engine.spoken = {100: ("de", 0.9), 4000: ("fr", 0.9), 8000: ("it", 0.1)}
    policy = Policy(
        find_speech=lambda samples, chunking: [(1.0, 5.0), (40.0, 60.0), (80.0, 99.0)],
        has_speech=lambda samples, floor: len(samples) != 20 * 16_000,
    )
    transcript = transcribe(
        engine, silence(100), TranscriptionRequest(chunking=Chunking()), policy, RequestContext.of(60)
    )
    assert [segment.language for segment in transcript.segments] == ["de", "de"]
    assert engine.detected == [(100, 400), (8000, 1900)]


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
