"""Little that a peer sends, and how much it may cost who receives it."""

from __future__ import annotations

import sys

import pytest
from hostile import GIB4, MARGIN, floats, header, part, rss, told
from support import program

import pinwire

FACES = pytest.mark.parametrize("face", ["asyncio", "uvloop", "blocking"])
DEEP = b"\x91" * 15 + b"\x01"

METAS = {
    "many-nothings": b"\x81\x01\xdc\xff\x00" + b"\xc0" * 0xFF00,
    "many-maps": b"\x81\x01\xdc\xff\x00" + b"\x80" * 0xFF00,
    "many-keys": b"\xde\x3f\x00"
    + b"".join(b"\xcd" + key.to_bytes(2) + b"\xc0" for key in range(0x3F00)),
    "one-key": b"\xde\x7f\x00" + b"\x01\xc0" * 0x7F00,
    "deep": b"\x81\x01" + DEEP,
    "many-deep": b"\x81\x01\xdc\x0f\x00"
    + b"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01" * 0xF00,
}

BAD_METAS = {
    "deeper": (b"\x81\x01\x91" + DEEP, "meta that nests too deep"),
    "bottomless": (b"\x81\x01" + b"\x91" * 60_000, "meta that nests too deep"),
    "maps": (b"\x81\x01" * 20_000, "meta that nests too deep"),
    "announced-list": (b"\x81\x01\xdd\xff\xff\xff\xff\xc0", "meta that is no MessagePack"),
    "announced-bytes": (b"\x81\x01\xc6\xff\xff\xff\xff\xc0", "meta that is no MessagePack"),
    "list": (b"\x90", "meta that is not one map"),
    "two": (b"\x80\x80", "meta that is not one map"),
    "extension": (b"\x81\x01\xd4\x05\x00", "meta with extension types"),
    "surrogate": (b"\x81\x01\xa3\xed\xa0\x80", "meta that is no UTF-8"),
    "unhashable": (b"\x81\x81\x01\x01\x01", "meta with a container as a key"),
}


@FACES
@pytest.mark.parametrize("name", METAS)
def test_a_meta_when_it_is_large_then_it_is_taken_and_costs_little(face, name):
    before = rss()
    data = header(meta=METAS[name], payload=0) + floats(5)
    calls = [lambda channel: channel.recv(), lambda channel: channel.recv()]
    outcome = told(face, data, *calls)
    assert [type(result) for result in outcome.results] == [pinwire.Message] * 2
    assert outcome.results[0].meta and outcome.results[1].parts == [5.0]
    assert rss() - before < MARGIN


@FACES
@pytest.mark.parametrize("name", BAD_METAS)
def test_a_meta_when_it_makes_no_sense_then_the_peer_loses_its_connection(face, name):
    meta, text = BAD_METAS[name]
    outcome = told(face, header(meta=meta, payload=0), lambda channel: channel.recv())
    (error,) = outcome.results
    assert type(error) is pinwire.ProtocolError and text in str(error)
    assert outcome.is_closed


def received_when(face, data, **options):
    """Bytes that the process has grown by while a payload is awaited."""
    grown = []
    before = rss()

    def receive(channel):
        return channel.recv(timeout=0.2)

    def look(channel):
        grown.append(rss() - before)
        return channel.recv(timeout=0)

    outcome = told(face, data, receive, look, **options)
    assert all(type(error) is pinwire.TransferTimeoutError for error in outcome.results)
    return grown[0]


@FACES
@pytest.mark.parametrize("count", [1, 1000])
def test_arrays_when_they_are_only_announced_then_no_memory_is_used(face, count):
    size = (GIB4 - 8) // count // 8
    data = header(*[part(shape=[size])] * count, payload=8 * size * count)
    assert received_when(face, data) < MARGIN


def test_many_small_arrays_when_they_are_only_announced_then_no_memory_is_used():
    data = header(*[part("|u1", [16 * 1024], 1)] * 65536, payload=1 << 30)
    assert received_when("asyncio", data) < MARGIN + 16 * len(data)


def test_the_buffers_of_an_object_when_they_are_only_announced_then_no_memory_is_used():
    size = 16 * 1024 - 1
    data = header(*[part("|u1", [size], 1)] * 8192, payload=8192 * size, kind=2)
    grown = 0

    def look(channel):
        nonlocal grown
        grown = rss() - before
        return channel.recv_object(timeout=0)

    before = rss()
    told("asyncio", data, lambda channel: channel.recv_object(timeout=0.2), look, allow_pickle=True)
    assert grown < MARGIN + 16 * len(data)


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import os, socket, struct, pinwire, pinwire.blocking

theirs, ours = socket.socketpair()
channel = pinwire.blocking.Channel(pinwire.blocking.Stream.from_socket(ours))
theirs.sendall(b"\\x89PWIRE\\r\\n" + struct.pack("<BBHIQ", 2, 2, 0, 0, 1 << 62))

def announce(dtype, itemsize, extent, count=1):
    one = struct.pack("<IcBH", itemsize, b"C", 1, len(dtype)) + dtype + struct.pack("<Q", extent)
    theirs.sendall(struct.pack("<IIIIQ", 1, count, len(one) * count, 0, itemsize * extent * count))
    theirs.sendall(one * count)
"""


def test_half_floats_when_numpy_is_missing_then_they_arrive_as_python_can_show_them():
    code = """
announce(b"<f2", 2, 3)
theirs.sendall(struct.pack("<3e", 1, 2, 0.5))
(half,) = channel.recv(timeout=10).parts
print(half.format, half.cast("B").tobytes() == struct.pack("<3e", 1, 2, 0.5))
"""
    returncode, printed, complaints = program(WITHOUT_NUMPY + code)
    expected = "e True\n" if sys.version_info >= (3, 12) else "B True\n"
    assert (returncode, printed) == (0, expected), complaints


def test_an_itemsize_when_it_disagrees_and_numpy_is_missing_then_the_peer_loses_its_connection():
    code = """
announce(b"<f8", 1, 3)
theirs.sendall(bytes(3))
try:
    channel.recv()
except pinwire.ProtocolError:
    print(channel.stream.fileno())
channel.close()
"""
    assert program(WITHOUT_NUMPY + code) == (0, "-1\n", "")


def test_arrays_when_they_are_only_announced_and_numpy_is_missing_then_no_memory_is_used():
    code = """
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = rss()
announce(b"|u1", 1, (4 << 20) - 1, 64)
try:
    channel.recv(timeout=0.2)
except pinwire.TransferTimeoutError:
    print(rss() - before < 16 << 20)
channel.close()
"""
    assert program(WITHOUT_NUMPY + code) == (0, "True\n", "")
