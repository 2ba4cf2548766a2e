"""What is sent, as a function of a key and a place: whoever receives it can judge every byte."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

PERIOD = (1 << 20) - 3
"""A prime, so that what is moved by a power of two is seen."""

DTYPES = ["|u1", "<i2", "<f4", "<f8", "<c16", ">u4"]


@lru_cache(maxsize=32)
def _period(key: str) -> bytes:
    return random.Random(key).randbytes(PERIOD) * 2


class Content:
    """An endless stream of bytes."""

    def __init__(self, *key: object) -> None:
        self._key = repr(key)

    def at(self, offset: int, size: int) -> bytes:
        start, period = offset % PERIOD, _period(self._key)
        if start + size > len(period):
            period *= (start + size) // len(period) + 1
        return period[start : start + size]


def forget() -> None:
    """Let go of what has been made in advance."""
    _period.cache_clear()


@dataclass(frozen=True)
class Part:
    """One array of a message."""

    dtype: str
    shape: tuple[int, ...]
    order: str
    data: bytes

    def matches(self, array: Any) -> bool:
        if (array.dtype.str, array.shape) != (self.dtype, self.shape):
            return False
        return bool(array.flags.writeable) and array.tobytes(order="A") == self.data


@dataclass(frozen=True)
class Expected:
    """A message: how it is sent, and what has to arrive."""

    kind: str  # "arrays", "object" or "file"
    parts: tuple[Part, ...]

    @property
    def nbytes(self) -> int:
        return sum(len(part.data) for part in self.parts)


def message(key: str, number: int, largest: int, kinds: tuple[str, ...]) -> Expected:
    """The message of that number."""
    chance = random.Random(f"{key} {number}")
    content = Content(key)
    kind = chance.choice(kinds)
    count = 1 if kind == "file" else chance.choice([1, 1, 2, 5])
    parts = []
    for _ in range(count):
        dtype = "|u1" if kind == "file" else chance.choice(DTYPES)
        itemsize = np.dtype(dtype).itemsize
        items = int(largest / count / itemsize * chance.random() ** 3)
        rows = chance.choice([0, 0, 3, 16])
        shape = (rows, items // rows) if rows and kind == "arrays" else (items,)
        is_flat = len(shape) == 1 or 1 in shape or 0 in shape
        order = "C" if is_flat else chance.choice("CF")
        size = itemsize * int(np.prod(shape))
        parts.append(Part(dtype, shape, order, content.at(chance.randrange(PERIOD), size)))
    return Expected(kind, tuple(parts))
