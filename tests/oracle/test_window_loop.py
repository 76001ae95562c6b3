"""The window loop against openai-whisper's own, both over the same invented windows.

openai-whisper's `transcribe()` runs over a stand-in model that answers each call with the next
invented result; ours over an engine that gives the same answers. Whatever the model might say,
segments, words, prompts and seeks must come out equal.
"""

import random
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import whisper
import whisper.timing
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.tokenizer import get_tokenizer

from app.engines.interface import ModelCard, Window, WindowOptions, WindowResult, WordTiming
from app.engines.tokens import TokenizerTable
from app.request_context import RequestContext
from app.transcription.request import LADDER, Policy, TranscriptionRequest
from tests.scripted_engine import ScriptedEngine
from tests.transcripts import as_whispers, transcribe

TOKENIZER = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
TEXTS = [
    " Good morning.",
    " The sun",
    " rises",
    ", in the east.",
    ' "Yes"',
    " no (maybe)",
    "...",
    " ",
    "!",
    " ¿Qué",
]


class Invention:
    """Answers by number: the n-th decode and the n-th alignment are always the same."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.decodes = 0
        self.alignments = 0
        self.prompts: list[tuple[int, ...]] = []

    def decode(self, prompt: Sequence[int], temperature: float) -> dict[str, Any]:
        rng = random.Random(f"{self.seed}/{self.decodes}")
        self.decodes += 1
        self.prompts.append(tuple(prompt))
        return {
            "tokens": self._tokens(rng),
            "avg_logprob": rng.choice([-0.2, -0.9, -1.2]),
            "no_speech_prob": rng.choice([0.01, 0.1, 0.7]),
            "compression_ratio": rng.choice([1.0, 1.5, 2.6]),
            "temperature": temperature,
        }

    def _tokens(self, rng: random.Random) -> list[int]:
        if rng.random() < 0.1:
            return TOKENIZER.encode(rng.choice(TEXTS))
        at, tokens = rng.choice([0, 0, 20, 300]), []
        for _ in range(rng.randint(1, 4)):
            text = [t for _ in range(rng.randint(1, 4)) for t in TOKENIZER.encode(rng.choice(TEXTS))]
            if rng.random() < 0.1:  # real weights say such a token now and then
                text.append(TOKENIZER.to_language_token("cs"))
            end = min(1500, at + rng.choice([30, 100, 200, 400]))
            tokens += [TOKENIZER.timestamp_begin + at, *text, TOKENIZER.timestamp_begin + end]
            at = min(1500, end + rng.choice([0, 0, 10, 150]))
        ending = rng.random()
        if ending < 0.4:
            tokens.append(TOKENIZER.timestamp_begin + at)
        elif ending < 0.6:
            tokens += [TOKENIZER.timestamp_begin + at, *TOKENIZER.encode(rng.choice(TEXTS))]
        return tokens

    def align(self, text_tokens: list[int]) -> list[tuple[str, list[int], float, float, float]]:
        rng = random.Random(f"{self.seed}/words/{self.alignments}")
        self.alignments += 1
        words, word_tokens = TOKENIZER.split_to_word_tokens([*text_tokens, TOKENIZER.eot])
        at, found = rng.choice([50, 60, 120, 900]), []
        for word, tokens in zip(words[:-1], word_tokens[:-1], strict=True):
            end = at + rng.choice([0, 2, 10, 20, 30, 80, 160])
            found.append((word, tokens, at / 50, end / 50, rng.choice([0.05, 0.9])))
            at = end + rng.choice([0, 0, 0, 100])
        return found


class StandInModel:
    """As much of `whisper.model.Whisper` as `transcribe()` touches."""

    device = torch.device("cpu")
    is_multilingual = True
    num_languages = 99
    dims = SimpleNamespace(n_mels=80, n_audio_ctx=1500, n_text_ctx=448)

    def __init__(self, invention: Invention) -> None:
        self.invention = invention

    def decode(self, mel: torch.Tensor, options: DecodingOptions) -> DecodingResult:
        answer = self.invention.decode(options.prompt, options.temperature)
        return DecodingResult(audio_features=mel, language="en", **answer)


class InventedEngine(ScriptedEngine):
    """The same answers behind the engines' interface."""

    def __init__(self, invention: Invention) -> None:
        super().__init__(lambda window, options: self._answer(options))
        self.invention = invention

    @property
    def card(self) -> ModelCard:
        return ModelCard("invented", ("en",), True, 448)

    def tokenizer(self, language: str | None, task: Any) -> Any:
        return TokenizerTable(True, 99).get(language, task)

    def align(self, window: Window, tokens: Sequence[int], language: str | None, task: str) -> Any:
        future: Future[list[WordTiming]] = Future()
        found = self.invention.align(list(tokens)) if tokens else []
        future.set_result([WordTiming(w, tuple(t), a, b, p) for w, t, a, b, p in found])
        return future

    def _answer(self, options: WindowOptions) -> WindowResult:
        answer = self.invention.decode(options.prompt, options.temperature)
        return WindowResult(**{**answer, "tokens": tuple(answer["tokens"])})


OPTIONS = st.fixed_dictionaries(
    {
        "condition_on_previous_text": st.booleans(),
        "carry_initial_prompt": st.booleans(),
        "prompt": st.sampled_from([None, "Anna and Tom", " word" * 150]),
        "word_timestamps": st.booleans(),
        "hallucination_silence_threshold": st.sampled_from([None, 0.5, 2.0]),
        "compression_ratio_threshold": st.sampled_from([None, 2.4]),
        "logprob_threshold": st.sampled_from([None, -1.0]),
        "no_speech_threshold": st.sampled_from([None, 0.6]),
        "clip_seconds": st.sampled_from([(), (5.0,), (1.0, 20.0, 31.0, 60.0)]),
        "temperatures": st.sampled_from([(0.0,), LADDER]),
    }
)


def theirs(invention: Invention, audio: np.ndarray, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict:
    def find_alignment(model: Any, tokenizer: Any, text_tokens: list[int], *args: Any, **kwargs: Any) -> list:
        return (
            [whisper.timing.WordTiming(*word) for word in invention.align(text_tokens)] if text_tokens else []
        )

    monkeypatch.setattr(whisper.timing, "find_alignment", find_alignment)
    features = torch.zeros(80, len(audio) // 160 + 3000)
    module = sys.modules["whisper.transcribe"]  # the package's attribute of that name is the function
    monkeypatch.setattr(module, "log_mel_spectrogram", lambda *args, **kwargs: features)
    options["initial_prompt"] = options.pop("prompt")
    options["temperature"] = options.pop("temperatures")
    options["clip_timestamps"] = list(options.pop("clip_seconds")) or "0"
    return whisper.transcribe(StandInModel(invention), audio, language="en", fp16=False, **options)


@given(seed=st.integers(0, 10**9), options=OPTIONS)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_both_loops_agree(seed: int, options: dict[str, Any]) -> None:
    audio = np.zeros(65 * 16_000, np.float32)
    their_invention, our_invention = Invention(seed), Invention(seed)
    with pytest.MonkeyPatch.context() as patch:
        expected = theirs(their_invention, audio, patch, **options)
    found = transcribe(
        InventedEngine(our_invention),
        audio,
        TranscriptionRequest(language="en", **options),
        Policy(strict=True),
        RequestContext.of(60),
    )
    assert our_invention.prompts == their_invention.prompts
    assert [
        as_whispers(segment, words=options["word_timestamps"] or not segment.text)
        for segment in found.segments
    ] == expected["segments"]
    assert found.text == expected["text"].strip()
