"""The models of all workers of an instance: which are loaded, and loading and unloading them everywhere."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf, isfinite
from threading import BoundedSemaphore
from typing import NamedTuple

from app.errors import ModelConflict, ModelNotLoaded, ServerBusy
from app.waiting import Check
from app.worker_models import WorkerModels
from app.worker_peers import Message, WorkerPeers

_log = logging.getLogger(__name__)

_LISTING_SECONDS = 2.0
"""A worker that doesn't tell its models within this time is named as silent: busy, ending, or stopped."""
_LOADING_SECONDS = 60.0
"""In addition to the longest wait for a model's turn."""
_AT_A_TIME = 4
"""Requests to load and unload, in each worker: each has a thread for as long as it takes."""


class LoadedCopy(NamedTuple):
    """A loaded model of one worker: all its names, what its weights take, the requests that use it, and when
    it is unloaded if nobody uses it (inf: not by itself).
    """

    names: list[str]
    weight_bytes: int
    leases: int
    expires_in_seconds: float


class WorkerListing(NamedTuple):
    """What one worker has loaded, on which device."""

    worker: int
    device: str
    models: list[LoadedCopy]


class InstanceListing(NamedTuple):
    """What the workers have loaded, and the numbers of those that have not told in time."""

    workers: list[WorkerListing]
    silent: list[int]


class InstanceModels:
    """Speaks for all workers. A model is named as in WHISPER_MODELS, the first one by ""."""

    def __init__(self, models: WorkerModels, longest_wait_seconds: float) -> None:
        self.peers = WorkerPeers(self._answer)
        self._models = models
        self._patience_seconds = longest_wait_seconds + _LOADING_SECONDS
        self._places = BoundedSemaphore(_AT_A_TIME)
        self._actions: dict[str, Callable[[Message, Check], Message]] = {
            "list": self._list,
            "load": self._load,
            "unload": self._unload,
        }

    def listing(self, check: Check) -> InstanceListing:
        """What each worker has loaded. Raises what `check` raises."""
        answers = sorted(self.peers.ask_all({"do": "list"}, check, _LISTING_SECONDS).items())
        silent = [number for number, answer in answers if not answer]
        if silent:
            _log.warning("Workers that have not told their models within %g s: %s", _LISTING_SECONDS, silent)
        workers = [
            WorkerListing(number, answer["device"], [_copy(*copy) for copy in answer["models"]])
            for number, answer in answers
            if answer
        ]
        return InstanceListing(workers, silent)

    def load(self, name: str, keep_seconds: float | None, check: Check) -> bool:
        """Load a model in every worker. False if all had it already; then `keep_seconds` counts all the same.

        Raises ServerBusy where it can't be had in one of them, and what `check` raises.
        """
        keep = -1 if keep_seconds == inf else keep_seconds
        outcomes = self._everywhere({"do": "load", "model": name, "keep_seconds": keep}, check)
        return any(outcome["outcome"] == "loaded" for outcome in outcomes)

    def unload(self, name: str, check: Check) -> None:
        """Unload a model in every worker. Raises ModelNotLoaded, or ModelConflict if one of them uses it."""
        outcomes = [each["outcome"] for each in self._everywhere({"do": "unload", "model": name}, check)]
        if in_use := outcomes.count("in use"):
            raise ModelConflict(
                f"The model is in use in {in_use} of {len(outcomes)} workers, and was not unloaded there. "
                "Please retry when its requests have been answered.",
                param="model",
                code="model_in_use",
            )
        if "unloaded" not in outcomes:
            raise ModelNotLoaded("The model is not loaded.", param="model")

    def _everywhere(self, question: Message, check: Check) -> list[Message]:
        with self._place():
            answers = list(self.peers.ask_all(question, check, self._patience_seconds).values())
        for answer in answers:
            if answer is None:
                raise ServerBusy("A worker has not answered in time. Please retry.")
            if "busy" in answer:
                raise ServerBusy(answer["busy"], retry_after_seconds=answer["retry_after_seconds"])
        return [answer for answer in answers if answer]

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise ServerBusy(
                f"The server is loading and unloading {_AT_A_TIME} models, which is its maximum."
            )
        try:
            yield
        finally:
            self._places.release()

    def _answer(self, question: Message, check: Check) -> Message:
        """What this worker says to a question of its own or another's."""
        try:
            return self._actions[question["do"]](question, check)
        except ServerBusy as error:
            return {"busy": error.message, "retry_after_seconds": error.retry_after_seconds}

    def _list(self, _question: Message, _check: Check) -> Message:
        copies = []
        for names, slot in self._models.copies():
            left = slot.expires_in_seconds
            copies.append((names, slot.weight_bytes, slot.leases, left if isfinite(left) else -1))
        return {"device": self._models.device, "models": copies}

    def _load(self, question: Message, check: Check) -> Message:
        keep = question["keep_seconds"]
        served = self._models.named(question["model"])
        loaded = self._models.load(served, check, inf if keep == -1 else keep)
        return {"outcome": "loaded" if loaded else "was loaded"}

    def _unload(self, question: Message, check: Check) -> Message:
        return {"outcome": self._models.unload(self._models.named(question["model"]), check)}


def _copy(names: list[str], weight_bytes: int, leases: int, left: float) -> LoadedCopy:
    return LoadedCopy(names, weight_bytes, leases, inf if left == -1 else left)
