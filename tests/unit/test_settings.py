import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from app.environment import bare_environ
from app.errors import StartError
from app.settings import Settings, variable

FIELDS = {entry.name: entry for entry in fields(Settings)}

SOCKET = "an address, or unix: and the absolute path of a socket, at most 107 bytes long"


def test_without_variables_all_is_default() -> None:
    assert Settings.from_environ({}) == Settings()


def test_reads_the_process_environment_when_given_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODEL", "tiny.en")
    assert Settings.from_environ().model == "tiny.en"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("HOST", "unix:/run/whisper/a b.sock", "unix:/run/whisper/a b.sock"),
        ("PORT", " 9000 ", 9000),
        ("WHISPER_MODEL", "/models/my model.pt", "/models/my model.pt"),
        ("WHISPER_MODEL_ALIASES", " a, b/c ,,d,", ("a", "b/c", "d")),
        ("WHISPER_MODEL_ALIASES", "*", ("*",)),
        ("WHISPER_API_KEYS", "sk-1, sk-2,,", ("sk-1", "sk-2")),
        ("WHISPER_API_KEYS", "aZ09-._~+/==", ("aZ09-._~+/==",)),
        ("WHISPER_CORS_ORIGINS", "*", ("*",)),
        ("WHISPER_CORS_ORIGINS", "app://obsidian.md,null", ("app://obsidian.md", "null")),
        ("WHISPER_CORS_ORIGINS", "http://[::1]:3000", ("http://[::1]:3000",)),
        ("WHISPER_TRUSTED_PROXIES", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("WHISPER_STRICT", "1", True),
        ("WHISPER_STRICT", "Yes", True),
        ("WHISPER_STRICT", "ON", True),
        ("WHISPER_STRICT", "true", True),
        ("WHISPER_STRICT", "0", False),
        ("WHISPER_STRICT", "off", False),
        ("WHISPER_WEB", "0", False),
        ("WHISPER_SPEECH_FLOOR", "0", 0.0),
        ("WHISPER_SPEECH_FLOOR", ".25", 0.25),
        ("WHISPER_SPEECH_FLOOR", "1", 1.0),
        ("WHISPER_THREADS", "4", 4),
        ("WHISPER_CONTEXT", "short", "short"),
        ("WHISPER_MAX_UPLOAD_MB", "25", 25),
        ("WHISPER_MAX_JSON_MB", "1", 1),
        ("CHAT_UPSTREAM_URL", "http://llm:8080/v1", "http://llm:8080/v1"),
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
        ("HOST", "unix:", SOCKET),
        ("HOST", "unix:whisper.sock", SOCKET),
        ("HOST", "unix:/run/whisper/", SOCKET),
        ("HOST", f"unix:/{'x' * 107}", SOCKET),
        ("PORT", "http", "a whole number"),
        ("WHISPER_MAX_JSON_MB", "0", "more than 0"),
        ("WHISPER_CONTEXT", "SHORT", "one of full, short"),
        ("CHAT_UPSTREAM_URL", "llm:8080/v1", "a URL with http:// or https://"),
        ("CHAT_UPSTREAM_URL", "http://", "a URL with http:// or https://"),
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


def test_what_is_no_longer_exact_is_not_strict() -> None:
    Settings.from_environ({"WHISPER_CONTEXT": "full", "WHISPER_STRICT": "1"})
    with pytest.raises(StartError, match="WHISPER_CONTEXT is 'short'; it must be full with WHISPER_STRICT=1"):
        Settings.from_environ({"WHISPER_CONTEXT": "short", "WHISPER_STRICT": "1"})


@pytest.mark.parametrize(
    "origin",
    [
        "obsidian.md",
        "https://example.com/",
        "https://example.com/app",
        "https://Example.com",
        "https://*.example.com",
        "https://a b",
        "https://",
        "NULL",
        "**",
    ],
)
def test_origins_that_no_browser_sends_are_refused(origin: str) -> None:
    with pytest.raises(
        StartError, match=r"^WHISPER_CORS_ORIGINS is .*; it must be origins such as"
    ) as refusal:
        Settings.from_environ({"WHISPER_CORS_ORIGINS": f"app://obsidian.md,{origin}"})
    assert repr(origin) in str(refusal.value)


@pytest.mark.parametrize("network", ["nginx", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.0-10.0.0.9"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(
        StartError, match=r"^WHISPER_TRUSTED_PROXIES is .*; it must be networks such as 172"
    ) as refusal:
        Settings.from_environ({"WHISPER_TRUSTED_PROXIES": f"10.0.0.0/8,{network}"})
    assert repr(network) in str(refusal.value)


def keys_in(path: Path) -> tuple[str, ...]:
    return Settings.from_environ({"WHISPER_API_KEYS": f"@{path}"}).api_keys


@pytest.mark.parametrize(
    ("contents", "keys"),
    [
        ("sk-one", ("sk-one",)),
        ("sk-one\nsk-two\n", ("sk-one", "sk-two")),
        ("\ufeff# ours\r\n\r\n  sk-one  \r\n#sk-old\r\nsk-two", ("sk-one", "sk-two")),
    ],
)
def test_keys_from_a_file(tmp_path: Path, contents: str, keys: tuple[str, ...]) -> None:
    path = tmp_path / "my keys, all.txt"
    path.write_bytes(contents.encode())
    assert keys_in(path) == keys


def test_a_key_file_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "keys").write_text("sk-home")
    assert keys_in(Path("~/keys")) == ("sk-home",)


def test_prompts_to_ignore(tmp_path: Path) -> None:
    path = tmp_path / "prompts"
    path.write_text("Hello, you.\n# a comment\nconvert the audio to text\n")
    given = Settings.from_environ({"WHISPER_IGNORE_PROMPTS": f"@{path}"})
    assert given.ignore_prompts == ("Hello, you.", "convert the audio to text")
    given = Settings.from_environ({"WHISPER_IGNORE_PROMPTS": "convert the audio to text, Hello"})
    assert given.ignore_prompts == ("convert the audio to text", "Hello")


@pytest.mark.parametrize("contents", [b"", b"\n \n", b"# only a comment\n"])
def test_a_key_file_without_keys_stops_the_start(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(contents)
    with pytest.raises(StartError, match=rf"^WHISPER_API_KEYS is '@{path}', and there is no entry in it\.$"):
        keys_in(path)


def test_a_key_file_that_can_not_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=rf"^WHISPER_API_KEYS is '@{tmp_path}/none', .*\(No such file"):
        keys_in(tmp_path / "none")
    with pytest.raises(StartError, match=r"can't be read \(Is a directory\)"):
        keys_in(tmp_path)
    (tmp_path / "utf16").write_bytes("sk-one".encode("utf-16"))
    with pytest.raises(StartError, match="not text in UTF-8"):
        keys_in(tmp_path / "utf16")


@pytest.mark.parametrize("text", [",", " , ,"])
def test_a_list_without_keys_does_not_open_the_server(text: str) -> None:
    with pytest.raises(StartError, match=r"^WHISPER_API_KEYS is .* there is no entry in it\.$"):
        Settings.from_environ({"WHISPER_API_KEYS": text})


@pytest.mark.parametrize("key", ["hush hush", "hush=hush", "hüsh", "hush#1", "hush\x00"])
def test_a_key_that_can_not_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(StartError, match=r"^Key 2 of WHISPER_API_KEYS has a character") as refusal:
        Settings.from_environ({"WHISPER_API_KEYS": f"sk-good,{key}"})
    assert "hush" not in str(refusal.value)
    assert "sk-good" not in str(refusal.value)


def test_keys_are_not_in_the_repr() -> None:
    settings = Settings(api_keys=("sk-secret",), cors_origins=("null",))
    assert "secret" not in repr(settings)
    assert "cors_origins=('null',)" in repr(settings)


SECRET = "hush" * 8


def test_a_secret_is_given_or_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"# ours\n{SECRET}\n")
    for text in (SECRET, f"@{path}"):
        settings = Settings.from_environ({"WHISPER_REALTIME_SECRET": text})
        assert settings.realtime_secret == SECRET
        assert "hush" not in repr(settings)


