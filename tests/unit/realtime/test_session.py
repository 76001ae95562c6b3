"""A session's events, one after the other."""

from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

from app.held_audio import HeldAudio
from app.realtime.configuration import Configuration
from app.realtime.interface import MOST_SAMPLES, SpeechStarted, SpeechStopped
from app.realtime.session import MOST_WAITING, MOST_WAITING_SECONDS, Channel, Session
from app.waveform import SAMPLE_RATE
from tests.threads import no_thread
from tests.unit.realtime.sessions_parts import (
    COMMIT,
    PATIENCE_SECONDS,
    UPDATE,
    Worker,
    append,
    event,
    session_of,
)

BUFFER = "input_audio_buffer"


class Talk:
    """A session, and what it sent."""

    def __init__(self, worker: Worker, *, for_transcription: bool = True) -> None:
        self.sent: list[dict[str, Any]] = []
        self.woken = Event()
        self.held = HeldAudio()
        self.asked_to_send = 0
        channel = Channel(self.sent.append, self.woken.set, self.start_sending, self.held.share())
        self.session = Session(
            worker.services(), channel, Configuration(), 2_000_000_000, for_transcription=for_transcription
        )

    def start_sending(self) -> None:
        self.asked_to_send += 1

    def tell(self, *events: bytes) -> list[str]:
        """What these events are answered with at once."""
        before = len(self.sent)
        for data in events:
            self.session.receive(data)
        return [sent["type"].removeprefix(f"{BUFFER}.") for sent in self.sent[before:]]

    def rest(self) -> None:
        """Wait until all is answered."""
        while not self.session.idle:
            assert self.woken.wait(PATIENCE_SECONDS)
            self.woken.clear()

    def last_error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.sent[-1]["error"]
        return error

    def transcripts(self) -> list[str]:
        return [sent["transcript"] for sent in self.sent if "transcript" in sent]


def test_it_opens_with_what_it_is() -> None:
    talk = Talk(Worker())
    talk.session.open()
    [created] = talk.sent
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["object"] == "realtime.transcription_session"
    assert (session["id"], session["expires_at"]) == (talk.session.id, 2_000_000_000)


def test_an_utterance_by_hand() -> None:
    worker = Worker()
    talk = Talk(worker)
    assert talk.tell(UPDATE, append(150), append(150)) == ["session.updated"]
    assert talk.asked_to_send == 2
    assert talk.tell(COMMIT)[:3] == ["committed", "conversation.item.added", "conversation.item.done"]
    talk.rest()
    assert talk.transcripts() == ["300 ms"]
    assert worker.record.notes == ["answered"]
    assert (worker.held, talk.held.samples, talk.session.heard_ms) == (0, 0, 300)


def test_turns_that_are_detected() -> None:
    script = (SpeechStarted(100), SpeechStopped(600), SpeechStarted(600), SpeechStopped(900))
    worker = Worker(*script)
    talk = Talk(worker)
    turns = session_of(turn_detection={"type": "server_vad"})
    talk.tell(event("session.update", session=turns), *[append(100)] * 10)
    talk.rest()
    times = [
        (sent["type"], sent.get("audio_start_ms", sent.get("audio_end_ms")))
        for sent in talk.sent
        if "speech_" in sent["type"]
    ]
    assert times == [
        (f"{BUFFER}.speech_started", 100),
        (f"{BUFFER}.speech_stopped", 600),
        (f"{BUFFER}.speech_started", 600),
        (f"{BUFFER}.speech_stopped", 900),
    ]
    assert worker.files == [500, 300]


def test_another_detector_begins_another_item() -> None:
    worker = Worker(SpeechStarted(100), SpeechStarted(1_100))
    talk = Talk(worker)
    for pause_ms in (500, 300):
        detection = {"type": "server_vad", "silence_duration_ms": pause_ms}
        talk.tell(event("session.update", session=session_of(turn_detection=detection)), *[append(100)] * 10)
    started = [sent["item_id"] for sent in talk.sent if sent["type"].endswith("speech_started")]
    assert len(set(started)) == 2
    assert not [sent for sent in talk.sent if sent["type"].endswith(("speech_stopped", "committed"))]


def test_audio_is_held_until_it_is_answered() -> None:
    worker = Worker()
    worker.may_answer.clear()
    talk = Talk(worker)
    talk.tell(UPDATE, append(1_000))
    assert talk.held.samples == SAMPLE_RATE
    talk.tell(COMMIT, append(500))
    assert talk.held.samples == 1.5 * SAMPLE_RATE
    worker.may_answer.set()
    talk.rest()
    assert talk.held.samples == 0.5 * SAMPLE_RATE
    talk.tell(event(f"{BUFFER}.clear"))
    assert talk.held.samples == 0


def test_it_takes_no_more_while_so_many_utterances_wait() -> None:
    worker = Worker()
    worker.may_answer.clear()
    talk = Talk(worker)
    talk.tell(UPDATE)
    for _ in range(MOST_WAITING):
        assert talk.session.takes_more
        talk.tell(append(100), COMMIT)
    assert not talk.session.takes_more
    assert not talk.session.idle
    worker.may_answer.set()
    talk.rest()
    assert talk.session.takes_more
    assert talk.transcripts() == ["100 ms"] * MOST_WAITING


