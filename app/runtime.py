"""The parts of one worker process: model, transcriber, synthesizer and admission."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import cast

from app import synthesis
from app.admission import Admission, Pace, PaceOf, longest_seconds
from app.checkpoints import Checkpoint
from app.checkpoints.verified import Verified
from app.confinement import hide_memory
from app.engines.interface import Engine, EngineOptions, LiveEngine, Tokenizer
from app.errors import ServerBusy
from app.instance_models import InstanceModels
from app.loaded_model import LoadedModel, ModelFacts
from app.metrics import Metrics
from app.model_catalogue import ModelCatalogue
from app.request_context import RequestContext, never_gone
from app.request_cost import RequestCost
from app.scheduling import SchedulingClass
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
from app.waveform.voice_stream import VoiceStream
from app.worker_models import HeldModel, WorkerModels

_STARTING = "The server is still starting. Please retry."
_BUSY_SECONDS = 5
_SPARE_THREADS = 8
"""In addition to one per row of the batch, so that the next windows are ready when rows become free."""


@dataclass(frozen=True)
class Lease:
    """A model that one request holds, and what transcribes with it."""

    held: HeldModel
    transcriber: Transcriber

    @property
    def name(self) -> str:
        """What the model is called in WHISPER_MODELS; "" for the first."""
        return self.held.served.name

    @property
    def notice(self) -> str | None:
        """The `x-model-notice` of the model's answers, if any."""
        return self.held.facts.notice

    @property
    def fingerprint(self) -> str:
        """The model's `system_fingerprint`."""
        return self.held.facts.fingerprint

    @property
    def pace(self) -> PaceOf | None:
        """How fast the model is, None for the first, whose pace is always known."""
        return partial(_pace_of, self.held.loaded) if self.name else None

    @property
    def short(self) -> bool:
        """Whether its windows usually have a short context."""
        return self.transcriber.policy.audio_context == "short"

    def count_tokens(self, text: str) -> int:
        """How many of Whisper's tokens a text has."""
        return self.held.loaded.count_tokens(text)