@pytest.mark.parametrize("text", ["", f"{SECRET}\n{SECRET}\n"])
def test_a_file_of_a_secret_has_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(StartError, match=r"^WHISPER_REALTIME_SECRET is .* there must be one\.$") as refusal:
        Settings.from_environ({"WHISPER_REALTIME_SECRET": f"@{path}"})
    assert "hush" not in str(refusal.value)


def test_a_secret_that_could_be_guessed_is_refused_and_not_shown() -> None:
    with pytest.raises(
        StartError, match=r"WHISPER_REALTIME_SECRET has 31 characters; .* at least 32"
    ) as refusal:
        Settings.from_environ({"WHISPER_REALTIME_SECRET": SECRET[1:]})
    assert "ush" not in str(refusal.value)


def test_values_given_in_code_are_checked_too() -> None:
    with pytest.raises(StartError, match=r"^PORT is 0;"):
        Settings(port=0)


def test_can_not_be_changed() -> None:
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "bind"),
    [
        ("0.0.0.0", "0.0.0.0:8000"),
        ("::1", "[::1]:8000"),
        (f"unix:/{'x' * 106}", f"unix:/{'x' * 106}"),
    ],
)
def test_what_gunicorn_listens_on(host: str, bind: str) -> None:
    assert Settings(host=host).bind == bind


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


def test_processes_that_read_what_strangers_sent_get_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_API_KEYS", "sk-1")
    monkeypatch.setenv("PATH", "/bin")
    environ = bare_environ(PYTHONPATH="/here")
    assert (environ["PATH"], environ["PYTHONPATH"]) == ("/bin", "/here")
    assert set(environ) <= {"PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "HOME", "PYTHONPATH"}


def test_a_process_without_a_home_asks_no_name_service_for_one() -> None:
    ask = "import os, pwd; pwd.getpwuid = lambda uid: exit('asked'); print(os.path.expanduser('~'))"
    done = subprocess.run([sys.executable, "-c", ask], check=False, env=bare_environ(), capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"/nonexistent\n")
