"""The interface of engines: recordings in, decoded windows out.

An engine owns the model, its device and one thread. Everything here may be called from any thread;
the work happens in the engine's own, and callers wait on futures. The features of a window
live exactly as long as its `Window` object, so that every temperature, language detection and
word alignment share them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from app.scheduling import SchedulingClass
from app.transcript import Task
from app.waveform import Samples

if TYPE_CHECKING:
    from app.engines.engine_thread import EngineThread

FRAMES_PER_SECOND = 100
"""Log-mel frames per second."""
WINDOW_FRAMES = 3_000
"""Frames in the 30 s window that the model sees at once."""
FRAMES_PER_TOKEN = 2
"""Log-mel frames per position of the encoder, and per step of Whisper's timestamp tokens (0.02 s)."""
WINDOW_POSITIONS = WINDOW_FRAMES // FRAMES_PER_TOKEN
"""The encoder's positions in a window of 30 s."""


class Tokenizer(Protocol):
    """The text side of the model for one language and task."""

    @property
    def eot(self) -> int:
        """The end-of-text token; smaller ids are text."""

    @property
    def timestamp_begin(self) -> int:
        """The token of 0.00 s; ids from here on are times in steps of 0.02 s."""

    def encode(self, text: str) -> list[int]:
        """Text as tokens, without any special token."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens as text, timestamps left out; bytes that are no UTF-8 become U+FFFD."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one text token: UTF-8 that may end or start within a character."""


class Recording(Protocol):
    """The log-mel features of one request's audio. Closing it cancels all its calls."""

    @property
    def frames(self) -> int:
        """Log-mel frames of the audio itself, padding not counted."""

    @property
    def scheduling_class(self) -> SchedulingClass:
        """Where it comes from, by which its calls take turns with others'."""

    @property
    def closed(self) -> bool:
        """True once its windows are no longer needed."""

    def close(self) -> None:
        """Cancel its windows at the end of the current decoding step (reference engine: window)."""


@dataclass(frozen=True, eq=False)
class Window:
    """Up to 30 s of a recording: `frames` log-mel frames from `seek`, padded with 0.0 to 3000.

    Frames past the recording's end are those of its silent padding. `positions`: how many of the encoder's
    positions are computed and attended to, at least those of `frames`. Fewer than WINDOW_POSITIONS are a
    short context, which openai-whisper doesn't have. Compared by identity: the engine keeps the encoded
    features for as long as this object lives.
    """

    recording: Recording
    seek: int
    frames: int
    positions: int = WINDOW_POSITIONS

    @property
    def is_short(self) -> bool:
        """Whether its context is short."""
        return self.positions < WINDOW_POSITIONS

    @property
    def padded_frames(self) -> int:
        """Log-mel frames that the encoder reads, padding included."""
        return self.positions * FRAMES_PER_TOKEN

    def in_full(self) -> "Window":
        """Another window of the same frames, with all positions."""
        return replace(self, positions=WINDOW_POSITIONS)


@dataclass(frozen=True)
class DecodingOptions:
    """The options that all windows of a request share. The names are openai-whisper's."""

    beam_size: int | None = None
    best_of: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    suppress_tokens: tuple[int, ...] = (-1,)
    suppress_blank: bool = True
    seed: int | None = None


@dataclass(frozen=True)
class WindowOptions(DecodingOptions):
    """How one window is decoded at one temperature.

    `prefix`: the first of the window's tokens, timestamps included, if they are known already. Decoding goes
    on after them, and the result begins with them; its `avg_logprob` is that of the others. The reference
    engine ignores it, since openai-whisper's own prefix begins a segment: its result may begin with others.
    `sample_len`: so many tokens at most are decoded.
    """

    task: Task = "transcribe"
    language: str | None = None
    temperature: float = 0.0
    prompt: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    sample_len: int | None = None


@dataclass(frozen=True)
class WindowResult:
    """A decoded window: text tokens and timestamps, without prompt and end token."""

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float


