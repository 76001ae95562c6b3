"""Whether the tokens that lie beside weights are OpenAI's, with which this server writes text."""

from base64 import b64decode
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from app.checkpoints.config_file import read_object, read_values
from app.checkpoints.dimensions import Dimensions
from app.errors import CheckpointError

VOCABULARIES = ("vocab.json", "tokenizer.json", "vocabulary.json", "vocabulary.txt")
"""Files that list tokens, transformers' and CTranslate2's; the first one that is there is looked at."""


def require_openais(folder: Path, dims: Dimensions) -> None:
    """Raise CheckpointError if a folder has a list of tokens whose texts are others than OpenAI's."""
    file = next((folder / name for name in VOCABULARIES if (folder / name).is_file()), None)
    if file is None:
        return
    tokens = _tokens(file)
    for token, text in enumerate(_openais(dims)):
        if token >= len(tokens) or tokens[token] != text:
            there = repr(tokens[token]) if token < len(tokens) else "missing"
            raise CheckpointError(
                f"{file} is not OpenAI's tokenizer, which this server writes text with: token {token} is "
                f"{there}, not {text!r}; bring a model that was trained with an unchanged tokenizer."
            )


def _tokens(file: Path) -> Sequence[object]:
    """The text of each token, as it is written there. Raises CheckpointError."""
    if file.suffix == ".txt":
        return [str(line) for line in file.read_text(encoding="utf-8", errors="replace").split("\n")]
    if file.name == "vocabulary.json":
        return read_values(file)
    contents = read_object(file)
    if file.name == "tokenizer.json":
        model = contents.get("model")
        contents = model.get("vocab", {}) if isinstance(model, dict) else {}
    texts = {token: text for text, token in contents.items() if isinstance(token, int)}
    return [texts.get(token) for token in range(len(texts))]


def _openais(dims: Dimensions) -> list[str]:
    """The texts of OpenAI's tokens without special ones, in the characters that GPT-2 writes for bytes."""
    whisper = find_spec("whisper")  # it is not imported: that imports torch
    assert whisper is not None and whisper.submodule_search_locations is not None
    name = "multilingual.tiktoken" if dims.is_multilingual else "gpt2.tiktoken"
    lines = (Path(whisper.submodule_search_locations[0]) / "assets" / name).read_bytes().splitlines()
    tokens = [b64decode(line.split()[0]) for line in lines]
    characters = _characters()
    return ["".join(characters[byte] for byte in token) for token in tokens if token]


def _characters() -> list[str]:
    """What GPT-2's byte-level tokenizers write for each byte: itself, or a letter from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
