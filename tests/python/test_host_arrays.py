"""What goes past the socket is what was sent, whatever its dtype, layout and memory."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
from exporters import (
    DTYPES,
    READ_ONLY,
    WRITABLE,
    Point,
    cleared,
    fields_of,
    noise,
    noise_array,
    plain,
)
from host_pairs import LARGE, OFFERED_FROM, there_and_back
from numpy.lib.stride_tricks import as_strided
from producers import LegacyTensor, Tensor


def contents(arrays):
    return [np.asarray(array).tobytes() for array in arrays]


def test_arrays_when_of_any_dtype_then_they_come_back(echo):
    sent = [
        noise_array((LARGE // 2 // d.itemsize + 1, 1), d, i) for i, d in enumerate(DTYPES.values())
    ]

    async def main():
        async with echo.channel() as channel:
            message, offered, pulled = await there_and_back(channel, sent, meta={"step": 7})
            assert contents(message.parts) == contents(sent)
            assert [part.dtype for part in message.parts] == list(DTYPES.values())
            assert message.meta["step"] == 7
            # What has gaps is packed on both ways.
            whole = sum(array.nbytes for array in sent if fields_of(array.dtype).all())
            assert offered == pulled == whole < message.nbytes
            assert channel.transport == "same-host"
            assert message.meta["pulled"] >= offered

    echo.run(main())


# name -> an array, and whether it is offered: short runs are packed, so they are not.
LAYOUTS = {
    "c": (lambda: noise_array((300, 500), "f8"), True),
    "one-item": (lambda: noise_array((), f"V{LARGE}"), True),
    "axes-of-1": (lambda: noise_array((300, 500), "f8")[:, None, :, None], True),
    "fortran": (lambda: noise_array((300, 500), "f8").T, True),
    "fortran-3d": (lambda: noise_array((40, 50, 80), "f8").T, True),
    "rows": (lambda: noise_array((1200, 256), "f8")[::2], True),
    "reversed-rows": (lambda: noise_array((600, 256), "f8")[::-1], True),
    "block": (lambda: noise_array((400, 800), "f8")[20:380, 100:700], True),
    "transposed-planes": (lambda: noise_array((8, 6, 4096), "f8").transpose(1, 0, 2), True),
    "runs-of-1024": (lambda: noise_array((1100, 130), "f8")[:, :128], True),
    "runs-of-1016": (lambda: noise_array((1100, 130), "f8")[:, :127], False),
    "columns": (lambda: noise_array((1000, 400), "f8")[:, ::2], False),
    "stepped": (lambda: noise_array((400_000,), "f8")[::-2], False),
    "transposed-3d": (lambda: noise_array((40, 50, 80), "f8").transpose(1, 2, 0), False),
    "as-large-as-it-takes": (lambda: noise_array((OFFERED_FROM,), "u1"), True),
    "one-byte-less": (lambda: noise_array((OFFERED_FROM - 1,), "u1"), False),
    "rows-one-byte-less": (
        lambda: noise_array((OFFERED_FROM // 1024 - 1, 1030), "u1")[:, :1024],
        False,
    ),
}


def test_arrays_when_of_any_layout_then_they_come_back(echo):
    async def main():
        async with echo.channel() as channel:
            for name, (make, is_offered) in LAYOUTS.items():
                array = make()
                message, offered, pulled = await there_and_back(channel, array)
                (part,) = message.parts
                assert (part.dtype, part.shape) == (array.dtype, array.shape), name
                assert part.tobytes() == array.tobytes(), name
                assert offered == (array.nbytes if is_offered else 0), name
                # What comes back is contiguous.
                assert pulled == (array.nbytes if array.nbytes >= OFFERED_FROM else 0), name

    echo.run(main())


@pytest.mark.parametrize("copy", [None, False, True])
def test_array_when_it_is_to_be_copied_then_it_goes_by_the_socket(copy, other_process):
    async def main():
        async with other_process.channel() as channel:
            array = noise_array((300, 500), "f8")
            message, offered, _ = await there_and_back(channel, array, copy=copy)
            assert message.parts[0].tobytes() == array.tobytes()
            assert offered == (0 if copy else array.nbytes)
            with pytest.raises(BufferError):
                await channel.send(array[:, ::2], copy=False)

    other_process.run(main())


def rows(count, seed=1):
    """So many runs of 1,024 bytes in little memory."""
    return as_strided(noise_array((16 * count + 1024,), "u1", seed), (count, 1024), (16, 1))


@pytest.mark.parametrize("count", [1023, 1024, 1025, 5000, 65_536, 65_537])
def test_array_when_of_many_runs_then_it_comes_back(count, other_process):
    async def main():
        async with other_process.channel() as channel:
            array = rows(count)
            message, offered, pulled = await there_and_back(channel, array)
            assert np.array_equal(message.parts[0], array)
            assert (offered, pulled) == (array.nbytes if count <= 65_536 else 0, array.nbytes)

    other_process.run(main())


def test_arrays_when_of_too_many_runs_together_then_some_go_by_the_socket(echo):
    async def main():
        async with echo.channel() as channel:
            sent = [rows(65_000), rows(600, 2), noise_array((LARGE,), "u1", 3), rows(535, 4)]
            message, offered, _ = await there_and_back(channel, sent)
            assert all(map(np.array_equal, message.parts, sent))
            assert offered == sum(sent[i].nbytes for i in (0, 2, 3))

    echo.run(main())


def test_message_when_large_and_small_are_mixed_then_each_part_comes_back(echo):
    large = noise_array((LARGE,), "u1", 1)
    short = noise_array((400, 700), "f8", 2)[:, ::2]
    tiny, none = noise_array((9,), "u1", 3), np.zeros((0, 3))
    fortran = noise_array((300, 400), "f8", 4).T
    # Bytes of parts, in any order: those that are offered are named last.
    mixes = [
        ([large, tiny, none, fortran], large.nbytes + fortran.nbytes),
        ([none, large, none], large.nbytes),
        ([tiny, large], large.nbytes),
        ([short, large, short, fortran, tiny], large.nbytes + fortran.nbytes),
        ([large, large, tiny, tiny, large], 3 * large.nbytes),
        ([tiny] * 500 + [large, none] * 5 + [tiny] * 500, 5 * large.nbytes),
        ([tiny, short, none], 0),
        ([tiny], 0),
        ([], 0),
    ]

    async def main():
        async with echo.channel() as channel:
            for number, (sent, past) in enumerate(mixes * 2):
                message, offered, _ = await there_and_back(channel, sent, meta={"number": number})
                assert contents(message.parts) == contents(sent)
                assert message.meta["number"] == number
                assert offered == past

    echo.run(main())


NBYTES = 1_200_000
EXPORTERS = WRITABLE | READ_ONLY
STEPPED = {"memoryview-stepped"}
GAPS = {"ctypes-structs"}


@pytest.mark.parametrize("name", EXPORTERS)
def test_exporter_when_of_any_kind_then_its_bytes_come_back(name, other_process):
    async def main():
        async with other_process.channel() as channel:
            exporter = EXPORTERS[name](noise(NBYTES))
            message, offered, _ = await there_and_back(channel, exporter)
            content = bytes(exporter) if isinstance(exporter, mmap.mmap) else plain(exporter)
            if name in GAPS:
                content = cleared(np.frombuffer(exporter, Point))
            assert message.parts[0].tobytes() == content
            assert offered == (0 if name in STEPPED | GAPS else message.nbytes)

    other_process.run(main())


@pytest.mark.parametrize("tensor", [Tensor, LegacyTensor])
def test_tensor_when_sent_by_dlpack_then_it_comes_back(tensor, other_process):
    async def main():
        async with other_process.channel() as channel:
            array = noise_array((300, 500), "f4")
            for exported in (array, array.T):
                message, offered, _ = await there_and_back(channel, [tensor(exported)])
                assert message.parts[0].tobytes() == exported.tobytes()
                assert message.parts[0].shape == exported.shape
                assert offered == array.nbytes

    other_process.run(main())
