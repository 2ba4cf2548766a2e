"""A program that makes one mistake with memory, for a sanitizer to find: mistakes.py NAME"""

from __future__ import annotations

import ctypes
import sys

from pinwire import blocking

SIZE = 4096

_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.free.argtypes = [ctypes.c_void_p]


def new() -> int:
    """Memory in which nothing has been written."""
    return int(_libc.malloc(SIZE))


def freed() -> int:
    address = new()
    _libc.free(address)
    return address


def at(address: int, size: int = SIZE) -> ctypes.Array[ctypes.c_char]:
    return (ctypes.c_char * size).from_address(address)


def nothing(a: blocking.Stream, b: blocking.Stream) -> None:
    address = new()
    a.send_buffer(bytes(SIZE))
    b.recv_exactly_into(at(address))
    _libc.free(address)


def send_freed(a: blocking.Stream, _b: blocking.Stream) -> None:
    """The kernel would read it, from one run."""
    a.send_buffer(at(freed()))


def send_freed_of_several(a: blocking.Stream, _b: blocking.Stream) -> None:
    """The kernel would read it, from the second of two runs."""
    a.send_buffers([b"first", at(freed())])


def send_freed_items(a: blocking.Stream, _b: blocking.Stream) -> None:
    """Our own code would, to pack every other byte."""
    a.send_buffer(memoryview(at(freed())).cast("B")[::2])


def send_too_many(a: blocking.Stream, _b: blocking.Stream) -> None:
    a.send_buffer(at(new(), SIZE + 1))


def receive_too_many(a: blocking.Stream, b: blocking.Stream) -> None:
    a.send_buffer(bytes(SIZE + 1))
    b.recv_exactly_into(at(new(), SIZE + 1))


def send_undefined(a: blocking.Stream, _b: blocking.Stream) -> None:
    a.send_buffer(at(new()))


def lose_a_stream(a: blocking.Stream, _b: blocking.Stream) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(a))


def lose_memory(_a: blocking.Stream, _b: blocking.Stream) -> None:
    new()


if __name__ == "__main__":
    first, second = blocking.socketpair()
    with first, second:
        globals()[sys.argv[1]](first, second)
    del first, second
    print("nothing was found", flush=True)
