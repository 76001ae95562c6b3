"""What every refusal is."""

from pathlib import Path

import pytest

from app.checkpoints import found_at
from app.errors import CheckpointError


def is_one_sentence(message: str) -> bool:
    """Whether it is one line that says what was found and, after it, what to do."""
    return "\n" not in message and "; " in message and len(message) < 700


def refusal(path: Path) -> str:
    """Why a path's checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        found_at(path)
    message = str(caught.value)
    assert is_one_sentence(message), message
    return message
