"""Frames in the parts of a message: all come back, pieces of one buffer in one, lies are told."""

from __future__ import annotations

import array
import contextlib
import itertools
import struct
import tracemalloc

import numpy as np
import pytest
from comms import OFFERED, connected
from distributed.protocol.utils import merge_memoryviews
from hypothesis import given, settings
from hypothesis import strategies as st

from pinwire import MessageRefusedError, ProtocolError
from pinwire.dask import _frames
from pinwire.dask._frames import APART, FLEETING, MANY, SMALL, pack, unpack

examples = settings(deadline=None, database=None, max_examples=60)

SIZES = st.sampled_from([0, 1, 7, 100, SMALL - 8, SMALL, SMALL + 1, FLEETING, FLEETING + 8])
KINDS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "array": lambda data: memoryview(array.array("B", data)),
    "numpy": lambda data: memoryview(np.frombuffer(data, "u1")),
    "items of 8": lambda data: memoryview(np.frombuffer(data[: len(data) // 8 * 8], "f8")),
    "two dimensions": lambda data: memoryview(np.frombuffer(data, "u1").reshape(1, -1)),
    "read-only": lambda data: memoryview(bytes(data)).toreadonly(),
    "slice": lambda data: memoryview(b"x" + data + b"y")[1:-1],
}

lists_of_frames = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), SIZES), max_size=12)


def made(kinds):
    return [
        KINDS[kind](np.full(size, number, "u1").tobytes())
        for number, (kind, size) in enumerate(kinds)
    ]


def content(frames):
    return [memoryview(frame).tobytes() for frame in frames]


def arrived(parts):
    """As a channel receives them: every part in memory of its own."""
    return [np.frombuffer(memoryview(part).tobytes(), "u1") for part in parts]


def unpacked(parts):
    return [*itertools.chain.from_iterable(unpack(parts))]


def address(view):
    return np.frombuffer(view, "u1").__array_interface__["data"][0]


@examples
@given(lists_of_frames)
def test_frames_when_packed_then_they_come_back(kinds):
    frames = made(kinds)
    parts, nbytes = pack(frames)
    assert nbytes == sum(map(len, content(frames)))
    assert content(unpacked(arrived(parts))) == content(frames)


@examples
@given(lists_of_frames, st.sets(st.integers(1, 299_999), max_size=10))
def test_frames_when_they_are_pieces_of_one_buffer_then_they_come_back_as_such(kinds, cuts):
    buffer = memoryview(np.resize(np.arange(251, dtype="u1"), 300_000))
    cuts = [0, *sorted(cuts), 300_000]
    pieces = [buffer[cut:end] for cut, end in itertools.pairwise(cuts)]
    around = made(kinds)
    frames = [*around, *pieces, *around]
    parts, _ = pack(frames)
    got = unpacked(arrived(parts))
    assert content(got) == content(frames)
    merged = merge_memoryviews(got[len(around) : len(around) + len(pieces)])
    assert merged == buffer
    assert address(merged) == address(got[len(around)])


@pytest.mark.parametrize("count", [1000, MANY + 10])
@pytest.mark.parametrize("size", [1, 40])
def test_frames_when_many_are_tiny_then_they_come_back(count, size):
    frames = [bytearray([number % 251]) * size for number in range(count)]
    parts, _ = pack(frames)
    assert len(parts) <= MANY + 1
    assert content(unpacked(arrived(parts))) == content(frames)


def test_frames_when_large_then_they_are_not_copied():
    large = np.zeros(OFFERED, "u1")
    parts, _ = pack([b"header", memoryview(large), bytes(FLEETING), large[:5]])
    assert [address(part) for part in parts[1:]] == [address(large), address(large)]


def test_pieces_when_others_lie_between_then_they_are_parts_of_their_own():
    buffer = memoryview(bytearray(range(250)) * 1000)
    for frames in (
        [buffer[:100_000], buffer[150_000:]],
        [buffer[100_000:], buffer[:100_000]],
        [buffer[:100_000], memoryview(bytes(70_000)), buffer[100_000:]],
        [buffer[:100_000], buffer[:100_000]],
    ):
        parts, _ = pack(frames)
        assert len(parts) == len(frames) + 1
        assert content(unpacked(arrived(parts))) == content(frames)


