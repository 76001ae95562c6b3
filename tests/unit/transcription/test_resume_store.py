"""Which uploads are known, for whom and for how long."""

import io
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from tempfile import SpooledTemporaryFile

import pytest

from app.engines.interface import DecodingOptions, Window, WindowOptions, WindowResult
from app.errors import ClientGone
from app.request_context import RequestContext
from app.transcription.request import TranscriptionRequest
from app.transcription.resume_store import MAX_KEPT_UPLOADS, ResumeStore, upload_identity
from tests.scripted_engine import ScriptedEngine, result, silence
from tests.unit.transcription.late_engine import LateEngine

LONG_SECONDS = 3_600
SHORT_SECONDS = 0.02
PATIENCE_SECONDS = 60
REQUEST = TranscriptionRequest()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda window, options: result())


class Visit:
    """One request for an upload, from its arrival until it leaves."""

    def __init__(
        self,
        uploads: ResumeStore,
        engine: ScriptedEngine,
        content: bytes = b"audio",
        context: RequestContext | None = None,
        model: str = "",
    ) -> None:
        self._gone = False
        context = context or RequestContext.of(PATIENCE_SECONDS, lambda: self._gone)
        self._resuming = uploads.resuming(engine, io.BytesIO(content), REQUEST, context, model)
        self.engine = self._resuming.__enter__()

    def decode(self) -> "Visit":
        self.submit().result(0)
        return self

    def submit(self) -> Future[WindowResult]:
        recording = self.engine.open(silence(1))
        return self.engine.submit(Window(recording, 0, 100), WindowOptions())

    def is_answered(self) -> None:
        self._resuming.__exit__(None, None, None)

    def fails(self) -> None:
        with suppress(ClientGone):
            self._resuming.__exit__(ClientGone, ClientGone("gone"), None)

    def goes_before_the_answer_does(self) -> None:
        self._gone = True
        self.is_answered()


@pytest.fixture
def uploads():
    known = ResumeStore(LONG_SECONDS)
    yield known
    known.close()


