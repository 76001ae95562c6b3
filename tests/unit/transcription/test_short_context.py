"""Which windows have a short context, and what is done where that leaves doubt."""

from concurrent.futures import Future

import pytest

from app.engines.interface import Window, WindowOptions, WindowResult
from app.request_context import RequestContext
from app.transcript import AudioContext
from app.transcription.request import Chunking, Policy, TranscriptionRequest
from app.transcription.windows import short_context
from tests.scripted_engine import ScriptedEngine, result, silence, spell, ts
from tests.transcripts import transcribe


def hello(window: Window, options: WindowOptions) -> WindowResult:
    return result(ts(0), *spell(" Hello."), ts(2))


class Unsure(ScriptedEngine):
    """Knows the language of a window in full alone, or not even that."""

    in_full = 0.9

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        sure = 0.4 if window.is_short else self.in_full
        self.languages = {"de": sure, **{f"x{number}": (1 - sure) / 9 for number in range(9)}}
        return super().detect_language(window)


class NeverSure(Unsure):
    in_full = 0.45


def run(
    engine: ScriptedEngine,
    seconds: float,
    policy: Policy | None = None,
    audio_context: AudioContext | None = "short",
    **request: object,
) -> RequestContext:
    context = RequestContext.of(60)
    wanted = TranscriptionRequest(audio_context=audio_context, **{"language": "en", **request})
    transcribe(engine, silence(seconds), wanted, policy or Policy(), context)
    return context


@pytest.mark.parametrize(
    ("seconds", "positions"),
    [
        (0.01, 384),
        (2.57, 384),
        (5, 384),
        (10, 640),
        (20, 1152),
        (25.6, 1408),
        (25.61, 1500),
        (30, 1500),
    ],
)
def test_it_holds_the_clip_and_a_margin(seconds: float, positions: int) -> None:
    assert short_context(round(seconds * 100)) == positions


@pytest.mark.parametrize(
    ("of_server", "of_request", "positions"),
    [
        ("full", None, 1500),
        ("full", "full", 1500),
        ("full", "short", 384),
        ("short", None, 384),
        ("short", "full", 1500),
        ("short", "short", 384),
    ],
)
def test_the_request_decides_and_then_the_server(
    of_server: AudioContext, of_request: AudioContext | None, positions: int
) -> None:
    engine = ScriptedEngine(hello)
    context = run(engine, 3, Policy(audio_context=of_server), of_request, language=None)
    assert engine.calls == [("detect_language", positions), ("submit", positions)]
    assert context.cost.totals().short_contexts == (positions < 1500)


def test_the_last_window_of_a_long_recording_has_one() -> None:
    engine = ScriptedEngine(hello)
    context = run(engine, 64)
    assert engine.calls == [("submit", 1500), ("submit", 1500), ("submit", 384)]
    assert context.cost.totals().short_contexts == 1


def test_so_have_pieces() -> None:
    engine = ScriptedEngine(hello)
    spans = [(0.0, 2.0), (30.0, 58.0), (70.0, 80.0)]
    policy = Policy(find_speech=lambda samples, chunking: spans)
    run(engine, 100, policy, chunking=Chunking())
    assert engine.calls == [("submit", 384), ("submit", 1500), ("submit", 640)]


def test_words_and_log_probabilities_are_of_the_window_that_was_decoded() -> None:
    engine = ScriptedEngine(hello)
    run(engine, 3, word_timestamps=True, logprobs=True)
    assert engine.calls == [("submit", 384), ("align", 384), ("score", 384)]


def test_also_where_that_was_in_full() -> None:
    def answer(window: Window, options: WindowOptions) -> WindowResult:
        return result(1, compression_ratio=3.0) if window.is_short else hello(window, options)

    engine = ScriptedEngine(answer)
    context = run(engine, 3, word_timestamps=True, logprobs=True)
    assert engine.calls == [("submit", 384), ("submit", 1500), ("align", 1500), ("score", 1500)]
    assert context.cost.totals().short_contexts == 0


def test_an_unsure_language_is_found_in_full_and_so_is_the_text() -> None:
    engine = Unsure(hello)
    context = run(engine, 3, language=None)
    assert engine.calls == [("detect_language", 384), ("detect_language", 1500), ("submit", 1500)]
    assert engine.decoded[0][2].language == "de"
    assert context.cost.totals().short_contexts == 0


def test_one_that_stays_unsure_is_found_in_padded_audio() -> None:
    engine = NeverSure(hello)
    run(engine, 3, language=None)
    assert engine.detected == [(0, 300), (0, 300), (0, 3000)]
    assert engine.calls[-1] == ("submit", 1500)


def test_a_pieces_language_is_found_in_full_too() -> None:
    engine = Unsure(hello)
    policy = Policy(find_speech=lambda samples, chunking: [(0.0, 2.0), (30.0, 34.0)])
    run(engine, 40, policy, language=None, chunking=Chunking())
    both = [("detect_language", 1500), ("submit", 1500)]
    assert engine.calls == [("detect_language", 384), *both, ("detect_language", 384), *both]


def test_a_strict_server_hears_the_language_in_padded_audio_alone() -> None:
    engine = ScriptedEngine(hello)
    run(engine, 3, Policy(strict=True), language=None)
    assert engine.calls == [("detect_language", 1500), ("submit", 384)]
    assert engine.detected == [(0, 3000)]
