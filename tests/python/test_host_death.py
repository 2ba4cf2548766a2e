"""A process that is killed in the middle: its peer is told, and nothing hangs."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios

import pytest
from host_pairs import LARGE, Hosted, endless, endless_room
from hostile import floats
from support import finish, pattern, until

import pinwire

PRELUDE = """
import sys, threading, numpy as np, pinwire, pinwire.blocking
from numpy.lib.stride_tricks import as_strided

channel = pinwire.blocking.connect_channel(sys.argv[1], max_message_bytes=1 << 40)
row = np.arange(1 << 20).astype("u1")
"""
HEARS_OF_IT = "channel.recv_header(); channel.send(b'seen'); threading.Event().wait()"
READS = "channel.recv_into(as_strided(row, (1 << 16, 1 << 20), (0, 1)))"
OFFERS = "channel.send(np.broadcast_to(row, (1 << 16, 1 << 20)))"


async def killed(process):
    process.kill()
    await asyncio.to_thread(finish, process)


def test_send_when_the_receiver_is_killed_before_it_reads_then_it_is_reset(host):
    async def main():
        channel, process = await host.to_program(PRELUDE + HEARS_OF_IT)
        async with channel:
            memory = bytearray(LARGE)
            sending = asyncio.ensure_future(channel.send(memory))
            assert (await channel.recv()).parts[0].tobytes() == b"seen"
            await until(lambda: channel.stats().same_host == "in use")
            await killed(process)
            with pytest.raises(ConnectionResetError):
                await sending
            memory.append(0)

    host.run(main())


def test_send_when_the_receiver_is_killed_while_it_reads_then_it_is_reset(aio_host):
    async def main():
        channel, process = await aio_host.to_program(PRELUDE + READS)
        async with channel:
            send = channel.send(endless())
            sending = asyncio.ensure_future(send)
            await until(lambda: send.transferred > 0)
            await killed(process)
            with pytest.raises(ConnectionResetError) as caught:
                await sending
            assert 0 < caught.value.transferred < caught.value.nbytes == endless().nbytes

    aio_host.run(main())


def test_receive_when_the_sender_is_killed_while_it_is_read_then_incomplete_error(aio_host):
    async def main():
        channel, process = await aio_host.to_program(PRELUDE + OFFERS)
        async with channel:
            receive = channel.recv_into(endless_room())
            receiving = asyncio.ensure_future(receive)
            await until(lambda: receive.transferred > 0)
            await killed(process)
            with pytest.raises(pinwire.IncompleteTransferError, match="middle"):
                await receiving
            for _ in range(2):
                with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
                    await channel.recv()

    aio_host.run(main())


def unread(sock):
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_message_when_one_before_it_is_lost_then_it_is_not_delivered(aio_host):
    code = f"""
threading.Thread(target=channel.send, args=(np.zeros(1 << 22, "u1"),), daemon=True).start()
channel.recv()
import os
os.write(channel.stream.fileno(), bytes.fromhex("{floats(5).hex()}"))
threading.Event().wait()
"""

    async def main():
        channel, process = await aio_host.to_program(PRELUDE + code)
        async with channel:
            header = await channel.recv_header()
            await channel.send(b"seen")
            await until(lambda: unread(channel.stream.fileno()) > 0)
            await killed(process)
            with pytest.raises(pinwire.IncompleteTransferError, match="middle"):
                await header.read()
            for receive in (channel.recv, channel.recv_header, header.read, header.skip):
                with pytest.raises(pinwire.IncompleteTransferError, match="middle"):
                    await receive()

    aio_host.run(main())


def test_blocking_receive_when_the_sender_is_killed_then_incomplete_error():
    host = Hosted("blocking", "unix")

    async def main():
        channel, process = await host.to_program(PRELUDE + OFFERS)
        async with channel:
            room = endless_room()
            row = room[0]
            row[:] = 99
            receiving = asyncio.ensure_future(channel.recv_into(room))
            await until(lambda: row[0] != 99)
            await killed(process)
            with pytest.raises(pinwire.IncompleteTransferError):
                await receiving

    host.run(main())


def test_header_when_its_sender_was_killed_then_reading_tells(host):
    async def main():
        channel, process = await host.to_program(PRELUDE + OFFERS)
        async with channel:
            header = await channel.recv_header()
            assert header.nbytes == endless().nbytes
            await killed(process)
            for _ in range(2):
                with pytest.raises(pinwire.IncompleteTransferError):
                    await header.read_into(endless_room())

    host.run(main())


def test_message_when_its_sender_dies_after_it_was_received_then_it_is_whole(host):
    code = """
channel.send(np.frombuffer(bytes(range(251)) * 8000, "u1"))
channel.send(b"after")
threading.Event().wait()
"""

    async def main():
        channel, process = await host.to_program(PRELUDE + code)
        async with channel:
            message = await channel.recv()
            await killed(process)
            assert message.parts[0].tobytes() == pattern(251 * 8000)

    host.run(main())
