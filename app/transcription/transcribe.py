"""One recording, window by window, into one transcript.

What openai-whisper's `transcribe()` does, over any engine. Two departures, both switched off by
`Policy.strict`: windows without speech are not decoded, and the language is detected on the
features that are decoded anyway.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from operator import itemgetter

from app.engines.interface import (
    FRAMES_PER_SECOND,
    WINDOW_FRAMES,
    Engine,
    Recording,
    Window,
    WindowOptions,
    WindowResult,
)
from app.errors import InvalidLanguage
from app.transcript import Segment, Transcript, TranscriptDelta
from app.transcription import hallucination
from app.transcription.fallback import decode_with_fallback, is_silence
from app.transcription.hallucination import Surroundings
from app.transcription.patience import Patience
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.segments import Cut, Draft, cut, last_word_end
from app.transcription.text import TextStream
from app.transcription.windows import PreviousText, clip_frames
from app.transcription.words import place_words
from app.waveform import SAMPLE_RATE, Samples

_HOP = SAMPLE_RATE // FRAMES_PER_SECOND
_SURE_ENOUGH = 0.5
_TOO_HOT_TO_CONDITION = 0.5


def transcribe(
    engine: Engine,
    samples: Samples,
    request: TranscriptionRequest,
    policy: Policy,
    patience: Patience,
) -> Transcript:
    """All of `stream()`, collected."""
    deltas = list(stream(engine, samples, request, policy, patience))
    return Transcript(
        task=request.task,
        language=deltas[-1].language,
        duration_seconds=len(samples) / SAMPLE_RATE,
        text="".join(delta.text for delta in deltas),
        segments=tuple(delta.segment for delta in deltas if delta.segment),
    )


def stream(
    engine: Engine,
    samples: Samples,
    request: TranscriptionRequest,
    policy: Policy,
    patience: Patience,
) -> Iterator[TranscriptDelta]:
    """Each segment as soon as its window is decoded, then one last delta.

    `samples` are 16 kHz mono `[n]`. Closing the iterator drops whatever the engine still has of
    this recording. Raises RequestTimeout, ClientGone, EngineFailure, InvalidLanguage.
    """
    check_language(engine, request)
    with closing(engine.open(samples)) as recording:
        yield from _Transcription(engine, recording, request, policy, patience).run(samples)


def check_language(engine: Engine, request: TranscriptionRequest) -> None:
    """Raise InvalidLanguage for a language that Whisper knows and this checkpoint doesn't."""
    language, card = request.language, engine.card
    if language is not None and card.multilingual and language not in card.languages:
        raise InvalidLanguage(
            f"Invalid language '{language}'. The model {card.name} was not trained on it.", param="language"
        )