def test_pieces_when_sent_then_they_arrive_in_one_allocation(same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            buffer = memoryview(np.resize(np.arange(251, dtype="u1"), 6 * OFFERED))
            pieces = [buffer[at : at + OFFERED] for at in range(0, 6 * OFFERED, OFFERED)]
            for _ in range(3):
                parts, _ = pack([b"header", *pieces])
                client._channel.post(parts)
                message = await server._channel.recv()
                header, *got = unpacked(message.parts)
                assert bytes(header) == b"header"
                merged = merge_memoryviews(got)
                assert merged == buffer
                assert address(merged) == address(got[0])

    run(main())


TRUE = [b"header", bytes(100), b"", bytearray(70_000), bytes(30), memoryview(bytes(80_000))]
TRUE += [memoryview(b"")]


def told():
    """What a truthful peer sends: the first part, whose table is to be changed, and the rest."""
    first, *rest = pack(TRUE)[0]
    assert len(rest) == 2
    return bytearray(first), rest


def refused(parts):
    with pytest.raises(ProtocolError, match="the peer sent"):
        unpacked(arrived(parts))


def test_message_when_its_first_part_is_of_another_length_then_protocol_error():
    first, rest = told()
    for size in range(len(first)):
        refused([first[:size], *rest])
    for more in (1, 8, 100):
        refused([first + bytes(more), *rest])


def test_message_when_a_part_is_of_another_length_or_missing_then_protocol_error():
    first, rest = told()
    third, fourth = map(bytes, rest)
    for rest in (
        [third],
        [fourth],
        [],
        [fourth, third],
        [third, fourth, b""],
        [third, fourth, b"x"],
        [third, b"", fourth],
        [third[:-1], fourth],
        [third + b"x", fourth],
        [third, fourth[:-1]],
        [third, fourth + b"x"],
    ):
        refused([first, *rest])


def test_message_when_it_has_no_parts_then_protocol_error():
    refused([])
    refused([b""])


NUMBERS = [0, 1, 2, 6, 7, 8, 99, 101, 1 << 31, 1 << 32, 1 << 58, 1 << 59, 1 << 60, 1 << 61, 1 << 62]
NUMBERS += [APART - 1, APART, APART + 1, APART + 70_000, APART + 70_001, APART + (3 << 60)]
NUMBERS += [(1 << 64) - 1, (1 << 64) - 8]


@pytest.mark.parametrize("number", NUMBERS, ids=hex)
def test_table_when_a_number_is_another_then_protocol_error_and_no_memory(number):
    first, rest = told()
    true = content(unpacked(arrived([first, *rest])))
    for at in range(len(TRUE) + 1):
        changed = bytearray(first)
        (before,) = struct.unpack_from("<Q", first, 8 * at)
        struct.pack_into("<Q", changed, 8 * at, number)
        parts = arrived([changed, *rest])
        tracemalloc.start()
        try:
            with contextlib.suppress(ProtocolError):
                # The same frames: it is the true number, or no bytes lie elsewhere.
                assert content(unpacked(parts)) == true
                assert number == before or {number, before} == {0, APART}
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


@examples
@given(st.binary(max_size=100), st.lists(st.binary(max_size=20), max_size=3))
def test_message_when_it_is_any_bytes_then_protocol_error_or_their_frames(first, rest):
    parts = [np.frombuffer(part, "u1") for part in (first, *rest)]
    try:
        frames = unpacked(parts)
    except ProtocolError:
        return
    table = 8 * (len(frames) + 1)
    assert sum(frame.nbytes for frame in frames) == len(first) - table + sum(map(len, rest))


def test_frames_when_there_are_too_many_then_neither_end_takes_them(monkeypatch):
    parts, _ = pack([b""] * 11)
    assert len(unpacked(parts)) == 11
    monkeypatch.setattr(_frames, "MOST", 10)
    with pytest.raises(MessageRefusedError, match="at most 10 frames, not 11"):
        pack([b""] * 11)
    with pytest.raises(ProtocolError):
        unpacked(parts)
