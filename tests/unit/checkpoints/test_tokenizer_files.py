"""Lists of tokens beside weights, as transformers and CTranslate2 write them."""

import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from transformers.convert_slow_tokenizer import bytes_to_unicode
from whisper.tokenizer import get_tokenizer

from app.checkpoints.dimensions import Dimensions
from app.checkpoints.tokenizer_files import require_openais
from app.errors import CheckpointError
from tests.foreign_weights import DISTILLED
from tests.unit.checkpoints.sentences import is_one_sentence

ENGLISH = replace(DISTILLED, n_vocab=51864)


def texts(dims: Dimensions) -> list[str]:
    """Each token's text as those files have it, special ones too: from openai-whisper's own tokenizer."""
    encoding = get_tokenizer(dims.is_multilingual, num_languages=dims.num_languages).encoding
    characters = bytes_to_unicode()
    special = {token: text for text, token in encoding._special_tokens.items()}
    return [
        special.get(token) or "".join(characters[byte] for byte in encoding.decode_single_token_bytes(token))
        for token in range(encoding.n_vocab)
    ]


def write(folder: Path, name: str, tokens: list[str]) -> None:
    numbers = {text: token for token, text in enumerate(tokens)}
    contents = {
        "vocab.json": json.dumps(numbers),
        "tokenizer.json": json.dumps({"added_tokens": [], "model": {"type": "BPE", "vocab": numbers}}),
        "vocabulary.json": json.dumps(tokens),
        "vocabulary.txt": "\n".join(tokens),
    }
    (folder / name).write_text(contents[name], encoding="utf-8")


FILES = ["vocab.json", "tokenizer.json", "vocabulary.json", "vocabulary.txt"]


@pytest.mark.parametrize("dims", [DISTILLED, ENGLISH], ids=["multilingual", "English"])
@pytest.mark.parametrize("name", FILES)
def test_openais_own(tmp_path: Path, name: str, dims: Dimensions) -> None:
    write(tmp_path, name, texts(dims))
    require_openais(tmp_path, dims)


@pytest.mark.parametrize("name", FILES)
def test_another_tokenizer(tmp_path: Path, name: str) -> None:
    tokens = texts(DISTILLED)
    tokens[1000], tokens[1001] = tokens[1001], tokens[1000]
    write(tmp_path, name, tokens)
    with pytest.raises(CheckpointError) as caught:
        require_openais(tmp_path, DISTILLED)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name} is not OpenAI's tokenizer")
    assert f"token 1000 is {tokens[1000]!r}, not {tokens[1001]!r}" in message
    assert is_one_sentence(message)


def test_the_english_tokenizer_is_another_one(tmp_path: Path) -> None:
    write(tmp_path, "vocab.json", texts(ENGLISH))
    with pytest.raises(CheckpointError, match="is not OpenAI's tokenizer"):
        require_openais(tmp_path, DISTILLED)


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("vocab.json", "{}"),
        ("vocab.json", '{"a": [], "b": null}'),
        ("tokenizer.json", '{"model": 7}'),
        ("vocabulary.json", "[]"),
        ("vocabulary.txt", ""),
    ],
)
def test_too_few_tokens(tmp_path: Path, name: str, contents: str) -> None:
    (tmp_path / name).write_text(contents)
    with pytest.raises(CheckpointError, match=r"token 0 is (missing|'')"):
        require_openais(tmp_path, DISTILLED)


@pytest.mark.parametrize("name", ["vocab.json", "tokenizer.json", "vocabulary.json"])
def test_a_list_that_is_no_json(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("!")
    with pytest.raises(CheckpointError, match="is no JSON; copy it anew"):
        require_openais(tmp_path, DISTILLED)


def test_without_a_list_nothing_is_said(tmp_path: Path) -> None:
    require_openais(tmp_path, DISTILLED)


def test_the_first_token() -> None:
    assert texts(DISTILLED)[0] == b64decode("IQ==").decode() == "!"
