"""Runs the model: prefill, decoding steps, and single passes over a window. No queue, no future, no policy.

Everything but the constructor runs in the engine's thread, in torch's inference mode.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor
from whisper.utils import compression_ratio

from app.engines.batched.alignment import Aligner
from app.engines.batched.batch import DecodingWindow
from app.engines.batched.beam import best_hypothesis, new_search
from app.engines.batched.model import Model
from app.engines.batched.uniform_noise import uniform_noise
from app.engines.batched.window_store import WindowStore
from app.engines.features import LogMel
from app.engines.interface import Window, WindowOptions, WindowResult, WordTiming
from app.transcript import Task


class ModelRunner:
    """A model, its running `batch` of at most `max_rows` rows, and the latest windows' keys and values."""

    def __init__(self, model: Model, max_rows: int, max_cached_windows: int) -> None:
        self._model = model
        self._max_tokens = model.dims.n_text_ctx // 2
        self.batch = model.backend.new_batch(model.decoder, model.vocabulary, max_rows, model.dims.n_text_ctx)
        self.decoder = self.batch.decoder
        self.windows = WindowStore(partial(_encode, model), model.project, max_cached_windows)
        self._aligner = Aligner(self.decoder, model.alignment_heads)

    def prefill(self, window: Window, options: WindowOptions) -> DecodingWindow:
        """Add a window to the batch. Its `rows` are empty if its first token was its last.

        Whatever is raised, the batch is as it was before.
        """
        decoding = self._new_decoding(window, options)
        try:
            states = self.batch.add(decoding)
            decoding.no_speech_prob = self._no_speech_prob(decoding.prompt, states)
        except Exception:
            self.batch.remove([decoding])
            raise
        return decoding

    def result(self, decoding: DecodingWindow, options: WindowOptions) -> WindowResult:
        """The best text of a window that has left the batch."""
        hypothesis = best_hypothesis(decoding.search.hypotheses(), options.length_penalty)
        tokenizer = self._model.tokenizers.get(options.language, options.task)
        tokens = decoding.prefix + hypothesis.tokens
        return WindowResult(
            tokens=tokens,
            avg_logprob=hypothesis.sum_logprob / (len(hypothesis.tokens) + 1),
            no_speech_prob=decoding.no_speech_prob,
            compression_ratio=compression_ratio(tokenizer.decode(tokens).strip()),
            temperature=options.temperature,
        )

    def detect_language(self, window: Window) -> dict[str, float]:
        """The probability of every language code."""
        if not self._model.card.multilingual:
            return {"en": 1.0}
        tokenizer = self._model.tokenizers.whisper(None, "transcribe")
        states = self.decoder.prefill([tokenizer.sot], self.windows.cross_kv(window))
        probabilities = self.decoder.logits(states)[0, list(tokenizer.all_language_tokens)].softmax(-1)
        return dict(zip(tokenizer.all_language_codes, probabilities.tolist(), strict=True))

    def score(self, window: Window, options: WindowOptions, tokens: list[int]) -> list[float]:
        """The log-probability of each of a window's tokens."""
        prompt = self._prompt(options)
        sequence = (prompt + tokens)[:-1]  # the last token may be one more than the context holds
        states = self.decoder.prefill(sequence, self.windows.cross_kv(window))
        logprobs = self.decoder.logits(states[len(prompt) - 1 :]).log_softmax(-1)
        indices = torch.tensor(tokens, device=logprobs.device)[:, None]
        return cast(list[float], logprobs.gather(-1, indices)[:, 0].tolist())

    def align(self, window: Window, tokens: list[int], language: str | None, task: Task) -> list[WordTiming]:
        """Place text tokens in time."""
        tokenizer = self._model.tokenizers.whisper(language, task)
        return self._aligner.words(self.windows.cross_kv(window), tokenizer, tokens, window.frames)

    def release(self) -> None:
        """Give back what running rows have used of a processor's memory, if none runs now."""
        if not self.batch.size:
            self.decoder.cache.release()

    def shrink(self, max_rows: int, max_cached_windows: int) -> None:
        """Free what more rows and windows than these have used on the device; no row runs now."""
        self.windows.shrink(max_cached_windows)
        self.decoder.shrink(max_rows)
        torch.cuda.empty_cache()

    def _new_decoding(self, window: Window, options: WindowOptions) -> DecodingWindow:
        prompt = self._prompt(options)
        max_tokens = min(self._max_tokens, self._model.dims.n_text_ctx + 1 - len(prompt))
        prefix = options.prefix[: max_tokens - 1]  # one token at least is decoded
        room = max_tokens - len(prefix)
        search = new_search(options, self._model.vocabulary.eot, min(room, options.sample_len or room))
        return DecodingWindow(
            cross=self.windows.cross_kv(window),
            prompt=[*prompt, *prefix],
            prefix=prefix,
            search=search,
            suppression_mask=self._model.suppression_mask(options.suppress_tokens),
            temperature=options.temperature,
            uniform_noise=uniform_noise(window, options, search.rows, self._max_tokens),
            candidate_count=options.beam_size + 1 if options.beam_size else 0,
        )

    def _prompt(self, options: WindowOptions) -> list[int]:
        text_context = self._model.dims.n_text_ctx
        return self._model.tokenizers.prompt(options.prompt, options.language, options.task, text_context)

    def _no_speech_prob(self, prompt: list[int], states: Tensor) -> float:
        tokenizer = self._model.tokenizers.whisper(None, "transcribe")
        sot_index = prompt.index(tokenizer.sot)
        probabilities = self.decoder.logits(states[sot_index : sot_index + 1]).softmax(-1)
        return float(probabilities[0, tokenizer.no_speech])


def _encode(model: Model, window: Window) -> Tensor:
    recording = cast(LogMel, window.recording)
    return model.encode(recording.window(window.seek, window.frames, window.padded_frames))
