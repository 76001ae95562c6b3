import gc

import torch
from torch import Tensor

from app.engines.batched.window_store import WindowStore
from app.engines.interface import Window
from tests.scripted_engine import ScriptedRecording


class Counting:
    """A store whose encoder and projection note what they are asked for."""

    def __init__(self, max_cached: int) -> None:
        self.encoded: list[int] = []
        self.projected: list[int] = []
        self.store = WindowStore(self._encode, self._project, max_cached)

    def _encode(self, window: Window) -> Tensor:
        self.encoded.append(window.seek)
        return torch.tensor([window.seek])

    def _project(self, features: Tensor) -> object:
        self.projected.append(int(features))
        return ("cross", int(features))


def windows(count: int) -> list[Window]:
    recording = ScriptedRecording(9_000)
    return [Window(recording, seek, 3_000) for seek in range(count)]


def test_a_window_is_encoded_and_projected_once() -> None:
    counting = Counting(max_cached=4)
    first, second = windows(2)
    found = [counting.store.cross_kv(window) for window in (first, second, first, first, second)]
    assert found == [("cross", 0), ("cross", 1), ("cross", 0), ("cross", 0), ("cross", 1)]
    assert counting.encoded == counting.projected == [0, 1]


def test_only_the_latest_keep_their_keys_and_values_but_all_their_features() -> None:
    counting = Counting(max_cached=2)
    a, b, c = windows(3)
    for window in (a, b, a, c):  # b is the oldest when c comes
        counting.store.cross_kv(window)
    assert counting.projected == [0, 1, 2]
    counting.store.cross_kv(a)
    assert counting.projected == [0, 1, 2]
    counting.store.cross_kv(b)
    assert counting.projected == [0, 1, 2, 1]
    assert counting.encoded == [0, 1, 2]


def test_equal_windows_are_not_the_same_window() -> None:
    counting = Counting(max_cached=2)
    recording = ScriptedRecording(9_000)
    held = [Window(recording, 0, 3_000), Window(recording, 0, 3_000)]
    for window in held:
        counting.store.cross_kv(window)
    assert counting.encoded == [0, 0]


def test_features_go_with_their_window() -> None:
    counting = Counting(max_cached=8)
    held = windows(3)
    for window in held:
        counting.store.cross_kv(window)
    del window, held[1:]
    gc.collect()
    assert len(counting.store._features) == len(counting.store._cross_kv) == 1
