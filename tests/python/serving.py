"""Servers of channels on every face, as coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from channels import SAME_HOST, Threaded, address
from support import PATIENCE

import pinwire
import pinwire.blocking


async def echo(channel):
    async for message in channel:
        await channel.send(message.parts, meta=message.meta)


def echo_blocking(channel):
    for message in channel:
        channel.send(message.parts, meta=message.meta)


class Serving:
    """A server of a face."""

    def __init__(self, face, server):
        self.face, self.server = face, server
        self.address = server.address

    async def connect(self, **options):
        options = {"same_host": SAME_HOST} | options
        if self.face.is_blocking:
            connect = pinwire.blocking.connect_channel
            return Threaded(await asyncio.to_thread(connect, self.address, **options))
        return await pinwire.connect_channel(self.address, **options)

    async def close(self):
        if self.face.is_blocking:
            await asyncio.to_thread(self.server.close)
        else:
            await self.server.close()

    def unconnected(self):
        """A plain socket, and the address that it connects to."""
        _, _, name = self.address.partition(":")
        if self.address.startswith("unix:"):
            family, where = socket.AF_UNIX, name.replace("@", "\0")
        else:
            host, _, port = name.removeprefix("//").rpartition(":")
            family, where = socket.AF_INET, (host, int(port))
        sock = socket.socket(family)
        sock.settimeout(PATIENCE)
        return sock, where

    def raw(self):
        """A plain socket that is connected."""
        sock, where = self.unconnected()
        sock.connect(where)
        return sock


@contextlib.asynccontextmanager
async def serve(face, handler, **options):
    where = address(face.transport)
    options = {"same_host": SAME_HOST} | options
    if face.is_blocking:
        server = pinwire.blocking.serve_channels(handler, where, **options)
    else:
        server = await pinwire.serve_channels(handler, where, **options)
    serving = Serving(face, server)
    try:
        yield serving
    finally:
        await serving.close()


def echo_of(face):
    return echo_blocking if face.is_blocking else echo


def handlers(serving):
    return len(serving.server._threads if serving.face.is_blocking else serving.server._tasks)


def collect(reports):
    """Have what handlers raise on this loop among the reports, too."""
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reports.append(context["exception"])
    )
