"""There is one way from a request to its transcript: each step of it is called in one place of app/."""

import ast
from functools import cache
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"
SOURCES = {str(path.relative_to(APP)): path.read_text() for path in sorted(APP.rglob("*.py"))}

STEPS = {
    "admission.admit": "api/admitted.py",
    "resume_store.resuming": "transcription/transcriber.py",
    "reader.read": "transcription/transcriber.py",
    "decoders.read_audio": "transcription/audio_reader.py",
    "self.stream_samples": "transcription/transcriber.py",
}
"""What is called -> the file with the only call."""


@cache
def calls(source: str) -> list[str]:
    """What each call of a source text calls, as it is written there."""
    return [ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def call_sites(step: str) -> list[str]:
    """The file of each call; what is called `a.b` may also be written `x.a.b`."""
    return [
        name
        for name, source in SOURCES.items()
        for call in calls(source)
        if call == step or call.endswith(f".{step}")
    ]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_one_call_site(step: str) -> None:
    assert call_sites(step) == [STEPS[step]]


def test_audio_is_opened_for_transcripts_and_for_text_so_far() -> None:
    assert call_sites("open_audio") == ["transcription/transcribe.py", "transcription/transcriber.py"]


def test_a_client_that_has_gone_is_noticed_in_one_place() -> None:
    assert call_sites("ClientGone") == ["waiting.py"]


def test_threads_for_single_pieces_of_work_are_made_in_one_place() -> None:
    """The others stay: the engine's, SideBySide's, the decoder processes' and the one that hears workers."""
    assert call_sites("Thread") == ["background.py", "engines/engine_thread.py", "worker_peers.py"]
    pools = ["transcription/side_by_side.py", "waveform/audio_decoder_pool.py"]
    assert call_sites("ThreadPoolExecutor") == pools


def test_samples_are_streamed_by_the_transcriber_alone() -> None:
    importers = [name for name, source in SOURCES.items() if imports(source, "stream_samples")]
    assert importers == ["transcription/transcriber.py"]


def test_files_are_streamed_for_requests_sessions_conversations_and_the_command_line() -> None:
    assert call_sites("transcriber.stream") == [
        "api/audio/answers.py",
        "api/realtime/services.py",
        "commands/transcriber.py",
        "dialogue/audio_parts.py",  # ConversationTranscriber
        "dialogue/audio_parts.py",  # each part, by that
    ]


def imports(source: str, function: str) -> bool:
    """Whether a function of app.transcription.transcribe is imported."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "app.transcription.transcribe"
        and function in [alias.name for alias in node.names]
        for node in ast.walk(ast.parse(source))
    )


def test_the_test_sees_calls() -> None:
    source = "with runtime().admission.admit(who):\n    self.reader.read(file)\nadmission.admit\n"
    assert calls(source) == ["runtime().admission.admit", "self.reader.read", "runtime"]
    late = "def f():\n    from app.transcription.transcribe import stream_samples"
    assert imports(late, "stream_samples")
    assert not imports("from app.transcription.transcribe import collected", "stream_samples")
