"""Two requests with the same upload: what is asked of the engine, and on whose recording."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

import pytest

from app.engines.interface import Window, WindowOptions, WordTiming
from app.errors import EngineFailure
from app.transcription.result_cache import CachingEngine, ResultCache
from tests.scripted_engine import result, silence, spell
from tests.unit.transcription.late_engine import LateEngine

HELLO = result(*spell(" Hello."))
OPTIONS = WindowOptions(language="en")
WORD = WordTiming(" Hello.", (1, 2), 0.0, 1.0, 0.9)


@pytest.fixture
def engine() -> LateEngine:
    return LateEngine(lambda window, options: HELLO, words=[WORD])


class Client:
    """One request: the engine as it sees it, and a window of its own recording."""

    def __init__(self, engine: LateEngine, cache: ResultCache) -> None:
        self.engine = CachingEngine(engine, cache)
        self.recording = self.engine.open(silence(60))
        self.window = Window(self.recording, 0, 3000)

    def leave(self) -> None:
        self.recording.close()


@pytest.fixture
def arrive(engine: LateEngine) -> Callable[[], Client]:
    cache = ResultCache()
    return lambda: Client(engine, cache)


QUESTIONS: dict[str, tuple[Callable[[Client], Future[Any]], object]] = {
    "submit": (lambda client: client.engine.submit(client.window, OPTIONS), HELLO),
    "score": (lambda client: client.engine.score(client.window, OPTIONS, [1, 2]), [-0.0, -1.0]),
    "detect_language": (lambda client: client.engine.detect_language(client.window), {"en": 0.9, "de": 0.1}),
    "align": (lambda client: client.engine.align(client.window, [1, 2], "en", "transcribe"), [WORD]),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_was_answered_is_not_asked_again(engine: LateEngine, arrive, name: str) -> None:
    ask, expected = QUESTIONS[name]
    first = ask(arrive())
    engine.go_on()
    assert ask(arrive()).result(0) == first.result(0) == expected
    assert engine.asked == [name]


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_being_asked_is_waited_for(engine: LateEngine, arrive, name: str) -> None:
    ask, expected = QUESTIONS[name]
    futures = [ask(arrive()) for _ in range(3)]
    assert not any(future.done() for future in futures)
    engine.go_on()
    assert [future.result(0) for future in futures] == [expected] * 3
    assert engine.asked == [name]


def other_questions(client: Client) -> list[Future[Any]]:
    """Each differs from all others in one thing."""
    asked, window, other_channel = client.engine, client.window, client.engine.open(silence(60))
    return [
        asked.submit(window, OPTIONS),
        asked.submit(window, replace(OPTIONS, temperature=0.2)),
        asked.submit(window, replace(OPTIONS, prompt=(1,))),
        asked.submit(replace(window, seek=1), OPTIONS),
        asked.submit(replace(window, frames=2999), OPTIONS),
        asked.submit(replace(window, positions=1408), OPTIONS),
        asked.submit(replace(window, recording=other_channel), OPTIONS),
        asked.score(window, OPTIONS, [1]),
        asked.score(window, OPTIONS, [2]),
        asked.score(window, replace(OPTIONS, prompt=(1,)), [2]),
        asked.align(window, [1], "en", "transcribe"),
        asked.align(window, [2], "en", "transcribe"),
        asked.align(window, [1], "de", "transcribe"),
        asked.align(window, [1], "en", "translate"),
        asked.detect_language(window),
        asked.detect_language(replace(window, seek=1)),
    ]


def test_another_question_is_another_answer(engine: LateEngine, arrive) -> None:
    count = len(other_questions(arrive()))
    assert len(engine.asked) == count
    again = other_questions(arrive())
    assert len(engine.asked) == count
    for _ in range(count):
        engine.go_on()
    assert all(future.result(0) is not None for future in again)


@pytest.mark.parametrize("running", [False, True], ids=["queued", "running"])
def test_who_waited_for_one_that_left_asks_for_itself(engine: LateEngine, arrive, running: bool) -> None:
    first, *others = (arrive() for _ in range(4))
    left, *waiting = (client.engine.submit(client.window, OPTIONS) for client in (first, *others))
    if running:
        engine.begin()
    first.leave()
    engine.drop()
    with pytest.raises(CancelledError):
        left.result(0)
    [job] = engine.jobs
    assert job.window is others[0].window
    engine.go_on()
    assert [future.result(0) for future in waiting] == [HELLO] * 3
    assert engine.asked == ["submit"] * 2


def test_who_only_waited_takes_nothing_along(engine: LateEngine, arrive) -> None:
    first, second = arrive(), arrive()
    stays = first.engine.submit(first.window, OPTIONS)
    leaves = second.engine.submit(second.window, OPTIONS)
    second.leave()
    engine.go_on()
    assert stays.result(0) == HELLO
    assert leaves.cancelled()
    assert engine.asked == ["submit"]


def test_who_has_left_is_told_nothing(engine: LateEngine, arrive) -> None:
    client = arrive()
    client.leave()
    assert client.engine.submit(client.window, OPTIONS).cancelled()
    assert engine.asked == []


def test_a_failure_is_told_to_who_asked_and_forgotten(engine: LateEngine, arrive) -> None:
    first, second = arrive(), arrive()
    fails = first.engine.submit(first.window, OPTIONS)
    tries_again = second.engine.submit(second.window, OPTIONS)
    engine.go_on(failure := EngineFailure("The model failed on this request."))
    assert fails.exception(0) is failure
    engine.go_on()
    assert tries_again.result(0) == HELLO
    assert engine.asked == ["submit"] * 2


def test_all_are_cancelled_when_the_engine_stops(engine: LateEngine, arrive) -> None:
    clients = [arrive() for _ in range(3)]
    futures = [client.engine.submit(client.window, OPTIONS) for client in clients]
    engine.close()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(0)


def test_what_follows_a_remembered_window_is_asked_with_the_own_one(engine: LateEngine, arrive) -> None:
    first, second = arrive(), arrive()
    first.engine.submit(first.window, OPTIONS)
    engine.go_on()
    first.leave()
    second.engine.submit(second.window, OPTIONS)
    second.engine.align(second.window, [1, 2], "en", "transcribe")
    [job] = engine.jobs
    assert job.window is second.window
    assert engine.asked == ["submit", "align"]


def test_no_recording_is_kept(engine: LateEngine) -> None:
    cache = ResultCache()
    client, other = Client(engine, cache), Client(engine, cache)
    for each in (client, other):
        each.engine.submit(each.window, OPTIONS)
    engine.go_on()
    kept = [weakref.ref(each.recording) for each in (client, other)]
    engine.recordings.clear()
    del client, other, each
    gc.collect()
    assert [recording() for recording in kept] == [None, None]
    assert len(cache) == 1


def test_the_rest_is_the_engines(engine: LateEngine, arrive) -> None:
    seen = arrive().engine
    assert seen.card == engine.card
    assert seen.tokenizer("en", "transcribe").encode("a") == [97]
