from pathlib import Path

import pytest
import torch

from training import pack


def test_packed_tensors_are_the_same_and_smaller(tmp_path: Path) -> None:
    stored, packed = tmp_path / "stored.pt", tmp_path / "packed.pt"
    state = {"zeros": torch.zeros(100_000).half(), "numbers": torch.arange(5), "dims": {"n": 3}}
    torch.save(state, stored)
    pack.main([str(stored), str(packed)])
    loaded = torch.load(packed, weights_only=True)
    assert loaded["dims"] == state["dims"]
    assert torch.equal(loaded["zeros"], state["zeros"])
    assert torch.equal(loaded["numbers"], state["numbers"])
    assert packed.stat().st_size < stored.stat().st_size / 10


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pack.pack(tmp_path / "missing.pt", tmp_path / "packed.pt")
