"""The encoded windows: features for as long as somebody holds the window, keys and values for the latest."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from torch import Tensor

from app.engines.batched.cross_attention import CrossKV
from app.engines.interface import Window


class WindowStore:
    """Encodes each window once. Only the `kept` latest keep their keys and values, which are ten times
    as large as features and ten times as quick to make again.
    """

    def __init__(
        self, encode: Callable[[Window], Tensor], project: Callable[[Tensor], CrossKV], kept: int
    ) -> None:
        self._encode = encode
        self._project = project
        self._kept = kept
        self._features: WeakKeyDictionary[Window, Tensor] = WeakKeyDictionary()
        self._cross: WeakKeyDictionary[Window, CrossKV] = WeakKeyDictionary()

    def cross(self, window: Window) -> CrossKV:
        """What the decoder attends to in a window."""
        found = self._cross.pop(window, None)
        if found is None:
            found = self._project(self._features_of(window))
        self._cross[window] = found  # the latest now
        for old in list(self._cross)[: -self._kept]:
            self._cross.pop(old, None)
        return found

    def _features_of(self, window: Window) -> Tensor:
        features = self._features.get(window)
        if features is None:
            features = self._features[window] = self._encode(window)
        return features

    def clear(self) -> None:
        """Let go of everything; it is made again when it is wanted."""
        self._features.clear()
        self._cross.clear()
