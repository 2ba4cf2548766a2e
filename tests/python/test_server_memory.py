"""What a server receives has a budget: promises, silence and floods leave the others served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import numpy as np
import pytest
from hostile import header, hello, part, prefix, rest
from serving import echo_of, serve
from support import Call, until

import pinwire

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _reports(monkeypatch):
    """Handlers whose peers are ended raise, in threads of their own."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)


def promise(nbytes):
    """A hello, and the header of a message of so many bytes."""
    return hello() + header(part("|u1", [nbytes], 1), payload=nbytes)


async def is_served(serving, nbytes=MIB):
    """One honest peer sends something and gets it back."""
    async with asyncio.timeout(20), await serving.connect() as channel:
        sent = np.arange(nbytes // 8)
        sending = asyncio.ensure_future(channel.send(sent))
        got = await channel.recv()
        await sending
        assert np.array_equal(got.parts[0], sent)


@contextlib.asynccontextmanager
async def peers(serving, count, said):
    """Plain sockets that have said something, and say no more."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(serving.raw()) for _ in range(count)]
        for sock in socks:
            stack.callback(Call(_say, sock, said).result)
        try:
            yield socks
        finally:
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


def _say(sock, said):
    with contextlib.suppress(OSError):  # it may be ended before it has said all
        sock.sendall(said)


def test_budget_when_many_promise_then_they_hold_little_and_others_are_served(face):
    async def main():
        budget = pinwire.MemoryBudget(16 * MIB)
        async with (
            serve(face, echo_of(face), memory_budget=budget) as serving,
            peers(serving, 40, promise(14 * MIB)),
        ):
            await until(lambda: serving.server.stats().channels == 40)
            await is_served(serving)
            await is_served(serving, 4 * MIB)
            assert serving.server.stats().memory.reserved <= 2 * budget.nbytes

    face.run(main())


def test_budget_when_peers_fill_it_and_fall_silent_then_they_are_ended_for_others(face):
    async def main():
        said = promise(8 * MIB) + bytes(2 * MIB)
        async with serve(face, echo_of(face), memory_budget=8 * MIB) as serving:
            async with peers(serving, 6, said) as socks:
                for _ in range(3):
                    await is_served(serving, 2 * MIB)
                stats = serving.server.stats().memory
                assert stats.ended > 0
                assert stats.waits > 0
                assert stats.reserved <= 16 * MIB
                ended = [asyncio.to_thread(rest, sock) for sock in socks]
                _, pending = await asyncio.wait(
                    [asyncio.ensure_future(end) for end in ended],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                assert len(pending) < len(socks)
                await serving.close()
                await asyncio.gather(*pending)
            assert serving.server.stats().memory.reserved == 0

    face.run(main())


def test_budget_when_honest_peers_want_more_then_all_are_served_in_turn(face):
    async def main():
        async with serve(face, echo_of(face), memory_budget=4 * MIB) as serving:
            await asyncio.gather(*(is_served(serving, 3 * MIB) for _ in range(8)))
            await until(lambda: serving.server.stats().memory.reserved == 0)

    face.run(main())


def test_budget_when_a_message_is_larger_then_its_sender_is_told(face):
    async def main():
        async with (
            serve(face, echo_of(face), memory_budget=MIB) as serving,
            await serving.connect() as channel,
        ):
            await channel.handshake()
            with pytest.raises(pinwire.MessageRefusedError, match=str(MIB)):
                await channel.send(bytes(MIB + 1))

    face.run(main())


def test_budget_when_headers_are_promised_then_they_hold_little(face):
    async def main():
        # 4 MiB of descriptions, of which a quarter comes.
        said = hello() + prefix(60_000, 4 * MIB, 0, 60_000) + part("|u1", [1], 1) * 60_000
        async with (
            serve(face, echo_of(face), memory_budget=48 * MIB) as serving,
            peers(serving, 20, said),
        ):
            await until(lambda: serving.server.stats().memory.reserved)
            await is_served(serving)
            assert serving.server.stats().memory.reserved <= 96 * MIB

    face.run(main())


def test_budget_when_a_message_is_given_out_or_skipped_then_it_is_free_again(channels):
    async def main():
        budget = pinwire.MemoryBudget(8 * MIB)
        async with channels.pair(memory_budget=budget) as (left, right):
            for call in ("recv", "skip"):
                sending = asyncio.ensure_future(left.send(np.ones(MIB)))
                if call == "recv":
                    kept = await right.recv()
                    assert kept.nbytes == 8 * MIB
                else:
                    await (await right.recv_header()).skip()
                await sending
                assert budget.stats().reserved == 0

    channels.run(main())


def test_budget_when_a_receive_is_interrupted_then_the_next_goes_on(channels):
    async def main():
        budget = pinwire.MemoryBudget(2 * MIB)
        async with channels.pair(memory_budget=budget, same_host="off") as (left, right):
            sent = np.arange(2 * MIB // 8)
            sending = asyncio.ensure_future(left.send(sent))
            got, attempts = None, 0
            while got is None:
                attempts += 1
                with contextlib.suppress(pinwire.TransferTimeoutError):
                    got = await right.recv(timeout=0)
                assert budget.stats().reserved <= 2 * MIB
                await asyncio.sleep(0)
            await sending
            assert attempts > 1
            assert np.array_equal(got.parts[0], sent)
            assert budget.stats().reserved == 0

    channels.run(main())


def test_budget_when_it_is_no_number_of_bytes_then_it_is_refused():
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="a budget must be positive"):
            pinwire.MemoryBudget(wrong)
    with pytest.raises(TypeError):
        pinwire.MemoryBudget("1 GiB")
    left, right = pinwire.blocking.socketpair()
    with left, right, pytest.raises(TypeError, match="memory_budget must be a"):
        pinwire.blocking.Channel(left, memory_budget=5)


def test_budget_when_shown_then_it_says_how_it_stands():
    budget = pinwire.MemoryBudget(10)
    assert repr(budget) == "<pinwire.MemoryBudget 0 of 10 bytes reserved>"
    assert budget.stats() == pinwire.BudgetStats(nbytes=10, reserved=0, waits=0, ended=0)


def test_message_when_it_has_many_parts_then_the_loop_has_its_turn_meanwhile(aio):
    async def main():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with aio.pair() as (client, server):
            sending = asyncio.ensure_future(client.send([b""] * 60_000))
            header = await server.recv_header()
            await sending
            counting = asyncio.ensure_future(count())
            before = turns
            got = await header.read()
            counting.cancel()
            assert len(got.parts) == 60_000
            assert turns - before >= 20

    aio.run(main())
