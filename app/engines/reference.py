"""openai-whisper unchanged: one window at a time. Other engines are tested against it.

Only for a short context, which openai-whisper doesn't have, its encoder is given fewer positions.
"""

import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from numba.core.errors import NumbaPerformanceWarning
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.timing import find_alignment

from app.checkpoints import Checkpoint
from app.engines.engine_thread import CallQueue
from app.engines.features import LogMel, closed_on_error
from app.engines.interface import (
    EngineOptions,
    ModelCard,
    Recording,
    Tokenizer,
    Wait,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
    wait_patiently,
)
from app.engines.startup import start_engine
from app.engines.tokens import TokenizerTable
from app.engines.whisper_checkpoint import load_whisper
from app.scheduling import SchedulingClass
from app.transcript import Task
from app.waveform import Samples

T = TypeVar("T")


def start(checkpoint: Checkpoint, device: str, options: EngineOptions) -> "ReferenceEngine":
    """Load a checkpoint on a torch device and warm up.

    Raises CheckpointError where the file is no Whisper checkpoint.
    """

    def build(model: Any, thread: CallQueue) -> "ReferenceEngine":
        return ReferenceEngine(model, checkpoint.name, thread)

    return start_engine(
        partial(load_whisper, checkpoint, device),
        build,
        options.threads,
        options.thread,
        beside=options.beside,
    )


