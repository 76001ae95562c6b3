"""A worker's models whose engines are scripted: what is verified, by whom, and what readiness says."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from app import engines
from app.checkpoints import Checkpoint
from app.checkpoints.verified import VerifiedCheckpoints
from app.engines.interface import ModelCard
from app.errors import CheckpointError, ClientGone, ServerBusy, StartError
from app.settings import Settings
from app.worker_models import HeldModel, WorkerModels
from tests.scripted_engine import ScriptedEngine, result
from tests.threads import wait_until

PATIENCE_SECONDS = 60.0


def stay() -> None:
    """A client that has not gone."""


class SizedEngine(ScriptedEngine):
    """Its weights take so many bytes."""

    weight_bytes = 0

    @property
    def card(self) -> ModelCard:
        return replace(super().card, weight_bytes=self.weight_bytes)


class Files:
    """Checkpoints in a folder. Checking one waits for `gate`; its sha256 is what stands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checked: list[threading.Thread] = []
        self.checking = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.weight_bytes = 0

    def write(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.pt"
        path.write_text(text)
        return path

    def resolve(self, source: str) -> Checkpoint:
        self.checked.append(threading.current_thread())
        self.checking.set()
        assert self.gate.wait(PATIENCE_SECONDS)
        try:
            return Checkpoint(Path(source).stem, Path(source), Path(source).read_text())
        except OSError as error:
            raise CheckpointError("no such file") from error

    def start(self, *_: object) -> ScriptedEngine:
        engine = SizedEngine(lambda window, options: result())
        engine.weight_bytes = self.weight_bytes
        return engine


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files(tmp_path)
    monkeypatch.setattr(engines, "start", files.start)
    return files


@pytest.fixture
def started(files: Files) -> Iterator[Callable[..., WorkerModels]]:
    with ExitStack() as made:

        def start(**settings: object) -> WorkerModels:
            first, other = files.write("first", "1"), files.write("other", "2")
            models = WorkerModels(
                Settings(model=str(first), models=f"other={other}", **settings),  # type: ignore[arg-type]
                lambda *_: None,
            )
            models._verified = VerifiedCheckpoints(files.resolve)
            models.start("cpu", files.resolve(str(first)), {})
            made.callback(models.close)
            files.checked.clear()
            files.checking.clear()
            return models

        yield start


def use(models: WorkerModels, name: str, check: Callable[[], None] = stay) -> HeldModel:
    with models.hold(models.served(name), check) as held:
        return held


def test_a_checkpoint_is_read_once_for_all_and_in_nobodys_thread(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    models = started()
    files.gate.clear()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(use, models, "other") for _ in range(3)]
        assert files.checking.wait(PATIENCE_SECONDS)
        use(models, "first")  # is not held up
        wait_until(lambda: models.pool._waiting.count == 3)
        files.gate.set()
        assert len({id(each.result().loaded) for each in waiting}) == 1
    [reader] = files.checked
    assert reader.name == "model-checker"


def test_nobody_waits_for_a_file_to_be_read_who_has_left_or_waited_long(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    models = started(max_wait_seconds=0.05)
    files.gate.clear()

    def gone() -> None:
        raise ClientGone("left")

    with pytest.raises(ClientGone):
        use(models, "other", gone)
    with pytest.raises(ServerBusy, match="in time"):
        use(models, "other")
    files.gate.set()


def test_no_work_is_taken_while_the_first_model_cannot_be_loaded_again(
    files: Files, started: Callable[..., WorkerModels], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = started()
    assert models.unload(models.first, stay) == "unloaded"
    assert models.alive
    path = Path(models.first.source)
    path.unlink()
    with pytest.raises(ServerBusy, match="can't be loaded"):
        use(models, "first")
    assert not models.alive
    path.write_text("1")
    use(models, "first")
    assert models.alive


def test_nor_after_a_load_that_failed(
    files: Files, started: Callable[..., WorkerModels], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = started()
    models.unload(models.first, stay)

    def fail(*_: object) -> ScriptedEngine:
        raise MemoryError

    monkeypatch.setattr(engines, "start", fail)
    with pytest.raises(ServerBusy, match="not enough memory"):
        use(models, "first")
    assert not models.alive


def test_a_first_model_above_the_budget_is_no_start(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    files.weight_bytes = 1_001
    with pytest.raises(StartError, match="WHISPER_MODEL_MEMORY is 1000; it must be 0 or at least the 1001"):
        started(model_memory=1_000)


def test_a_model_that_turns_out_too_large_for_the_budget(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    """Its files are small, as those of CTranslate2's int8 are."""
    models = started(model_memory=1_000)
    files.weight_bytes = 1_001
    for _ in range(2):
        with pytest.raises(ServerBusy, match="takes 1001 bytes, more than"):
            use(models, "other")
    assert models.loaded(models.first)


def test_what_takes_more_than_its_files_makes_an_idle_one_go(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    files.weight_bytes = 600
    models = started(model_memory=1_000)
    use(models, "other")
    wait_until(lambda: models.loaded(models.first) is None)


def test_nothing_goes_for_what_is_loaded_ahead(
    files: Files, started: Callable[..., WorkerModels], caplog: pytest.LogCaptureFixture
) -> None:
    files.weight_bytes = 1_000
    models = started(model_memory=1_000, models_preload=("other",))
    assert models.loaded(models.first)
    assert models.loaded(models.served("other")) is None
    assert "no room" in caplog.text


def test_names_of_the_same_contents_share_a_copy_of_a_precision(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    models = started()
    same = replace(models.first, name="same", source=str(files.write("same", "1")))
    small = replace(same, name="small", precision="int8")
    models.more |= {"same": same, "small": small}
    assert use(models, "same").loaded is use(models, "first").loaded
    assert use(models, "small").loaded is not use(models, "first").loaded


def test_a_loaded_model_whose_files_are_gone_goes_on(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    models = started()
    loaded = use(models, "other").loaded
    Path(models.served("other").source).unlink()
    assert use(models, "other").loaded is loaded


def test_a_name_may_be_what_the_first_model_is_called(
    files: Files, started: Callable[..., WorkerModels]
) -> None:
    """Two models whose files are looked at, at the same time, under one name in what clients are told."""
    models = started()
    models.more["first"] = replace(models.first, name="first", source=str(files.write("second", "3")))
    models._verified = VerifiedCheckpoints(files.resolve)
    models.unload(models.first, stay)
    files.gate.clear()
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(use, models, name) for name in ("first", "whisper-1")]
        wait_until(lambda: len(files.checked) == 2)
        files.gate.set()
        assert waiting[0].result().loaded is not waiting[1].result().loaded
