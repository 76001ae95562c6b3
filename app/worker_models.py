"""The models of one worker: the first one, those of WHISPER_MODELS, and which of them are loaded."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from app import engines
from app.admission import WAITING
from app.checkpoints import Checkpoint, resolve
from app.checkpoints.verified import Verified, VerifiedCheckpoints, stamp_of
from app.engines.interface import EngineOptions, LiveEngine
from app.errors import CheckpointError, ServerBusy, StartError
from app.loaded_model import LoadedModel, ModelFacts
from app.model_catalogue import TRANSCRIPTION_MODELS
from app.model_list import ServedModel, first_model, more_models, preloaded, verifying
from app.model_pool import ModelPool
from app.pool_failures import RETRY_SECONDS
from app.pool_slots import LoadedSlot, PoolLimits, Wanted
from app.settings import Settings
from app.waiting import Check

if TYPE_CHECKING:
    from app.engines.engine_thread import EngineThread

_log = logging.getLogger(__name__)

_STARTING = "The model is still being loaded. Please retry."
_BUSY_SECONDS = 5
_FIRST = "WHISPER_MODEL"
"""What the first model is called where WHISPER_MODELS gives all its names to others."""

OnModelStep = Callable[[str, int, int], None]
"""Told of each decoding step: the model's name, how many rows run, and for how many there is room."""


@dataclass(frozen=True)
class HeldModel:
    """A loaded model that a request holds, under the name that the request means."""

    served: ServedModel
    facts: ModelFacts
    loaded: LoadedModel


