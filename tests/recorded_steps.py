"""CUDA graphs without CUDA: what a step computes is recorded once, and computed again in every replay.

As a graph does, a replay takes the tensors that the recording took and writes where it wrote: whatever
Python did on the way is done no more, so a number or a tensor that it took from there is the recording's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten

WARM_UP_STEPS = 3
"""As many as before a real capture."""

TO_THE_HOST = {aten.item.default, aten._local_scalar_dense.default, aten.nonzero.default}
"""What would wait for the device; a real capture refuses it too."""


class Recording(TorchDispatchMode):
    """Notes every operation, with the tensors that it took and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, operation: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if operation in TO_THE_HOST:
            raise RuntimeError(f"operation not permitted when stream is capturing: {operation}")
        result = operation(*args, **(kwargs or {}))
        self.operations.append((operation, args, kwargs or {}, result))
        return result


def record(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A step that replays what `step` did, in place of `graphs.capture_graph`."""
    for _ in range(WARM_UP_STEPS):
        step()
    with Recording() as recording:
        result = step()

    def replay() -> Tensor:
        for operation, args, kwargs, written in recording.operations:
            _write(operation(*args, **kwargs), written, (args, kwargs))
        return result

    return replay


def _write(new: Any, written: Any, taken: object) -> None:
    """Write what an operation gave now to where it gave it when it was recorded, unless it was given it."""
    memory = {_memory(leaf) for leaf in tree_leaves(taken) if isinstance(leaf, Tensor)}
    for now, then in zip(tree_leaves(new), tree_leaves(written), strict=True):
        if isinstance(then, Tensor) and _memory(then) not in memory:
            then.copy_(now)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
