"""A peer that sends back what it gets, and says what of it went past the socket; or a program."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import numpy as np  # noqa: F401 - so that what is received are arrays
import uvloop

import pinwire
import pinwire.blocking


def told(channel):
    """What the meta of a message says of the channel that sends it back."""
    stats = channel.stats()
    return {
        "same_host": stats.same_host,
        "offered": stats.bytes_offered,
        "pulled": stats.bytes_pulled,
    }


async def echo(channel):
    while True:
        try:
            header = await channel.recv_header()
        except pinwire.IncompleteTransferError:
            return
        if header.kind == "object":
            await channel.send_object(await channel.recv_object())
        else:
            message = await header.read()
            await channel.send(message.parts, meta=told(channel) | message.meta)


def echo_blocking(channel):
    while True:
        try:
            header = channel.recv_header()
        except pinwire.IncompleteTransferError:
            return
        if header.kind == "object":
            channel.send_object(channel.recv_object())
        else:
            message = header.read()
            channel.send(message.parts, meta=told(channel) | message.meta)


async def serve(addresses):
    """Serve both faces by turns, until the input ends."""
    async with contextlib.AsyncExitStack() as stack:
        told = []
        for number, address in enumerate(addresses):
            if number % 2:
                serving = pinwire.blocking.serve_channels(echo_blocking, address, allow_pickle=True)
                server = stack.enter_context(serving)
            else:
                serving = pinwire.serve_channels(echo, address, allow_pickle=True)
                server = await stack.enter_async_context(serving)
            told.append(server.address)
        print(*told, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1:]))