class Runtime:
    """What one worker needs to answer requests. Made before the fork, started after it.

    `engine` and `synthesizer` are for tests: with them the runtime is ready without `start()`, and
    reads audio files in its own process.
    """

    def __init__(
        self, settings: Settings, engine: LiveEngine | None = None, synthesizer: Synthesizer | None = None
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.models = WorkerModels(settings, self.metrics.batch_step, engine)
        self.instance = InstanceModels(self.models, settings.max_wait_seconds)
        self._tokenizer: Tokenizer | None = engine.tokenizer(None, "transcribe") if engine else None
        self.admission = Admission(settings.max_wait_seconds, self._pace)
        self.synthesizer = synthesizer or synthesis.NullSynthesizer(_STARTING)
        self.catalogue = ModelCatalogue(
            settings.model_aliases,
            lambda: self.facts.names if self.facts else (),
            lambda: self.synthesizer.name,
            lambda: tuple(self.models.more),
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
        self._voices: VoiceActivity | None = None
        self._draining = False

    def start(
        self, device: str, checkpoint: Checkpoint | None = None, known: Mapping[str, Verified] | None = None
    ) -> LoadedModel:
        """Load the first model on a torch device and warm it up; only in the worker, after the fork.

        Without a `checkpoint`, WHISPER_MODEL is resolved again, but never downloaded by a worker. `known` are
        checkpoints of other models that have been checked. Raises StartError, or whatever torch raises.
        """
        hide_memory()  # it holds the API keys
        settings = self.settings
        # Before the engine, which sets torch's threads: importing silero-vad sets them to 1.
        self._start_audio_input(EngineOptions(batch=settings.batch).rows(device))
        self.synthesizer = synthesis.start(settings.speech_engine, settings.speech_voice)
        model = self.models.start(device, checkpoint, known or {})
        for served in (self.models.first, *self.models.more.values()):
            self.metrics.know(self.models.name_of(served))
        self._tokenizer = model.engine.tokenizer(None, "transcribe")
        if decoders := self.transcriber.reader.decoders:
            decoders.wait_until_started()
        return model

    def _start_audio_input(self, rows: int) -> None:
        """Start the decoder processes, voice activity detection, and threads for a batch of so many rows."""
        reader = self.transcriber.reader
        if sys.platform == "linux":  # elsewhere files are read in this process
            seconds = reader.limits.max_seconds
            decoders = AudioDecoderPool(self.settings.decoders, seconds, self.metrics.decoder_restarted)
            reader = replace(reader, decoders=decoders)
        voices = self._voices = VoiceActivity()
        policy = replace(
            self.transcriber.policy,
            side_by_side=SideBySide(rows + _SPARE_THREADS),
            has_speech=voices.has_speech,
            find_speech=lambda samples, chunking: voices.find_speech(samples, *astuple(chunking)),
        )
        self.transcriber = replace(self.transcriber, policy=policy, reader=reader)

    @property
    def model(self) -> LoadedModel:
        """The first model. Raises ServerBusy while it is not loaded."""
        model = self.models.loaded(self.models.first)
        if model is None:
            raise ServerBusy(
                "The model is still being loaded. Please retry.", retry_after_seconds=_BUSY_SECONDS
            )
        return model

    @property
    def facts(self) -> ModelFacts | None:
        """What is known of the first model, None until it has been loaded for the first time."""
        return self.models.facts

    @property
    def notice(self) -> str | None:
        """The first model's `x-model-notice`, if any."""
        return self.facts.notice if self.facts else None

    def name_of(self, name: str) -> str:
        """What the model that answers a request's `name` is called in metrics and in the log."""
        return self.models.name_of(self.models.served(self.catalogue.listed(name)))

    @contextmanager
    def lease(self, name: str, context: RequestContext, keep_seconds: float | None = None) -> Iterator[Lease]:
        """Hold the model that a request means, loaded, for as long as its answer takes.

        It may take as long as WHISPER_MAX_WAIT_SECONDS until the model is loaded. Afterwards it stays for
        `keep_seconds` if nobody uses it, in place of WHISPER_MODEL_IDLE_SECONDS. Raises ServerBusy,
        RequestTimeout, ClientGone.
        """
        served = self.models.served(self.catalogue.listed(name))
        with self.models.hold(served, context.check, keep_seconds) as held:
            yield Lease(held, self._transcriber_of(held))

    @property
    def ready(self) -> bool:
        """True while the engine runs and the worker is not shutting down."""
        return self.models.alive and not self._draining

    def request_context(
        self,
        client_gone: Callable[[], bool] = never_gone,
        caller: str = "",
        cost: RequestCost | None = None,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
    ) -> RequestContext:
        """The context of a request that starts now."""
        return RequestContext.of(self.settings.request_seconds, client_gone, caller, cost, scheduling_class)

    def new_voice(self) -> VoiceStream:
        """Voice activity detection of audio that is still coming."""
        if self._voices is None:
            raise ServerBusy(_STARTING, retry_after_seconds=_BUSY_SECONDS)
        return self._voices.stream()

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
        if self._tokenizer is None:
            raise ServerBusy(_STARTING, retry_after_seconds=_BUSY_SECONDS)
        return len(self._tokenizer.encode(text))

    def drain(self) -> None:
        """Answer `/ready` with 503 from now on; accepted requests are finished."""
        self._draining = True

    def close(self) -> None:
        """Stop the engine and the decoder processes; their queues are cancelled."""
        self.drain()
        self.instance.peers.close()
        transcriber = self.transcriber
        transcriber.resume_store.close()
        transcriber.policy.side_by_side.close()
        if transcriber.reader.decoders:
            transcriber.reader.decoders.close()
        self.models.close()

    def _engine_for(self, context: RequestContext) -> Engine:
        return self.model.engine_for(context)

    def _pace(self) -> Pace:
        first = self.models.loaded(self.models.first)
        return _pace_of(first) if first else Pace(0.0, 0.0)

    def _transcriber_of(self, held: HeldModel) -> Transcriber:
        """The transcriber with the model that is held, also where its files have been replaced meanwhile."""
        transcriber = self.transcriber
        pace = partial(_pace_of, held.loaded)
        return replace(
            transcriber,
            engine_for=held.loaded.engine_for,
            policy=replace(transcriber.policy, audio_context=cast(AudioContext, held.served.context)),
            reader=replace(transcriber.reader, longest_seconds=partial(longest_seconds, pace=pace)),
            model_identity=held.facts.fingerprint,
        )


def _pace_of(model: LoadedModel) -> Pace:
    return Pace(model.meter.seconds_per_window, model.meter.seconds_per_full_window)
