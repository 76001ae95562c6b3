"""Random weights that behave: openai-whisper loads them, and they say what they are told to."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions
from whisper.tokenizer import get_tokenizer

from benchmarks.random_weights import BASE, write

SMALL = replace(
    BASE, n_audio_state=64, n_audio_head=2, n_audio_layer=1, n_text_state=64, n_text_head=2, n_text_layer=1
)


@pytest.mark.parametrize("tokens", [0, 7])
def test_a_window_has_a_timestamp_and_so_many_tokens(tmp_path: Path, tokens: int) -> None:
    write(tmp_path / "random.pt", SMALL, tokens)
    model = whisper.load_model(str(tmp_path / "random.pt"), device="cpu")
    assert model.dims == SMALL
    features = torch.randn(1500, 64, generator=torch.Generator().manual_seed(1))
    heard = whisper.decode(model, features, DecodingOptions(language="en", fp16=False)).tokens
    times = [token for token in heard if token >= get_tokenizer(True, num_languages=99).timestamp_begin]
    assert (len(heard), len(times)) == (1 + tokens, 1)


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / name, SMALL, 5, seed)
    a, b, c = (
        torch.load(tmp_path / name, weights_only=True)["model_state_dict"]["decoder.token_embedding.weight"]
        for name in "abc"
    )
    assert a.dtype == torch.float16
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