def test_an_unanswered_upload_goes_on_where_it_was(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    Visit(uploads, engine).decode().fails()
    Visit(uploads, engine).decode()
    assert len(engine.decoded) == 1


@pytest.mark.parametrize("leave", [Visit.fails, Visit.goes_before_the_answer_does])
def test_who_left_without_an_answer_is_expected_back(
    uploads: ResumeStore, engine: ScriptedEngine, leave: Callable[[Visit], None]
) -> None:
    leave(Visit(uploads, engine).decode())
    assert len(uploads) == 1


def test_another_model_never_gets_what_one_has_decoded(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    other = ScriptedEngine(lambda window, options: result(1))
    Visit(uploads, engine, model="one").decode().fails()
    Visit(uploads, other, model="other").decode().fails()
    assert (len(engine.decoded), len(other.decoded)) == (1, 1)
    Visit(uploads, engine, model="one").decode()
    Visit(uploads, other, model="other").decode()
    assert (len(engine.decoded), len(other.decoded)) == (1, 1)


def test_an_answered_upload_is_forgotten(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    Visit(uploads, engine).decode().is_answered()
    assert len(uploads) == 0
    Visit(uploads, engine).decode()
    assert len(engine.decoded) == 2


def test_nothing_decoded_is_nothing_to_keep(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    Visit(uploads, engine).fails()
    assert len(uploads) == 0


def test_what_an_engine_can_not_stop_is_waited_for(uploads: ResumeStore) -> None:
    engine = LateEngine(lambda window, options: result(1))
    first = Visit(uploads, engine)
    first.submit()
    first.fails()
    back = Visit(uploads, engine).submit()
    engine.go_on()
    assert back.result(0) == result(1)
    assert engine.asked == ["submit"]


def test_an_upload_is_forgotten_with_the_answer_to_its_last_client(
    uploads: ResumeStore, engine: ScriptedEngine
) -> None:
    first, second = Visit(uploads, engine).decode(), Visit(uploads, engine)
    first.is_answered()
    assert len(uploads) == 1
    second.decode().is_answered()
    assert len(uploads) == 0
    assert len(engine.decoded) == 1


def test_one_answer_is_none_for_who_leaves_later(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    first, second = Visit(uploads, engine).decode(), Visit(uploads, engine)
    first.is_answered()
    second.fails()
    assert len(uploads) == 1


@pytest.mark.parametrize("last", [Visit.is_answered, Visit.fails])
def test_a_request_keeps_all_its_uploads_until_it_leaves_the_last(
    uploads: ResumeStore, engine: ScriptedEngine, last: Callable[[Visit], None]
) -> None:
    context = RequestContext.of(PATIENCE_SECONDS)
    first, second = (Visit(uploads, engine, content, context).decode() for content in (b"one", b"two"))
    first.is_answered()
    assert len(uploads) == 2
    last(second)
    assert len(uploads) == (0 if last is Visit.is_answered else 2)
    Visit(uploads, engine, b"one").decode()
    assert len(engine.decoded) == (3 if last is Visit.is_answered else 2)


def test_a_request_may_have_the_same_upload_twice(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    context = RequestContext.of(PATIENCE_SECONDS)
    first, second = (Visit(uploads, engine, b"one", context).decode() for _ in range(2))
    assert len(engine.decoded) == 1
    first.is_answered()
    second.is_answered()
    assert len(uploads) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(SHORT_SECONDS / 4)


def test_nobody_is_expected_for_ever(engine: ScriptedEngine) -> None:
    uploads = ResumeStore(SHORT_SECONDS)
    for number in range(3):
        Visit(uploads, engine, b"%d" % number).decode().fails()
        time.sleep(SHORT_SECONDS / 2)
    wait_until(lambda: len(uploads) == 0)
    assert uploads._sweeper is None


def test_who_is_back_keeps_what_there_was(engine: ScriptedEngine) -> None:
    uploads = ResumeStore(SHORT_SECONDS)
    Visit(uploads, engine).decode().fails()
    back = Visit(uploads, engine)
    wait_until(lambda: uploads._sweeper is None)
    assert len(uploads) == 1
    back.is_answered()


def test_who_left_first_makes_room(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    stays = Visit(uploads, engine, b"stays").decode()
    for number in range(MAX_KEPT_UPLOADS + 2):
        Visit(uploads, engine, b"%d" % number).decode().fails()
    assert len(uploads) == MAX_KEPT_UPLOADS + 1  # and who stays
    decoded = len(engine.decoded)
    Visit(uploads, engine, b"stays").decode()
    Visit(uploads, engine, b"2").decode()
    assert len(engine.decoded) == decoded
    Visit(uploads, engine, b"1").decode()
    assert len(engine.decoded) == decoded + 1
    stays.is_answered()


def test_closing_forgets_all_and_stops_the_clock(uploads: ResumeStore, engine: ScriptedEngine) -> None:
    leaves_later = Visit(uploads, engine, b"later").decode()
    Visit(uploads, engine).decode().fails()
    sweeper = uploads._sweeper
    uploads.close()
    assert len(uploads) == 0
    sweeper.join(PATIENCE_SECONDS)
    assert not sweeper.is_alive()
    leaves_later.is_answered()
    assert len(uploads) == 0


def test_without_grace_nothing_is_read_and_nothing_known(engine: ScriptedEngine) -> None:
    uploads, file = ResumeStore(0), io.BytesIO(b"audio")
    file.read(2)
    with uploads.resuming(engine, file, REQUEST, RequestContext.of(PATIENCE_SECONDS)) as seen:
        assert seen is engine
        assert file.tell() == 2
        assert len(uploads) == 0


@pytest.mark.parametrize("open_file", [io.BytesIO, SpooledTemporaryFile], ids=["memory", "disk"])
def test_a_file_is_read_from_its_start_and_left_there(open_file) -> None:
    with open_file() as file:
        file.write(b"audio" * 100_000)
        identity = upload_identity(file, REQUEST, "")
        assert file.tell() == 0
        assert upload_identity(file, REQUEST, "") == identity
        assert identity == upload_identity(io.BytesIO(b"audio" * 100_000), replace(REQUEST), "")


OTHERS = [
    (b"audio", REQUEST, "", "another model"),
    (b"audi0", REQUEST, ""),
    (b"", REQUEST, ""),
    (b"audio", REQUEST, "somebody"),
    (b"audio", replace(REQUEST, task="translate"), ""),
    (b"audio", replace(REQUEST, word_timestamps=True), ""),
    (b"audio", replace(REQUEST, prompt="\ud800"), ""),
    (b"audio", replace(REQUEST, decoding=DecodingOptions(seed=0)), ""),
    (b"audio", replace(REQUEST, decoding=DecodingOptions(seed=1)), ""),
    (b"audio", replace(REQUEST, temperatures=(1,)), ""),
    (b"audio", replace(REQUEST, temperatures=(1.0,)), ""),  # draws other tokens than 1
]


def test_an_upload_is_its_caller_its_bytes_and_all_options() -> None:
    known = {
        upload_identity(io.BytesIO(content), *rest) for content, *rest in [(b"audio", REQUEST, ""), *OTHERS]
    }
    assert len(known) == 1 + len(OTHERS)