class WorkerModels:
    """Made before the fork, started after it. With `engine`, for tests, the first model is there already."""

    def __init__(self, settings: Settings, on_step: OnModelStep, engine: LiveEngine | None = None) -> None:
        self.first = first_model(settings)
        self.more: dict[str, ServedModel] = {}
        self.pool = ModelPool(_limits(settings), engines.give_back_memory)
        self._settings = settings
        self._on_step = on_step
        self._verified = verifying(settings)
        self.device = "cpu"
        self._thread: EngineThread | None = None
        self._given: Wanted | None = None
        self._missing: dict[ServedModel, float] = {}  # whose files were not there, and until when that holds
        self.facts: ModelFacts | None = None
        if engine:
            self.facts = ModelFacts((engine.card.name,))
            given = LoadedModel.of(engine)
            self._given = Wanted("given", engine.card.name, 0, lambda: given)
            self.pool.add(self._given, given)

    def start(self, device: str, checkpoint: Checkpoint | None, known: Mapping[str, Verified]) -> LoadedModel:
        """Load the first model on a torch device and warm it up. WHISPER_MODELS is read again.

        `known` are checkpoints of the list that have been checked. Without a `checkpoint`, WHISPER_MODEL is
        resolved again. Raises StartError, or whatever torch raises.
        """
        self.more = {model.name: model for model in more_models(self._settings)}
        checkpoint = checkpoint or resolve(self._settings, fetch=False)
        first = Verified(checkpoint, stamp_of(checkpoint.path))
        self._verified = VerifiedCheckpoints(self._verified.resolve, {**known, self.first.source: first})
        self.device, self._thread = device, engines.new_thread()
        try:
            model = self._load(self.first, checkpoint, beside=False)
            self._check_budget(model)
        except BaseException:
            self._thread.close()
            raise
        self.facts = self._facts(self.first, first)
        self.pool.add(self._wanted(self.first, first), model)
        for ahead in preloaded(self._settings, self.more.values()):
            self._preload(ahead)
        return model

    def _check_budget(self, first: LoadedModel) -> None:
        size, budget = first.card.weight_bytes, self._settings.model_memory
        if 0 < budget < size:
            raise StartError(
                f"WHISPER_MODEL_MEMORY is {budget}; it must be 0 or at least the {size} of WHISPER_MODEL."
            )

    def _preload(self, served: ServedModel) -> None:
        """Load a model before the worker serves. If that fails it is tried again when it is asked for.

        No model that was loaded before is unloaded for it.
        """
        try:
            verified = self._checked(served, _stay, self.pool.latest_end())
            if not self.pool.has_room(self._wanted(served, verified)):
                raise ServerBusy("WHISPER_MODEL_MEMORY has no room for it beside the others.")
            with self.hold(served, _stay):
                pass
        except ServerBusy as error:
            _log.warning("%s is not loaded ahead: %s", served.name, error.message)

    @property
    def alive(self) -> bool:
        """Whether there is a first model, which takes work, or will once it has been loaded again.

        False for RETRY_SECONDS after it could not be loaded again.
        """
        engines_alive = all(slot.model.engine.alive for slot in self.pool.loaded())
        alive = engines_alive and (not self._thread or self._thread.alive)
        return self.facts is not None and alive and not self._first_failed

    @property
    def _first_failed(self) -> bool:
        missing = self._missing.get(self.first, 0.0) > monotonic()
        return missing or self.pool.failed(self._key(self.first))

    def served(self, name: str) -> ServedModel:
        """The model of WHISPER_MODELS under a name; the first one for any other."""
        return self.more.get(name, self.first)

    def name_of(self, served: ServedModel) -> str:
        """What metrics, the log and /api/ps call a model; "" for the first one before it has been loaded.

        No two models have the same: the first one's own name may be another's in WHISPER_MODELS.
        """
        return served.name or self._first_name(self.facts.names if self.facts else ())

    def _first_name(self, own_names: tuple[str, ...]) -> str:
        if not own_names:
            return ""
        free = (name for name in (*own_names, *TRANSCRIPTION_MODELS) if not self._is_listed(name))
        return next(free, _FIRST)

    def _is_listed(self, name: str) -> bool:
        return any(fnmatchcase(name, listed) for listed in self.more)

    def named(self, name: str) -> ServedModel:
        """The model of WHISPER_MODELS under a name, "" for the first. Raises ServerBusy.

        Another worker may have a list that has been read later, or earlier.
        """
        if name and name not in self.more:
            raise ServerBusy(f"The model '{name}' is not served by all workers yet. Please retry.")
        return self.served(name)

    def loaded(self, served: ServedModel) -> LoadedModel | None:
        """The model if it is loaded, whoever uses it."""
        return self.pool.get(self._key(served))

    def copies(self) -> list[tuple[list[str], LoadedSlot]]:
        """What is loaded, each with all the names under which requests use it."""
        models = (self.first, *self.more.values())
        names = [(self.name_of(served), self._key(served)) for served in models]
        return [([name for name, key in names if key == slot.key], slot) for slot in self.pool.loaded()]

    def load(self, served: ServedModel, check: Check, keep_seconds: float | None) -> bool:
        """Load a model, and set how long it stays. False if it was loaded. Raises as `hold` does."""
        was_loaded = self.loaded(served) is not None
        with self.hold(served, check, keep_seconds):
            return not was_loaded

    def unload(self, served: ServedModel, check: Check) -> str:
        """`unloaded`, `in use` (or being loaded), or `not loaded`. Raises what `check` raises."""
        key = self._key(served)
        if self.pool.unload(key, check):
            return "unloaded"
        return "in use" if self.pool.has(key) else "not loaded"

    def _key(self, served: ServedModel) -> Hashable:
        """What is its loaded copy's; None before its checkpoint has been looked at."""
        if self._given:
            return self._given.key
        verified = self._verified.remembered(served.source)
        return self._wanted(served, verified).key if verified else None

    def facts_of(self, served: ServedModel) -> ModelFacts | None:
        """What is known of a model, None before it has been looked at."""
        if served == self.first:
            return self.facts
        verified = self._verified.remembered(served.source)
        return self._facts(served, verified) if verified else None

    @contextmanager
    def hold(
        self, served: ServedModel, check: Check, keep_seconds: float | None = None
    ) -> Iterator[HeldModel]:
        """Hold a loaded model, as `ModelPool.lease` does. Raises ServerBusy and what `check` raises."""
        if self.facts is None:
            raise ServerBusy(_STARTING, retry_after_seconds=_BUSY_SECONDS)
        deadline = self.pool.latest_end()
        if self._given:
            facts, wanted = self.facts, self._given
        else:
            verified = self._checked(served, check, deadline)
            facts, wanted = self._facts(served, verified), self._wanted(served, verified)
        with self.pool.lease(wanted, check, keep_seconds, deadline) as loaded:
            yield HeldModel(served, facts, loaded)

    def close(self) -> None:
        """Stop all engines and their thread."""
        self.pool.close()
        if self._thread:
            self._thread.close()

    def _checked(self, served: ServedModel, check: Check, deadline: float) -> Verified:
        """The model's checkpoint. Its files are looked at unless it is loaded: then they may have gone.

        Files that nobody has read yet take seconds: others read them, as others load them.
        """
        verified = self._verified.remembered(served.source)
        if verified and (self.loaded(served) or verified.unchanged):
            return verified
        name = served.name or "first"
        try:
            check_files = partial(self._verified.get, served.source)
            found = self.pool.wait_for(name, served.source, check_files, check, deadline)
        except StartError as error:
            self._missing[served] = monotonic() + RETRY_SECONDS
            _log.error("The model %s can't be loaded: %s", served.name or served.source, error)
            raise ServerBusy(
                f"The model '{name}' can't be loaded at present; the server's log says why."
            ) from error
        self._missing.pop(served, None)
        return found

    def _facts(self, served: ServedModel, verified: Verified) -> ModelFacts:
        return ModelFacts.of(verified, served.precision, served.context)

    def _wanted(self, served: ServedModel, verified: Verified) -> Wanted:
        checkpoint = verified.checkpoint
        key = (checkpoint.sha256, served.precision)
        name = served.name or self._first_name(checkpoint.names)
        return Wanted(key, name, verified.file_bytes, lambda: self._load_later(served, verified))

    def _load_later(self, served: ServedModel, verified: Verified) -> LoadedModel:
        """Load a model beside the others. Raises StartError, also if its files have been replaced."""
        if not verified.unchanged:
            raise CheckpointError(
                f"The files at {verified.checkpoint.path} have changed since they were checked."
            )
        return self._load(served, verified.checkpoint, beside=True)

    def _load(self, served: ServedModel, checkpoint: Checkpoint, *, beside: bool) -> LoadedModel:
        settings, name = self._settings, served.name or self._first_name(checkpoint.names)
        on_step = partial(self._on_step, name)
        options = EngineOptions(
            settings.threads, settings.batch, served.precision, on_step, self._thread, beside
        )
        engine = engines.start(settings.engine, checkpoint, self.device, options)
        if beside:
            _log.info("Loaded %s on %s", name, self.device)
        return LoadedModel.of(engine)


def _limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        settings.models_loaded,
        settings.model_memory,
        settings.max_wait_seconds,
        WAITING,
        settings.idle_seconds,
    )


def _stay() -> None:
    """A Check of nobody who could leave."""
