"""The end of a channel, at either side, while an offer stands or is read: nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from pathlib import Path

import pytest
from host_pairs import LARGE, Hosted, endless, endless_room, warm_up
from support import until

import pinwire

GONE = (pinwire.IncompleteTransferError, ConnectionResetError)
"""What a receiver is told whose peer has closed or aborted the channel in the middle."""

HOW = pytest.mark.parametrize("how", ["close", "abort"])


async def end(channel, how):
    channel.abort() if how == "abort" else await channel.close()


def threads():
    """Threads but for the engine's, which stay."""
    count = 0
    for path in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            count += not (path / "comm").read_text().startswith("pinwire")
    return count


def held():
    """Descriptors of sockets and processes; the engine's threads have others, which stay."""
    links = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the directory itself
            links.append(str(path.readlink()))
    return sum("socket:" in link or "pidfd" in link for link in links)


async def leaves_nothing(host, scene):
    """Run it. All that it held is given back afterwards, and no thread has been added."""
    before = threads(), held()
    await scene()

    def is_gone():
        gc.collect()  # an exception knows the frames, and those the channels
        # The calls of the other face are in threads of the test's.
        return held() <= before[1] and (host.is_blocking or threads() <= before[0])

    await until(is_gone)


async def offered(client, data):
    """The task of a send that waits for what becomes of its offer."""
    before = client.stream.stats().bytes_sent
    sending = asyncio.ensure_future(client.send(data))
    await until(lambda: client.stream.stats().bytes_sent > before)
    return sending


async def begun(transfer):
    """Take it as far as it comes without waiting, as a task does."""
    while transfer.send(None) is None:  # noqa: ASYNC110 - which gives the loop its turns
        await asyncio.sleep(0)


@HOW
@pytest.mark.parametrize("seen", [False, True])
def test_send_when_the_receiver_ends_the_channel_then_it_is_reset(how, seen, host):
    async def scene():
        async with host.warm() as (client, server):
            memory = bytearray(LARGE)
            sending = await offered(client, memory)
            if seen:
                await server.recv_header()
            await end(server, how)
            with pytest.raises(ConnectionResetError):
                await sending
            memory.append(0)
            with pytest.raises(OSError):
                await client.send(bytes(LARGE))

    host.run(leaves_nothing(host, scene))


@HOW
@pytest.mark.parametrize("seen", [False, True])
def test_send_when_its_own_channel_is_ended_then_closed_error_and_the_receiver_is_told(
    how, seen, host
):
    async def scene():
        async with host.warm() as (client, server):
            memory = bytearray(LARGE)
            sending = await offered(client, memory)
            header = await server.recv_header() if seen else None
            await end(client, how)
            with pytest.raises(pinwire.ClosedError):
                await sending
            memory.append(0)
            if seen:
                with pytest.raises((*GONE, pinwire.MessageRefusedError)):
                    await header.read()
            with pytest.raises(GONE):
                await server.recv()

    host.run(leaves_nothing(host, scene))


@HOW
def test_receive_when_its_own_channel_is_ended_in_the_middle_then_closed_error(how, aio_host):
    async def scene():
        async with aio_host.warm() as (client, server):
            receive = server.recv_into(endless_room())
            receiving = asyncio.ensure_future(receive)
            sending = asyncio.ensure_future(client.send(endless()))
            await until(lambda: receive.transferred > 0)
            await end(server, how)
            with pytest.raises(pinwire.ClosedError) as caught:
                await receiving
            assert 0 < caught.value.transferred < caught.value.nbytes
            with pytest.raises(ConnectionResetError):
                await sending

    aio_host.run(leaves_nothing(aio_host, scene))


@HOW
def test_send_when_its_own_channel_is_ended_in_the_middle_then_memory_is_free(how, aio_host):
    async def scene():
        async with aio_host.warm() as (client, server):
            receive, send = server.recv_into(endless_room()), client.send(endless())
            receiving, sending = asyncio.ensure_future(receive), asyncio.ensure_future(send)
            await until(lambda: send.transferred > 0)
            await end(client, how)
            with pytest.raises(pinwire.ClosedError) as caught:
                await sending
            assert caught.value.nbytes == receive.nbytes
            assert send.done()
            await end(server, how)
            with pytest.raises((pinwire.ClosedError, *GONE)):
                await receiving

    aio_host.run(leaves_nothing(aio_host, scene))


