"""The sentences stay within the words that the demo checkpoint can say."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import pytest
import torch

from training import german, grammar, words
from training.vocabulary import text_tokens

CHECKPOINT = Path(__file__).parents[3] / "models" / "demo.pt"


@cache
def sayable_tokens() -> frozenset[int]:
    embedding = torch.load(CHECKPOINT, weights_only=True)["model_state_dict"][
        "decoder.token_embedding.weight"
    ]
    used = (embedding[:, 1:] != 0).any(dim=1)
    return frozenset(used.nonzero()[:, 0].tolist())


def test_the_checkpoint_says_2479_tokens() -> None:
    assert len(sayable_tokens()) == 2479


@pytest.mark.parametrize(
    "make",
    [
        grammar.from_template,
        grammar.word_row,
        grammar.sentence,
        lambda rng: german.sentence(rng).german,
        lambda rng: german.sentence(rng).english,
    ],
    ids=["templates", "word rows", "sentences", "german", "translations"],
)
def test_every_word_can_be_said(make: Callable[[Random], str]) -> None:
    rng = Random(1)
    for text in (make(rng) for _ in range(2000)):
        tokens = {token for word in text_tokens(text) for part in word for token in part}
        assert tokens <= sayable_tokens(), text


def test_sentences_are_whole() -> None:
    rng = Random(2)
    for text in (grammar.sentence(rng) for _ in range(2000)):
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert not set("{}|") & set(text)
        assert "  " not in text


def test_the_same_seed_gives_the_same_sentences() -> None:
    assert [grammar.sentence(Random(3)) for _ in range(5)] == [grammar.sentence(Random(3)) for _ in range(5)]


def test_every_slot_of_a_template_is_known() -> None:
    for template in grammar.TEMPLATES:
        for seed in range(20):
            assert grammar._fill(template, Random(seed))


def test_german_numbers_are_translated_in_order() -> None:
    assert german.NUMBERS[0] == ("null", "zero")
    assert german.NUMBERS[-1] == ("zwölf", "twelve")


def test_rows_of_words_have_no_homophones() -> None:
    assert not words.HOMOPHONES & set(words.ALONE)
