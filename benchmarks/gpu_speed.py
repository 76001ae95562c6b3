"""How fast the engine is on this device beside others, with turbo's dimensions: a part of `gpu_check`."""

import argparse
import gc
import importlib.util
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import whisper
from torch.profiler import ProfilerActivity, profile
from whisper.tokenizer import get_tokenizer

from app import engines
from app.checkpoints import Checkpoint
from app.engines.interface import EngineOptions, LiveEngine
from app.request_context import RequestContext
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.transcribe import collected, stream_samples
from app.waveform import SAMPLE_RATE, Samples
from benchmarks import random_weights
from benchmarks.gpu_check import NO_TIME, Row
from benchmarks.gpu_exactness import EN, SOUNDS, sound, whole

OURS = "this engine"
WINDOW_SECONDS = 30
PATIENCE_SECONDS = 600.0

PLAIN: dict[str, Any] = {
    "condition_on_previous_text": False,
    "compression_ratio_threshold": None,
    "logprob_threshold": None,
    "no_speech_threshold": None,
}
GOALS = {1: 8, 64: 30}
"""Windows at once -> how many times openai-whisper's speed is aimed at on a GPU."""


class Speed:
    """Random weights of turbo's dimensions on each contender in turn, one of them in memory at a time."""

    def __init__(self, options: argparse.Namespace, folder: Path, until: float) -> None:
        self._until = until
        self._options = options
        self._checkpoint = folder / "random.pt"
        self._dims = random_weights.TINY_TURBO if options.tiny else random_weights.TURBO
        self._engine: LiveEngine | None = None
        self._steps = 0
        self._windows = windows(max(options.windows))
        self._seconds: dict[int, float] = {}
        self._half = options.device != "cpu"

    def ours(self) -> Iterator[Row]:
        """This engine's times, through its own transcription loop, as requests of as many clients."""
        random_weights.write(self._checkpoint, self._dims, self._options.tokens, device=self._options.device)
        free()
        if self._half:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        checkpoint = Checkpoint("random", self._checkpoint, "")
        batch = max(self._options.windows)
        options = EngineOptions(int(self._options.tiny), batch, on_step=self._count)
        self._engine = engines.start("batched", checkpoint, self._options.device, options)
        yield Row(f"{OURS}, loaded and warm", f"{time.perf_counter() - began:.1f} s")
        yield from self._rows(OURS, self._hear, warm_up=2)

    def launches(self) -> Iterator[Row]:
        """What a step of one window sends to the device, its prompt's share included."""
        engine = self._ready()
        window = whole(engine, self._windows[0])
        engine.submit(window, EN).result()
        self._steps = 0
        with profile(activities=profiled(self._half)) as profiler:
            engine.submit(window, EN).result()
        steps = max(self._steps, 1)
        counted = launched(profiler.events())
        per_step = ", ".join(f"{count / steps:.1f} {name}" for name, count in counted.items())
        yield Row("a step of one window", f"{per_step or 'nothing on a GPU'} ({steps} steps)")
        if self._half:
            self._steps = 0
            waits = waits_of(lambda: engine.submit(window, EN).result())
            yield Row("waits for the GPU in a step", f"{waits / max(self._steps, 1):.2f}")

    def memory(self) -> Iterator[Row]:
        """The most that this engine has used so far."""
        engine = self._ready()
        if self._half:
            most = [torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()]
            yield Row(
                "GPU memory, used and reserved", " and ".join(f"{each / 2**30:.1f} GiB" for each in most)
            )
        else:
            kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            yield Row("memory", f"{kibibytes / 2**20:.1f} GiB")
        engine.close()
        del engine
        self._engine = None
        free()

    def openai_whisper(self) -> Iterator[Row]:
        """One window after the other, as it does it."""
        model: Any = whisper.load_model(str(self._checkpoint), device=self._options.device)
        yield from self._rows("openai-whisper", partial(self._hear_whisper, model), in_turn=True)
        del model
        free()

    def transformers(self) -> Iterator[Row]:
        """Greedy generation in one batch, of as many tokens; features are given, which favours it."""
        if importlib.util.find_spec("transformers") is None:
            yield Row("transformers", "not installed")
            return
        from benchmarks.transformers_whisper import generator  # noqa: PLC0415 (an optional package)

        tokens = self._options.tokens + 1
        generate = generator(self._dims, self._options.device, self._half, tokens)
        yield from self._rows(f"transformers {version('transformers')}", generate)
        del generate
        free()

    def _rows(
        self, who: str, hear: Callable[[int], int], warm_up: int = 1, in_turn: bool = False
    ) -> Iterator[Row]:
        """A contender's times. One that hears windows in turn needs no rounds to hear many."""
        for count in self._options.windows:
            name = f"{who}, {at_once(count)}"
            if time.monotonic() > self._until:
                yield Row(name, NO_TIME)
                continue
            seconds = self._timed(partial(hear, count), warm_up, 1 if in_turn and count > 8 else None)
            if who == OURS:
                self._seconds[count] = seconds
            yield Row(name, self._speed(count, seconds) + self._compared(who, count, seconds))

    def _count(self, rows: int, capacity: int) -> None:
        self._steps += 1

    def _ready(self) -> LiveEngine:
        if self._engine is None:
            raise RuntimeError("this engine has not started")
        return self._engine

    def _hear(self, count: int) -> int:
        request = TranscriptionRequest(language="en", temperatures=(0.0,), **PLAIN)
        engine = self._ready()

        def tokens(samples: Samples) -> int:
            context = RequestContext.of(PATIENCE_SECONDS)
            deltas = stream_samples(engine, samples, request, Policy(), context)
            return collected(deltas, request.task).usage.output_tokens

        with ThreadPoolExecutor(count) as clients:
            return sum(clients.map(tokens, self._windows[:count]))

    def _hear_whisper(self, model: Any, count: int) -> int:
        eot = get_tokenizer(model.is_multilingual, num_languages=model.num_languages).eot
        heard = (
            whisper.transcribe(model, samples, language="en", temperature=0.0, fp16=self._half, **PLAIN)
            for samples in self._windows[:count]
        )
        segments = (segment for each in heard for segment in each["segments"])
        return sum(token < eot for segment in segments for token in segment["tokens"])

    def _timed(self, hear: Callable[[], int], warm_up: int, rounds: int | None) -> float:
        """Median seconds. Raises RuntimeError where a window doesn't have its tokens."""
        seconds: list[float] = []
        for number in range(warm_up + (rounds or self._options.rounds)):
            if seconds and time.monotonic() > self._until:
                break
            began = time.perf_counter()
            tokens = hear()
            if self._half:
                torch.cuda.synchronize()
            if number >= warm_up:
                seconds.append(time.perf_counter() - began)
        if tokens % self._options.tokens:
            raise RuntimeError(f"{tokens} tokens are no multiple of {self._options.tokens}")
        return median(seconds)

    def _speed(self, count: int, seconds: float) -> str:
        times = count * WINDOW_SECONDS / seconds
        return f"{seconds * 1000:.0f} ms, {times:.0f} times real time"

    def _compared(self, who: str, count: int, seconds: float) -> str:
        if who == OURS or count not in self._seconds:
            return ""
        has_goal = who == "openai-whisper" and count in GOALS and not self._options.tiny
        goal = f" (goal {GOALS[count]})" if has_goal else ""
        return f"; {OURS} is {seconds / self._seconds[count]:.1f} times as fast{goal}"