def test_blocking_receive_when_its_channel_is_closed_in_the_middle_then_closed_error():
    host = Hosted("blocking", "unix")

    async def scene():
        async with host.warm() as (client, server):
            room = endless_room()
            room[0] = 99
            receiving = asyncio.ensure_future(server.recv_into(room))
            sending = asyncio.ensure_future(client.send(endless()))
            await until(lambda: room[0, 0] != 99)
            await server.close()
            with pytest.raises(pinwire.ClosedError):
                await receiving
            with pytest.raises(ConnectionResetError):
                await sending

    host.run(leaves_nothing(host, scene))


def test_progress_when_a_large_message_is_read_then_both_sides_see_it(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            send, receive = client.send(endless()), server.recv_into(endless_room())
            assert (send.transferred, send.nbytes) == (0, endless().nbytes)
            receiving, sending = asyncio.ensure_future(receive), asyncio.ensure_future(send)
            seen = []
            for _ in range(3):
                await until(lambda: send.transferred > max(seen, default=0))
                seen.append(send.transferred)
                assert send.transferred <= receive.transferred < receive.nbytes == send.nbytes
            server.abort()
            await asyncio.wait([receiving, sending])
            assert isinstance(receiving.exception(), pinwire.ClosedError)
            assert isinstance(sending.exception(), ConnectionResetError)

    aio_host.run(main())


def test_progress_when_all_is_read_then_both_sides_are_at_the_end(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            send, receive = client.send(bytes(LARGE)), server.recv()
            await asyncio.gather(send, receive)
            for transfer in (send, receive):
                assert (transfer.transferred, transfer.nbytes, transfer.done()) == (
                    LARGE,
                    LARGE,
                    True,
                )

    aio_host.run(main())


def test_transfer_when_dropped_while_its_offer_stands_then_it_is_withdrawn(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            memory = bytearray(LARGE)
            send = client.send(memory)
            await begun(send)
            with pytest.raises(BufferError):
                memory.append(0)
            del send
            memory[:] = b"\xee" * LARGE
            memory.append(0)
            client.post(b"next")
            assert (await server.recv()).parts[0].tobytes() == b"next"

    aio_host.run(main())


def test_transfer_when_dropped_while_it_is_read_then_nothing_is_pinned(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            out = endless_room()
            sending = await offered(client, endless())
            await server.recv_header()
            await begun(receive := server.recv_into(out))
            assert receive.transferred < receive.nbytes == out.nbytes
            del receive
            row = out[0]
            row[:] = 7
            server.abort()
            with pytest.raises(ConnectionResetError):
                await sending
            assert (row == 7).all()

    aio_host.run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_receiver_when_collected_while_an_offer_stands_then_the_send_is_reset(host):
    async def scene():
        first, second = await host.streams()
        client, server = host.over(first), host.over(second)
        await warm_up(client, server)
        memory = bytearray(LARGE)
        sending = await offered(client, memory)
        header = await server.recv_header()
        with warnings.catch_warnings(record=True, action="always"):
            del first, second, server, header
            gc.collect()
            with pytest.raises(ConnectionResetError):
                await sending
            del sending
        memory.append(0)
        await client.close()

    host.run(leaves_nothing(host, scene))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_sender_when_collected_in_a_cycle_with_its_offer_then_nothing_is_left(aio_host):
    async def scene():
        first, second = await aio_host.streams()
        client, server = aio_host.over(first), aio_host.over(second)
        await warm_up(client, server)
        memory = bytearray(LARGE)
        send = client.send(memory)
        await begun(send)
        client.itself, client.under_way = client, send
        with warnings.catch_warnings(record=True, action="always"):
            del first, second, client, send
            gc.collect()
        memory.append(0)
        with pytest.raises(GONE):
            await server.recv()
        await server.close()

    aio_host.run(leaves_nothing(aio_host, scene))


def test_channels_when_many_come_and_go_then_nothing_is_left(host):
    async def scene():
        for number in range(20):
            async with host.warm() as (client, server):
                sending = await offered(client, bytes(LARGE))
                if number % 2:
                    await server.recv()
                    await sending
                else:
                    server.abort()
                    with pytest.raises(ConnectionResetError):
                        await sending

    host.run(leaves_nothing(host, scene))


def test_channels_when_closed_and_still_known_then_they_hold_nothing(host):
    async def main():
        before = held()
        async with host.warm() as (client, server):
            assert held() > before
        await until(lambda: held() <= before)
        assert "closed" in repr(client)
        assert "closed" in repr(server)

    host.run(main())
