"""The batching engine: one thread, one model, and the windows of all requests in one running batch."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor
from whisper.utils import compression_ratio

from app.engines.batched.alignment import Aligner
from app.engines.batched.batch import Batch, Decoding
from app.engines.batched.beam import best, search_for
from app.engines.batched.decoder import Decoder
from app.engines.batched.draws import uniform
from app.engines.batched.graphs import GraphedDecoder
from app.engines.batched.model import Model
from app.engines.batched.scheduler import Idle, Scheduler, Turn
from app.engines.batched.token_rules import RowStates
from app.engines.batched.turns import Decode, Job, cancel, fail, unwanted
from app.engines.batched.window_store import WindowStore
from app.engines.engine_thread import EngineThread
from app.engines.features import LogMel
from app.engines.interface import (
    ModelCard,
    OnStep,
    Recording,
    Tokenizer,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
)
from app.engines.timed_future import TimedFuture
from app.transcript import Task
from app.waveform import Samples

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ALONE = sys.maxsize  # rows for which there is never room beside others
_MOST_ROWS = 16
"""The most beams or samples that one window may ask for."""
_PAUSE_STEPS = 4
_SHELTER_STEPS = 32
"""What a sentence or two take: a short note is not slowed down by another's encodes."""
_SPARE_WINDOWS = 8
"""Windows beside the running ones whose keys and values are kept, for the decode or alignment to come."""