@dataclass(frozen=True)
class WordTiming:
    """A word (or a piece of punctuation) and its times, in seconds from the window's start."""

    text: str
    tokens: tuple[int, ...]
    start_seconds: float
    end_seconds: float
    probability: float


OnStep = Callable[[int, int], None]
"""Called before each decoding step with the running rows and the capacity."""


def _ignore_step(rows: int, capacity: int) -> None:
    pass


_DEFAULT_ROWS = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works. `threads` 0: one per core. `batch` 0: 8 rows on a CPU, 64 on CUDA.

    `precision` is `exact`, `int8` or `bfloat16`. Only the batched engine supports the latter two, and only
    it calls `on_step`, in its thread. With a `thread` the engine works there, and not in one of its own;
    `beside` others that work there, its model is loaded in the thread that starts it.
    """

    threads: int = 0
    batch: int = 0
    precision: str = "exact"
    on_step: OnStep = _ignore_step
    thread: "EngineThread | None" = None
    beside: bool = False

    def rows(self, device: str) -> int:
        """How many windows are decoded together on a torch device."""
        return self.batch or _DEFAULT_ROWS[device.partition(":")[0]]


@dataclass(frozen=True)
class ModelCard:
    """A loaded checkpoint's name, languages and size."""

    name: str
    languages: tuple[str, ...] = field(repr=False)
    """The codes it supports; ("en",) for an English-only checkpoint."""
    multilingual: bool
    text_context: int
    """Tokens the decoder sees at most: half of them for the prompt, half for the text."""
    weight_bytes: int = field(default=0, repr=False)
    """What the weights take on the device; 0 if that is unknown."""


Wait = Callable[[Future[None]], None]
"""Waits for a future. What it raises ends the wait."""


def wait_patiently(future: Future[None]) -> None:
    """Wait until the future is done. Raises its error."""
    future.result()


class Engine(Protocol):
    """Decodes windows with one model on one device. It is started and stopped as a LiveEngine."""

    @property
    def card(self) -> ModelCard:
        """The loaded checkpoint."""

    def tokenizer(self, language: str | None, task: Task) -> Tokenizer:
        """The tokenizer of a language (code) and task."""

    def open(
        self,
        samples: Samples,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
        wait: Wait = wait_patiently,
    ) -> Recording:
        """Compute the features of 16 kHz mono samples `[n]`; waits for the engine.

        If `wait` raises, what is still queued for the recording is cancelled.
        """

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once. Raises (in the future) EngineFailure; cancelled with its recording."""

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code, `{"en": 1.0}` for an English-only checkpoint."""

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens, in one pass over all of them.

        It is the model's own: no token is suppressed, and the temperature is 1.
        """

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """The times of text tokens, by cross-attention: words in order, [] if there are none."""


class LiveEngine(Engine, Protocol):
    """An Engine and its thread, as `start` returns it. Whoever starts it must close it."""

    warm_up_seconds: float
    """How long a window of silence took at the start."""

    @property
    def alive(self) -> bool:
        """True while the engine thread takes work."""

    @property
    def others_seconds(self) -> float:
        """How long the thread has worked for other engines, up to now; it never decreases."""

    def close(self) -> None:
        """Stop the thread; what is queued is cancelled."""


class EngineProxy:
    """Base of an Engine for one request: forwards to another engine whatever is not about windows.

    It has no `close`: the engine behind it serves other requests too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def card(self) -> ModelCard:
        """The loaded checkpoint."""
        return self._engine.card

    def tokenizer(self, language: str | None, task: Task) -> Tokenizer:
        """The tokenizer of a language (code) and task."""
        return self._engine.tokenizer(language, task)

    def open(
        self,
        samples: Samples,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
        wait: Wait = wait_patiently,
    ) -> Recording:
        """Compute the features of 16 kHz mono samples `[n]`."""
        return self._engine.open(samples, scheduling_class, wait)
