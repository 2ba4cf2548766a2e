"""Tensors that lend their memory by DLPack and not by the buffer protocol."""

from __future__ import annotations

import enum
import sys
import weakref

import numpy as np
import pyarrow as pa
import pytest
from exporters import (
    LAYOUTS,
    PATIENCE,
    blocking_exchange,
    exchange,
    filled,
    noise,
    noise_array,
    view,
)
from producers import Handmade, LegacyStreamTensor, LegacyTensor, Tensor
from support import BIG, cancelled, waiting

import pinwire

ASYNC = pytest.mark.parametrize(
    ("run", "transport"),
    [("asyncio", "tcp"), ("uvloop", "unix"), ("asyncio", "socketpair")],
    indirect=True,
)
ASYNCIO_SOCKETPAIR = pytest.mark.parametrize(
    ("run", "transport"), [("asyncio", "socketpair")], indirect=True
)
SOCKETPAIR = pytest.mark.parametrize("transport", ["socketpair"], indirect=True)
CALLS = pytest.mark.parametrize("call", ["send_buffer", "recv_into", "recv_exactly_into"])
PEP_688 = pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
RECEIVES = pytest.mark.parametrize("call", ["recv_into", "recv_exactly_into"])


@ASYNC
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("class_", [Tensor, LegacyTensor, LegacyStreamTensor])
def test_send_buffer_when_tensor_then_bytes_come_in_c_order(run, pair, class_, layout):
    _, sent = view(layout, "f8", seed=1)
    got = bytearray(sent.nbytes)

    async def main():
        async with pair() as streams:
            await exchange(streams, class_(sent), got)

    run(main())
    assert got == sent.tobytes()


@ASYNC
@pytest.mark.parametrize("layout", LAYOUTS)
def test_recv_exactly_into_when_tensor_then_only_it_changes(run, pair, layout):
    base, target = view(layout, "f8", seed=2)
    sent = noise(target.nbytes, seed=3)
    expected = filled(base, layout, sent)

    async def main():
        async with pair() as streams:
            await exchange(streams, sent, Tensor(target))

    run(main())
    assert base.tobytes() == expected


@SOCKETPAIR
@pytest.mark.parametrize("code", [*"?bBhHiIlLqQefdFD"])
def test_blocking_exchange_when_any_dtype_of_tensor_then_its_bytes_travel(blocking_pair, code):
    source, target = (noise_array((9, 8), code, seed)[::2] for seed in (4, 5))
    blocking_exchange(blocking_pair, Tensor(source), Tensor(target))
    assert target.tobytes() == source.tobytes()


@SOCKETPAIR
def test_send_buffer_when_tensor_knows_versions_then_1_0_is_asked_once(blocking_pair):
    tensor = Tensor(np.arange(3))
    blocking_exchange(blocking_pair, tensor, bytearray(24))
    assert tensor.exports == [(1, 0)]


@SOCKETPAIR
@pytest.mark.parametrize("type_", [pa.int8(), pa.uint16(), pa.int64(), pa.float16(), pa.float64()])
def test_send_buffer_when_arrow_array_then_its_values_are_sent(blocking_pair, type_):
    array = pa.array(np.arange(100), pa.int64()).cast(type_, safe=False)[10:90]
    expected = array.to_numpy().tobytes()
    got = bytearray(len(expected))
    blocking_exchange(blocking_pair, array, got)
    assert got == expected


@SOCKETPAIR
def test_send_buffers_when_tensors_are_among_the_parts_then_all_travel(blocking_pair):
    client, server = blocking_pair
    arrays = [noise_array((30, 40), "f4").T, noise_array((9,), "u1"), noise_array((5, 5), "i2")]
    targets = [np.zeros_like(array, order="C") for array in arrays]
    client.send_buffers([Tensor(arrays[0]), arrays[1], Tensor(arrays[2])], timeout=PATIENCE)
    server.recv_buffers_into([targets[0], Tensor(targets[1]), Tensor(targets[2])], timeout=PATIENCE)
    assert [t.tobytes() for t in targets] == [a.tobytes() for a in arrays]


@SOCKETPAIR
@CALLS
@pytest.mark.parametrize(
    "device", [(2, 0), (enum.IntEnum("Device", {"CUDA": 2}).CUDA, 1), (8, 0)], ids=str
)
def test_transfer_when_tensor_is_on_a_device_then_buffer_error_names_cpu(
    blocking_pair, call, device
):
    tensor = Tensor(np.arange(3), device)
    with pytest.raises(BufferError, match=r"\.cpu\(\)"):
        getattr(blocking_pair[0], call)(tensor, timeout=0)
    assert tensor.exports == []  # which may have synchronized the device
    assert not any(blocking_pair[0].stats())


@SOCKETPAIR
@RECEIVES
@pytest.mark.parametrize(
    "make",
    [
        lambda: Tensor(np.frombuffer(b"abcdefgh")),
        lambda: LegacyTensor(np.arange(3)),
        lambda: pa.array([1, 2, 3]),
        lambda: Handmade(bytearray(8), flags=1),
        lambda: Handmade(bytearray(8), flags=2),
    ],
    ids=["read-only", "legacy", "arrow", "flag-read-only", "flag-is-copied"],
)
def test_recv_when_tensor_may_not_be_written_then_buffer_error(blocking_pair, call, make):
    with pytest.raises(BufferError):
        getattr(blocking_pair[0], call)(make(), timeout=0)
    assert not any(blocking_pair[0].stats())


@SOCKETPAIR
def test_send_buffer_when_tensor_is_read_only_then_sent(blocking_pair):
    got = bytearray(8)
    blocking_exchange(blocking_pair, Tensor(np.frombuffer(b"abcdefgh")), got)
    assert got == b"abcdefgh"


