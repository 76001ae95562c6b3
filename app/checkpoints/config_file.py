"""The JSON files that lie beside weights: settings of the model, and its alignment heads."""

import json
from collections.abc import Mapping
from pathlib import Path

from app.checkpoints.dimensions import Dimensions
from app.errors import CheckpointError

CONFIG = "config.json"

Heads = tuple[tuple[int, int], ...]
"""Attention heads of the decoder, (layer, head) each, in ascending order."""

_MAX_BYTES = 64 * 2**20


def read_object(path: Path) -> dict[str, object]:
    """A file's JSON object. Raises CheckpointError."""
    contents = _read(path)
    if not isinstance(contents, dict):
        raise CheckpointError(f"{path} holds no JSON object; copy it anew.")
    return contents


def read_values(path: Path) -> list[object]:
    """A file's JSON array. Raises CheckpointError."""
    contents = _read(path)
    if not isinstance(contents, list):
        raise CheckpointError(f"{path} holds no JSON array; copy it anew.")
    return contents


def _read(path: Path) -> object:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(f"{path} has more than {_MAX_BYTES} bytes; copy the right file there.")
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; copy all files of the model, that one too.") from error
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}); make it readable for the server's user."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON; copy it anew.") from error


def alignment_heads(config: Mapping[str, object], dims: Dimensions, path: Path) -> Heads | None:
    """The heads that a file names, those that this model has; None where there are none.

    Distilled models come with the heads of the model that they were made of, most of whose layers they lack.
    Raises CheckpointError where it names anything else than pairs of numbers.
    """
    stated = config.get("alignment_heads")
    if stated is None:
        return None
    if not isinstance(stated, list) or not all(map(_is_pair, stated)):
        raise CheckpointError(
            f"The alignment_heads in {path} are no list of pairs [layer, head]; correct or remove them."
        )
    heads = {(layer, head) for layer, head in stated}
    return tuple(sorted(pair for pair in heads if _exists(*pair, dims))) or None


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)


def _exists(layer: int, head: int, dims: Dimensions) -> bool:
    return 0 <= layer < dims.n_text_layer and 0 <= head < dims.n_text_head
