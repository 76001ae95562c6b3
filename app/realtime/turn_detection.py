"""When somebody begins and ends to speak: a session's turns, from the probability of speech in each 32 ms.

Speech begins with a frame whose probability reaches the threshold, and ends with a pause: frames that all
stay 0.15 below it, silero-vad's own hysteresis. The two detectors differ in how long the pause must be.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from app.realtime.interface import (
    Eagerness,
    Heard,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    TurnDetector,
)
from app.waveform import Samples

FRAME_MS = 32
_HYSTERESIS = 0.15
_LOWEST_END = 0.01
"""However low the threshold is, silence has to be able to end speech."""


class Voice(Protocol):
    """Speech probabilities of one session's audio; app.waveform.voice_stream.VoiceStream is one."""

    def probabilities(self, samples: Samples) -> list[float]:
        """One for each frame of 32 ms that these 16 kHz samples complete."""

    def reset(self) -> None:
        """Forget what was heard."""


class _TurnDetector(ABC):
    """A TurnDetector with a pause of any kind.

    `threshold` 0 to 1; `prefix_padding_ms`: so much before the first frame of speech belongs to an utterance,
    but nothing from before the end of the last one or the last reset.
    """

    def __init__(self, voice: Voice, threshold: float, prefix_padding_ms: int) -> None:
        self._voice = voice
        self._threshold = threshold
        self._padding_ms = prefix_padding_ms
        self._now_ms = self._earliest_ms = 0
        self._started_ms: int | None = None
        self._speech_end_ms = 0

    def feed(self, samples: Samples) -> list[SpeechStarted | SpeechStopped]:
        """The next 16 kHz samples, any number of them: what begins or ends in the frames they complete."""
        return [
            event
            for probability in self._voice.probabilities(samples)
            if (event := self._next_frame(probability)) is not None
        ]

    def reset(self, at_ms: int) -> None:
        """Nobody speaks, and the next samples are those at `at_ms`."""
        self._voice.reset()
        self._now_ms = self._earliest_ms = at_ms
        self._started_ms = None

    @abstractmethod
    def _pause_ms(self) -> int:
        """How long nobody must speak for the utterance to be over."""

    def _next_frame(self, probability: float) -> SpeechStarted | SpeechStopped | None:
        begin_ms, self._now_ms = self._now_ms, self._now_ms + FRAME_MS
        if self._started_ms is None:
            return self._start(begin_ms) if probability >= self._threshold else None
        if probability >= max(self._threshold - _HYSTERESIS, _LOWEST_END):
            self._speech_end_ms = self._now_ms
        elif self._now_ms - self._speech_end_ms >= self._pause_ms():
            return self._stop()
        return None

    def _start(self, speech_ms: int) -> SpeechStarted:
        self._started_ms = max(self._earliest_ms, speech_ms - self._padding_ms)
        self._speech_end_ms = self._now_ms
        return SpeechStarted(self._started_ms)

    def _stop(self) -> SpeechStopped:
        self._started_ms = None
        self._earliest_ms = self._now_ms
        return SpeechStopped(self._now_ms)


class ServerVad(_TurnDetector):
    """`server_vad`: an utterance ends with a pause of `silence_duration_ms`, whatever was said."""

    def __init__(
        self,
        voice: Voice,
        threshold: float = 0.5,
        prefix_padding_ms: int = 300,
        silence_duration_ms: int = 500,
    ) -> None:
        super().__init__(voice, threshold, prefix_padding_ms)
        self._silence_duration_ms = silence_duration_ms

    def _pause_ms(self) -> int:
        return self._silence_duration_ms


class Pauses(NamedTuple):
    """The pause that ends an utterance, in milliseconds: after a whole sentence, and after anything else."""

    after_sentence: int
    otherwise: int


PAUSES: Mapping[Eagerness, Pauses] = MappingProxyType(
    {
        "low": Pauses(1_200, 8_000),
        "medium": Pauses(800, 4_000),
        "high": Pauses(400, 2_000),
        "auto": Pauses(800, 4_000),
    }
)
"""The longer ones are OpenAI's longest waits for each eagerness."""

_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "।", "؟")  # noqa: RUF001 (full-width ones are meant)
_GOES_ON = ("...", "…")
_CLOSING = "\"'”’)]」』»"  # noqa: RUF001


class SemanticVad(_TurnDetector):
    """`semantic_vad`: how long the pause must be depends on the text so far, which `heard()` gives.

    If it ends as a sentence does and was heard to the end of the speech, a short pause will do. If it ends in
    the middle of a sentence, trails off, or isn't there yet, the speaker has time to go on: 2, 4 or 8 s.
    `eagerness` is how soon the utterance ends; `auto` is `medium`.
    """

    def __init__(self, voice: Voice, heard: Callable[[], Heard], eagerness: Eagerness = "auto") -> None:
        super().__init__(voice, threshold=0.5, prefix_padding_ms=300)
        self._heard = heard
        self._pauses = PAUSES[eagerness]

    def _pause_ms(self) -> int:
        assert self._started_ms is not None
        heard = self._heard()
        heard_all = self._started_ms + heard.until_ms >= self._speech_end_ms
        return self._pauses.after_sentence if heard_all and is_whole(heard.text) else self._pauses.otherwise


def new_turn_detector(detection: TurnDetection, voice: Voice, heard: Callable[[], Heard]) -> TurnDetector:
    """A session's detector. `voice` is its own; `heard()` is the text of the turn under way so far."""
    if detection.type == "semantic_vad":
        return SemanticVad(voice, heard, detection.eagerness)
    return ServerVad(voice, detection.threshold, detection.prefix_padding_ms, detection.silence_duration_ms)


def is_whole(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    text = text.rstrip().rstrip(_CLOSING)
    return text.endswith(_SENTENCE_ENDS) and not text.endswith(_GOES_ON)
