import pytest
from whisper.tokenizer import LANGUAGES as WHISPERS_LANGUAGES
from whisper.tokenizer import TO_LANGUAGE_CODE

from app.languages import LANGUAGES, language_code


def test_equals_whispers_table_in_its_order() -> None:
    assert list(LANGUAGES.items()) == list(WHISPERS_LANGUAGES.items())


@pytest.mark.parametrize(("name", "code"), TO_LANGUAGE_CODE.items())
def test_knows_every_name_that_whisper_knows(name: str, code: str) -> None:
    assert language_code(name) == code
    assert language_code(name.title()) == code


@pytest.mark.parametrize("code", WHISPERS_LANGUAGES)
def test_a_code_is_its_own_code_in_any_case(code: str) -> None:
    assert language_code(code) == code
    assert language_code(f" {code.upper()} ") == code


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("nb", "no"),
        ("nb-NO", "no"),
        ("iw", "he"),
        ("cmn-Hans", "zh"),
        ("fil", "tl"),
    ],
)
def test_tags_of_bcp_47(tag: str, code: str) -> None:
    assert language_code(tag) == language_code(tag.upper()) == code


@pytest.mark.parametrize("language", ["", " ", "xx", "eng", "-en", "klingon", "xx-US", "english german"])
def test_the_rest_is_unknown(language: str) -> None:
    assert language_code(language) is None
