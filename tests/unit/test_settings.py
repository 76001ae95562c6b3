from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from app.errors import StartError
from app.settings import Settings, variable

FIELDS = {entry.name: entry for entry in fields(Settings)}


def test_without_variables_all_is_default() -> None:
    assert Settings.from_environ({}) == Settings()


def test_reads_the_process_environment_when_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODEL", "tiny.en")
    assert Settings.from_environ().model == "tiny.en"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("PORT", " 9000 ", 9000),
        ("WHISPER_MODEL", "/models/my model.pt", "/models/my model.pt"),
        ("WHISPER_MODEL_ALIASES", " a, b/c ,,d,", ("a", "b/c", "d")),
        ("WHISPER_MODEL_ALIASES", "*", ("*",)),
        ("WHISPER_STRICT", "1", True),
        ("WHISPER_STRICT", "Yes", True),
        ("WHISPER_STRICT", "ON", True),
        ("WHISPER_STRICT", "true", True),
        ("WHISPER_STRICT", "0", False),
        ("WHISPER_STRICT", "off", False),
        ("WHISPER_SPEECH_FLOOR", "0", 0.0),
        ("WHISPER_SPEECH_FLOOR", ".25", 0.25),
        ("WHISPER_SPEECH_FLOOR", "1", 1.0),
        ("WHISPER_THREADS", "4", 4),
        ("WHISPER_MAX_UPLOAD_MB", "25", 25),
    ],
)
def test_reads_each_kind_of_value(name: str, text: str, value: Any) -> None:
    field_name = next(key for key, entry in FIELDS.items() if entry.metadata["variable"] == name)
    read = getattr(Settings.from_environ({name: text}), field_name)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("name", [entry.metadata["variable"] for entry in FIELDS.values()])
@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_blank_is_unset(name: str, blank: str) -> None:
    assert Settings.from_environ({name: blank}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("PORT", "http", "a whole number"),
        ("PORT", "80.5", "a whole number"),
        ("PORT", "0", "a port number from 1 to 65535"),
        ("PORT", "65536", "a port number from 1 to 65535"),
        ("WHISPER_STRICT", "maybe", "1 or 0"),
        ("WHISPER_STRICT", "2", "1 or 0"),
        ("WHISPER_THREADS", "-1", "0 or more"),
        ("WHISPER_SPEECH_FLOOR", "low", "a number"),
        ("WHISPER_SPEECH_FLOOR", "1.1", "a probability from 0 to 1"),
        ("WHISPER_SPEECH_FLOOR", "-0.1", "a probability from 0 to 1"),
        ("WHISPER_SPEECH_FLOOR", "nan", "a probability from 0 to 1"),
        ("WHISPER_SPEECH_FLOOR", "inf", "a probability from 0 to 1"),
        ("WHISPER_MAX_UPLOAD_MB", "0", "more than 0"),
        ("WHISPER_MAX_AUDIO_SECONDS", "-5", "more than 0"),
        ("WHISPER_DECODE_SECONDS", "0", "more than 0"),
        ("WHISPER_REQUEST_SECONDS", "1h", "a whole number"),
    ],
)
def test_a_bad_value_names_variable_value_and_remedy(name: str, text: str, wanted: str) -> None:
    with pytest.raises(StartError) as refusal:
        Settings.from_environ({name: text})
    message = str(refusal.value)
    assert message.startswith(f"{name} is ")
    assert text in message
    assert message.endswith(f"it must be {wanted}.")


def test_values_given_in_code_are_checked_too() -> None:
    with pytest.raises(StartError, match=r"^PORT is 0;"):
        Settings(port=0)


def test_can_not_be_changed() -> None:
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


def test_the_body_may_be_a_mebibyte_larger_than_the_file() -> None:
    settings = Settings(max_upload_mb=25)
    assert settings.max_upload_bytes == 26_214_400
    assert settings.max_body_bytes == 27_262_976


def test_every_setting_has_its_own_variable_and_a_meaning() -> None:
    variables = [entry.metadata["variable"] for entry in FIELDS.values()]
    assert len(set(variables)) == len(variables)
    assert all(entry.metadata["meaning"].endswith(".") for entry in FIELDS.values())


def test_variable_finds_the_name_behind_a_field() -> None:
    assert variable("max_upload_mb") == "WHISPER_MAX_UPLOAD_MB"