def test_or_so_much_of_their_audio() -> None:
    worker = Worker()
    worker.may_answer.clear()
    talk = Talk(worker)
    talk.tell(UPDATE)
    for _ in range(MOST_WAITING_SECONDS // 150):
        assert talk.session.takes_more
        talk.tell(append(150_000), COMMIT)
    assert not talk.session.takes_more
    worker.may_answer.set()
    talk.rest()
    assert talk.session.takes_more


def test_a_session_never_has_two_decodes_at_a_time() -> None:
    """Neither two looks at what is being said, nor one beside a transcript, nor two transcripts."""
    worker = Worker()
    talk = Talk(worker)
    talk.tell(UPDATE)
    for number in range(200):
        talk.tell(append(250), *([COMMIT] if number % 5 == 4 else []))
        sleep(0.001)
    talk.rest()
    assert talk.transcripts() == ["1250 ms"] * 40
    assert worker.decodes.all > 40
    assert worker.decodes.most_at_a_time == 1


def test_a_look_has_what_the_text_still_needs_and_no_more_than_a_window() -> None:
    """Of minutes that come at once; the text is done with half of what it was given."""
    worker = Worker()
    talk = Talk(worker)
    talk.tell(UPDATE)
    for _ in range(4):
        talk.tell(append(60_000))
        talk.rest()
    assert worker.decodes.looks == [(number * MOST_SAMPLES // 2, MOST_SAMPLES) for number in range(4)]


def test_no_other_format_while_there_is_audio() -> None:
    talk = Talk(Worker())
    telephone = event("session.update", event_id="mine", session=session_of(format={"type": "audio/pcma"}))
    assert talk.tell(UPDATE, append(150), telephone) == ["session.updated", "error"]
    error = talk.last_error()
    assert (error["param"], error["event_id"]) == ("session.audio.input.format", "mine")
    assert talk.tell(event(f"{BUFFER}.clear"), telephone) == ["cleared", "session.updated"]


def test_no_audio_before_there_is_a_transcription() -> None:
    talk = Talk(Worker())
    assert talk.tell(append(100)) == ["error"]
    assert talk.last_error()["param"] == "session.audio.input.transcription"
    assert talk.held.samples == 0


def test_no_commit_after_the_transcription_was_cleared() -> None:
    talk = Talk(Worker())
    without = event("session.update", session=session_of(transcription=None))
    assert talk.tell(UPDATE, append(150), without, COMMIT) == ["session.updated"] * 2 + ["error"]
    assert talk.last_error()["param"] == "session.audio.input.transcription"
    assert talk.tell(UPDATE, COMMIT)[:2] == ["session.updated", "committed"]
    talk.rest()
    assert talk.transcripts() == ["150 ms"]


def test_a_session_that_has_not_said_what_it_is_for() -> None:
    talk = Talk(Worker(), for_transcription=False)
    assert talk.tell(append(100), COMMIT, UPDATE, append(100)) == ["error", "error", "session.updated"]
    assert "intent=transcription" in talk.sent[0]["error"]["message"]


def test_stopping_answers_what_was_committed_and_drops_the_rest() -> None:
    worker = Worker()
    worker.may_answer.clear()
    talk = Talk(worker)
    talk.tell(UPDATE, append(1_000), COMMIT, append(700))
    talk.session.stop()
    assert talk.held.samples == SAMPLE_RATE
    worker.may_answer.set()
    talk.rest()
    assert talk.transcripts() == ["1000 ms"]


def test_closing_cancels_everything() -> None:
    worker = Worker()
    worker.may_answer.clear()
    talk = Talk(worker)
    talk.tell(UPDATE, append(1_000), COMMIT, append(1_000))
    talk.session.close()
    assert talk.session.idle
    assert talk.transcripts() == []
    assert (worker.held, talk.held.samples) == (0, 0)


def test_an_utterance_that_no_thread_can_be_had_for_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    talk = Talk(worker)
    talk.tell(UPDATE, append(1_000))
    talk.rest()
    assert worker.held == 1
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", no_thread)
        assert "error" not in talk.tell(append(300))
        talk.tell(COMMIT)
    failed = talk.sent[-1]
    committed = next(sent for sent in talk.sent if sent["type"].endswith("committed"))
    assert failed["type"] == "conversation.item.input_audio_transcription.failed"
    assert (failed["item_id"], failed["error"]["type"]) == (committed["item_id"], "server_error")
    assert talk.session.idle
    assert (worker.held, talk.held.samples) == (0, 0)
    assert [str(note) for note in worker.record.notes] == [failed["error"]["message"]]
    talk.tell(append(300), COMMIT)
    talk.rest()
    assert talk.transcripts() == ["300 ms"]


@pytest.mark.parametrize("end", ["clear", "close"])
def test_no_thread_is_needed_to_give_the_model_back(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    worker = Worker()
    talk = Talk(worker)
    talk.tell(UPDATE, append(1_000))
    talk.rest()
    assert worker.held == 1
    monkeypatch.setattr(Thread, "start", no_thread)
    if end == "clear":
        assert talk.tell(event(f"{BUFFER}.clear")) == ["cleared"]
    else:
        talk.session.close()
    assert talk.session.idle
    assert (worker.held, talk.held.samples) == (0, 0)


@pytest.mark.parametrize("event_id", [5, "x" * 513, None, ["x"]])
def test_an_event_id_that_is_none_is_not_sent_back(event_id: object) -> None:
    talk = Talk(Worker())
    talk.tell(event(f"{BUFFER}.commit", event_id=event_id))
    assert talk.last_error()["event_id"] is None
