"""Servers of channels on every face, with a client that is no liar, and what is left of others."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from hostile import LOOPS, descriptors
from support import PATIENCE, Call, wait_until

import pinwire
import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Served:
    """A server of channels that sends back what it gets, and a client that is no liar."""

    def __init__(self, face: str, **options: Any) -> None:
        self.errors: queue.Queue[BaseException] = queue.Queue()
        """What handlers were told, but for the ends of channels in good order."""
        self.refused: queue.Queue[pinwire.MessageRefusedError] = queue.Queue()
        """What they went on after."""
        self.handlers = 0
        """How many have been started."""
        self.announced: list[int] = []
        """Bytes of each message that has begun to come."""
        self.reports: list[Any] = []
        self._options = {"same_host": "off"} | options
        self._addresses: queue.Queue[str] = queue.Queue()
        self._stop: Callable[[], object]
        serve = self._serve_threads if face == "blocking" else self._serve_loop
        self._call = Call(serve, *(() if face == "blocking" else (LOOPS[face],)))
        self.address = self._addresses.get(timeout=PATIENCE)

    def stop(self) -> None:
        self._stop()
        self._call.result()

    def _serve_loop(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.reports.append(context))
            stopped = asyncio.Event()
            self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
            serving = pinwire.serve_channels(self._echo, "tcp://127.0.0.1:0", **self._options)
            async with serving as server:
                self._addresses.put(server.address)
                await stopped.wait()

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    def _serve_threads(self) -> None:
        stopped = threading.Event()
        self._stop = stopped.set
        serving = pinwire.blocking.serve_channels(
            self._echo_blocking, "tcp://127.0.0.1:0", **self._options
        )
        with serving as server:
            self._addresses.put(server.address)
            stopped.wait()

    async def _echo(self, channel: pinwire.Channel) -> None:
        self.handlers += 1
        try:
            while True:
                header = await channel.recv_header()
                self.announced.append(header.nbytes)
                try:
                    message = await header.read()
                except pinwire.MessageRefusedError as error:
                    self.refused.put(error)
                    await header.skip()
                else:
                    await channel.send(message.parts, meta=message.meta)
        except Exception as error:
            self._note(error)

    def _echo_blocking(self, channel: pinwire.blocking.Channel) -> None:
        self.handlers += 1
        try:
            while True:
                header = channel.recv_header()
                self.announced.append(header.nbytes)
                try:
                    message = header.read()
                except pinwire.MessageRefusedError as error:
                    self.refused.put(error)
                    header.skip()
                else:
                    channel.send(message.parts, meta=message.meta)
        except Exception as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        in_good_order = str(error).endswith("the peer has ended the channel")
        if not (type(error) is pinwire.IncompleteTransferError and in_good_order):
            self.errors.put(error)

    @contextlib.contextmanager
    def peer(self, *data: bytes) -> Iterator[socket.socket]:
        """A connection to it that has sent these bytes."""
        host, port = self.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as sock:
            sock.sendall(b"".join(data))
            yield sock

    def error(self) -> BaseException:
        return self.errors.get(timeout=PATIENCE)

    def refusal(self) -> pinwire.MessageRefusedError:
        return self.refused.get(timeout=PATIENCE)


class Friend:
    """A well-behaved client of a server."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = pinwire.blocking.connect_channel(address)

    def is_served(self, count: int = 8) -> bool:
        """Whether it gets back what it sends, on its old connection and, once more, a new one."""
        with pinwire.blocking.connect_channel(self._address) as channel:
            new = _comes_back(channel, count)
            channel.stream.send_eof()
            # The server's end of it is closed, too.
            return not list(channel) and new and _comes_back(self._channel, count)

    def close(self) -> None:
        self._channel.close()


def _comes_back(channel: pinwire.blocking.Channel, count: int) -> bool:
    array = np.arange(count, dtype="<f8")
    channel.send(array, meta={"n": count}, timeout=PATIENCE)
    message = channel.recv(timeout=PATIENCE)
    return message.meta == {"n": count} and np.array_equal(message.parts[0], array)


@contextlib.contextmanager
def served(face: str, **options: Any) -> Iterator[tuple[Served, Friend]]:
    """A server, a friend of it, and a look at what is left of those who come meanwhile."""
    server = Served(face, **options)
    friend = Friend(server.address)
    try:
        # Large, so that all that is made once has been made.
        assert friend.is_served(1 << 19)
        before = descriptors()
        yield server, friend
        assert friend.is_served()
        wait_until(lambda: descriptors() <= before)
        assert server.errors.empty() and server.refused.empty()
        assert not server.reports
    finally:
        friend.close()
        server.stop()
