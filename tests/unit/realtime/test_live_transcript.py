"""What is sent of an utterance while it is spoken, with an engine that hears two words a second."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from app.engines.interface import Window, WindowOptions, WindowResult
from app.errors import ClientGone, EngineFailure
from app.realtime.interface import MOST_SAMPLES, Heard
from app.realtime.live_transcript import LiveText
from app.realtime.stable_words import Rules
from app.request_context import RequestContext
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.resume_store import ResumeStore
from app.transcription.transcriber import Transcriber
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.audio_limits import AudioLimits
from tests.scripted_engine import EOT, LetterTokenizer, ScriptedEngine, ScriptedRecording, done, spell, ts
from tests.scripted_engine import result as result_of
from tests.unit.realtime.live_words import SECONDS_PER_WORD, words_of

PATIENCE_SECONDS = 60
EN = TranscriptionRequest(language="en")
RULES = Rules(delay_seconds=0.3, step_seconds=0.4)
COUNTING = " ".join(f"w{number}" for number in range(200))
"""What is said, if a test doesn't say otherwise: w0 from 0 to 0.5 s, and so on."""


def speech(seconds: float, begin: int = 0) -> Samples:
    """Each sample is its own time, so that the engine knows which part of the speech it hears."""
    return (np.arange(begin, int(seconds * SAMPLE_RATE)) / SAMPLE_RATE).astype(np.float32)


@dataclass
class SpokenRecording(ScriptedRecording):
    start_seconds: float = 0.0


