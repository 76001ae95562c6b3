"""The encoder of a short context: it computes what it would if all positions past it were masked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.checkpoints import found_at
from app.engines.batched.encoder import encode
from app.engines.batched.model import Model, load

DEMO = Path(__file__).parents[4] / "models" / "demo.pt"
FRAMES = 300


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model() -> Model:
    return load(found_at(DEMO), torch.device("cpu"), "exact")


@pytest.fixture(scope="module")
def mel(model: Model) -> Tensor:
    """Three seconds, then padding."""
    heard = torch.randn(model.dims.n_mels, FRAMES, generator=torch.Generator().manual_seed(1))
    return F.pad(heard, (0, 3_000 - FRAMES))


@pytest.mark.parametrize("positions", [256, 384, 1408])
def test_it_is_the_whole_encoder_with_the_rest_masked(
    model: Model, mel: Tensor, positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = encode(mel[:, : 2 * positions], model.encoder)
    assert short.shape[1] == positions
    attention = F.scaled_dot_product_attention

    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v, attn_mask=(torch.arange(k.shape[2]) < positions)[None])

    monkeypatch.setattr(F, "scaled_dot_product_attention", masked)
    whole = encode(mel, model.encoder)
    assert whole.shape[1] == 1500
    assert torch.allclose(short, whole[:, :positions], atol=1e-3)


def test_it_is_not_what_the_whole_encoder_computes(model: Model, mel: Tensor) -> None:
    short, whole = encode(mel[:, :512], model.encoder), encode(mel, model.encoder)
    assert not torch.allclose(short, whole[:, :256], atol=1e-2)
