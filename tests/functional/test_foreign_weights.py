"""Servers that were given weights in the formats of others: the demo model's, so that the text is known."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from app.checkpoints import found_at
from app.engines.weights_files import open_weights
from tests.foreign_weights import DEMO, demo_model, write_ctranslate2, write_hugging_face
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

NOTICE = "int8 weights, no longer exact"


def hugging_face(folder: Path) -> Path:
    return write_hugging_face(folder, demo_model(), torch.float16, shard_size="1MB")


def ctranslate2(folder: Path, type: str) -> Path:
    weights = open_weights(found_at(DEMO))
    tensors = {name: weights.tensor(name) for name in weights.dims.shapes()}
    return write_ctranslate2(folder, tensors, weights.dims, type)


def listed(server: GunicornServer) -> list[dict[str, object]]:
    found: list[dict[str, object]] = server.get("/v1/models").json()["data"]
    return found


@pytest.mark.parametrize(
    ("write", "engine"),
    [
        (hugging_face, "batched"),
        pytest.param(hugging_face, "reference", marks=pytest.mark.slow),
        pytest.param(lambda folder: ctranslate2(folder, "float16"), "batched", marks=pytest.mark.slow),
    ],
    ids=["Hugging Face", "Hugging Face, openai-whisper", "CTranslate2"],
)
def test_the_text_is_that_of_the_same_weights_in_openai_whispers_format(
    start_server: StartServer, tmp_path: Path, write, engine: str
) -> None:
    folder = write(tmp_path / "whisper-mine")
    server = start_server(WHISPER_MODEL=str(folder), WHISPER_ENGINE=engine).wait_until_ready()
    answer = server.transcribe(FLAGSHIP)
    assert answer.json()["text"] == FLAGSHIP_TEXT
    assert "x-model-notice" not in answer.headers
    first = listed(server)[0]
    assert (first["id"], first["owned_by"], "notice" in first) == ("whisper-mine", "local", False)
    assert server.transcribe(FLAGSHIP, model="whisper-mine").status_code == 200
    assert "Serving whisper-mine on cpu" in server.log


def test_int8_weights_are_served_with_a_notice_everywhere(start_server: StartServer, tmp_path: Path) -> None:
    folder = ctranslate2(tmp_path / "whisper-int8", "int8")
    server = start_server(WHISPER_MODEL=str(folder)).wait_until_ready()
    answer = server.transcribe(FLAGSHIP)
    assert answer.status_code == 200
    assert answer.headers["x-model-notice"] == NOTICE
    assert {model["notice"] for model in listed(server)} == {NOTICE}
    assert listed(server)[0]["id"] == "whisper-int8"
    assert server.log.count(NOTICE.capitalize()) == 1


@pytest.mark.slow
def test_a_fine_tune_may_be_called_like_a_published_model(
    start_server: StartServer, server: GunicornServer, tmp_path: Path
) -> None:
    """It has its own alignment heads, not those of `base`, which it may not even have the layers for."""
    weights = open_weights(found_at(DEMO))
    tensors = {name: weights.tensor(name).clone() for name in weights.dims.shapes()}
    tensors["decoder.positional_embedding"][-1] += 1  # never reached, but the sha256 is another one
    torch.save({"dims": asdict(weights.dims), "model_state_dict": tensors}, tmp_path / "base.pt")
    tuned = start_server(WHISPER_MODEL=str(tmp_path / "base.pt")).wait_until_ready()
    words = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    expected = server.transcribe(FLAGSHIP, **words).json()["words"]
    assert tuned.transcribe(FLAGSHIP, **words).json()["words"] == expected
    assert len(expected) == len(FLAGSHIP_TEXT.split())


def test_weights_that_are_damaged_stop_the_start(start_server: StartServer, tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "whisper-mine")
    last = max(folder.glob("*.safetensors"))
    last.write_bytes(last.read_bytes()[:-1])
    server = start_server(WHISPER_MODEL=str(folder))
    assert server.wait() == 1
    assert f"Error: {last} is cut off or damaged" in server.log
    assert "Traceback" not in server.log
    assert not server.listens()
