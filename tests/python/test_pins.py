"""Memory is pinned from the call to the transfer's end, whatever that is, and not longer."""

from __future__ import annotations

import array
import asyncio
import gc
import inspect
import mmap
import sys
import warnings
import weakref
from unittest.mock import ANY

import numpy as np
import pytest
from exporters import PATIENCE, exchange
from producers import Counting, Raw
from support import BIG, cancelled, sleeping, waiting

import pinwire

ASYNC = pytest.mark.parametrize(
    ("run", "transport"),
    [("asyncio", "tcp"), ("uvloop", "unix"), ("asyncio", "socketpair"), ("uvloop", "tcp")],
    indirect=True,
)
ASYNCIO_SOCKETPAIR = pytest.mark.parametrize(
    ("run", "transport"), [("asyncio", "socketpair")], indirect=True
)
PEP_688 = pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
CALLS = pytest.mark.parametrize("call", ["send_buffer", "recv_into", "recv_exactly_into"])
EXPORTERS = pytest.mark.parametrize(
    "make",
    [
        bytearray,
        pytest.param(lambda size: Raw(bytearray(size)), id="raw"),
        pytest.param(lambda size: Counting(bytearray(size)), id="pep-688", marks=PEP_688),
    ],
)


def pinned(exporter):
    """Whether its memory is in use. One that counts was asked once, and is told of it once."""
    if not isinstance(exporter, bytearray):
        assert exporter.gets == 1
        return {0: True, 1: False}[exporter.releases]
    try:
        exporter.append(0)
    except BufferError:
        return True
    del exporter[-1]
    return False


async def ended(transfer, exporter):
    """How a transfer ends, and whether its memory is still pinned for the one who awaits it."""
    try:
        await transfer
    except BaseException as error:
        return type(error), pinned(exporter)
    return None, pinned(exporter)


def blocking_end(method, exporter, **options):
    try:
        method(exporter, **options)
    except Exception as error:
        return type(error), pinned(exporter)
    return None, pinned(exporter)


def complete(task, client, server, call):
    if call == "send_buffer":
        return server.recv_exactly_into(bytearray(BIG), timeout=PATIENCE)
    return server.send_buffer(bytes(100 if call == "recv_into" else BIG), timeout=PATIENCE)


# What ends a transfer, and the exception that it then ends with.
ENDS = {
    "complete": (complete, None),
    "close": (lambda task, client, server, call: client.close(), pinwire.ClosedError),
    "abort": (lambda task, client, server, call: client.abort(), pinwire.ClosedError),
    "peer-abort": (lambda task, client, server, call: server.abort(), ANY),
}
CANCEL = {"cancel": (lambda task, client, server, call: task.cancel(), asyncio.CancelledError)}


@ASYNC
@CALLS
@EXPORTERS
@pytest.mark.parametrize("name", ENDS | CANCEL)
def test_pin_when_transfer_ends_then_gone_as_the_await_does(run, pair, call, make, name):
    exporter = make(BIG)
    end, error = (ENDS | CANCEL)[name]

    async def main():
        async with pair() as (client, server):
            task = await waiting(client, ended(getattr(client, call)(exporter), exporter))
            assert pinned(exporter)
            result = end(task, client, server, call)
            if inspect.isawaitable(result):
                await result
            assert await task == (error, False)

    run(main())


@EXPORTERS
@CALLS
@pytest.mark.parametrize("name", ENDS)
def test_blocking_pin_when_transfer_ends_then_gone_as_the_call_returns(
    blocking_pair, call, make, name
):
    client, server = blocking_pair
    exporter = make(BIG)
    end, error = ENDS[name]
    in_flight = sleeping(blocking_end, getattr(client, call), exporter, timeout=PATIENCE)
    assert pinned(exporter)
    end(None, client, server, call)
    assert in_flight.result() == (error, False)


@ASYNC
@CALLS
@EXPORTERS
def test_pin_when_timed_out_then_gone_as_the_await_ends(run, pair, call, make):
    exporter = make(BIG)

    async def main():
        async with pair() as (client, _):
            transfer = getattr(client, call)(exporter, timeout=0.01)
            assert pinned(exporter)
            assert await ended(transfer, exporter) == (pinwire.TransferTimeoutError, False)

    run(main())


@EXPORTERS
@CALLS
def test_blocking_pin_when_timed_out_then_gone_as_the_call_returns(blocking_pair, call, make):
    exporter = make(BIG)
    end = blocking_end(getattr(blocking_pair[0], call), exporter, timeout=0.01)
    assert end == (pinwire.TransferTimeoutError, False)


