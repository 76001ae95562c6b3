"""A cache of encoded windows: all features while their `Window` lives, keys and values of the latest."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from torch import Tensor

from app.engines.batched.cross_attention import CrossKV
from app.engines.interface import Window


class WindowStore:
    """Encodes each window once. Keys and values are cached for the `max_cached` latest windows only: they are
    ten times as large as features, and ten times as quick to compute again.
    """

    def __init__(
        self, encode: Callable[[Window], Tensor], project: Callable[[Tensor], CrossKV], max_cached: int
    ) -> None:
        self._encode = encode
        self._project = project
        self._max_cached = max_cached
        self._features: WeakKeyDictionary[Window, Tensor] = WeakKeyDictionary()
        self._cross_kv: WeakKeyDictionary[Window, CrossKV] = WeakKeyDictionary()

    def cross_kv(self, window: Window) -> CrossKV:
        """A window's keys and values for the decoder's cross-attention."""
        cross_kv = self._cross_kv.pop(window, None)
        if cross_kv is None:
            cross_kv = self._project(self._features_of(window))
        self._cross_kv[window] = cross_kv  # now the latest
        for old in list(self._cross_kv)[: -self._max_cached]:
            self._cross_kv.pop(old, None)
        return cross_kv

    def _features_of(self, window: Window) -> Tensor:
        features = self._features.get(window)
        if features is None:
            features = self._features[window] = self._encode(window)
        return features

    def shrink(self, max_cached: int) -> None:
        """Forget everything, and keep less from now on; it is computed again when it is needed."""
        self._max_cached = max_cached
        self._features.clear()
        self._cross_kv.clear()
