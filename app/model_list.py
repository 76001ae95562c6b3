"""WHISPER_MODELS: the models beside the first, each under a name of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from app.checkpoints import DEMO, RELEASES, Checkpoint, resolve
from app.checkpoints.verified import VerifiedCheckpoints
from app.errors import CheckpointError, StartError
from app.setting_values import lines_of
from app.settings import CONTEXTS, PRECISIONS, Settings

_VARIABLE = "WHISPER_MODELS"


@dataclass(frozen=True)
class ServedModel:
    """A model by the name that requests use: `source` is a checkpoint's name or path.

    The first one, WHISPER_MODEL, has no name of its own here: it has its checkpoint's. Another name may have
    `*` in it, as a wildcard.
    """

    name: str
    source: str
    precision: str
    context: str

    @property
    def listed(self) -> bool:
        """Whether /v1/models lists the name."""
        return bool(self.name) and "*" not in self.name


def first_model(settings: Settings) -> ServedModel:
    """WHISPER_MODEL."""
    return ServedModel("", settings.model, settings.precision, settings.context)


def more_models(settings: Settings) -> tuple[ServedModel, ...]:
    """The models of WHISPER_MODELS; a file and a folder are read now. Raises StartError.

    An entry is `name=checkpoint`, followed by `;int8` or another precision, `;short` or another context. A
    checkpoint without a name has its own. In place of a checkpoint there may be an earlier entry's name.
    """
    models = dict[str, ServedModel]()
    for entry in _entries(settings.models):
        model = _model(entry, settings, models)
        if model.name in models:
            raise StartError(f"{_VARIABLE} has the name {model.name!r} twice.")
        models[model.name] = model
    return tuple(models.values())


def preloaded(settings: Settings, models: Iterable[ServedModel]) -> tuple[ServedModel, ...]:
    """Those of WHISPER_MODELS that WHISPER_MODELS_PRELOAD names. Raises StartError."""
    by_name = {model.name: model for model in models}
    if unknown := [name for name in settings.models_preload if name not in by_name]:
        raise StartError(f"WHISPER_MODELS_PRELOAD has {unknown[0]!r}, which is no name in {_VARIABLE}.")
    found = tuple(by_name[name] for name in settings.models_preload)
    copies = {(model.source, model.precision) for model in (first_model(settings), *found)}
    if len(copies) > settings.models_loaded:
        raise StartError(
            f"WHISPER_MODELS_PRELOAD and WHISPER_MODEL are {len(copies)} models; WHISPER_MODELS_LOADED is "
            f"{settings.models_loaded}."
        )
    return found


def verifying(settings: Settings) -> VerifiedCheckpoints:
    """Checks the checkpoints of models. Nothing is downloaded."""
    return VerifiedCheckpoints(partial(_checkpoint, settings))


def _checkpoint(settings: Settings, source: str) -> Checkpoint:
    try:
        return resolve(replace(settings, model=source), fetch=False)
    except CheckpointError as error:
        if source == settings.model:
            raise
        message = str(error).replace("WHISPER_MODEL is", "the checkpoint is")
        raise CheckpointError(f"{_VARIABLE}, {source!r}: {message}") from error


def _entries(text: str) -> Iterator[str]:
    """What stands between commas, on the lines of a file, or in a folder of checkpoints."""
    if text.startswith("@"):
        yield from lines_of(_VARIABLE, Path(text[1:]).expanduser())
        return
    for entry in filter(None, (part.strip() for part in text.split(","))):
        folder = Path(entry).expanduser()
        if "=" not in entry and folder.is_dir() and not _is_checkpoint(folder):
            yield from _inside(folder)
        else:
            yield entry


def _is_checkpoint(path: Path) -> bool:
    return path.suffix == ".pt" or (path / "config.json").is_file()


def _inside(folder: Path) -> Iterator[str]:
    try:
        found = sorted(path for path in folder.iterdir() if _is_checkpoint(path))
    except OSError as error:
        raise StartError(f"{_VARIABLE} is {str(folder)!r}, and can't be read: {error.strerror}.") from error
    if not found:
        raise StartError(f"{_VARIABLE} is {str(folder)!r}, and there is no checkpoint in that folder.")
    for path in found:
        yield f"{path.stem if path.suffix == '.pt' else path.name}={path}"


def _model(entry: str, settings: Settings, others: dict[str, ServedModel]) -> ServedModel:
    text, *options = (part.strip() for part in entry.split(";"))
    name, equals, source = (part.strip() for part in text.partition("="))
    source = source if equals else name
    if not name or not source:
        raise StartError(f"{_VARIABLE} has the entry {entry!r}; it must be name=checkpoint.")
    if not equals:
        name = name if name in (*RELEASES, DEMO) else Path(name).stem
    other = others.get(source) if source != name else None
    model = replace(other or first_model(settings), name=name, source=other.source if other else source)
    return _with_options(model, options, settings)


def _with_options(model: ServedModel, options: Sequence[str], settings: Settings) -> ServedModel:
    for option in options:
        if option in PRECISIONS:
            model = replace(model, precision=option)
        elif option in CONTEXTS and (option == "full" or not settings.strict):
            model = replace(model, context=option)
        else:
            allowed = ", ".join((*PRECISIONS, *CONTEXTS))
            raise StartError(
                f"{_VARIABLE} has the option {option!r} for {model.name!r}; it must be one of {allowed}"
                f"{', and full with WHISPER_STRICT=1' if settings.strict else ''}."
            )
    return model
