"""Somebody at the other end of network connections, who passes on what one end says to another.

He has sockets and nothing else: no unix socket, no process that he may read.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from hostile import header, part, prefix, take
from support import PATIENCE, finish, start_program

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1 << 20
"""Bytes of a message: enough that its sender offers it."""

PIECE = 1 << 16
"""Bytes of a message that goes by the socket."""

WHOLE = b"\x81\xa5whole\xc3"
"""Meta that asks a server to send back a message as one; it comes in small pieces otherwise."""

PING = b"ping"

SERVER = f"""
import hashlib, sys, threading, pinwire, pinwire.blocking

# What nobody sends: it lies in the memory of this process, beside what is sent.
secret = [hashlib.sha256(b"%d" % number).digest() * 2048 for number in range(64)]

def serve(channel):
    try:
        for message in channel:
            if message.meta == {{"whole": True}}:
                channel.send(message.parts)
                continue
            for part in message.parts:
                data = memoryview(part).cast("B")
                for at in range(0, len(data), {PIECE}):
                    channel.send(data[at : at + {PIECE}])
    except (pinwire.Error, OSError):
        pass
    channel.abort()

with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
    print(listener.address, flush=True)
    while True:
        channel = pinwire.blocking.Channel(listener.accept())
        threading.Thread(target=serve, args=[channel], daemon=True).start()
"""


@contextlib.contextmanager
def server() -> Iterator[tuple[str, int]]:
    """A process that sends back what it receives."""
    process = start_program(SERVER)
    try:
        host, port = process.stdout.readline().strip().rpartition("/")[2].split(":")
        yield host, int(port)
    finally:
        process.kill()
        finish(process)


@contextlib.contextmanager
def forwarder(target: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """What `ssh -L` does: connections to it are connections of its own to the target."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop, stopped = socket.socketpair()
        with stop, stopped, contextlib.ExitStack() as stack:
            args = (listener, target, stopped)
            thread = threading.Thread(target=_forward, args=args)
            thread.start()
            stack.callback(thread.join)
            stack.callback(stop.send, b"x")
            yield listener.getsockname()


def _forward(listener: socket.socket, target: tuple[str, int], stopped: socket.socket) -> None:
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        selector.register(listener, selectors.EVENT_READ, None)
        selector.register(stopped, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.fileobj is stopped:
                    return
                if key.fileobj is listener:
                    ends = listener.accept()[0], socket.create_connection(target)
                    for end, other in (ends, ends[::-1]):
                        stack.enter_context(end)
                        selector.register(end, selectors.EVENT_READ, other)
                    continue
                try:
                    data = key.fileobj.recv(1 << 16)
                    key.data.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(key.fileobj)
                    with contextlib.suppress(OSError):
                        key.data.shutdown(socket.SHUT_WR)


class Frame(NamedTuple):
    """What comes before a payload, and how long that is."""

    data: bytes
    payload: int

    @property
    def kind(self) -> int:
        return self.data[0]

    @property
    def is_offered(self) -> bool:
        return self.data[1] == 1


class Connection:
    """One that says by its hello that it is on the host of its peer: by the peer's own hello."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.sock = socket.create_connection(target)
        self.sock.settimeout(PATIENCE)
        self.sock.sendall(take(self.sock, 52))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def frame(self) -> Frame:
        head = take(self.sock, 24)
        if len(head) < 24:
            raise EOFError
        parts, descriptions, meta, payload = struct.unpack_from("<IIIQ", head, 4)
        rest = descriptions + meta + ((8 + parts) if head[1] == 1 else 0)
        return Frame(head + take(self.sock, rest), payload)

    def ask(self, data: bytes) -> Frame:
        """Have it sent back, and what comes first of that."""
        described = header(part("|u1", [len(data)], 1), payload=len(data), meta=WHOLE)
        self.sock.sendall(described + data)
        return self.frame()

    def invited(self, data: bytes) -> Frame:
        frame = self.ask(data)
        assert frame.kind == 3
        return frame

    def offered(self, data: bytes) -> Frame:
        """The header of an offer of that, which the server has been asked for already."""
        frame = self.frame()
        while not frame.is_offered:  # the link came too late for this one
            assert take(self.sock, frame.payload) == data
            frame = self.ask(data)
        return frame

    def learned(self, *said: bytes) -> bytes:
        """What it sends back for that, until it sends back a ping or the connection ends."""
        came = b""
        with contextlib.suppress(EOFError, ConnectionError):
            self.sock.sendall(b"".join(said) + small(PING))
            while True:
                frame = self.frame()
                assert (frame.kind, frame.is_offered) == (1, False)
                payload = take(self.sock, frame.payload)
                if payload == PING:
                    break
                came += payload
        return came


def small(data: bytes) -> bytes:
    return header(part("|u1", [len(data)], 1), payload=len(data)) + data


def nothing() -> bytes:
    """A message without parts, which is sent back by nothing."""
    return prefix(0, 0, 0, 0)