class _Transcription:
    """One run over one recording. `seek` is the next window's first frame."""

    def __init__(
        self,
        engine: Engine,
        recording: Recording,
        request: TranscriptionRequest,
        policy: Policy,
        patience: Patience,
    ) -> None:
        self.engine = engine
        self.recording = recording
        self.request = request
        self.policy = policy
        self.patience = patience
        self.tokenizer = engine.tokenizer(request.language, request.task)
        self.text = TextStream(self.tokenizer)
        self.previous = self._previous_text()
        self.language = request.language if engine.card.multilingual else "en"
        self.seek = 0
        self.last_speech_seconds = 0.0
        self.segments = 0

    def run(self, samples: Samples) -> Iterator[TranscriptDelta]:
        for start, end in clip_frames(self.request.clip_seconds, self.recording.frames):
            self.seek = start
            while self.seek < end:
                yield from self._window(samples, end)
        language = self.language or self._detect_on_padded_audio()
        yield TranscriptDelta(language, self.text.flush())

    def _window(self, samples: Samples, end: int) -> Iterator[TranscriptDelta]:
        """Decode the window at `seek`, move on, and give out its segments."""
        window = Window(self.recording, self.seek, min(WINDOW_FRAMES, end - self.seek))
        heard = samples[window.seek * _HOP : (window.seek + window.frames) * _HOP]
        result = self._decode(window) if self.policy.worth_decoding(heard) else None
        if result is None or is_silence(result, self.request):
            self.seek += window.frames
            return
        made = cut(result.tokens, self.tokenizer.timestamp_begin, window.seek, window.frames)
        self.seek += made.advance
        if self.request.word_timestamps and not self._place_words(window, made):
            return
        if self.seek <= window.seek:  # openai-whisper would read this window for ever
            self.seek = window.seek + window.frames
        for draft in made.drafts:
            yield self._give_out(draft, window, result)
        if not self.request.condition_on_previous_text or result.temperature > _TOO_HOT_TO_CONDITION:
            self.previous.forget()

    def _decode(self, window: Window) -> WindowResult:
        self.language = self.language or self._detect_language(window)
        options = self._options(self.language)
        return decode_with_fallback(self.engine, window, options, self.request, self.patience)

    def _options(self, language: str) -> WindowOptions:
        request = self.request
        return WindowOptions(
            task=request.task,
            language=language,
            beam_size=request.beam_size,
            best_of=request.best_of,
            patience=request.patience,
            length_penalty=request.length_penalty,
            prompt=self.previous.prompt(),
            suppress_tokens=request.suppress_tokens,
            suppress_blank=request.suppress_blank,
            seed=request.seed,
        )

    def _previous_text(self) -> PreviousText:
        prompt = self.request.prompt
        initial = self.tokenizer.encode(" " + prompt.strip()) if prompt is not None else []
        room = self.engine.card.text_context // 2 - 1
        return PreviousText(tuple(initial), room, self.request.carry_initial_prompt)

    def _detect_language(self, window: Window) -> str:
        """The language of a window about to be decoded.

        openai-whisper pads the recording's first 30 s with silence to detect the language and the
        log-mel with 0.0 to decode. For a full first window both are the same features. Elsewhere the
        decoded features decide if they are sure enough, which saves encoding twice.
        """
        is_full_start = window.seek == 0 and window.frames == WINDOW_FRAMES
        if is_full_start or not self.policy.strict:
            language, probability = self._most_likely(window)
            if is_full_start or probability >= _SURE_ENOUGH:
                return language
        return self._detect_on_padded_audio()

    def _detect_on_padded_audio(self) -> str:
        return self._most_likely(Window(self.recording, 0, WINDOW_FRAMES))[0]

    def _most_likely(self, window: Window) -> tuple[str, float]:
        probabilities = self.patience.wait(self.engine.detect_language(window))
        return max(probabilities.items(), key=itemgetter(1))

    def _place_words(self, window: Window, made: Cut) -> bool:
        """Time the words and move `seek` to what they say; False if the window is to be read anew."""
        drafts, eot = made.drafts, self.tokenizer.eot
        tokens = [token for draft in drafts for token in draft.tokens if token < eot]
        aligned = self.engine.align(window, tokens, self.language, self.request.task)
        timings = self.patience.wait(aligned)
        place_words(drafts, timings, eot, window.seek, self.last_speech_seconds)
        last = last_word_end(drafts)
        if not made.ends_in_silence and last is not None and last > window.seek / FRAMES_PER_SECOND:
            self.seek = round(last * FRAMES_PER_SECOND)
        if self.request.hallucination_silence_threshold is not None:
            around = self._surroundings(window, self.request.hallucination_silence_threshold)
            if not self._sift(made, around, last):
                return False
        last = last_word_end(drafts)
        self.last_speech_seconds = self.last_speech_seconds if last is None else last
        return True

    def _sift(self, made: Cut, around: Surroundings, last_word: float | None) -> bool:
        """Drop what was made up in silence; False if the window is to be read anew after a silence."""
        if not made.ends_in_silence and last_word is not None and last_word > around.start_seconds:
            self.seek = hallucination.seek_after_last_word(last_word, around)
        again = hallucination.leading_silence(made.drafts, around)
        if again is not None:
            self.seek = again
            return False
        resumed = hallucination.drop_hallucinations(made.drafts, around, self.last_speech_seconds)
        self.seek = self.seek if resumed is None else resumed
        return True

    def _surroundings(self, window: Window, threshold: float) -> Surroundings:
        return Surroundings(window.seek, window.frames, self.recording.frames, threshold)

    def _give_out(self, draft: Draft, window: Window, result: WindowResult) -> TranscriptDelta:
        """A draft as a finished segment; one without text or duration keeps its place, emptied."""
        text = self.tokenizer.decode([token for token in draft.tokens if token < self.tokenizer.eot])
        if draft.start_seconds == draft.end_seconds or not text.strip():
            draft, text = replace(draft, tokens=(), words=[]), ""
        segment = Segment(
            id=self.segments,
            seek=window.seek,
            start_seconds=draft.start_seconds,
            end_seconds=draft.end_seconds,
            text=text,
            tokens=draft.tokens,
            temperature=result.temperature,
            avg_logprob=result.avg_logprob,
            compression_ratio=result.compression_ratio,
            no_speech_prob=result.no_speech_prob,
            words=tuple(draft.words),
        )
        self.segments += 1
        self.previous.extend(draft.tokens)
        assert self.language is not None
        return TranscriptDelta(self.language, self.text.feed(draft.tokens), segment)
