"""Ends of the path between processes of one host, by plain sockets: who invites, and who visits."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from hostile import hello, part, prefix, take
from support import PATIENCE

import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOOT = bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
NETWORK = Path("/proc/thread-self/ns/net").stat().st_ino

PREFIX_LEN = 24
HELLO_LEN = 24 + 28
INVITATION_LEN = PREFIX_LEN + 88
VISIT_LEN = 32 + 24

DONE, PROGRESS, UNREADABLE = 1, 2, 3


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def host(boot: bytes = BOOT, network: int = NETWORK) -> bytes:
    return extension(1, boot + struct.pack("<Q", network))


HELLO = hello(extensions=host(), flags=2)
"""That of a peer on this host."""


def answer(ticket: int, verdict: int = DONE, value: int = 0) -> bytes:
    return struct.pack("<QQQ", ticket, verdict, value)


def offer(ticket: int, runs: Sequence[tuple[int, int]]) -> bytes:
    """The header of a message of one part, plain bytes that lie in these runs."""
    size = sum(length for _, length in runs)
    described = part("|u1", [size], itemsize=1)
    tail = struct.pack("<I", len(runs)) + b"".join(struct.pack("<QQ", *run) for run in runs)
    head = prefix(1, len(described), 0, size, kind=1 | 1 << 8)
    return head + struct.pack("<QII", ticket, len(runs), 0) + described + tail


class Inviter:
    """Memory with a nonce and a ticket, and the socket to which it invites."""

    def __init__(self, ticket: int = 1) -> None:
        self.name, self.secret, self.nonce = os.urandom(16), os.urandom(32), os.urandom(32)
        self._shown = ctypes.create_string_buffer(40)
        self.address = ctypes.addressof(self._shown)
        self.show(ticket)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(PATIENCE)
        self.listener.bind(_door(self.name))
        self.listener.listen()

    def show(self, ticket: int, nonce: bytes | None = None) -> None:
        self._shown.raw = (nonce or self.nonce) + struct.pack("=Q", ticket)

    def invitation(self) -> bytes:
        said = self.name + self.secret + struct.pack("<Q", self.address) + self.nonce
        return prefix(0, 0, len(said), 0, kind=3) + said

    def visited(self) -> tuple[socket.socket, bytes]:
        """The next visitor, and what it says first."""
        side, _ = self.listener.accept()
        side.settimeout(PATIENCE)
        return side, take(side, VISIT_LEN)


def visit(invitation: bytes, said: bytes | None = None) -> socket.socket:
    """Follow an invitation, and say its secret and that all can be read, or something else."""
    side = socket.socket(socket.AF_UNIX)
    side.settimeout(PATIENCE)
    side.connect(_door(invitation[24:40]))
    side.sendall(invitation[40:72] + answer(0) if said is None else said)
    return side


def _door(name: bytes) -> bytes:
    return b"\0pinwire-" + name.hex().encode()


@contextlib.contextmanager
def beside(
    hello: bytes = HELLO, same_host: str = "auto"
) -> Iterator[tuple[socket.socket, pinwire.blocking.Channel]]:
    """A plain socket, which has said hello, and the channel at its other end."""
    theirs, ours = socket.socketpair()
    theirs.settimeout(PATIENCE)
    with theirs:
        theirs.sendall(hello)
        stream = pinwire.blocking.Stream.from_socket(ours)
        channel = pinwire.blocking.Channel(stream, same_host=same_host)
        try:
            yield theirs, channel
        finally:
            channel.abort()
