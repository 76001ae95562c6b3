"""The script of a text -> the language to read it in."""

from collections import Counter
from unicodedata import name

DEFAULT_LANGUAGE = "en"

_LANGUAGES = {
    "LATIN": "en",
    "CYRILLIC": "ru",
    "GREEK": "el",
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "ARABIC": "ar",
    "HEBREW": "he",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "MYANMAR": "my",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "ETHIOPIC": "am",
}
"""The first word of a letter's Unicode name -> the language that most texts in that script are in."""


def language_of(text: str) -> str:
    """The code of the language of most of a text's letters, by their script; English if none is known.

    Japanese uses Chinese characters too, so a text with kana is Japanese.
    """
    letters = Counter(_LANGUAGES.get(name(letter, "").split(" ")[0]) for letter in text if letter.isalpha())
    if letters["ja"] and letters["ja"] + letters["zh"] > letters["en"]:
        return "ja"
    known = {language: count for language, count in letters.items() if language}
    return max(known, key=lambda language: known[language]) if known else DEFAULT_LANGUAGE
