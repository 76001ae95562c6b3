"""Checks of devices and checkpoint, and a sample transcription with both, as the server makes it."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from app.checkpoints import Checkpoint, resolve
from app.commands.row import Row, bad, good, warn
from app.engines import ENGINES, devices
from app.errors import StartError, listed
from app.model_list import more_models, preloaded, verifying
from app.runtime import Runtime
from app.settings import Settings
from app.transcription.request import TranscriptionRequest

SAMPLE = Path(__file__).resolve().parents[2] / "models" / "sample.wav"
SAMPLE_TEXT = "The sun rises in the east and sets in the west."


def check(settings: Settings) -> Iterator[Row]:
    """A row for the engine's devices, one for the checkpoint and one for the sample."""
    found_devices, row = _devices(settings)
    yield row
    checkpoint, row = _checkpoint(settings)
    yield row
    yield from _more(settings)
    if checkpoint and found_devices:
        yield sample(settings, checkpoint, found_devices[0])
    else:
        yield warn("sample", "not tried without a device and a checkpoint")


def _devices(settings: Settings) -> tuple[tuple[str, ...], Row]:
    if settings.engine not in ENGINES:
        finding = f"WHISPER_ENGINE is {settings.engine!r}"
        return (), bad("devices", finding, f"Set it to one of {listed(ENGINES)}.")
    try:
        found_devices = devices.resolve_devices(settings.devices)
    except StartError as error:
        return (), bad("devices", str(error))
    context = "" if settings.context == "full" else f", {settings.context} audio context, not exact"
    workers = f"{', '.join(found_devices)}: a worker each, engine {settings.engine}{context}"
    return found_devices, good("devices", workers)


def _checkpoint(settings: Settings) -> tuple[Checkpoint | None, Row]:
    try:
        checkpoint = resolve(settings, fetch=False)
    except StartError as error:
        return None, bad("checkpoint", str(error))
    finding = f"{checkpoint.name} at {checkpoint.path}, sha256 {checkpoint.sha256}"
    if checkpoint.is_demo:
        return checkpoint, warn(
            "checkpoint", f"{finding}; {checkpoint.notice}", "For real work: WHISPER_MODEL=turbo"
        )
    if checkpoint.notice:
        advice = "For openai-whisper's own text: the model's float16 or float32 weights."
        return checkpoint, warn("checkpoint", f"{finding}; {checkpoint.notice}", advice)
    if checkpoint.owner == "local":
        return checkpoint, good("checkpoint", f"{finding}; weights of your own, compared with nothing")
    return checkpoint, good("checkpoint", f"{finding}, as published")


def _more(settings: Settings) -> Iterator[Row]:
    """A row for each model of WHISPER_MODELS, none of which is loaded for it."""
    try:
        models = more_models(settings)
        preloaded(settings, models)
    except StartError as error:
        yield bad("models", str(error))
        return
    checkpoints = verifying(settings)
    for model in models:
        try:
            found = checkpoints.get(model.source).checkpoint
            _look_into(found)
        except StartError as error:
            yield bad("models", f"{model.name}: {error}")
        else:
            yield good("models", f"{model.name}: {found.name} at {found.path}, {model.precision}")


def _look_into(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless it is the whole of a Whisper model."""
    from app.engines.weights_files import open_weights  # noqa: PLC0415 (imports torch)

    open_weights(checkpoint)


def sample(settings: Settings, checkpoint: Checkpoint, device: str) -> Row:
    """Whether the sample recording is transcribed, and how fast."""
    runtime = Runtime(settings)
    try:
        runtime.start(device, checkpoint)
        began = perf_counter()
        with SAMPLE.open("rb") as file:
            context = runtime.request_context()
            transcript = runtime.transcriber.transcribe(file, TranscriptionRequest(), context)
        seconds = perf_counter() - began
    except Exception as error:
        advice = "Try WHISPER_DEVICES=cpu and WHISPER_ENGINE=reference, to see which part it is."
        return bad("sample", f"{type(error).__name__}: {error}", advice)
    finally:
        runtime.close()
    return _sample_row(checkpoint, transcript.text, transcript.duration_seconds, seconds)


def _sample_row(checkpoint: Checkpoint, text: str, duration_seconds: float, seconds: float) -> Row:
    speed = f"{duration_seconds:.1f} s of speech in {seconds:.1f} s on this machine as it is now"
    finding = f"{text!r}, {speed} (real-time factor {seconds / duration_seconds:.2f})"
    if checkpoint.is_demo and text != SAMPLE_TEXT:
        return bad("sample", f"{finding}; expected {SAMPLE_TEXT!r}", "Compare the packages above.")
    return good("sample", finding)