class BatchedEngine:
    """An Engine. What starts with an underscore runs in its thread, except `_queue`.

    The thread's jobs are pumps: each takes one turn or one step, and queues the next pump behind
    whatever has come in meanwhile.
    """

    def __init__(self, model: Model, thread: EngineThread, capacity: int, on_step: OnStep) -> None:
        self._model = model
        self._thread = thread
        rows = max(capacity, _MOST_ROWS)
        self._scheduler: Scheduler[Job | Decode] = Scheduler(capacity, rows, _PAUSE_STEPS, _SHELTER_STEPS)
        kind = GraphedDecoder if model.device.type == "cuda" else Decoder
        decoder = kind(model.decoder, rows, model.dims.n_text_ctx)
        draws = model.dims.n_text_ctx // 2
        self._batch = Batch(decoder, RowStates(rows, model.vocabulary, draws, model.device))
        self._decoder = decoder
        self._aligner = Aligner(decoder, model.alignment_heads)
        self._windows = WindowStore(self._encode, model.project, capacity + _SPARE_WINDOWS)
        self._running: dict[Decoding, Decode] = {}
        self._pumping = False
        self._on_step = on_step
        self.card = ModelCard(
            model.name, model.tokenizers.languages, model.dims.n_vocab >= 51865, model.dims.n_text_ctx
        )
        self.warm_up_seconds = 0.0

    @property
    def alive(self) -> bool:
        """True while the engine thread takes work."""
        return self._thread.alive

    def tokenizer(self, language: str | None, task: Task) -> Tokenizer:
        """The tokenizer of a language (code) and task."""
        return self._model.tokenizers.get(language, task)

    def open(self, samples: Samples) -> LogMel:
        """Compute the features of 16 kHz mono samples `[n]`, block by block between other work."""
        recording = LogMel(samples, self._model.dims.n_mels, self._model.device)
        for first, end in recording.blocks():
            self._submit(recording, partial(recording.compute, first, end)).result()
        self._submit(recording, recording.clip).result()
        return recording

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        decode = Decode(TimedFuture(), window, options)
        self._queue(decode)
        return decode.future

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._submit(window.recording, partial(self._detect, window))

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        return self._submit(window.recording, partial(self._score, window, options, list(tokens)))

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """Place text tokens in time."""
        work = partial(self._align, window, list(tokens), language, task)
        return self._submit(window.recording, work)

    def close(self) -> None:
        """Stop the thread; what is queued or runs is cancelled."""
        self._thread.close()
        for work in [*self._scheduler.drop(lambda work: True), *self._running.values()]:
            cancel(work)

    def _submit(self, recording: Recording, work: Callable[[], T]) -> Future[T]:
        job = Job(TimedFuture(), recording, work)
        self._queue(job)
        return job.future

    def _queue(self, work: Job | Decode) -> None:
        queued = self._thread.submit(partial(self._take_in, work))
        queued.add_done_callback(lambda taken: cancel(work) if taken.cancelled() else None)

    def _take_in(self, work: Job | Decode) -> None:
        self._scheduler.add(Turn(work, work.recording, work.rows))
        if not self._pumping:
            self._pump()

    def _pump(self) -> None:
        try:
            self._pumping = self._go_on()
        except Exception as error:  # nobody may wait for ever
            self._fail_running(error)
        if self._pumping:
            self._thread.submit(self._pump)

    def _go_on(self) -> bool:
        """Take one turn or step; False when there is nothing to do."""
        self._drop_unwanted()
        windows: Counter[object] = Counter(work.recording for work in self._running.values())
        turn = self._scheduler.next(self._batch.size, windows)
        if isinstance(turn, Turn):
            self._begin(turn.work)
        elif turn is Idle.STEP:
            self._step()
        return turn is not Idle.WAIT

    def _drop_unwanted(self) -> None:
        left = [decoding for decoding, work in self._running.items() if work.recording.closed]
        self._batch.remove(left)
        for work in [*map(self._running.pop, left), *self._scheduler.drop(unwanted)]:
            cancel(work)

    @torch.inference_mode()
    def _begin(self, work: Job | Decode) -> None:
        if not work.future.running() and not work.future.set_running_or_notify_cancel():
            return
        try:
            if isinstance(work, Decode):
                self._join(work)
            else:
                work.future.set_result(work.work())
        except torch.OutOfMemoryError as error:
            self._make_room(work, error)
        except Exception as error:
            fail(work, error)

    def _join(self, work: Decode) -> None:
        decoding = self._decoding(work.window, work.options)
        self._running[decoding] = work
        try:
            states = self._batch.join(decoding)
            work.no_speech_prob = self._no_speech_prob(decoding.prompt, states)
        except Exception:
            del self._running[decoding]
            self._batch.remove([decoding])
            raise
        if not decoding.rows:
            self._finish(decoding)

    @torch.inference_mode()
    def _step(self) -> None:
        self._on_step(self._batch.size, self._scheduler.capacity)
        try:
            done = self._batch.step()
        except torch.OutOfMemoryError as error:
            self._make_room(None, error)
        except Exception as error:
            self._try_alone(error)
        else:
            for decoding in done:
                self._finish(decoding)

    def _interrupt(self) -> list[Decode]:
        running, self._running = self._running, {}
        self._batch.remove(list(running))
        return list(running.values())

    def _fail_running(self, error: Exception) -> None:
        for work in self._interrupt():
            fail(work, error)

    def _try_alone(self, error: Exception) -> None:
        """Nobody knows by whose fault a step failed: each of its windows begins again, by itself."""
        if len(self._running) == 1:
            self._fail_running(error)
            return
        _log.warning("a step of %d windows failed; each is tried alone", len(self._running), exc_info=error)
        for again in self._interrupt():
            self._scheduler.add(Turn(again, again.recording, _ALONE))

    def _make_room(self, work: Job | Decode | None, error: torch.OutOfMemoryError) -> None:
        """The device is full: halve the batch and begin all its windows again; fail what runs alone."""
        interrupted = [*([work] if work else []), *self._interrupt()]
        self._windows.clear()
        torch.cuda.empty_cache()
        if len(interrupted) == 1 and self._scheduler.capacity == 1:
            fail(interrupted[0], error)
            return
        self._scheduler.shrink()
        _log.warning("the device is out of memory: %d windows at a time now", self._scheduler.capacity)
        for again in interrupted:
            self._scheduler.add(Turn(again, again.recording, again.rows))

    def _finish(self, decoding: Decoding) -> None:
        work = self._running.pop(decoding)
        try:
            work.future.set_result(self._result(decoding, work))
        except Exception as error:
            fail(work, error)

    def _result(self, decoding: Decoding, work: Decode) -> WindowResult:
        found = best(decoding.search.hypotheses(), work.options.length_penalty)
        text = self.tokenizer(work.options.language, work.options.task).decode(found.tokens).strip()
        return WindowResult(
            tokens=found.tokens,
            avg_logprob=found.sum_logprob / (len(found.tokens) + 1),
            no_speech_prob=work.no_speech_prob,
            compression_ratio=compression_ratio(text),
            temperature=work.options.temperature,
        )

    def _decoding(self, window: Window, options: WindowOptions) -> Decoding:
        prompt = self._prompt(options)
        longest = min(self.card.text_context // 2, self.card.text_context + 1 - len(prompt))
        search = search_for(options, self._model.vocabulary.eot, longest)
        return Decoding(
            cross=self._windows.cross(window),
            prompt=prompt,
            search=search,
            suppressed=self._model.suppressed(options.suppress_tokens),
            temperature=options.temperature,
            draws=uniform(window, options, search.rows, self.card.text_context // 2),
            candidates=options.beam_size + 1 if options.beam_size else 0,
        )

    def _prompt(self, options: WindowOptions) -> list[int]:
        tokenizers, context = self._model.tokenizers, self.card.text_context
        return tokenizers.prompt(options.prompt, options.language, options.task, context)

    def _no_speech_prob(self, prompt: list[int], states: Tensor) -> float:
        tokenizer = self._model.tokenizers.whisper(None, "transcribe")
        place = prompt.index(tokenizer.sot)
        likely = self._decoder.logits(states[place : place + 1]).softmax(-1)
        return float(likely[0, tokenizer.no_speech])

    def _detect(self, window: Window) -> dict[str, float]:
        if not self.card.multilingual:
            return {"en": 1.0}
        tokenizer = self._model.tokenizers.whisper(None, "transcribe")
        states = self._decoder.read([tokenizer.sot], self._windows.cross(window))
        likely = self._decoder.logits(states)[0, list(tokenizer.all_language_tokens)].softmax(-1)
        return dict(zip(tokenizer.all_language_codes, likely.tolist(), strict=True))

    def _score(self, window: Window, options: WindowOptions, tokens: list[int]) -> list[float]:
        prompt = self._prompt(options)
        told = (prompt + tokens)[:-1]  # the last token may be one more than the context holds
        states = self._decoder.read(told, self._windows.cross(window))
        likely = self._decoder.logits(states[len(prompt) - 1 :]).log_softmax(-1)
        places = torch.tensor(tokens, device=likely.device)[:, None]
        return cast(list[float], likely.gather(-1, places)[:, 0].tolist())

    def _align(self, window: Window, tokens: list[int], language: str | None, task: Task) -> list[WordTiming]:
        tokenizer = self._model.tokenizers.whisper(language, task)
        return self._aligner.words(self._windows.cross(window), tokenizer, tokens, window.frames)

    def _encode(self, window: Window) -> Tensor:
        return self._model.encode(cast(LogMel, window.recording).window(window.seek, window.frames))
