"""What lives in one worker process: the engine, the voice detector and the permits for requests."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import astuple, replace
from fnmatch import fnmatchcase
from time import perf_counter
from typing import BinaryIO

from app import engines, synthesis
from app.admission import Admission
from app.checkpoints import Checkpoint, resolve
from app.confinement import hide_memory
from app.engines.interface import Engine, EngineOptions, ModelCard
from app.engines.metered import Meter, MeteredEngine
from app.errors import InvalidParameter, ModelNotFound, ServerBusy
from app.held_audio import AudioShare, HeldAudio
from app.metrics import Metrics
from app.settings import Settings
from app.synthesis.encoded_speech import MOST_SECONDS, EncodedSpeech
from app.synthesis.interface import Synthesizer
from app.transcript import Effort, Transcript, TranscriptDelta
from app.transcription.patience import Patience
from app.transcription.request import Policy, TranscriptionRequest
from app.transcription.side_by_side import SideBySide
from app.transcription.transcribe import stream, transcribe
from app.transcription.uploads import Uploads
from app.transcription.windows import check_time_for_clips
from app.waveform import SAMPLE_RATE, Samples
from app.waveform.audio_decoder_pool import AudioDecoderPool
from app.waveform.audio_file import read_audio, read_audio_channels
from app.waveform.audio_limits import AudioLimits
from app.waveform.encode import ENCODINGS
from app.waveform.voice_activity import VoiceActivity

TRANSCRIPTION_MODELS = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
SPEECH_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
CHAT_MODELS = ("gpt-4o-audio-preview", "gpt-4o-mini-audio-preview", "gpt-audio")

_PATTERNS = (*TRANSCRIPTION_MODELS, "gpt-4o-mini-transcribe-*", *(f"{name}*" for name in CHAT_MODELS))
_SPEECH_PATTERNS = (*SPEECH_MODELS, "gpt-4o-mini-tts-*")
_STARTING = "The server is still starting. Please retry."
_BUSY_SECONDS = 5
_SPARE_THREADS = 8
"""Beside one for each row of a batch: the next windows stand ready when rows become free."""


def _never() -> bool:
    return False


def _speakers(channels: Samples) -> Samples:
    """The same `[channels, n]`. Raises InvalidParameter for mono, also where it fills several channels."""
    if (channels[1:] == channels[0]).all():
        raise InvalidParameter(
            "Speakers are told apart by channel, so the recording must have a channel for each speaker. "
            "This one is mono, or the same on all of its channels.",
            param="file",
        )
    return channels


def _no_model(name: str) -> ModelNotFound:
    return ModelNotFound(f"The model `{name}` does not exist or you do not have access to it.", param="model")


class Runtime:
    """One worker's share of the server. Made before the fork, started after it.

    `engine` and `synthesizer` are for tests: with them the runtime is ready without `start()`, and
    decodes by itself. `meter` counts what the engine does, `metrics` what Prometheus is told. `created`
    is when the checkpoint's file was last written, in Unix seconds; 0 before the start.
    """

    def __init__(
        self, settings: Settings, engine: Engine | None = None, synthesizer: Synthesizer | None = None
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.policy = Policy(strict=settings.strict, speech_floor=settings.speech_floor)
        self._limits = AudioLimits(settings.max_audio_seconds, settings.decode_seconds)
        self.admission = Admission(settings.max_wait_seconds, lambda: self.meter.seconds_per_window)
        self.held_audio = HeldAudio()
        self._uploads = Uploads(settings.retry_grace_seconds)
        self._decoders: AudioDecoderPool | None = None
        self._engine = engine
        self.meter = Meter()
        self.synthesizer = synthesizer or synthesis.NullSynthesizer(_STARTING)
        self._checkpoint: Checkpoint | None = None
        self.created = 0
        self._draining = False

    def start(self, device: str, checkpoint: Checkpoint | None = None) -> None:
        """Load the model on a torch device and warm it up; only in the worker, after the fork.

        Without a `checkpoint` WHISPER_MODEL is resolved anew, from files alone: a worker opens no connection.
        Raises StartError, or whatever torch raises.
        """
        hide_memory()  # the keys in it too
        checkpoint = checkpoint or resolve(self.settings, fetch=False)
        if sys.platform == "linux":  # elsewhere files are decoded in this process
            self._decoders = AudioDecoderPool(
                self.settings.decoders, self._limits.max_seconds, self.metrics.decoder_restarted
            )
        self.synthesizer = synthesis.start(self.settings.speech_engine, self.settings.speech_voice)
        # Before the engine, which sets torch's threads: importing silero-vad sets them to 1.
        voices = VoiceActivity()
        settings = self.settings
        options = EngineOptions(settings.threads, settings.batch, settings.precision, self.metrics.batch_step)
        self.policy = replace(
            self.policy,
            side_by_side=SideBySide(options.rows(device) + _SPARE_THREADS),
            has_speech=voices.has_speech,
            find_speech=lambda samples, chunking: voices.find_speech(samples, *astuple(chunking)),
        )
        engine = engines.start(settings.engine, checkpoint, device, options)
        self.meter = Meter(engine.warm_up_seconds)
        self._engine = engine
        if self._decoders:
            self._decoders.wait_until_started()
        self._checkpoint = checkpoint
        self.created = int(checkpoint.path.stat().st_mtime)

    @property
    def engine(self) -> Engine:
        """The started engine. Raises ServerBusy while there is none."""
        if self._engine is None:
            raise ServerBusy(
                "The model is still being loaded. Please retry.", retry_after_seconds=_BUSY_SECONDS
            )
        return self._engine

    @property
    def card(self) -> ModelCard:
        """The loaded checkpoint."""
        return self.engine.card

    @property
    def notice(self) -> str | None:
        """What every answer of this model must carry as `x-model-notice`."""
        return self._checkpoint.notice if self._checkpoint else None

    @property
    def owner(self) -> str:
        """Who made the weights that answer for every name."""
        return self._checkpoint.owner if self._checkpoint else ""

    @property
    def own_names(self) -> tuple[str, ...]:
        """The loaded checkpoint's names; none before it is loaded."""
        if self._checkpoint:
            return self._checkpoint.names
        return (self._engine.card.name,) if self._engine else ()

    @property
    def ready(self) -> bool:
        """True while new requests are welcome: the engine lives and nothing is shutting down."""
        return self._engine is not None and self._engine.alive and not self._draining

    def admit(self, caller: str = "") -> AbstractContextManager[None]:
        """Hold one of the permits to work. Raises ServerBusy at once when there is none."""
        return self.admission.admit(caller)

    def patience(self, client_gone: Callable[[], bool] = _never, effort: Effort | None = None) -> Patience:
        """The time one request has from now on; what it costs is counted in `effort`."""
        return Patience.of(self.settings.request_seconds, client_gone, effort)

    def decode(
        self, file: BinaryIO, patience: Patience, share: AudioShare, *, by_channel: bool = False
    ) -> Samples:
        """An audio file as 16 kHz samples: mono `[n]`, or `[channels, n]` with one speaker on each.

        They are counted in the request's `share`. Raises InvalidRequest (what is no audio, over this
        server's limits, or by channel without channels), RequestTimeout, ClientGone, ServerBusy.
        """
        began = perf_counter()
        try:
            samples = self._read(file, self._limits_at_this_speed(), patience, by_channel=by_channel)
        finally:
            patience.effort.decode_seconds += perf_counter() - began
        share.take(samples.size)
        patience.effort.audio_seconds += samples.shape[-1] / SAMPLE_RATE
        return _speakers(samples) if by_channel else samples

    def _read(self, file: BinaryIO, limits: AudioLimits, patience: Patience, *, by_channel: bool) -> Samples:
        if self._decoders:
            return self._decoders.read_audio(file, limits, by_channel=by_channel, check=patience.check)
        return (read_audio_channels if by_channel else read_audio)(file, limits)

    def require_time_for(self, request: TranscriptionRequest) -> None:
        """Raise InvalidParameter if a request's clips alone take longer than the deadline."""
        deadline = self.settings.request_seconds
        check_time_for_clips(request.clip_seconds, self.admission.longest_seconds(deadline), deadline)

    def _limits_at_this_speed(self) -> AudioLimits:
        """What takes longer than the deadline even if the engine has nothing else to do need not be read."""
        deadline = self.settings.request_seconds
        longest = self.admission.longest_seconds(deadline)
        if longest >= self._limits.max_seconds:
            return self._limits
        why = (
            f"which is all that this server can transcribe at its present speed within the {deadline} "
            "seconds that it allows a request (WHISPER_REQUEST_SECONDS)."
        )
        return replace(self._limits, max_seconds=longest, why=why)

    def transcribe(
        self,
        file: BinaryIO,
        request: TranscriptionRequest,
        client_gone: Callable[[], bool] = _never,
        caller: str = "",
        effort: Effort | None = None,
    ) -> Transcript:
        """All of one audio file, from where the last try of the same `caller` ended.

        Raises what `decode` and `stream` raise.
        """
        patience = self.patience(client_gone, effort)
        resuming = self._uploads.resuming(self._metered(patience), file, request, caller, client_gone)
        with resuming as engine, self.held_audio.share() as share:
            samples = self.decode(file, patience, share, by_channel=request.by_channel)
            return transcribe(engine, samples, request, self.policy, patience)

    def stream(
        self, samples: Samples, request: TranscriptionRequest, patience: Patience
    ) -> Iterator[TranscriptDelta]:
        """What `decode` gave, segment by segment. Raises RequestTimeout, ClientGone, EngineFailure."""
        return stream(self._metered(patience), samples, request, self.policy, patience)

    def _metered(self, patience: Patience) -> Engine:
        return MeteredEngine(self.engine, self.meter, patience.effort)

    def speak(
        self,
        text: str,
        voice: str,
        form: str,
        speed: float = 1.0,
        language: str | None = None,
        *,
        most_seconds: float = MOST_SECONDS,
    ) -> EncodedSpeech:
        """A text as sound in one of ENCODINGS; to be closed. Raises what a Synthesizer raises."""
        speech = self.synthesizer.speak(text, voice, speed, language)
        return EncodedSpeech(speech, ENCODINGS[form], most_seconds)

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""
        return len(self.engine.tokenizer(None, "transcribe").encode(text))

    def model_names(self) -> tuple[str, ...]:
        """Names that requests may use, to be listed; more are accepted by pattern."""
        aliases = (name for name in self.settings.model_aliases if "*" not in name)
        heard = (*self.own_names, *TRANSCRIPTION_MODELS, *CHAT_MODELS, *aliases)
        return tuple(dict.fromkeys((*heard, *self.speech_model_names())))

    def speech_model_names(self) -> tuple[str, ...]:
        """Names that requests for speech may use; none where nothing can speak."""
        return (*SPEECH_MODELS, self.synthesizer.name) if self.synthesizer.name else ()

    def accepts_model(self, name: str) -> bool:
        """Whether a request to hear something may name this model."""
        return name in self.own_names or self._matches(name, _PATTERNS)

    def require_model(self, name: str) -> None:
        """Raise ModelNotFound unless requests to hear something may name this model."""
        if not self.accepts_model(name):
            raise _no_model(name)

    def require_speech_model(self, name: str) -> None:
        """Raise ModelNotFound unless requests to say something may name this model."""
        if name != self.synthesizer.name and not self._matches(name, _SPEECH_PATTERNS):
            raise _no_model(name)

    def _matches(self, name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in (*patterns, *self.settings.model_aliases))

    def drain(self) -> None:
        """Say no to `/ready` from now on; what was accepted is finished."""
        self._draining = True

    def close(self) -> None:
        """Stop the engine and the decoders; what they have queued is cancelled."""
        self.drain()
        self._uploads.close()
        self.policy.side_by_side.close()
        if self._decoders:
            self._decoders.close()
        if self._engine is not None:
            self._engine.close()
