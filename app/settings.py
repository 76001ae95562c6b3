"""The server's settings. Nothing else in the package reads os.environ."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from app.errors import StartError

_MEGABYTE = 1024 * 1024


def _setting(variable: str, default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"variable": variable, "meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """One field per environment variable; its metadata is the row of the README's table."""

    host: str = _setting("HOST", "127.0.0.1", "Address to listen on; `0.0.0.0` for all.")
    port: int = _setting("PORT", 8000, "Port to listen on.")
    model: str = _setting(
        "WHISPER_MODEL",
        "turbo",
        "A name openai-whisper knows, a path to a `.pt` file, or `demo`.",
    )
    model_dir: str = _setting(
        "WHISPER_MODEL_DIR",
        "",
        "Where named checkpoints are looked for and downloaded to; empty: `~/.cache/whisper`.",
    )
    cache_home: str = _setting(
        "XDG_CACHE_HOME", "~/.cache", "Holds the folder `whisper`, the default of `WHISPER_MODEL_DIR`."
    )
    model_aliases: tuple[str, ...] = _setting(
        "WHISPER_MODEL_ALIASES",
        (),
        "More model names that requests may use, comma-separated; `*` allows any.",
    )
    engine: str = _setting("WHISPER_ENGINE", "reference", "`reference`: openai-whisper as it is.")
    devices: str = _setting(
        "WHISPER_DEVICES",
        "auto",
        "Comma-separated torch devices, one worker each; `auto`: every CUDA device, else the CPU.",
    )
    threads: int = _setting("WHISPER_THREADS", 0, "Torch threads of each worker; 0: one per core.")
    strict: bool = _setting(
        "WHISPER_STRICT",
        False,
        "1: follow openai-whisper to the letter: no silence gate, language detected on padded audio.",
    )
    speech_floor: float = _setting(
        "WHISPER_SPEECH_FLOOR",
        0.1,
        "A window whose speech probability stays under this is taken as silence; 0 decodes every window.",
    )
    max_upload_mb: int = _setting("WHISPER_MAX_UPLOAD_MB", 100, "Largest audio file, in MiB.")
    max_audio_seconds: int = _setting("WHISPER_MAX_AUDIO_SECONDS", 14_400, "Longest recording, in seconds.")
    decode_seconds: int = _setting(
        "WHISPER_DECODE_SECONDS", 60, "Most seconds that reading one audio file may take."
    )
    request_seconds: int = _setting(
        "WHISPER_REQUEST_SECONDS", 3_600, "Most seconds that one request may take."
    )

    def __post_init__(self) -> None:
        self._check(0 < self.port < 65_536, "port", "a port number from 1 to 65535")
        self._check(self.threads >= 0, "threads", "0 or more")
        self._check(0.0 <= self.speech_floor <= 1.0, "speech_floor", "a probability from 0 to 1")
        for name in ("max_upload_mb", "max_audio_seconds", "decode_seconds", "request_seconds"):
            self._check(getattr(self, name) > 0, name, "more than 0")

    def _check(self, good: bool, name: str, wanted: str) -> None:
        if not good:
            raise StartError(f"{variable(name)} is {getattr(self, name)!r}; it must be {wanted}.")

    @property
    def max_upload_bytes(self) -> int:
        """The largest file part."""
        return self.max_upload_mb * _MEGABYTE

    @property
    def max_body_bytes(self) -> int:
        """The largest request body: the file and 1 MiB for all other fields."""
        return self.max_upload_bytes + _MEGABYTE

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from environment variables; unset and blank ones take the default.

        Raises StartError naming the variable whose value can't be read.
        """
        given = os.environ if environ is None else environ
        values = {}
        for entry in fields(cls):
            text = given.get(entry.metadata["variable"], "").strip()
            if text:
                values[entry.name] = _parse(entry.metadata["variable"], text, type(entry.default))
        return cls(**values)


def variable(name: str) -> str:
    """The environment variable behind a field of Settings."""
    found: str = next(entry.metadata["variable"] for entry in fields(Settings) if entry.name == name)
    return found


_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _parse(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            return _SWITCH[text.lower()]
        if kind is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "1 or 0", int: "a whole number", float: "a number"}[kind]
        raise StartError(f"{name} is {text!r}; it must be {wanted}.") from None
