"""The batched engine on a GPU against openai-whisper on the same GPU, both in float16."""

import threading
from typing import Any

import pytest
import torch
import whisper

from app import engines
from app.checkpoints import resolve
from app.engines.batched.graphs import capture_graph
from app.engines.interface import EngineOptions, Window, WindowOptions
from app.request_context import RequestContext
from app.settings import Settings
from app.transcription.request import Policy, TranscriptionRequest
from tests.oracle.conftest import DEMO
from tests.oracle.recordings import RECORDINGS, SPOKEN
from tests.transcripts import transcribe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CUDA = "cuda:0"
HALF_TOLERANCE = 0.05


@pytest.fixture(scope="module")
def engine() -> Any:
    started = engines.start("batched", resolve(Settings(model="demo")), CUDA, EngineOptions())
    yield started
    started.close()


@pytest.mark.parametrize("name", SPOKEN)
def test_the_text_of_every_recording_is_the_same(engine: Any, name: str) -> None:
    samples = RECORDINGS[name]()
    request = TranscriptionRequest(temperatures=(0.0,))
    found = transcribe(engine, samples, request, Policy(strict=True), RequestContext.of(600))
    model = whisper.load_model(str(DEMO), device=CUDA)
    expected = whisper.transcribe(model, samples, temperature=(0.0,))
    assert found.text == expected["text"].strip()


def test_log_probabilities_are_within_half_precision(engine: Any) -> None:
    reference = engines.start("reference", resolve(Settings(model="demo")), CUDA, EngineOptions())
    samples = RECORDINGS["three utterances"]()
    options = WindowOptions(language="en")
    scores = []
    for each in (engine, reference):
        window = Window(each.open(samples), 0, len(samples) // 160)
        tokens = each.submit(window, options).result().tokens
        scores.append(each.score(window, options, tokens).result())
    reference.close()
    assert scores[0] == pytest.approx(scores[1], abs=HALF_TOLERANCE)


def test_another_thread_may_take_memory_while_a_step_is_captured() -> None:
    number = torch.ones(1, device=CUDA)
    taken: list[torch.Tensor] = []

    def step() -> torch.Tensor:
        size = (256 + len(taken)) * 2**20  # more each time, so that none is left over from the last
        other = threading.Thread(
            target=lambda: taken.append(torch.empty(size, dtype=torch.int8, device=CUDA))
        )
        other.start()
        other.join(60)
        return number * 2

    replay = capture_graph(step)
    number.fill_(5)
    assert replay().item() == 10
    assert len(taken) > 1
