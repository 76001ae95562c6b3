"""The server's settings. No other module of the package reads os.environ."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any

from app.errors import StartError
from app.realtime_settings import REALTIME_LIMITS, RealtimeSettings
from app.setting_field import setting as _setting
from app.setting_values import check_keys, check_secret, is_network, listed_value, parse_value, single_value

_MEGABYTE = 1024 * 1024

_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/*A-Z\s]+")
"""What browsers send as `Origin`, or any."""

PRECISIONS = ("exact", "int8", "bfloat16")
CONTEXTS = ("full", "short")
_LOG_FORMATS = ("plain", "json")

_UNIX = "unix:"
_SOCKET = re.compile(r"unix:/[^\0]*[^\0/]")
_SOCKET_BYTES = len(_UNIX) + 107
"""Linux takes 107 bytes of path."""

_MAY_BE_FILES = ("api_keys", "admin_keys", "ignore_prompts")
_MAY_BE_A_FILE = "realtime_secret"

_NOT_NEGATIVE = ("threads", "batch", "model_memory", "retry_grace_seconds", "keepalive_seconds", "decoders")
_POSITIVE = (
    *("models_loaded", "max_wait_seconds", "stall_seconds", "max_upload_mb", "max_json_mb"),
    *("max_audio_seconds", "decode_seconds", "request_seconds"),
    *REALTIME_LIMITS,
)

_BASE_URL = re.compile(r"https?://[^/\s]\S*")


@dataclass(frozen=True)
class Settings(RealtimeSettings):
    """One field per environment variable; its metadata is the row of the table in docs/settings.md."""

    host: str = _setting(
        "HOST",
        "127.0.0.1",
        "Address to listen on: `0.0.0.0` = all interfaces; or a socket such as `unix:/run/whisper.sock`.",
    )
    port: int = _setting("PORT", 8000, "Port to listen on.")
    model: str = _setting(
        "WHISPER_MODEL",
        "turbo",
        "A name that openai-whisper knows, the path of a `.pt` file or of a "
        "[folder](checkpoints.md#your-own-weights) in another format, or `demo`.",
    )
    model_dir: str = _setting(
        "WHISPER_MODEL_DIR", "", "Folder of named checkpoints. Empty = `~/.cache/whisper`."
    )
    cache_home: str = _setting(
        "XDG_CACHE_HOME", "~/.cache", "Cache folder; `WHISPER_MODEL_DIR` defaults to `whisper` in it."
    )
    hub: str = _setting(
        "WHISPER_HUB",
        "https://openaipublic.azureedge.net/main/whisper/models",
        "Address that named checkpoints are downloaded from; files are at `<sha256>/<file>` below it.",
        secret=True,
    )
    ca_file: str = _setting(
        "SSL_CERT_FILE", "", "PEM file of authorities to trust for downloads. Empty = the system's."
    )
    model_aliases: tuple[str, ...] = _setting(
        "WHISPER_MODEL_ALIASES", (), "More model names to accept, comma-separated. `*` is a wildcard."
    )
    models: str = _setting(
        "WHISPER_MODELS",
        "",
        "[More models](models.md): `name=checkpoint`, comma-separated, `@FILE`, or a folder of them.",
    )
    models_loaded: int = _setting(
        "WHISPER_MODELS_LOADED", 2, "Models loaded at a time in each worker, `WHISPER_MODEL` included."
    )
    model_memory: int = _setting(
        "WHISPER_MODEL_MEMORY",
        0,
        "Bytes that loaded weights may take in each worker. 0 = no limit.",
    )
    model_idle_seconds: int = _setting(
        "WHISPER_MODEL_IDLE_SECONDS", -1, "Seconds until a model that nobody uses is unloaded. -1 = never."
    )
    models_preload: tuple[str, ...] = _setting(
        "WHISPER_MODELS_PRELOAD", (), "Names in `WHISPER_MODELS`, comma-separated, to load before serving."
    )
    engine: str = _setting(
        "WHISPER_ENGINE",
        "batched",
        "`batched`: concurrent requests are decoded together. `reference`: plain openai-whisper, all models' "
        "tasks in the order in which they come.",
    )
    devices: str = _setting(
        "WHISPER_DEVICES",
        "auto",
        "Torch devices, comma-separated, one worker each. `auto` = every CUDA device, or else the CPU.",
    )
    batch: int = _setting(
        "WHISPER_BATCH", 0, "Maximum batch size (30 s windows). 0 = automatic: 8 on a CPU, 64 on CUDA."
    )
    precision: str = _setting(
        "WHISPER_PRECISION",
        "exact",
        "`exact`; `int8` (CPU) and `bfloat16` (CUDA) are faster or smaller, but not exact.",
    )
    context: str = _setting(
        "WHISPER_CONTEXT", "full", "`full`; `short` is faster on recordings under 25 s, but not exact."
    )
    threads: int = _setting("WHISPER_THREADS", 0, "Torch threads per worker. 0 = one per core.")
    strict: bool = _setting(
        "WHISPER_STRICT",
        False,
        "1 = follow openai-whisper to the letter: no silence gate, language detection on padded audio.",
    )
    speech_floor: float = _setting(
        "WHISPER_SPEECH_FLOOR",
        0.25,
        "A window with a speech probability below this is silence. 0 = decode every window.",
    )
    max_upload_mb: int = _setting("WHISPER_MAX_UPLOAD_MB", 100, "Maximum audio file size, in MiB.")
    max_json_mb: int = _setting("WHISPER_MAX_JSON_MB", 40, "Maximum JSON body size, in MiB.")
    max_audio_seconds: int = _setting(
        "WHISPER_MAX_AUDIO_SECONDS", 14_400, "Maximum recording length, in seconds."
    )
    decode_seconds: int = _setting(
        "WHISPER_DECODE_SECONDS", 60, "Time limit for reading one audio file, in seconds."
    )
    request_seconds: int = _setting(
        "WHISPER_REQUEST_SECONDS", 3_600, "Time limit for one request, in seconds."
    )
    max_wait_seconds: int = _setting(
        "WHISPER_MAX_WAIT_SECONDS",
        300,
        "Maximum expected wait for a request's first window, in seconds. Above it: 503.",
    )
    retry_grace_seconds: int = _setting(
        "WHISPER_RETRY_GRACE_SECONDS",
        15,
        "Seconds that a disconnected client's finished windows are kept for its retry. 0 = not kept.",
    )
    stall_seconds: int = _setting(
        "WHISPER_STALL_SECONDS", 60, "Seconds until a connection that transfers nothing is closed."
    )
    keepalive_seconds: int = _setting(
        "WHISPER_KEEPALIVE_SECONDS",
        0,
        "A JSON answer that takes longer begins with a blank every so many seconds, for gateways. 0 = off.",
    )
    ignore_prompts: tuple[str, ...] = _setting(
        "WHISPER_IGNORE_PROMPTS",
        (),
        "Prompts to treat as not sent, comma-separated, or `@FILE` with one per line.",
    )
    decoders: int = _setting(
        "WHISPER_DECODERS", 0, "Processes per worker that read audio files. 0 = one per core, at most 4."
    )
    api_keys: tuple[str, ...] = _setting(
        "WHISPER_API_KEYS",
        (),
        "Valid API keys, comma-separated, or `@FILE` with one key per line. Empty = none required.",
        secret=True,
    )
    admin_keys: tuple[str, ...] = _setting(
        "WHISPER_ADMIN_KEYS",
        (),
        "Keys that may also load and unload models, comma-separated, or `@FILE`. Empty = no key may; without "
        "any keys everybody may.",
        secret=True,
    )
    cors_origins: tuple[str, ...] = _setting(
        "WHISPER_CORS_ORIGINS", (), "Web page and app origins that may call, comma-separated. `*` = any."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "WHISPER_TRUSTED_PROXIES",
        (),
        "Networks of proxies whose `X-Forwarded-For` is believed, as this machine's is, comma-separated.",
    )
    web: bool = _setting(
        "WHISPER_WEB", True, "1 = web pages for people are served: `/` and `/docs`. 0 = none."
    )
    log_format: str = _setting(
        "WHISPER_LOG_FORMAT", "plain", "`plain`, or `json` for one JSON object per line."
    )
    speech_engine: str = _setting(
        "SPEECH_ENGINE", "espeak", "Synthesizer: `espeak`, or `piper` with your own voice."
    )
    speech_voice: str = _setting("SPEECH_VOICE", "", "Voice file (`.onnx`) for `piper`.")
    chat_upstream_url: str = _setting(
        "CHAT_UPSTREAM_URL",
        "",
        "Base URL of the server that answers chats (OpenAI-compatible). Empty = the reply is the transcript.",
    )
    chat_upstream_model: str = _setting(
        "CHAT_UPSTREAM_MODEL", "", "Model to request there. Empty = the one that the client names."
    )
    chat_upstream_key: str = _setting("CHAT_UPSTREAM_KEY", "", "API key to send there.", secret=True)
    openai_api_key: str = _setting(
        "OPENAI_API_KEY", "", "API key that `python -m app transcribe --server` sends.", secret=True
    )
    no_color: str = _setting("NO_COLOR", "", "Any value: `python -m app doctor` prints without colours.")

    def __post_init__(self) -> None:
        socket = "an address, or unix: and the absolute path of a socket, at most 107 bytes long"
        self._check(not self.host.startswith(_UNIX) or _is_socket(self.host), "host", socket)
        self._check(0 < self.port < 65_536, "port", "a port number from 1 to 65535")
        for name in _NOT_NEGATIVE:
            self._check(getattr(self, name) >= 0, name, "0 or more")
        self._check(self.model_idle_seconds >= -1, "model_idle_seconds", "0 or more, or -1 for never")
        self._check(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}")
        self._check(self.context in CONTEXTS, "context", f"one of {', '.join(CONTEXTS)}")
        self._check(self.context == "full" or not self.strict, "context", "full with WHISPER_STRICT=1")
        self._check(0.0 <= self.speech_floor <= 1.0, "speech_floor", "a probability from 0 to 1")
        self._check(self.log_format in _LOG_FORMATS, "log_format", f"one of {', '.join(_LOG_FORMATS)}")
        for name in _POSITIVE:
            self._check(getattr(self, name) > 0, name, "more than 0")
        origins = "origins such as app://obsidian.md or https://example.com:8443, in lower case, null, or *"
        self._check(all(map(_ORIGIN.fullmatch, self.cors_origins)), "cors_origins", origins)
        networks = "networks such as 172.18.0.0/16, or addresses"
        self._check(all(map(is_network, self.trusted_proxies)), "trusted_proxies", networks)
        for name in ("hub", "chat_upstream_url"):
            address = getattr(self, name)
            good = not address or _BASE_URL.fullmatch(address) is not None
            self._check(good, name, "a URL with http:// or https://")
        for name in ("api_keys", "admin_keys"):
            check_keys(variable(name), getattr(self, name))
        check_secret(variable("realtime_secret"), self.realtime_secret)

    def _check(self, good: bool, name: str, expected: str) -> None:
        if not good:
            raise StartError(f"{variable(name)} is {getattr(self, name)!r}; it must be {expected}.")

    @property
    def bind(self) -> str:
        """What Gunicorn listens on: an address and a port, or a socket, which has none."""
        if self.host.startswith(_UNIX):
            return self.host
        address = f"[{self.host}]" if ":" in self.host else self.host
        return f"{address}:{self.port}"

    @property
    def idle_seconds(self) -> float:
        """For how long a model stays loaded that nobody uses."""
        return inf if self.model_idle_seconds < 0 else self.model_idle_seconds

    @property
    def max_upload_bytes(self) -> int:
        """The largest file part."""
        return self.max_upload_mb * _MEGABYTE

    @property
    def max_json_bytes(self) -> int:
        """The largest JSON body."""
        return self.max_json_mb * _MEGABYTE

    @property
    def max_body_bytes(self) -> int:
        """The largest request body: the file and 1 MiB for all other fields."""
        return self.max_upload_bytes + _MEGABYTE

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from environment variables; unset and blank ones take the default.

        Raises StartError naming the variable whose value can't be read.
        """
        variables = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for entry in fields(cls):
            name = entry.metadata["variable"]
            text = variables.get(name, "").strip()
            if not text:
                continue
            if entry.name in _MAY_BE_FILES:
                values[entry.name] = listed_value(name, text)
            elif entry.name == _MAY_BE_A_FILE:
                values[entry.name] = single_value(name, text)
            else:
                values[entry.name] = parse_value(name, text, type(entry.default))
        return cls(**values)


def variable(name: str) -> str:
    """The environment variable behind a field of Settings."""
    variable_name: str = next(entry.metadata["variable"] for entry in fields(Settings) if entry.name == name)
    return variable_name


def _is_socket(host: str) -> bool:
    return _SOCKET.fullmatch(host) is not None and len(host.encode()) <= _SOCKET_BYTES