def at_once(count: int) -> str:
    """A number of windows, in words."""
    return "one window of 30 s" if count == 1 else f"{count} windows at once"


def windows(count: int) -> list[Samples]:
    """As many different windows of 30 s."""
    spoken = np.concatenate([sound(name) for name in SOUNDS])
    full = np.resize(spoken, WINDOW_SECONDS * SAMPLE_RATE)
    return [np.roll(full, -4_000 * place) for place in range(count)]


def profiled(on_gpu: bool) -> list[ProfilerActivity]:
    """What the profiler looks at."""
    return [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]


LAUNCHES = {
    "graph launches": ("cudaGraphLaunch",),
    "single launches": ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx"),
    "copies": ("cudaMemcpyAsync",),
    "synchronizations": ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"),
}
"""What the profiler calls them."""


def launched(events: Any) -> Counter[str]:
    """What a profile's events show of the device: kernels that ran, and how they were started."""
    counted: Counter[str] = Counter()
    for event in events:
        on_device = "CUDA" in str(event.device_type)
        if on_device and not event.name.startswith(("Memcpy", "Memset")):
            counted["kernels"] += 1
        for kind, names in LAUNCHES.items():
            if not on_device and event.name in names:
                counted[kind] += 1
    return counted


def waits_of(work: Callable[[], object]) -> int:
    """How often the host waits for the device meanwhile, as torch reports it."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in caught)


def free() -> None:
    """Give memory back to the device."""
    gc.collect()
    torch.cuda.empty_cache()