@ASYNCIO_SOCKETPAIR
@CALLS
@EXPORTERS
@pytest.mark.parametrize("end", ["closed", "dropped"])
def test_pin_when_never_awaited_then_gone_with_the_transfer(run, pair, call, make, end):
    exporter = make(10)

    async def main():
        async with pair() as (client, _):
            transfer = getattr(client, call)(exporter)
            assert pinned(exporter)
            if end == "closed":
                transfer.close()
                assert transfer.done()
            else:
                with pytest.warns(RuntimeWarning, match=f"{call} was never awaited"):
                    del transfer
            assert not pinned(exporter)

    run(main())


@ASYNCIO_SOCKETPAIR
@CALLS
@EXPORTERS
def test_pin_when_the_direction_is_busy_then_gone_and_the_first_stays(run, pair, call, make):
    first, second = make(BIG), make(BIG)

    async def main():
        async with pair() as (client, _):
            task = await waiting(client, ended(getattr(client, call)(first), first))
            transfer = getattr(client, call)(second)
            assert pinned(second)
            assert await ended(transfer, second) == (pinwire.BusyError, False)
            assert pinned(first)
            task.cancel()
            await task

    run(main())


@ASYNCIO_SOCKETPAIR
@CALLS
@EXPORTERS
def test_pin_when_the_stream_is_closed_then_gone_as_the_await_ends(run, pair, call, make):
    exporter = make(10)

    async def main():
        async with pair() as (client, _):
            await client.close()
            transfer = getattr(client, call)(exporter)
            assert await ended(transfer, exporter) == (pinwire.ClosedError, False)

    run(main())


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("call", ["send_buffer", "recv_exactly_into"])
@pytest.mark.parametrize(
    ("make", "let_go"),
    [
        (lambda: array.array("d", bytes(BIG)), lambda exporter: exporter.append(1)),
        (lambda: mmap.mmap(-1, BIG), mmap.mmap.close),
        (lambda: memoryview(bytearray(BIG)), memoryview.release),
    ],
    ids=["array", "mmap", "memoryview"],
)
def test_pin_when_in_flight_then_the_owner_cannot_let_go(run, pair, make, let_go, call):
    exporter = make()

    async def main():
        async with pair() as (client, _):
            task = await waiting(client, getattr(client, call)(exporter))
            with pytest.raises(BufferError):
                let_go(exporter)
            await cancelled(task)
            let_go(exporter)

    run(main())


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("call", ["send_buffer", "recv_exactly_into"])
def test_pin_when_nobody_else_holds_the_array_then_it_lives_until_the_end(run, pair, call):
    async def main():
        async with pair() as (client, server):
            array = np.zeros(BIG, "u1")
            alive = weakref.ref(array)
            transfer = getattr(client, call)(array[::-1])
            del array
            task = await waiting(client, transfer)
            assert alive() is not None
            await complete(task, client, server, call)
            await task
            assert alive() is None
            assert transfer.done()

    run(main())


@ASYNCIO_SOCKETPAIR
@pytest.mark.parametrize("call", ["send_buffers", "recv_buffers_into"])
@EXPORTERS
def test_pin_when_there_are_many_parts_then_all_stay_until_the_last_is_done(run, pair, call, make):
    parts = [make(100), make(0), make(BIG)]

    async def main():
        async with pair() as (client, server):
            task = await waiting(client, getattr(client, call)(parts))
            if call == "send_buffers":
                await server.recv_exactly_into(bytearray(200))
            else:
                await server.send_buffer(bytes(200))
            assert [pinned(part) for part in parts] == [True] * 3
            await cancelled(task)
            assert [pinned(part) for part in parts] == [False] * 3

    run(main())


@ASYNCIO_SOCKETPAIR
def test_pin_when_two_streams_share_the_buffer_then_the_last_end_frees_it(run, pair):
    exporter = bytearray(BIG)

    async def main():
        async with pair() as one, pair() as other:
            task = await waiting(other[0], other[0].send_buffer(exporter))
            await exchange(one, exporter, bytearray(BIG))
            assert pinned(exporter)
            await other[1].recv_exactly_into(bytearray(BIG))
            await task
            assert not pinned(exporter)

    run(main())


@ASYNCIO_SOCKETPAIR
def test_pin_when_exporter_holds_its_transfer_then_the_cycle_is_collected(run, pair):
    class Owner(bytearray):
        pass

    async def main():
        async with pair() as (client, _):
            owner = Owner(b"abc")
            owner.transfer = client.send_buffer(owner)
            alive = weakref.ref(owner)
            del owner
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # it was never awaited
                gc.collect()
            assert alive() is None

    run(main())
