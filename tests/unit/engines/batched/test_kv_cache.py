import ctypes
import mmap

import pytest
import torch
from torch import Tensor

from app.engines.batched.kv_cache import KVCache, MaskedKVCache

LAYERS, ROWS, HEADS, CONTEXT, HEAD = 2, 5, 3, 8, 4


def cache(kind: type[KVCache] = KVCache, dtype: torch.dtype = torch.float32) -> KVCache:
    return kind((LAYERS, ROWS, HEADS, CONTEXT, HEAD), like=torch.zeros(1, dtype=dtype))


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_a_prompt_is_one_rows() -> None:
    kv, keys, values = cache(), numbers(HEADS, 6, HEAD), numbers(HEADS, 6, HEAD) + 1
    kv.write_prompt(1, 3, keys, values)
    found_keys, found_values = kv.read(1, 4, 6)
    assert found_keys.shape == (4, HEADS, 6, HEAD)
    assert torch.equal(found_keys[3], keys)
    assert torch.equal(found_values[3], values)
    assert not kv.read(0, ROWS, CONTEXT)[0].any()
    assert not found_keys[:3].any()


def test_a_step_goes_to_each_rows_own_place() -> None:
    kv, keys = cache(), numbers(3, HEADS, HEAD)
    lengths = torch.tensor([0, 5, 2])
    kv.write_step(0, lengths, keys, -keys)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(kv.keys[0, row, :, length], keys[row])
        assert torch.equal(kv.values[0, row, :, length], -keys[row])
    assert int((kv.keys != 0).sum()) == keys.numel()


def test_copied_rows_dont_see_each_others_new_positions() -> None:
    kv = cache()
    kv.keys.copy_(numbers(*kv.keys.shape))
    kv.values.copy_(-kv.keys)
    before = kv.keys.clone()
    kv.copy(torch.tensor([1, 0, 0]), torch.tensor([0, 1, 2]), slice(0, 4))
    assert torch.equal(kv.keys[:, [0, 1, 2], :, :4], before[:, [1, 0, 0], :, :4])
    assert torch.equal(kv.keys[:, :, :, 4:], before[:, :, :, 4:])
    assert torch.equal(kv.keys[:, 3:], before[:, 3:])
    assert torch.equal(kv.values[..., :4, :], -kv.keys[..., :4, :])


def resident_pages(numbers: Tensor) -> int:
    """How many of a tensor's pages are in memory."""
    pages = -(-numbers.nbytes // mmap.PAGESIZE)
    states = (ctypes.c_ubyte * pages)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(numbers.data_ptr()), ctypes.c_size_t(numbers.nbytes), states) == 0
    return sum(state & 1 for state in states)


@pytest.fixture
def large() -> KVCache:
    """Each row of each layer has 8 pages."""
    return KVCache((2, 4, 2, 64, 64), like=torch.zeros(1))


def test_only_what_has_been_written_takes_memory(large: KVCache) -> None:
    large.prepare(slice(0, 4))
    assert resident_pages(large.keys) == resident_pages(large.values) == 0
    large.write_prompt(1, 2, numbers(2, 16, 64), numbers(2, 16, 64))
    assert resident_pages(large.keys) == resident_pages(large.values) == 2  # 16 positions of two heads


def test_attention_reads_no_unused_position(large: KVCache) -> None:
    attend(large, 0, numbers(1, 3 * 2 * 64), [0])
    assert resident_pages(large.keys) == resident_pages(large.values) == 2


def test_a_released_cache_takes_no_memory_and_serves_again(large: KVCache) -> None:
    keys, address = numbers(2, 16, 64), large.keys.data_ptr()
    large.write_prompt(0, 0, keys, -keys)
    large.release()
    assert resident_pages(large.keys) == resident_pages(large.values) == 0
    assert not large.keys.any()
    large.write_prompt(0, 3, keys, -keys)
    assert torch.equal(large.read(0, 4, 16)[1][3], -keys)
    assert large.keys.data_ptr() == address


def test_prepared_rows_of_a_gpu_hold_nothing() -> None:
    kv = cache(MaskedKVCache)
    kv.keys.fill_(torch.nan)
    kv.values.fill_(torch.nan)
    kv.prepare(slice(1, 3))
    assert not kv.keys[:, 1:3].any()
    assert not kv.values[:, 1:3].any()
    assert kv.keys[:, [0, 3, 4]].isnan().all()


def attend(kv: KVCache, layer: int, qkv: Tensor, lengths: list[int], spare: int = 0) -> Tensor:
    """A step's attention, over `spare` positions more than the longest row has."""
    return kv.attend(layer, qkv, kv.positions(torch.tensor(lengths), max(lengths) + 1 + spare))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("lengths", "spare"), [([0], 7), ([3], 0), ([CONTEXT - 1], 0), ([0, 5, 2], 2), ([4, 7, 0, 1, 7], 0)]
)
def test_rows_attend_the_same_one_by_one_and_all_together(
    lengths: list[int], spare: int, dtype: torch.dtype
) -> None:
    one_by_one, together = cache(), cache(MaskedKVCache, dtype)
    together.keys.copy_(numbers(*together.keys.shape))
    together.values.copy_(-2 * together.keys)
    one_by_one.keys.copy_(together.keys)
    one_by_one.values.copy_(together.values)
    qkv = numbers(len(lengths), 3 * HEADS * HEAD).to(dtype)
    found = attend(together, 1, qkv, lengths, spare)
    expected = attend(one_by_one, 1, qkv.float(), lengths)
    assert found.dtype == dtype
    rounding = torch.finfo(dtype).eps
    torch.testing.assert_close(found.float(), expected, rtol=8 * rounding, atol=8 * rounding)
    assert torch.equal(one_by_one.keys, together.keys.float())
    assert torch.equal(one_by_one.values, together.values.float())


def test_what_a_row_does_not_see_may_be_anything() -> None:
    kv = cache()
    kv.keys[1] = kv.values[1] = torch.nan
    kv.write_prompt(1, 0, numbers(HEADS, 2, HEAD), numbers(HEADS, 2, HEAD))
    assert attend(kv, 1, numbers(1, 3 * HEADS * HEAD), [2]).isfinite().all()


def test_nan_stays_in_its_row() -> None:
    kv, qkv = cache(), numbers(3, 3 * HEADS * HEAD)
    qkv[1] = torch.nan
    found = attend(kv, 0, qkv, [2, 2, 2])
    assert found[1].isnan().all()
    assert found[[0, 2]].isfinite().all()
