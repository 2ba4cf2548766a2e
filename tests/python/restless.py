"""What the stress tests of threads share: frames that tell whose they are, and much switching."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from support import Call, pattern

import pinwire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG = 40 if os.environ.get("PINWIRE_SOAK") else 1
"""How many times the usual number of rounds."""

_HEAD = struct.Struct("<HHI")
HEAD_SIZE = _HEAD.size


@contextlib.contextmanager
def much_switching() -> Iterator[None]:
    """Have threads take turns a thousand times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def content(sender: int, number: int, size: int) -> bytes:
    """What a sender's message of that number holds."""
    return pattern(size, sender * 89 + number * 7)


def frame(sender: int, number: int, size: int) -> bytes:
    return _HEAD.pack(sender, number, size) + content(sender, number, size)


def taken_apart(got: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """The sender and number of each frame in a row of whole ones."""
    at = 0
    while at < len(got):
        sender, number, size = _HEAD.unpack_from(got, at)
        assert sender < 100, f"no frame begins at byte {at}"
        at += HEAD_SIZE
        assert got[at : at + size] == content(sender, number, size)
        at += size
        yield sender, number


def persist(call: Callable[..., Any], *args: Any) -> Any:
    """The result of a call that others keep from being made for a while."""
    while True:
        try:
            return call(*args)
        except pinwire.BusyError as busy:
            assert getattr(busy, "transferred", 0) == 0
            time.sleep(0)


@contextlib.contextmanager
def observed(*streams: Any) -> Iterator[None]:
    """A thread looks at streams all the time."""
    ended = False

    def look() -> int:
        looks = 0
        before = {stream: stream.stats() for stream in streams}
        while not ended:
            for stream in streams:
                now = stream.stats()
                for count, earlier in zip(now, before[stream], strict=True):
                    assert count >= earlier
                before[stream] = now
                assert stream.fileno() >= -1
                with contextlib.suppress(pinwire.ClosedError):
                    stream.getsockopt(1, 3)  # SO_TYPE
                assert stream.peer_closed in (True, False)
                assert repr(stream).startswith("<pinwire")
                looks += 1
        return looks

    call = Call(look)
    try:
        yield
    finally:
        ended = True
        assert call.result()


def chance(*seed: object) -> random.Random:
    """The same for each run of a test, and another for each thread."""
    return random.Random(repr(seed))