@SOCKETPAIR
@pytest.mark.parametrize(
    "told",
    [
        {},
        {"strides": (1,)},
        {"ndim": 3, "shape": (2, 2, 3)},
        {"ndim": 0, "shape": None, "bits": 96},
        {"bits": 32, "lanes": 3, "shape": (1,)},
        {"code": 4, "bits": 16, "shape": (6,)},
        {"device_type": 3},
        {"minor": 99},
    ],
    ids=[
        "bytes",
        "strides",
        "3d-no-strides",
        "0d",
        "lanes",
        "bfloat16",
        "cuda-host",
        "newer-minor",
    ],
)
def test_exchange_when_tensor_is_unusual_then_deleted_once_after_it(blocking_pair, told):
    source, target = (Handmade(bytearray(b), **told) for b in (b"0123456789ab", bytes(12)))
    blocking_exchange(blocking_pair, source, target)
    assert bytes(target.memory) == b"0123456789ab"
    assert (source.deleted, target.deleted) == (1, 1)


@SOCKETPAIR
def test_exchange_when_tensor_has_an_offset_and_no_deleter_then_its_bytes_travel(blocking_pair):
    told = {"byte_offset": 5, "shape": (4,), "deleter": None}
    source, target = (Handmade(bytearray(b), **told) for b in (b"0123456789ab", b"." * 12))
    blocking_exchange(blocking_pair, source, target)
    assert bytes(target.memory) == b".....5678..."


@SOCKETPAIR
@CALLS
@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"major": 2}, BufferError),
        ({"device_type": 2}, BufferError),
        ({"code": 3}, TypeError),
        ({"bits": 4}, BufferError),
        ({"bits": 1, "lanes": 9}, BufferError),
        ({"ndim": -1}, BufferError),
        ({"shape": None}, BufferError),
        ({"shape": (-1,)}, BufferError),
        ({"ndim": 2, "shape": (-3, -4)}, BufferError),
        ({"ndim": 2, "shape": (2**62, 2**62)}, BufferError),
        ({"data": None}, BufferError),
    ],
    ids=str,
)
def test_transfer_when_tensor_is_impossible_then_refused_and_deleted_once(
    blocking_pair, call, told, error
):
    tensor = Handmade(bytearray(12), **told)
    with pytest.raises(error):
        getattr(blocking_pair[0], call)(tensor, timeout=0)
    assert tensor.deleted == 1
    assert not any(blocking_pair[0].stats())


@SOCKETPAIR
@CALLS
@pytest.mark.parametrize("answer", [None, 5, "used"])
def test_transfer_when_dlpack_gives_no_fresh_capsule_then_buffer_error(blocking_pair, call, answer):
    class Stale(Tensor):
        def __dlpack__(self, **options):
            return capsule

    capsule = answer
    if answer == "used":
        capsule = np.arange(3).__dlpack__(max_version=(1, 0))
        blocking_pair[0].send_buffer(Stale(None))
    with pytest.raises(BufferError, match="capsule"):
        getattr(blocking_pair[0], call)(Stale(None), timeout=0)


@SOCKETPAIR
@CALLS
@pytest.mark.parametrize("values", [["a"], [True], [1, None]], ids=str)
def test_transfer_when_arrow_cannot_lend_then_its_own_type_error(blocking_pair, call, values):
    with pytest.raises(TypeError, match=r"(?i)dlpack"):
        getattr(blocking_pair[0], call)(pa.array(values), timeout=0)


@ASYNCIO_SOCKETPAIR
@CALLS
@pytest.mark.parametrize("end", ["cancel", "close", "timeout", "drop"])
def test_pin_when_transfer_ends_then_the_tensor_was_deleted_once(run, pair, call, end):
    tensor = Handmade(bytearray(BIG))

    async def main():
        async with pair() as (client, _):
            transfer = getattr(client, call)(tensor, timeout=0.01 if end == "timeout" else None)
            assert tensor.deleted == 0
            if end == "drop":
                with pytest.warns(RuntimeWarning, match="never awaited"):
                    del transfer
                return
            task = await waiting(client, transfer)
            if end == "cancel":
                await cancelled(task)
                return
            if end == "close":
                await client.close()
            with pytest.raises((pinwire.ClosedError, pinwire.TransferTimeoutError)):
                await task

    run(main())
    assert tensor.deleted == 1


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("class_", [Tensor, LegacyTensor])
def test_pin_when_nobody_else_holds_the_memory_then_it_lives_until_the_end(run, pair, class_):
    async def main():
        async with pair() as (client, server):
            array = np.zeros(BIG, "u1")
            alive = weakref.ref(array)
            task = await waiting(client, client.send_buffer(class_(array[::-1])))
            del array
            assert alive() is not None
            await server.recv_exactly_into(bytearray(BIG))
            await task
            assert alive() is None

    run(main())


class Both(Tensor):
    """As a jax.Array: it has the buffer protocol, which knows no bfloat16 and no GPU."""

    def __buffer__(self, flags):
        raise BufferError("not supported by the Python buffer protocol")


@PEP_688
@SOCKETPAIR
def test_exchange_when_tensor_refuses_its_buffer_then_dlpack_is_asked(blocking_pair):
    source, target = noise_array((9, 8), "f8", 4), noise_array((9, 8), "f8", 5)
    blocking_exchange(blocking_pair, Both(source), Both(target))
    assert target.tobytes() == source.tobytes()


@PEP_688
@SOCKETPAIR
@CALLS
def test_transfer_when_device_tensor_refuses_its_buffer_then_error_names_cpu(blocking_pair, call):
    with pytest.raises(BufferError, match=r"\.cpu\(\)"):
        getattr(blocking_pair[0], call)(Both(np.arange(3), (2, 0)), timeout=0)
