"""What a model must not have: this server computes Whisper's architecture and no other."""

from pathlib import Path

from app.errors import CheckpointError


def other_architecture(path: Path, difference: str) -> CheckpointError:
    """The refusal of a model that is computed in another way."""
    return CheckpointError(
        f"{path} has {difference}: another architecture, which this server doesn't compute; "
        "bring a model without this change."
    )


def untied(path: Path) -> CheckpointError:
    """The refusal of an output layer of its own."""
    return CheckpointError(
        f"{path} has an output layer that is not its token embedding, as Whisper's is: another architecture, "
        "which this server doesn't compute; bring a model with tied embeddings."
    )