@dataclass
class HearingEngine(ScriptedEngine):
    """Says the words that have ended in a window, and goes on after a prefix as a model does.

    `hears(seconds)` is the text of speech up to there. From 28 s of a window on there is a second segment.
    """

    answer: Callable[..., WindowResult] = field(default=lambda window, options: result_of())
    hears: Callable[[float], str] = lambda seconds: COUNTING
    knows_prefixes: bool = True
    changes: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.answer = self._answer

    def open(self, samples: Samples, *how: Any) -> SpokenRecording:
        recording = SpokenRecording(len(samples) // 160, *how[:1], start_seconds=round(float(samples[0]), 2))
        self.recordings.append(recording)
        return recording

    def _answer(self, window: Window, options: WindowOptions) -> WindowResult:
        tokens = self._tokens(window)
        if options.prefix and self.knows_prefixes and tokens[: len(options.prefix)] != options.prefix:
            known = len(LetterTokenizer().decode(options.prefix).split())
            said = LetterTokenizer().decode(tokens).split()[known:]
            tokens = (*options.prefix, *(token for word in said for token in spell(f" {word}")))
        return result_of(*tokens, **self.changes)

    def _tokens(self, window: Window) -> tuple[int, ...]:
        recording = window.recording
        assert isinstance(recording, SpokenRecording)
        first = round(recording.start_seconds / SECONDS_PER_WORD)
        ended = first + int(window.frames / 100 / SECONDS_PER_WORD)
        words = self.hears(recording.start_seconds + window.frames / 100).split()[first:ended]
        spelled = [spell(f" {word}") for word in words]
        if len(words) <= 56:
            return (ts(0), *(token for word in spelled for token in word))
        first_segment, second = spelled[:56], spelled[56:]
        return (
            ts(0),
            *(token for word in first_segment for token in word),
            ts(28),
            ts(28),
            *(token for word in second for token in word),
        )

    def align(self, window: Window, tokens: Any, language: str | None, task: str) -> Any:
        self.calls.append(("align", window.positions))
        text = LetterTokenizer().decode([token for token in tokens if token < EOT])
        return done(lambda: list(words_of(text)))


class ScriptedVoice:
    """Somebody speaks until `until_seconds`."""

    def __init__(self, until_seconds: float = 1_000.0) -> None:
        self._until = until_seconds
        self._heard = 0

    def probabilities(self, samples: Samples) -> list[float]:
        first, self._heard = self._heard // 512, self._heard + len(samples)
        times = (frame * 512 / SAMPLE_RATE for frame in range(first, self._heard // 512))
        return [0.9 if time < self._until else 0.01 for time in times]

    def reset(self) -> None:
        raise AssertionError("an utterance's voice is its own")


def live_text(
    engine: ScriptedEngine, until_seconds: float = 1_000.0, request: TranscriptionRequest = EN
) -> LiveText:
    reader = AudioReader(AudioLimits(), lambda limit: limit)
    transcriber = Transcriber(lambda context: engine, Policy(), reader, ResumeStore(0))
    return LiveText(transcriber, request, ScriptedVoice(until_seconds), RULES)


def update(live: LiveText, seconds: float) -> str:
    return live.update(speech(seconds, live.begin), RequestContext.of(PATIENCE_SECONDS))


def spoken(live: LiveText, seconds: float, step_seconds: float = 0.5) -> list[str]:
    """All deltas of so much speech at real speed."""
    count = int(seconds / step_seconds)
    return [delta for step in range(1, count + 1) if (delta := update(live, step * step_seconds))]


def test_words_are_sent_soon_after_they_ended() -> None:
    live = live_text(HearingEngine())
    assert update(live, 0.6) == ""
    assert update(live, 1.1) == "w0"
    assert update(live, 1.9) == " w1 w2"
    assert live.sent == "w0 w1 w2"


def test_all_deltas_and_the_rest_are_the_transcript() -> None:
    live = live_text(HearingEngine())
    deltas = spoken(live, 10)
    rest = live.finish(" ".join(COUNTING.split()[:20]) + ".")
    assert len(deltas) > 10
    assert "".join([*deltas, rest]) == " ".join(COUNTING.split()[:20]) + "."


def test_a_transcript_that_differs_has_no_rest() -> None:
    live = live_text(HearingEngine())
    update(live, 2)
    sent = live.sent
    assert live.finish("Something else") == ""
    assert live.sent == sent == "w0 w1 w2"


def test_what_was_sent_is_the_first_text_of_the_next_decode() -> None:
    engine = HearingEngine()
    live = live_text(engine)
    update(live, 2)
    update(live, 3)
    assert [options.prefix for *_, options in engine.decoded] == [(), (ts(0), *spell(" w0 w1 w2"))]


def test_nothing_that_was_sent_is_taken_back() -> None:
    """The model hears other words later on; it goes on after what was sent."""
    heard = {2.0: "one two three", 3.0: "win to three four five six"}
    engine = HearingEngine(hears=lambda seconds: heard[round(seconds, 1)])
    live = live_text(engine)
    assert update(live, 2) == "one two three"
    assert update(live, 3) == " four five"
    assert live.finish("one two three four five six.") == " six."


def test_an_engine_that_cannot_go_on_sends_nothing_more() -> None:
    """As openai-whisper's, which knows no prefix: its text begins anew, and with other words."""
    heard = {2.0: "one two three", 3.0: "win to three four five six"}
    engine = HearingEngine(hears=lambda seconds: heard[round(seconds, 1)], knows_prefixes=False)
    live = live_text(engine)
    assert update(live, 2) == "one two three"
    assert update(live, 3) == ""
    assert live.finish("one two three four") == " four"


def test_an_engine_without_prefixes_goes_on_if_it_says_the_same_again() -> None:
    live = live_text(HearingEngine(knows_prefixes=False))
    assert update(live, 2) == "w0 w1 w2"
    assert update(live, 3) == " w3 w4"


def test_too_little_news_is_not_decoded() -> None:
    engine = HearingEngine()
    live = live_text(engine)
    update(live, 2)
    assert update(live, 2.39) == ""
    assert len(engine.decoded) == 1
    update(live, 2.4)
    assert len(engine.decoded) == 2


def test_while_nobody_speaks_nothing_is_decoded() -> None:
    engine = HearingEngine()
    live = live_text(engine, until_seconds=0.0)
    assert spoken(live, 5) == []
    assert engine.calls == []


def test_a_pause_is_decoded_once_more_and_then_no_longer() -> None:
    """The last words may not have been sure when they had just been said."""
    engine = HearingEngine()
    live = live_text(engine, until_seconds=2.0)
    spoken(live, 3)
    decoded = len(engine.decoded)
    spoken_on = [update(live, seconds) for seconds in (4, 5, 6, 10)]
    assert len(engine.decoded) <= decoded + 1
    assert spoken_on[1:] == ["", "", ""]


def test_what_the_model_is_not_sure_of_is_no_text_yet() -> None:
    engine = HearingEngine(changes={"avg_logprob": -3.0})
    live = live_text(engine)
    assert update(live, 2) == ""
    engine.changes = {}
    assert update(live, 3) == "w0 w1 w2 w3 w4"


def test_semantic_detection_gets_all_that_was_heard_and_until_when() -> None:
    live = live_text(HearingEngine())
    assert live.heard == Heard("", 0)
    update(live, 2)
    assert live.heard == Heard(" w0 w1 w2 w3", 2_000)


def test_a_language_once_heard_stays() -> None:
    engine = HearingEngine()
    engine.languages = {"en": 0.2, "de": 0.8}
    live = live_text(engine, request=TranscriptionRequest())
    update(live, 2)
    engine.languages = {"en": 0.9, "de": 0.1}
    update(live, 3)
    assert [options.language for *_, options in engine.decoded] == ["de", "de"]
    assert len(engine.detected) == 1


@pytest.mark.parametrize("seconds", [31, 45, 70])
def test_a_longer_utterance_goes_on_in_the_next_window(seconds: int) -> None:
    """Only the latest window is decoded, after the segments of those before."""
    engine = HearingEngine()
    live = live_text(engine)
    sent = "".join(spoken(live, seconds))
    assert live.sent == sent
    words = int((seconds - RULES.delay_seconds) / SECONDS_PER_WORD)
    assert sent.split() == COUNTING.split()[:words]
    assert max(recording.frames for recording in engine.recordings) <= 3_000
    _, _, options = engine.decoded[-1]
    assert LetterTokenizer().decode(options.prompt).split() == COUNTING.split()[: 56 * (seconds // 28)]


def test_one_update_may_have_more_than_a_window() -> None:
    """Where the engine had no time for a while."""
    live = live_text(HearingEngine())
    assert update(live, 65).split() == COUNTING.split()[:129]


def test_a_full_window_without_text_is_left_behind() -> None:
    engine = HearingEngine(changes={"avg_logprob": -3.0})
    live = live_text(engine)
    update(live, 29)
    assert update(live, 31) == ""
    engine.changes = {}
    assert update(live, 33).split() == COUNTING.split()[60:65]


@pytest.mark.parametrize("until_seconds", [0.0, 20.0, 1_000.0], ids=["silence", "once", "all the time"])
def test_no_more_than_a_window_is_needed_however_long_it_is(until_seconds: float) -> None:
    live = live_text(HearingEngine(), until_seconds)
    needed = []
    for half_seconds in range(1, 361):
        needed.append(half_seconds * SAMPLE_RATE // 2 - live.begin)
        update(live, half_seconds / 2)
    assert 30 * SAMPLE_RATE <= max(needed) < MOST_SAMPLES


def test_windows_in_which_nobody_speaks_are_not_decoded() -> None:
    engine = HearingEngine()
    live = live_text(engine, until_seconds=0.0)
    assert spoken(live, 100) == []
    assert engine.calls == []
    assert live.begin == 90 * SAMPLE_RATE


def test_what_comes_late_is_heard_a_window_after_the_other() -> None:
    """Where more has come meanwhile than is looked at, at a time."""
    live, whole = live_text(HearingEngine()), speech(65)
    deltas = [
        live.update(whole[live.begin :][:MOST_SAMPLES], RequestContext.of(PATIENCE_SECONDS)) for _ in range(3)
    ]
    assert all(deltas)
    assert "".join(deltas).split() == COUNTING.split()[:129]


def failing_engine(*fails: bool) -> HearingEngine:
    """One whose windows fail where this says so, in turn."""
    engine, left = HearingEngine(), iter(fails)
    answer = engine.answer

    def failing(window: Window, options: WindowOptions) -> WindowResult:
        if next(left):
            raise EngineFailure("The model failed on this request.")
        return answer(window, options)

    engine.answer = failing
    return engine


def test_a_window_that_failed_is_tried_again() -> None:
    live, whole = live_text(failing_engine(True, False, False)), speech(40)[:MOST_SAMPLES]
    with pytest.raises(EngineFailure):
        live.update(whole, RequestContext.of(PATIENCE_SECONDS))
    assert live.begin == 0
    assert live.update(whole, RequestContext.of(PATIENCE_SECONDS)).split() == COUNTING.split()[:61]


def test_what_was_never_returned_counts_as_not_sent() -> None:
    """The first of two windows was decoded, and the second one failed."""
    live = live_text(failing_engine(False, True))
    with pytest.raises(EngineFailure):
        update(live, 40)
    assert live.sent == ""
    assert live.finish("w0 w1 w2") == "w0 w1 w2"


def test_a_cancelled_update_ends_and_the_next_one_goes_on() -> None:
    live = live_text(HearingEngine())
    context = RequestContext.of(PATIENCE_SECONDS)
    context.cancel()
    with pytest.raises(ClientGone):
        live.update(speech(2), context)
    assert update(live, 2.5) == "w0 w1 w2 w3"