class ReferenceEngine:
    """A LiveEngine over `whisper.model.Whisper`. All work on `model` happens in `thread`."""

    def __init__(self, model: Any, name: str, thread: CallQueue) -> None:
        self._model = model
        self._thread = thread
        self._features: WeakKeyDictionary[Window, Tensor] = WeakKeyDictionary()
        self._tokenizers = TokenizerTable(model.is_multilingual, model.num_languages)
        weight_bytes = sum(parameter.nbytes for parameter in model.parameters())
        self.card = ModelCard(
            name,
            self._tokenizers.languages,
            model.is_multilingual,
            model.dims.n_text_ctx,
            weight_bytes,
        )
        self.warm_up_seconds = 0.0

    @property
    def alive(self) -> bool:
        """True while the engine thread takes work."""
        return self._thread.alive

    @property
    def others_seconds(self) -> float:
        """How long the engine thread has worked for other engines, up to now."""
        return self._thread.others_seconds

    def tokenizer(self, language: str | None, task: Task) -> Tokenizer:
        """The tokenizer of a language (code) and task."""
        return self._tokenizers.get(language, task)

    def open(
        self,
        samples: Samples,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
        wait: Wait = wait_patiently,
    ) -> LogMel:
        """Compute the features of 16 kHz mono samples `[n]`, block by block between other work."""
        recording = LogMel(samples, self._model.dims.n_mels, torch.device("cpu"), scheduling_class)
        with closed_on_error(recording):
            *blocks, last = recording.blocks()
            for first, end in blocks:
                wait(self._call(recording, partial(recording.compute, first, end)))
            wait(self._call(recording, partial(recording.finish, *last)))
        return recording

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        return self._call(window.recording, partial(self._decode, window, options))

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._call(window.recording, partial(self._detect, window))

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        return self._call(window.recording, partial(self._score, window, options, list(tokens)))

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """The times of text tokens."""
        work = partial(self._align, window, list(tokens), language, task)
        return self._call(window.recording, work)

    def close(self) -> None:
        """Stop the thread after the call that runs; what is queued is cancelled."""
        self._thread.close()

    def _call(self, recording: Recording, run: Callable[[], T]) -> Future[T]:
        """Queue a call, which is dropped if the recording is closed by then."""
        return self._thread.submit(run, lambda: recording.closed)

    def _decode(self, window: Window, options: WindowOptions) -> WindowResult:
        if options.temperature > 0:
            torch.manual_seed(_seed(window, options))
        with self._audio(window) as audio:
            result = cast(DecodingResult, self._model.decode(audio, self._decoding_options(options)))
        return WindowResult(
            tokens=tuple(result.tokens),
            avg_logprob=result.avg_logprob,
            no_speech_prob=result.no_speech_prob,
            compression_ratio=result.compression_ratio,
            temperature=options.temperature,
        )

    def _decoding_options(self, options: WindowOptions) -> DecodingOptions:
        return DecodingOptions(
            task=options.task,
            language=options.language,
            temperature=options.temperature,
            sample_len=options.sample_len,
            beam_size=options.beam_size,
            best_of=options.best_of,
            patience=options.patience,
            length_penalty=options.length_penalty,
            prompt=list(options.prompt),
            suppress_tokens=list(options.suppress_tokens),
            suppress_blank=options.suppress_blank,
            fp16=self._half,
        )

    def _score(self, window: Window, options: WindowOptions, tokens: list[int]) -> list[float]:
        prompt = self._tokenizers.prompt(
            options.prompt, options.language, options.task, self.card.text_context
        )
        sequence = torch.tensor([prompt + tokens], device=self._model.device)
        with torch.no_grad():
            # the last token may be one more than the context holds, and nothing follows it
            logits = self._model.logits(sequence[:, :-1], self._encode(window)[None])[0, len(prompt) - 1 :]
        scores = logits.float().log_softmax(-1).gather(-1, sequence[0, len(prompt) :, None])
        return cast(list[float], scores[:, 0].tolist())

    def _detect(self, window: Window) -> dict[str, float]:
        if not self._model.is_multilingual:
            return {"en": 1.0}
        with self._audio(window) as audio:
            _, probabilities = self._model.detect_language(audio)
        return cast(dict[str, float], probabilities)

    def _align(self, window: Window, tokens: list[int], language: str | None, task: Task) -> list[WordTiming]:
        tokenizer = self._tokenizers.whisper(language, task)
        with warnings.catch_warnings(), self._context(window.positions):
            # numba warns that it can't parallelize openai-whisper's DTW
            warnings.simplefilter("ignore", NumbaPerformanceWarning)
            words = find_alignment(self._model, tokenizer, tokens, self._mel(window), window.frames)
        return [
            WordTiming(
                word.word, tuple(word.tokens), float(word.start), float(word.end), float(word.probability)
            )
            for word in words
        ]

    def _encode(self, window: Window) -> Tensor:
        """Features `[positions, state]`, computed once in a window's life."""
        features = self._features.get(window)
        if features is None:
            with torch.no_grad(), self._context(window.positions):
                features = self._model.encoder(self._mel(window)[None])[0]
            self._features[window] = features
        return features

    @contextmanager
    def _audio(self, window: Window) -> Iterator[Tensor]:
        """What openai-whisper's functions take within the block: features, which they know by their shape, or
        the log-mel of a short context.
        """
        if not window.is_short:
            yield self._encode(window)
            return
        with self._context(window.positions):
            yield self._mel(window)

    @contextmanager
    def _context(self, positions: int) -> Iterator[None]:
        """Within the block the encoder has so many positions. No other thread runs the model."""
        encoder = self._model.encoder
        embedding = encoder.positional_embedding
        encoder.positional_embedding = embedding[:positions]
        try:
            yield
        finally:
            encoder.positional_embedding = embedding

    def _mel(self, window: Window) -> Tensor:
        recording = cast(LogMel, window.recording)
        mel = recording.window(window.seek, window.frames, window.padded_frames).to(self._model.device)
        return mel.half() if self._half else mel

    @property
    def _half(self) -> bool:
        """openai-whisper computes in float16 everywhere but on the CPU."""
        return bool(self._model.device.type != "cpu")


def _seed(window: Window, options: WindowOptions) -> int:
    """A seed for each window and temperature, so that a request always has the same text."""
    key = f"{options.seed or 0}/{window.seek}/{options.temperature}"
    return zlib.crc32(key.encode())
