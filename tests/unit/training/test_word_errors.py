import pytest

from training.word_errors import plain_words, word_error_rate, word_errors


@pytest.mark.parametrize(
    ("reference", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a b c", "a b x c", 1),
        ("a b c d", "b c d e", 2),
    ],
)
def test_word_errors(reference: str, heard: str, errors: int) -> None:
    assert word_errors(reference.split(), heard.split()) == errors


def test_case_and_punctuation_do_not_count() -> None:
    assert plain_words("Hello, WORLD. Schön?") == ["hello", "world", "schön"]
    assert word_error_rate([("Hello, world.", "hello world")]) == 0


def test_the_rate_is_over_all_words_together() -> None:
    assert word_error_rate([("a", "b"), ("c d e", "c d e")]) == 0.25


def test_no_words_have_no_rate() -> None:
    with pytest.raises(ValueError, match="no words"):
        word_error_rate([("", "a")])
