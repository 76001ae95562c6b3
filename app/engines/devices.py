"""The torch devices of this machine that WHISPER_DEVICES selects."""

from app.errors import StartError, listed


def resolve_devices(setting: str) -> tuple[str, ...]:
    """The devices that WHISPER_DEVICES selects, one for each worker. torch is imported only if needed.

    Raises StartError for a device that this machine doesn't have.
    """
    if setting == "auto":
        return _cuda_devices() or ("cpu",)
    devices = tuple(name.strip() for name in setting.split(",") if name.strip())
    unknown = set(devices) - {"cpu"}
    if unknown:
        unknown -= set(_cuda_devices())
    if unknown or not devices:
        raise StartError(
            f"WHISPER_DEVICES is {setting!r}; it must be 'auto' or a comma-separated list of "
            f"this machine's devices: {listed(('cpu', *_cuda_devices()))}."
        )
    return devices


def _cuda_devices() -> tuple[str, ...]:
    import torch  # noqa: PLC0415 (seconds and hundreds of megabytes; not needed for CPU workers)

    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))


def empty_cache() -> None:
    """Return what torch's allocator keeps on GPUs for later."""
    import torch  # noqa: PLC0415

    torch.cuda.empty_cache()  # does nothing where no GPU is used
