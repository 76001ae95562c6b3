"""The parts of one worker process: model, transcriber, synthesizer and admission."""

import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import cast

from app import engines, synthesis
from app.admission import Admission, Pace
from app.checkpoints import Checkpoint, resolve
from app.confinement import hide_memory
from app.engines.interface import Engine, EngineOptions, LiveEngine
from app.engines.metered import Meter
from app.errors import ServerBusy
from app.loaded_model import LoadedModel
from app.metrics import Metrics
from app.model_catalogue import ModelCatalogue
from app.request_context import RequestContext, never_gone
from app.request_cost import RequestCost
from app.settings import Settings
from app.synthesis.encoded_speech import MAX_SECONDS, EncodedSpeech
from app.synthesis.interface import Synthesizer
from app.transcript import AudioContext
from app.transcription.audio_reader import AudioReader
from app.transcription.request import Policy
from app.transcription.resume_store import ResumeStore
from app.transcription.side_by_side import SideBySide
from app.transcription.transcriber import Transcriber
from app.waveform.audio_decoder_pool import AudioDecoderPool
from app.waveform.audio_limits import AudioLimits
from app.waveform.encode import ENCODINGS
from app.waveform.voice_activity import VoiceActivity

_STARTING = "The server is still starting. Please retry."
_BUSY_SECONDS = 5
_SPARE_THREADS = 8
"""In addition to one per row of the batch, so that the next windows are ready when rows become free."""


class Runtime:
    """What one worker needs to answer requests. Made before the fork, started after it.

    `engine` and `synthesizer` are for tests: with them the runtime is ready without `start()`, and
    reads audio files in its own process. `loaded` is None until the model is loaded.
    """

    def __init__(
        self, settings: Settings, engine: LiveEngine | None = None, synthesizer: Synthesizer | None = None
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.loaded = LoadedModel(engine, Meter(), (engine.card.name,)) if engine else None
        self.admission = Admission(settings.max_wait_seconds, self._pace)
        self.synthesizer = synthesizer or synthesis.NullSynthesizer(_STARTING)
        self.catalogue = ModelCatalogue(
            settings.model_aliases,
            lambda: self.loaded.names if self.loaded else (),
            lambda: self.synthesizer.name,
        )
        limits = AudioLimits(settings.max_audio_seconds, settings.decode_seconds)
        self.transcriber = Transcriber(
            self._engine_for,
            Policy(
                settings.strict, settings.speech_floor, audio_context=cast(AudioContext, settings.context)
            ),
            AudioReader(limits, self.admission.longest_seconds),
            ResumeStore(settings.retry_grace_seconds),
        )
        self._draining = False

    def start(self, device: str, checkpoint: Checkpoint | None = None) -> LoadedModel:
        """Load the model on a torch device and warm it up; only in the worker, after the fork.

        Without a `checkpoint`, WHISPER_MODEL is resolved again, but never downloaded by a worker.
        Raises StartError, or whatever torch raises.
        """
        hide_memory()  # it holds the API keys
        settings = self.settings
        checkpoint = checkpoint or resolve(settings, fetch=False)
        options = EngineOptions(settings.threads, settings.batch, settings.precision, self.metrics.batch_step)
        # Before the engine, which sets torch's threads: importing silero-vad sets them to 1.
        self._start_audio_input(options.rows(device))
        self.synthesizer = synthesis.start(settings.speech_engine, settings.speech_voice)
        engine = engines.start(settings.engine, checkpoint, device, options)
        self.loaded = LoadedModel.of(checkpoint, engine, settings.precision, settings.context)
        if decoders := self.transcriber.reader.decoders:
            decoders.wait_until_started()
        return self.loaded

    def _start_audio_input(self, rows: int) -> None:
        """Start the decoder processes, voice activity detection, and threads for a batch of so many rows."""
        reader = self.transcriber.reader
        if sys.platform == "linux":  # elsewhere files are read in this process
            seconds = reader.limits.max_seconds
            decoders = AudioDecoderPool(self.settings.decoders, seconds, self.metrics.decoder_restarted)
            reader = replace(reader, decoders=decoders)
        voices = VoiceActivity()
        policy = replace(
            self.transcriber.policy,
            side_by_side=SideBySide(rows + _SPARE_THREADS),
            has_speech=voices.has_speech,
            find_speech=lambda samples, chunking: voices.find_speech(samples, *astuple(chunking)),
        )
        self.transcriber = replace(self.transcriber, policy=policy, reader=reader)

    @property
    def model(self) -> LoadedModel:
        """The loaded model. Raises ServerBusy while there is none."""
        if self.loaded is None:
            raise ServerBusy(
                "The model is still being loaded. Please retry.", retry_after_seconds=_BUSY_SECONDS
            )
        return self.loaded

    @property
    def notice(self) -> str | None:
        """The `x-model-notice` of every answer, if any."""
        return self.loaded.notice if self.loaded else None

    @property
    def ready(self) -> bool:
        """True while the engine runs and the worker is not shutting down."""
        return self.loaded is not None and self.loaded.engine.alive and not self._draining

    def request_context(
        self, client_gone: Callable[[], bool] = never_gone, caller: str = "", cost: RequestCost | None = None
    ) -> RequestContext:
        """The context of a request that starts now."""
        return RequestContext.of(self.settings.request_seconds, client_gone, caller, cost)

    def speak(
        self,
        text: str,
        voice: str,
        encoding: str,
        speed: float = 1.0,
        language: str | None = None,
        *,
        most_seconds: float = MAX_SECONDS,
    ) -> EncodedSpeech:
        """A text as audio in one of ENCODINGS. It must be closed. Raises what a Synthesizer raises."""
        return EncodedSpeech(
            self.synthesizer.speak(text, voice, speed, language), ENCODINGS[encoding], most_seconds
        )

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""
        return self.model.count_tokens(text)

    def drain(self) -> None:
        """Answer `/ready` with 503 from now on; accepted requests are finished."""
        self._draining = True

    def close(self) -> None:
        """Stop the engine and the decoder processes; their queues are cancelled."""
        self.drain()
        transcriber = self.transcriber
        transcriber.resume_store.close()
        transcriber.policy.side_by_side.close()
        if transcriber.reader.decoders:
            transcriber.reader.decoders.close()
        if self.loaded:
            self.loaded.engine.close()

    def _engine_for(self, context: RequestContext) -> Engine:
        return self.model.engine_for(context)

    def _pace(self) -> Pace:
        if self.loaded is None:
            return Pace(0.0, 0.0)
        meter = self.loaded.meter
        return Pace(meter.seconds_per_window, meter.seconds_per_full_window)
