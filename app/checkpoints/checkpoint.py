"""What the rest of the program is told about the weights that it serves."""

from dataclasses import dataclass
from pathlib import Path

from app.checkpoints.published import DEMO_NOTICE, DEMO_SHA256, RELEASES, names_of


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights that is known by its contents.

    `name` is openai-whisper's for a published file and `demo` for the demo model, wherever the file
    lies; for any other file it is the file's stem.
    """

    name: str
    path: Path
    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of these weights; `turbo` and `large-v3-turbo` are one file."""
        return names_of(self.sha256) or (self.name,)

    @property
    def alignment_heads(self) -> str | None:
        """The key of openai-whisper's alignment heads; None: those it takes for unknown files."""
        return self.name if self.name in RELEASES else None

    @property
    def is_demo(self) -> bool:
        """True for the demo model, which is a toy."""
        return self.sha256 == DEMO_SHA256

    @property
    def owner(self) -> str:
        """Who made these weights: OpenAI, this project or whoever runs the server."""
        if self.is_demo:
            return "tiny-openai-whisper-api"
        return "openai" if names_of(self.sha256) else "local"

    @property
    def notice(self) -> str | None:
        """What everybody who gets an answer of this model must be told."""
        return DEMO_NOTICE if self.is_demo else None
