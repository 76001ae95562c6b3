"""Processes that share the cores, and programs that the tests' own environment hasn't.

Tests that need such a program are skipped without it, but never in CI.
"""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

# numba counts the cores anew when one of its variables changes, and refuses to go on if it counts others.
os.environ.setdefault("NUMBA_NUM_THREADS", str(len(os.sched_getaffinity(0))))
if "PYTEST_XDIST_WORKER" in os.environ:
    # a process for each core already: threads of torch that wait for each other only slow them all
    os.environ.setdefault("OMP_NUM_THREADS", "1")

PROGRAMS = {"curl", "espeak-ng", "ffmpeg", "flite", "nginx", "node", "npm", "openssl", "strace", "unshare"}
PROGRAMS |= {"chromium", "chromedriver"}
PROGRAMS |= {"openai-agents", "livekit"}  # Python packages that need an environment of their own


MORE_THAN_PYTHON = {
    f"tests/unit/{path}"
    for path in (
        "api/audio/test_speech.py",
        "api/audio/test_streaming.py",
        "api/test_openapi.py",
        "benchmarks/test_loading_memory.py",
        "benchmarks/test_memory.py",
        "benchmarks/test_random_weights.py",
        "benchmarks/test_short_note.py",
        "checkpoints/test_ctranslate2.py",
        "checkpoints/test_huggingface.py",
        "checkpoints/test_packaged.py",
        "checkpoints/test_tokenizer_files.py",
        "checkpoints/test_wheels.py",
        "commands/test_checkpoint.py",
        "dialogue/test_upstream.py",
        "engines/batched/test_alignment.py",
        "engines/batched/test_backend.py",
        "engines/batched/test_beam.py",
        "engines/batched/test_compiled.py",
        "engines/batched/test_cross_attention.py",
        "engines/batched/test_dtw.py",
        "engines/batched/test_encoder.py",
        "engines/batched/test_engine.py",
        "engines/batched/test_graphs.py",
        "engines/batched/test_kv_cache.py",
        "engines/batched/test_model.py",
        "engines/batched/test_model_runner.py",
        "engines/batched/test_session_turns.py",
        "engines/batched/test_shared_thread.py",
        "engines/batched/test_short_waits.py",
        "engines/batched/test_token_rules.py",
        "engines/test_features.py",
        "engines/test_opening.py",
        "engines/test_reference.py",
        "engines/weights_files",
        "formats/test_cues.py",
        "realtime/test_connection.py",
        "realtime/test_sessions.py",
        "server/test_arbiter.py",
        "server/test_client_socket.py",
        "server/test_worker.py",
        "synthesis/test_espeak.py",
        "test_app.py",
        "test_demo_model.py",
        "test_dockerfile.py",
        "test_memory.py",
        "test_model_pool_histories.py",
        "test_preflight.py",
        "test_runtime.py",
        "test_worker_models.py",
        "test_worker_peers.py",
        "transcription/test_coming_back.py",
        "waveform/test_audio_decoder.py",
        "waveform/test_audio_decoder_pool.py",
        "waveform/test_audio_file.py",
        "waveform/test_audio_file_hostile.py",
        "waveform/test_encode.py",
        "waveform/test_voice_activity.py",
    )
}
"""Unit tests that run a model, codec, compiler, simulation, socket or process, or take seconds.

They don't run with `--quick`.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out unit tests that run a model or codecs")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if config.option.quick and path in MORE_THAN_PYTHON else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`auto`: one more than there are cores, for tests that wait for timers. `logical`: as many as cores.

    Never more than 8: each may hold a model and have a server that holds another.
    """
    waiting = config.option.numprocesses == "auto"
    return min(len(os.sched_getaffinity(0)) + waiting, 8)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    for program in (name for mark in item.iter_markers("needs") for name in mark.args):
        if shutil.which(program) is None:
            _skip(program)
    return (yield from _without_programs())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _without_programs())


def _without_programs() -> Generator[None, object, object]:
    try:
        return (yield)
    except OSError as error:
        # a library that ctypes looks for is named in the message alone
        program = (
            Path(error.filename).name
            if error.filename
            else str(error).partition(".so")[0].removeprefix("lib")
        )
        if program in PROGRAMS:
            _skip(program)
        raise


def _skip(program: str) -> None:
    if "CI" not in os.environ:
        pytest.skip(f"needs {program}")
