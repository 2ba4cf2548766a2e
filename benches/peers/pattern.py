"""What messages hold: bytes that depend on the message's number and on where they stand."""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .meter import not_counted

Bytes = npt.NDArray[np.uint8]

# Landing memory holds this before every message, so that bytes of an earlier one cannot pass.
POISON = 0xAA

HEADER_BYTES = 64
PART_BYTES = 64 * 1024
PARTS = 100
GATHER_BYTES = HEADER_BYTES + PARTS * PART_BYTES

SMALL_BYTES = 4 * 1024
SMALL_ARRAYS = 1000
SMALL_TOTAL = SMALL_ARRAYS * SMALL_BYTES

# Fits the second-level cache together with a copy, so that filling runs at memory speed.
_BLOCK = np.random.default_rng(8).integers(0, 2**63, size=32 * 1024, dtype=np.uint64)
_SCRATCH = np.ones_like(_BLOCK)
_SAME = np.ones(_BLOCK.nbytes, np.bool_)
# The golden ratio in 64 bits: consecutive keys differ in about half of their bits.
_STRIDE = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def fill(memory: Any, number: int) -> None:
    """Write message `number` into `memory`."""
    with not_counted():
        _fill(memory, number)


def matches(memory: Any, number: int) -> bool:
    """Whether `memory` holds message `number`, every byte of it."""
    with not_counted():
        return _matches(memory, number)


def poison(*memories: Any) -> None:
    """Overwrite what an earlier message left."""
    with not_counted():
        for memory in memories:
            _bytes(memory).fill(POISON)


def fill_parts(parts: Sequence[Any], number: int) -> None:
    """As `fill`, with every part different."""
    with not_counted():
        for index, part in enumerate(parts):
            _fill(part, number * len(parts) + index)


def parts_match(parts: Sequence[Any], number: int) -> bool:
    """Whether the parts hold what `fill_parts` wrote."""
    with not_counted():
        first = number * len(parts)
        return all(_matches(part, first + index) for index, part in enumerate(parts))


def landing(nbytes: int) -> Bytes:
    """Memory to send from or receive into: its pages are there already."""
    with not_counted():
        return np.full(nbytes, POISON, np.uint8)


def small_pages(nbytes: int) -> Bytes:
    """The same in pages of 4 KiB, where `landing` has huge ones if the machine gives any."""
    with not_counted():
        memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        array = np.frombuffer(memory, np.uint8)
        array.fill(POISON)
        return array


def gather_buffers() -> list[Bytes]:
    """A header and a hundred blocks, each a piece of memory of its own."""
    return [landing(HEADER_BYTES), *(landing(PART_BYTES) for _ in range(PARTS))]


def small_arrays() -> list[Bytes]:
    """A thousand arrays of a page each."""
    return [landing(SMALL_BYTES) for _ in range(SMALL_ARRAYS)]


def number_in(memory: Any) -> int:
    """The number of the message that `memory` holds, from its first eight bytes."""
    return int(_bytes(memory)[:8].view(np.uint64)[0] ^ _BLOCK[0])


def _fill(memory: Any, number: int) -> None:
    for index, chunk in enumerate(_chunks(memory)):
        chunk[:] = _expected(number, index, chunk.nbytes)


def _matches(memory: Any, number: int) -> bool:
    return all(
        _equal(chunk, _expected(number, index, chunk.nbytes))
        for index, chunk in enumerate(_chunks(memory))
    )


def _expected(number: int, index: int, nbytes: int) -> Bytes:
    key = np.uint64((number + index * _STRIDE) & _MASK)
    words = -(-nbytes // 8)
    np.bitwise_xor(_BLOCK[:words], key, out=_SCRATCH[:words])
    return _SCRATCH.view(np.uint8)[:nbytes]


def _equal(left: Bytes, right: Bytes) -> bool:
    # `array_equal` would allocate, which counts as the contestant's memory.
    return bool(np.equal(left, right, out=_SAME[: left.nbytes]).all())


def _chunks(memory: Any) -> list[Bytes]:
    whole, step = _bytes(memory), _BLOCK.nbytes
    return [whole[start : start + step] for start in range(0, whole.nbytes, step)]


def _bytes(memory: Any) -> Bytes:
    if isinstance(memory, np.ndarray):
        return memory.reshape(-1).view(np.uint8)
    return np.frombuffer(memory, np.uint8)
