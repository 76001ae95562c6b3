import pytest

from app.languages import LANGUAGES
from app.synthesis import scripts
from app.synthesis.scripts import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello there.", "en"),
        ("Привет, мир!", "ru"),
        ("Καλημέρα", "el"),
        ("你好世界。", "zh"),
        ("東京へ行きます", "ja"),
        ("カラオケ", "ja"),
        ("안녕하세요", "ko"),
        ("مرحبا بالعالم", "ar"),
        ("שלום עולם", "he"),
        ("नमस्ते", "hi"),
        ("สวัสดี", "th"),
        ("Say Привет", "ru"),
        ("The word Привет means hello", "en"),
        ("The word こんにちは means hello to everybody", "en"),
        ("123 !? 😀", "en"),
        ("ᚠᚢᚦᚨᚱᚲ", "en"),
        ("", "en"),
    ],
)
def test_the_script_of_most_letters_decides(text: str, language: str) -> None:
    assert language_of(text) == language


def test_every_language_is_one_that_requests_may_name() -> None:
    assert set(scripts._LANGUAGES.values()) <= set(LANGUAGES)
