"""What the rest of the program is told about the weights that it serves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.checkpoints.published import DEMO_NOTICE, DEMO_SHA256, names_of

Format = Literal["torch", "huggingface", "ctranslate2"]
Quantization = Literal["int8"]

QUANTIZED_NOTICE = "{} weights, no longer exact"


@dataclass(frozen=True)
class Checkpoint:
    """Weights, in a file or a folder, that are known by their contents.

    `name` is openai-whisper's for a published file and `demo` for the demo model, wherever the file
    lies; for others it is the file's stem or the folder's name. `quantization` is None for weights that are
    what their maker trained.
    """

    name: str
    path: Path
    sha256: str
    format: Format = "torch"
    quantization: Quantization | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of these weights; `turbo` and `large-v3-turbo` are one file."""
        return names_of(self.sha256) or (self.name,)

    @property
    def published_name(self) -> str | None:
        """openai-whisper's name of a file that is known by its sha256; None for all others."""
        return None if self.is_demo else next(iter(names_of(self.sha256)), None)

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
        if self.is_demo:
            return DEMO_NOTICE
        return QUANTIZED_NOTICE.format(self.quantization) if self.quantization else None
