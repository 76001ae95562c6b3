"""The weights that this program knows by name and sha256: openai-whisper's published files, the demo model.

openai-whisper isn't imported for this, so that the master process can ask.
"""

from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings

DEMO = "demo"
DEMO_NOTICE = "demo model, not for human speech"
DEMO_PATH = Path(__file__).resolve().parents[2] / "models" / "demo.pt"
DEMO_SHA256 = "05ce170a64ae2941719bf82a91dce7fdd338be666be08255d059c5ba7b19c4cf"


@dataclass(frozen=True)
class Release:
    """A file that OpenAI has published."""

    file: str
    sha256: str

    @property
    def url(self) -> str:
        """Where openai-whisper downloads it from."""
        return self.url_at(Settings.hub)

    def url_at(self, hub: str) -> str:
        """Where a copy of OpenAI's folder at another address has it."""
        return f"{hub.rstrip('/')}/{self.sha256}/{self.file}"


_LARGE_V3 = Release("large-v3.pt", "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb")
_TURBO = Release("large-v3-turbo.pt", "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a")

RELEASES = {
    "tiny.en": Release("tiny.en.pt", "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"),
    "tiny": Release("tiny.pt", "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"),
    "base.en": Release("base.en.pt", "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead"),
    "base": Release("base.pt", "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e"),
    "small.en": Release("small.en.pt", "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872"),
    "small": Release("small.pt", "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794"),
    "medium.en": Release("medium.en.pt", "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f"),
    "medium": Release("medium.pt", "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1"),
    "large-v1": Release("large-v1.pt", "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a"),
    "large-v2": Release("large-v2.pt", "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524"),
    "large-v3": _LARGE_V3,
    "large": _LARGE_V3,
    "large-v3-turbo": _TURBO,
    "turbo": _TURBO,
}
"""openai-whisper's names and their files; a test holds this equal to its own table."""


def names_of(sha256: str) -> tuple[str, ...]:
    """What weights are called that this program knows; nothing for others."""
    if sha256 == DEMO_SHA256:
        return (DEMO,)
    return tuple(name for name, release in RELEASES.items() if release.sha256 == sha256)
