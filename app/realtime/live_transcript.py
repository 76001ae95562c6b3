"""The deltas of an utterance while it is spoken: words of the model that will stay, and no others.

The utterance so far is decoded as an ordinary window, with the words that were sent as its first tokens, and
aligned; `app.realtime.stable_words` tells which of the others will stay. A longer utterance goes on as a
transcription does: the segments of a full window are text, and the next window begins where they end. So
only the latest window is decoded again and again, and no audio before it is needed.
"""

from app.engines.interface import FRAMES_PER_SECOND, WINDOW_FRAMES
from app.realtime.interface import Heard
from app.realtime.stable_words import Rules, stable_tokens
from app.realtime.turn_detection import FRAME_MS, Voice
from app.request_context import RequestContext
from app.transcription.request import TranscriptionRequest
from app.transcription.segments import cut
from app.transcription.text import TextStream
from app.transcription.transcriber import Transcriber
from app.transcription.unfinished import KnownText, UnfinishedText
from app.waveform import SAMPLE_RATE, Samples

_HOP = SAMPLE_RATE // FRAMES_PER_SECOND
_WINDOW_SAMPLES = WINDOW_FRAMES * _HOP
_SPEECH = 0.2
"""The probability from which on a frame may be speech."""
_TAIL_MS = 1_000
"""So long after somebody has spoken it is worth decoding again: the last words may not have been sure."""


class LiveText:
    """A LiveTranscript: the text of one utterance while it is spoken. One thread at a time may call it.

    `request` is that of the final transcript. `voice` is the utterance's own: while nobody speaks nothing is
    decoded, except a full window in which somebody has spoken. `sent` is all that was returned so far; what
    an update that failed has found comes with the next.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        request: TranscriptionRequest,
        voice: Voice,
        rules: Rules | None = None,
    ) -> None:
        self.sent = ""
        self._stable = ""
        self._transcriber = transcriber
        self._request = request
        self._rules = rules or Rules()
        self._ears = _Ears(voice)
        self._decoded = 0
        self._begin = 0
        self._known = KnownText(language=request.language)
        self._latest: UnfinishedText | None = None
        self._stream: TextStream | None = None
        self._ended = ""

    @property
    def begin(self) -> int:
        """The number of the latest window's first sample."""
        return self._begin

    @property
    def heard(self) -> Heard:
        """The text so far, sent or not, and how much of the utterance was heard for it."""
        latest = self._latest.tokenizer.decode(self._latest.tokens) if self._latest else ""
        return Heard(self._ended + latest, self._decoded * 1_000 // SAMPLE_RATE)

    def update(self, samples: Samples, context: RequestContext) -> str:
        """The words that will stay and weren't sent yet, given the 16 kHz samples from number `begin` on.

        Empty if there are none, or if too little was said since the last time. Raises what
        `Transcriber.hear_unfinished` raises; the next call may go on.
        """
        end = self._begin + len(samples)
        self._ears.hear(samples, end)
        while end - self._begin > _WINDOW_SAMPLES:
            self._end_window(samples[self._begin - end :][:_WINDOW_SAMPLES], context)
        if self._is_news(end):
            self._decoded = end
            self._hear_latest(samples[self._begin - end :], context)
        delta, self.sent = self._stable[len(self.sent) :], self._stable
        return delta

    def finish(self, transcript: str) -> str:
        """The rest of the final transcript; empty if it doesn't begin with what was sent."""
        rest = transcript.removeprefix(self.sent) if transcript.startswith(self.sent) else ""
        self.sent += rest
        return rest

    def _is_news(self, end: int) -> bool:
        """Whether it is worth decoding the latest window again, up to sample number `end`."""
        fresh_seconds = (end - self._decoded) / SAMPLE_RATE
        return fresh_seconds >= self._rules.step_seconds and self._ears.spoken_since(self._decoded)

    def _hear_latest(self, samples: Samples, context: RequestContext) -> None:
        """Decode the latest window, and keep what will stay."""
        before, self._latest = self._latest, self._hear(samples, context)
        if self._latest is not None:
            seconds = len(samples) / SAMPLE_RATE
            self._keep(stable_tokens(self._latest, before, seconds, self._rules), self._latest)

    def _end_window(self, samples: Samples, context: RequestContext) -> None:
        """Decode a full window for the last time, keep its segments, and begin the next one after them."""
        text = self._hear(samples, context) if self._ears.spoken_since(self._begin) else None
        self._latest, self._decoded = None, max(self._decoded, self._begin + _WINDOW_SAMPLES)
        if text is None:
            self._begin += _WINDOW_SAMPLES
            self._known = KnownText(self._known.previous, language=self._known.language)
            return
        begin = text.tokenizer.timestamp_begin
        segments = cut(text.tokens, begin, 0, WINDOW_FRAMES)
        ended = text.tokens[: sum(len(draft.tokens) for draft in segments.drafts)]
        self._keep(ended, text)
        self._ended += text.tokenizer.decode(ended)
        # What was sent of a segment that the next window repeats
        repeated = tuple(token for token in self._known.prefix[len(ended) :] if token < begin)
        self._begin += (segments.advance or WINDOW_FRAMES) * _HOP
        prefix = (begin, *repeated) if repeated else ()
        self._known = KnownText(self._known.previous + ended, prefix, language=text.language)

    def _hear(self, samples: Samples, context: RequestContext) -> UnfinishedText | None:
        """The window's text; None as well if it doesn't begin with what was sent, as not every engine's."""
        text = self._transcriber.hear_unfinished(samples, self._known, self._request, context)
        known = self._known.prefix
        return text if text and text.tokens[: len(known)] == known else None

    def _keep(self, tokens: tuple[int, ...], text: UnfinishedText) -> None:
        """Have so many of the window's first tokens sent, if these are more than before."""
        known = self._known
        if len(tokens) <= len(known.prefix):
            return
        self._stream = self._stream or TextStream(text.tokenizer)
        self._stable += self._stream.feed(tokens[len(known.prefix) :])
        self._known = KnownText(known.previous, tokens, text.end_seconds(tokens), text.language)


class _Ears:
    """Tells whether anybody has spoken lately, by a voice that is fed the utterance as it grows."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._fed = 0
        self._now_ms = 0
        self._spoken_until_ms = -_TAIL_MS

    def hear(self, samples: Samples, end: int) -> None:
        """Hear what is new of the samples before number `end`."""
        for probability in self._voice.probabilities(samples[len(samples) - (end - self._fed) :]):
            self._now_ms += FRAME_MS
            if probability >= _SPEECH:
                self._spoken_until_ms = self._now_ms
        self._fed = end

    def spoken_since(self, since: int) -> bool:
        """Whether somebody has spoken after sample number `since`, or shortly before."""
        return self._spoken_until_ms + _TAIL_MS > since * 1_000 // SAMPLE_RATE
