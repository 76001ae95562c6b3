"""Decoding a window until its result passes the thresholds: in full first, then at rising temperatures."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import NamedTuple

from app.engines.interface import FRAMES_PER_TOKEN, Engine, Window, WindowOptions, WindowResult
from app.request_context import RequestContext
from app.transcription.request import TranscriptionRequest


class Decoded(NamedTuple):
    """A result, and the window that it is of: the one that was asked for, or the same in full."""

    window: Window
    result: WindowResult


def decode_with_fallback(
    engine: Engine,
    window: Window,
    options: WindowOptions,
    request: TranscriptionRequest,
    context: RequestContext,
) -> Decoded:
    """The first result that passes the request's thresholds, else that of the last temperature.

    With a short context there is one attempt. If it fails, runs on past the audio or finds silence, the
    window is decoded in full.
    """
    if window.is_short:
        first = at_temperature(options, request.temperatures[0])
        result = context.wait(engine.submit(window, first))
        begin = engine.tokenizer(options.language, options.task).timestamp_begin
        doubtful = needs_fallback(result, request) or is_silence(result, request)
        if not doubtful and not runs_on(result.tokens, begin, window.frames):
            return Decoded(window, result)
        window = window.in_full()
    for attempt, temperature in enumerate(request.temperatures):
        context.check()
        if attempt:
            context.cost.add_fallback()
        result = context.wait(engine.submit(window, at_temperature(options, temperature)))
        if not needs_fallback(result, request):
            break
    return Decoded(window, result)


def at_temperature(options: WindowOptions, temperature: float) -> WindowOptions:
    """The options for a temperature: without `best_of` at 0, without beam search above."""
    if temperature > 0:
        return replace(options, temperature=temperature, beam_size=None, patience=None)
    return replace(options, temperature=temperature, best_of=None)


def needs_fallback(result: WindowResult, request: TranscriptionRequest) -> bool:
    """Whether a result is too repetitive or too improbable, and not silence."""
    repetitive = _above(result.compression_ratio, request.compression_ratio_threshold)
    improbable = _below(result.avg_logprob, request.logprob_threshold)
    silent = improbable and _above(result.no_speech_prob, request.no_speech_threshold)
    return (repetitive or improbable) and not silent


def runs_on(tokens: Sequence[int], timestamp_begin: int, frames: int) -> bool:
    """Whether a segment begins after the audio, or says again what the one before says.

    With little silence behind the audio the model sometimes starts anew there, in too few words for the
    compression ratio to show it.
    """
    times = [token - timestamp_begin for token in tokens if token >= timestamp_begin]
    begins_after = any(start * FRAMES_PER_TOKEN >= frames for start in times[2::2])
    texts = [tuple(group) for is_text, group in groupby(tokens, timestamp_begin.__gt__) if is_text]
    return begins_after or any(text == before for before, text in pairwise(texts))


def is_silence(result: WindowResult, request: TranscriptionRequest) -> bool:
    """Whether a final result is skipped as silence: probably no speech, and improbable text."""
    if not _above(result.no_speech_prob, request.no_speech_threshold):
        return False
    return not _above(result.avg_logprob, request.logprob_threshold)


def _above(value: float, threshold: float | None) -> bool:
    return threshold is not None and value > threshold


def _below(value: float, threshold: float | None) -> bool:
    return threshold is not None and value < threshold
