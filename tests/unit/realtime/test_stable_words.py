"""Which words will stay: by their age, their probability, and the decode before."""

import pytest

from app.engines.interface import WordTiming
from app.realtime.stable_words import Rules, stable_tokens
from app.transcription.unfinished import UnfinishedText
from tests.scripted_engine import LetterTokenizer, spell, ts
from tests.unit.realtime.live_words import text_of, word

RULES = Rules(
    delay_seconds=0.3, sure=0.9, least=0.65, least_first=0.5, first_delay_seconds=1.0, doubt_seconds=3.0
)
LONG_AGO = 100.0


def stable(text: UnfinishedText, before: UnfinishedText | None = None, seconds: float = 10.0) -> str:
    """The text that will stay; `seconds` of audio."""
    return LetterTokenizer().decode(stable_tokens(text, before, seconds, RULES))


def test_words_that_are_sure_stay_from_the_first_decode_on() -> None:
    assert stable(text_of("one two three")) == " one two three"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.5, " one two"), (1.79, " one two"), (1.81, " one two three")]
)
def test_a_word_that_has_just_ended_may_be_half_a_word(seconds: float, expected: str) -> None:
    assert stable(text_of("one two three"), seconds=seconds) == expected


def test_nothing_after_a_doubtful_word_stays() -> None:
    assert stable(text_of("one two three", 1.0, 0.7, 1.0)) == " one"


@pytest.mark.parametrize(("probability", "expected"), [(0.64, ""), (0.66, " one two")])
def test_two_decodes_that_agree_are_worth_something(probability: float, expected: str) -> None:
    doubtful = text_of("one two", 1.0, probability)
    assert stable(doubtful, text_of("one two"), seconds=2.0) == (expected or " one")


def test_another_word_before_it_is_no_agreement() -> None:
    assert stable(text_of("one two three", 0.7, 0.7, 0.7), text_of("one too three")) == " one"


def test_the_first_word_may_be_less_likely() -> None:
    assert stable(text_of("one", 0.51), text_of("one"), seconds=2.0) == " one"
    assert stable(text_of("one", 0.49), text_of("one"), seconds=2.0) == ""


@pytest.mark.parametrize(("seconds", "expected"), [(1.49, ""), (1.51, " one")])
def test_but_not_before_more_was_said(seconds: float, expected: str) -> None:
    """Nothing that follows could mend it."""
    assert stable(text_of("one", 0.7), text_of("one"), seconds=seconds) == expected
    assert stable(text_of("one", 0.95), seconds=seconds) == " one"


@pytest.mark.parametrize(("seconds", "expected"), [(3.9, " one"), (4.1, " one two")])
def test_a_word_that_has_been_there_for_long_stays(seconds: float, expected: str) -> None:
    assert stable(text_of("one two", 1.0, 0.1), text_of("one two"), seconds=seconds) == expected


def test_age_alone_is_no_reason() -> None:
    assert stable(text_of("one two", 1.0, 0.1), seconds=LONG_AGO) == " one"


@pytest.mark.parametrize("mark", [",", ".", "...", " -", "»", "¿"])
def test_what_follows_a_word_is_known_with_the_next_one(mark: str) -> None:
    assert stable(text_of(f"one{mark}")) == " one"
    assert stable(text_of(f"one{mark} two")) == f" one{mark} two"


@pytest.mark.parametrize("text", ["don't", "3.14", "naïve", "½"])
def test_signs_within_a_word_are_its_own(text: str) -> None:
    assert stable(text_of(text)) == f" {text}"


@pytest.mark.parametrize("sign", [b"\xe6", "日".encode()], ids=["part of a character", "a sign"])
def test_other_scripts_are_no_punctuation(sign: bytes) -> None:
    class Bytes(LetterTokenizer):
        def token_bytes(self, token: int) -> bytes:
            return sign if token == 850 else super().token_bytes(token)

    words = (word(" a", 0.5), WordTiming("?", (850,), 0.5, 1.0, 1.0))
    text = UnfinishedText((ts(0), *words[0].tokens, 850), words, "en", Bytes())
    assert stable_tokens(text, None, 10.0, RULES) == text.tokens


def test_timestamps_between_the_words_belong_to_them() -> None:
    tokens = (ts(0), *spell(" one"), ts(0.5), ts(0.5), *spell(" two"), ts(1.0))
    found = stable_tokens(text_of("one two", tokens=tokens), None, 10.0, RULES)
    assert found == tokens[:-1]  # what comes after the last word may change


def test_a_text_without_words_has_nothing_that_stays() -> None:
    assert stable_tokens(text_of(""), None, 10.0, RULES) == ()
    assert stable_tokens(text_of("..."), None, 10.0, RULES) == ()
