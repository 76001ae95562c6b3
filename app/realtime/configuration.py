"""What a session was told: audio format, transcription and turn detection."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any

from app.errors import SpeechError, UnsupportedValue
from app.realtime.formats import FORMATS, AudioFormat
from app.realtime.interface import TurnDetection
from app.requests.parse import AudioRequest

Fields = dict[str, Any]

LIVE_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")
"""OpenAI's models for sessions alone, whose clients commit each utterance themselves."""

LOGPROBS = "item.input_audio_transcription.logprobs"

_DEFAULT_MODEL = "whisper-1"
_PARAM = "session.audio.input.transcription"
_PCM: Fields = {"type": "audio/pcm"}
_SERVER_VAD: Fields = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}
_SEMANTIC_VAD: Fields = {"type": "semantic_vad", "eagerness": "auto"}
_DETECTIONS = {kind["type"]: kind for kind in (_SERVER_VAD, _SEMANTIC_VAD)}
_DETECTION_NAMES = {entry.name for entry in fields(TurnDetection)}
_REQUEST_NAMES = ("model", "language", "languages", "keywords", "prompt")

Parse = Callable[[Fields], AudioRequest]
"""The fields of a transcription -> the request. Raises ModelNotFound, InvalidParameter."""


@dataclass(frozen=True)
class Transcription:
    """What an utterance is transcribed with: a model, by any of its names, and options."""

    model: str
    request: AudioRequest


@dataclass(frozen=True)
class Configuration:
    """A session's settings, as JSON: `input` is `audio.input` of the session object.

    `transcription` is None until the client has sent one.
    """

    model: str = _DEFAULT_MODEL
    input: Fields = field(
        default_factory=lambda: {
            "format": FORMATS[_PCM["type"]].described,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": dict(_SERVER_VAD),
        }
    )
    include: list[str] | None = None
    transcription: Transcription | None = None

    @property
    def format(self) -> AudioFormat:
        """The audio that the client sends."""
        return FORMATS[self.input["format"]["type"]]

    @property
    def turn_detection(self) -> TurnDetection | None:
        """How turns are detected; None where the client commits."""
        sent: Fields | None = self.input["turn_detection"]
        if sent is None:
            return None
        return TurnDetection(**{name: sent[name] for name in sent if name in _DETECTION_NAMES})

    @property
    def described(self) -> Fields:
        """The parts of the session object that a client can set."""
        return {"type": "transcription", "audio": {"input": deepcopy(self.input)}, "include": self.include}

    def updated(self, session: Fields, parse: Parse) -> "Configuration":
        """With the fields of a checked `session`: what was not sent stays, and what is null has its default
        again. Turn detection as a whole is switched off by null.

        Raises ModelNotFound, InvalidParameter.
        """
        sent: Fields = (session.get("audio") or {}).get("input") or {}
        changed = {**self.input, **{name: sent[name] for name in ("noise_reduction",) if name in sent}}
        if "format" in sent:
            changed["format"] = FORMATS[(sent["format"] or _PCM)["type"]].described
        if "transcription" in sent:
            changed["transcription"] = self._merged_transcription(sent["transcription"])
        if "turn_detection" in sent:
            changed["turn_detection"] = _merged_detection(
                self.input["turn_detection"], sent["turn_detection"]
            )
        _settle_live_models(changed, detection_sent=bool(sent.get("turn_detection")))
        include = session.get("include", self.include)
        transcription = _parsed(changed["transcription"], include, parse)
        return Configuration(self.model, changed, include, transcription)

    def _merged_transcription(self, sent: Fields | None) -> Fields | None:
        if sent is None:
            return None
        before = self.input["transcription"] or {"model": self.model}
        merged = {**before, **sent}
        return {name: value for name, value in merged.items() if value is not None} | {
            "model": merged.get("model") or self.model
        }


def _merged_detection(before: Fields | None, sent: Fields | None) -> Fields | None:
    """The detection with what was sent; another type begins with its own defaults."""
    if sent is None:
        return None
    defaults = _DETECTIONS[sent["type"]]
    same = before if before and before["type"] == sent["type"] else {}
    return {**defaults, **{name: value for name, value in {**same, **sent}.items() if value is not None}}


def _settle_live_models(changed: Fields, *, detection_sent: bool) -> None:
    """With a model for sessions alone the client commits. Raises UnsupportedValue if it wants another way."""
    model = (changed["transcription"] or {}).get("model")
    if model not in LIVE_MODELS:
        return
    if detection_sent:
        raise UnsupportedValue(
            f"Turn detection is not supported with the model '{model}'. Set 'turn_detection' to null and "
            "send input_audio_buffer.commit at the end of each utterance, or use another model.",
            param="session.audio.input.turn_detection",
        )
    changed["turn_detection"] = None


def _parsed(described: Fields | None, include: list[str] | None, parse: Parse) -> Transcription | None:
    if described is None:
        return None
    sent = {name: described[name] for name in _REQUEST_NAMES if name in described}
    if LOGPROBS in (include or ()):
        sent["include"] = ["logprobs"]
    try:
        return Transcription(described["model"], parse(sent))
    except SpeechError as error:
        if error.param:
            error.param = f"{_PARAM}.{error.param}"
        raise
