"""The batching engine: one thread, one model, and the windows of all requests in one running batch."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import torch

from app.engines.batched.batch import DecodingWindow
from app.engines.batched.model import Model
from app.engines.batched.model_runner import ModelRunner
from app.engines.batched.scheduler import Action, QueuedTask, Scheduler
from app.engines.batched.tasks import DecodeTask, EngineTask, cancel, fail, is_abandoned
from app.engines.engine_thread import CallQueue
from app.engines.features import LogMel, closed_on_error
from app.engines.interface import (
    OnStep,
    Recording,
    Tokenizer,
    Wait,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
    wait_patiently,
)
from app.engines.timed_future import TimedFuture
from app.scheduling import SchedulingClass
from app.transcript import Task
from app.waveform import Samples

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ROWS_TO_RUN_ALONE = sys.maxsize  # a task with more rows than the capacity runs alone
_MAX_ROWS = 16
"""The most beams or samples that one window may ask for."""
_STEPS_BETWEEN_TASKS = 4
_HOLDOFF_STEPS_AFTER_JOIN = 32
"""As many as one or two sentences take, so that another request's encodes don't slow a short note down."""
_SPARE_CACHED_WINDOWS = 8
"""Keys and values of so many other windows are kept: they may be decoded again, or aligned."""


class BatchedEngine:
    """A LiveEngine. Methods with an underscore run in its thread, except `_submit` and `_queue`.

    While there is work, a `_schedule` call is queued in the thread: it runs one task or one decoding step,
    and queues the next `_schedule` behind whatever was queued meanwhile.
    """

    def __init__(self, model: Model, thread: CallQueue, capacity: int, on_step: OnStep) -> None:
        self._model = model
        self._thread = thread
        max_rows = max(capacity, _MAX_ROWS)
        self._scheduler: Scheduler[EngineTask | DecodeTask] = Scheduler(
            capacity, max_rows, _STEPS_BETWEEN_TASKS, _HOLDOFF_STEPS_AFTER_JOIN
        )
        self._runner = ModelRunner(model, max_rows, _max_cached_windows(capacity))
        self._running: dict[DecodingWindow, DecodeTask] = {}
        self._scheduled = False
        self._on_step = on_step
        thread.when_idle(self._runner.release)
        self.card = model.card
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
        return self._model.tokenizers.get(language, task)

    def open(
        self,
        samples: Samples,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
        wait: Wait = wait_patiently,
    ) -> LogMel:
        """Compute the features of 16 kHz mono samples `[n]`, block by block between other work."""
        recording = LogMel(samples, self._model.dims.n_mels, self._model.device, scheduling_class)
        with closed_on_error(recording):
            *blocks, last = recording.blocks()
            for first, end in blocks:
                wait(self._submit(recording, partial(recording.compute, first, end)))
            wait(self._submit(recording, partial(recording.finish, *last)))
        return recording

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        decode_task = DecodeTask(TimedFuture(), window, options)
        self._queue(decode_task)
        return decode_task.future

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._submit(window.recording, partial(self._runner.detect_language, window))

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        return self._submit(window.recording, partial(self._runner.score, window, options, list(tokens)))

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """The times of text tokens."""
        run = partial(self._runner.align, window, list(tokens), language, task)
        return self._submit(window.recording, run)

    def close(self) -> None:
        """Stop the thread; what is queued or runs is cancelled."""
        self._thread.close()
        for task in [*self._scheduler.drop(lambda task: True), *self._running.values()]:
            cancel(task)

    def _submit(self, recording: Recording, run: Callable[[], T]) -> Future[T]:
        engine_task = EngineTask(TimedFuture(), recording, run)
        self._queue(engine_task)
        return engine_task.future

    def _queue(self, task: EngineTask | DecodeTask) -> None:
        queued = self._thread.submit(partial(self._enqueue, task))
        queued.add_done_callback(lambda queued: cancel(task) if queued.cancelled() else None)

    def _enqueue(self, task: EngineTask | DecodeTask) -> None:
        self._scheduler.add(_queued(task, task.rows))
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        try:
            self._scheduled = self._run_once()
        except Exception as error:  # otherwise the requests whose windows are running would wait for ever
            self._fail_running(error)
        if self._scheduled:
            self._thread.submit(self._schedule)

    def _run_once(self) -> bool:
        """Run one task or one step; False when there is nothing to do."""
        self._drop_abandoned()
        running_windows: Counter[object] = Counter(task.recording for task in self._running.values())
        classes = Counter(task.recording.scheduling_class for task in self._running.values())
        scheduled = self._scheduler.next(self._runner.batch.size, running_windows, classes)
        if isinstance(scheduled, QueuedTask):
            self._start(scheduled.task)
        elif scheduled is Action.STEP:
            self._step()
        return scheduled is not Action.WAIT

    def _drop_abandoned(self) -> None:
        abandoned = [decoding for decoding, task in self._running.items() if is_abandoned(task)]
        self._runner.batch.remove(abandoned)
        for task in [*map(self._running.pop, abandoned), *self._scheduler.drop(is_abandoned)]:
            cancel(task)

    @torch.inference_mode()
    def _start(self, task: EngineTask | DecodeTask) -> None:
        if not task.future.running() and not task.future.set_running_or_notify_cancel():
            return
        try:
            if isinstance(task, DecodeTask):
                self._admit(task)
            else:
                task.future.set_result(task.run())
        except torch.OutOfMemoryError as error:
            self._shrink(task, error)
        except Exception as error:
            fail(task, error)

    def _admit(self, task: DecodeTask) -> None:
        decoding = self._runner.prefill(task.window, task.options)
        self._running[decoding] = task
        if not decoding.rows:
            self._finish(decoding)

    @torch.inference_mode()
    def _step(self) -> None:
        batch = self._runner.batch
        self._on_step(batch.size, self._scheduler.capacity)
        try:
            finished = batch.step()
        except torch.OutOfMemoryError as error:
            self._shrink(None, error)
        except Exception as error:
            self._retry_alone(error)
        else:
            for decoding in finished:
                self._finish(decoding)

    def _finish(self, decoding: DecodingWindow) -> None:
        task = self._running.pop(decoding)
        try:
            task.future.set_result(self._runner.result(decoding, task.options))
        except Exception as error:
            fail(task, error)

    def _interrupt(self) -> list[DecodeTask]:
        """Take all windows out of the batch, unfinished."""
        running, self._running = self._running, {}
        self._runner.batch.remove(list(running))
        return list(running.values())

    def _fail_running(self, error: Exception) -> None:
        for task in self._interrupt():
            fail(task, error)

    def _retry_alone(self, error: Exception) -> None:
        """A failed step doesn't show which window caused the failure, so each is decoded again, alone."""
        if len(self._running) == 1:
            self._fail_running(error)
            return
        _log.warning("a step of %d windows failed; each is tried alone", len(self._running), exc_info=error)
        for task in self._interrupt():
            self._scheduler.add(_queued(task, _ROWS_TO_RUN_ALONE))

    def _shrink(self, task: EngineTask | DecodeTask | None, error: torch.OutOfMemoryError) -> None:
        """The device is out of memory: halve the batch and decode its windows again.

        `task` is the one that was being started, if any. It fails if it is alone and the batch can't shrink.
        """
        interrupted = [*([task] if task else []), *self._interrupt()]
        hopeless = len(interrupted) == 1 and self._scheduler.capacity == 1
        if not hopeless:
            self._scheduler.shrink()
        capacity = self._scheduler.capacity
        self._runner.shrink(max(capacity, _MAX_ROWS), _max_cached_windows(capacity))
        if hopeless:
            fail(interrupted[0], error)
            return
        _log.warning("the device is out of memory: %d windows at a time now", capacity)
        for again in interrupted:
            self._scheduler.add(_queued(again, again.rows))


def _queued(task: EngineTask | DecodeTask, rows: int) -> QueuedTask[EngineTask | DecodeTask]:
    return QueuedTask(task, task.recording, rows, task.recording.scheduling_class)


def _max_cached_windows(capacity: int) -> int:
    return capacity + _SPARE_CACHED_WINDOWS
