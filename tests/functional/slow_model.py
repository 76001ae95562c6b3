"""A model whose windows take so long that its work never ends by itself while a test looks at it."""

from pathlib import Path

from benchmarks.random_weights import TINY, write


def write_slow_model(folder: Path) -> Path:
    """Weights that say 200 words without sense in each window, again at each temperature, five at a time.

    That is about ten seconds of one core for 30 s of speech.
    """
    path = folder / "slow.pt"
    write(path, TINY, tokens=200)
    return path
