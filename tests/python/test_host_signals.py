"""Ctrl-C while a message is read from another process, or waits to be."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import numpy as np
from host_pairs import ENDLESS, LARGE, ROW, Hosted, endless
from numpy.lib.stride_tricks import as_strided
from support import Call, finish, pattern, sleeps, until

import pinwire.blocking

# Whoever is told to stop in the middle says how far it came, and goes on.
PRELUDE = """
import sys, numpy as np, pinwire.blocking
from numpy.lib.stride_tricks import as_strided

channel = pinwire.blocking.connect_channel(sys.argv[1], max_message_bytes=1 << 40)

def interrupted(call):
    try:
        call()
    except KeyboardInterrupt as error:
        return {"transferred": error.transferred, "nbytes": error.nbytes}
"""
RECEIVES = """
row = np.zeros(1 << 20, "u1")
meta = interrupted(lambda: channel.recv_into(as_strided(row, (1 << 16, 1 << 20), (0, 1))))
channel.send(b"stopped", meta=meta)
part = channel.recv().parts[0]
channel.send(part)
channel.close()
"""
SENDS = """
memory = bytearray(1 << 20)
while channel.stats().same_host != "in use":
    channel.send(memory)
channel.send(b"now")
meta = interrupted(lambda: channel.send(memory))
memory.append(0)
print("stopped", flush=True)
channel.send(b"stopped", meta=meta)
channel.send(b"\\1" * (1 << 20))
channel.close()
"""


def test_sigint_when_a_blocking_receive_reads_then_it_raises_and_the_channel_goes_on():
    host = Hosted("asyncio", "unix")

    async def main():
        channel, process = await host.to_program(PRELUDE + RECEIVES)
        try:
            async with channel:
                send = channel.send(endless())
                sending = asyncio.ensure_future(send)
                await until(lambda: send.transferred > 0)
                process.send_signal(signal.SIGINT)
                told = (await channel.recv()).meta
                assert 0 < told["transferred"] < told["nbytes"] == endless().nbytes
                # Its next receive drops the rest.
                assert await sending == endless().nbytes
                await channel.send(pattern(LARGE))
                assert (await channel.recv()).parts[0].tobytes() == pattern(LARGE)
        finally:
            assert await asyncio.to_thread(finish, process) == (0, "", "")

    host.run(main())


def test_sigint_when_a_blocking_send_waits_for_the_peer_then_it_is_withdrawn():
    host = Hosted("asyncio", "unix")

    async def main():
        channel, process = await host.to_program(PRELUDE + SENDS)
        try:
            async with channel:
                while (message := await channel.recv()).parts[0].tobytes() != b"now":
                    pass
                assert (await channel.recv_header()).nbytes == LARGE
                await until(lambda: sleeps(process.pid))
                process.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(process.stdout.readline) == "stopped\n"
                message = await channel.recv()
                assert message.parts[0].tobytes() == b"stopped"
                assert message.meta == {"transferred": 0, "nbytes": LARGE}
                assert (await channel.recv()).parts[0].tobytes() == b"\1" * LARGE
        finally:
            assert await asyncio.to_thread(finish, process) == (0, "", "")

    host.run(main())


def test_handler_when_it_returns_then_the_read_goes_on_to_its_end():
    seen = []
    shape = (ENDLESS[0] // 64, ROW)
    left, right = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
    room = np.zeros(ROW, "u1")
    reading = threading.Event()

    def send():
        try:
            return left.send(np.broadcast_to(np.arange(ROW, dtype="u8").astype("u1"), shape))
        finally:
            reading.set()

    def interrupt():
        while not reading.is_set():
            if room[1]:  # it is under way
                os.kill(os.getpid(), signal.SIGUSR1)
            reading.wait(0.001)

    old = signal.signal(signal.SIGUSR1, lambda *_: seen.append(room[1]))
    try:
        with left, right:
            calls = [Call(send), Call(interrupt)]
            message = right.recv_into(as_strided(room, shape, (0, 1)))
            assert message.nbytes == calls[0].result()
            calls[1].result()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert seen
    assert room.tobytes() == bytes(range(256)) * (ROW // 256)
