"""A peer on this host made of plain sockets: its invitations, offers and answers."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hostile import header, hello, part, prefix, take
from support import PATIENCE, pattern

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from channels import Channels

SAME_HOST = 2
OFFERED = 1 << 8
INVITATION = 3
DONE, PROGRESS, UNREADABLE = 1, 2, 3
NONCE = bytes(range(100, 132))
SECRET = bytes(range(32))
HELLO_LEN = 24 + 28
INVITATION_LEN = 24 + 88

SIZE = 1 << 19
"""Bytes of a message: just enough that a channel offers it."""

DATA = pattern(SIZE)
END = (1 << 64) - 1
KERNEL = 0xFFFF_8000_0000_0000

_doors = itertools.count()


def host(boot: bytes | None = None, network: int | None = None) -> bytes:
    """The extension of a hello that says where its end is: here, unless it lies."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text()
    boot = boot or bytes.fromhex(text.strip().replace("-", ""))
    network = network or Path("/proc/self/ns/net").stat().st_ino
    return struct.pack("<HH16sQ", 1, 24, boot, network)


def neighbours_hello(extensions: bytes | None = None, flags: int = SAME_HOST) -> bytes:
    return hello(flags=flags, extensions=host() if extensions is None else extensions)


class Memory:
    """Bytes at an address, behind what a receiver looks for in the memory of who offers them."""

    def __init__(self, data: bytes, ticket: int = 1) -> None:
        self.nbytes = len(data)
        self._block = ctypes.create_string_buffer(NONCE + bytes(8) + data, 40 + len(data))
        self.shown = ctypes.addressof(self._block)
        self.address = self.shown + 40
        self.stand(ticket)

    def stand(self, ticket: int) -> None:
        """The offer of this ticket stands."""
        ctypes.memmove(self.shown + 32, struct.pack("=Q", ticket), 8)

    def forget(self) -> None:
        """No process has the nonce any more."""
        ctypes.memset(self.shown, 0, 32)


def at(address: int, length: int) -> bytes:
    """What this process has there."""
    return ctypes.string_at(address, length)


class Invitation(NamedTuple):
    """Where to answer, and where to look."""

    name: bytes
    secret: bytes
    address: int
    nonce: bytes

    def frame(self) -> bytes:
        fields = struct.pack("<16s32sQ32s", *self)
        return prefix(0, 0, len(fields), 0, kind=INVITATION) + fields

    @property
    def door(self) -> str:
        return "\0pinwire-" + self.name.hex()

    @property
    def ticket(self) -> int:
        """The offer that stands, of a sender in this process."""
        assert at(self.address, 32) == self.nonce
        return struct.unpack("=Q", at(self.address + 32, 8))[0]


def invitation(frame: bytes) -> Invitation:
    assert frame[:24] == prefix(0, 0, 88, 0, kind=INVITATION)
    return Invitation(*struct.unpack("<16s32sQ32s", frame[24:]))


def inviting(address: int, nonce: bytes = NONCE) -> Invitation:
    """One with a door that nobody else has."""
    name = struct.pack("<QQ", os.getpid(), next(_doors))
    return Invitation(name, SECRET, address, nonce)


def door(invited: Invitation, backlog: int = 16) -> socket.socket:
    """The socket that an invitation leads to."""
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(PATIENCE)
    listener.bind(invited.door)
    listener.listen(backlog)
    return listener


def dial(invited: Invitation) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    # Without a timeout: with one it would not wait where there are others before the door.
    sock.connect(invited.door)
    sock.settimeout(PATIENCE)
    return sock


def answer(ticket: int, verdict: int, value: int = 0) -> bytes:
    return struct.pack("<QQQ", ticket, verdict, value)


def offer(
    runs: Iterable[tuple[int, int]],
    sizes: Sequence[int],
    *,
    ticket: int = 1,
    counts: Sequence[int] | None = None,
    announced: int | None = None,
    reserved: int = 0,
) -> bytes:
    """A message of arrays of bytes that lie in runs of (address, length).

    With `announced` runs of which there may be others, and `counts` of them for each part, which
    are all of them for the first one by default.
    """
    runs = list(runs)
    counts = [len(runs)] + [0] * (len(sizes) - 1) if counts is None else counts
    announced = len(runs) if announced is None else announced
    descriptions = b"".join(part("|u1", [size], 1) for size in sizes)
    head = prefix(len(sizes), len(descriptions), 0, sum(sizes), kind=1 | OFFERED)
    head += struct.pack("<QII", ticket, announced, reserved)
    tail = struct.pack(f"<{len(counts)}I", *counts)
    return head + descriptions + tail + b"".join(struct.pack("<QQ", *run) for run in runs)


def plain(data: bytes) -> bytes:
    """A message that comes by the socket."""
    return header(part("|u1", [len(data)], 1), payload=len(data)) + data


async def said(sock: socket.socket, data: bytes) -> None:
    """Send it, while the loop goes on."""
    await asyncio.to_thread(sock.sendall, data)


async def taken(sock: socket.socket, size: int) -> bytes:
    """The next bytes of it, while the loop goes on."""
    return await asyncio.to_thread(take, sock, size)


async def received(channel: Any) -> bytes:
    message = await channel.recv(timeout=PATIENCE)
    return b"".join(map(bytes, message.parts))


class Sender(NamedTuple):
    """A raw peer that has invited a channel, which has come."""

    sock: socket.socket
    answers: socket.socket
    channel: Any
    memory: Memory

    def heard(self) -> tuple[int, int, int]:
        """The next answer."""
        return struct.unpack("<QQQ", take(self.answers, 24))


@contextlib.asynccontextmanager
async def inviter(
    face: Channels, memory: Memory, lie: Invitation | None = None
) -> AsyncIterator[Sender]:
    """A raw sender at whose door a channel has been: by one message that is no large one."""
    async with face.raw(same_host="auto") as (sock, channel):
        invited = lie or inviting(memory.shown)
        with door(invited) as listener:
            sock.sendall(neighbours_hello() + invited.frame() + prefix(0, 0, 0, 0))
            assert (await channel.recv()).nbytes == 0
            answers = listener.accept()[0]
        with answers:
            answers.settimeout(PATIENCE)
            assert take(answers, 32) == invited.secret
            yield Sender(sock, answers, channel, memory)


class Receiver:
    """A raw peer that a channel sends DATA to, and may invite."""

    def __init__(self, sock: socket.socket, channel: Any) -> None:
        self.sock = sock
        self.channel = channel

    def send(self, timeout: float = PATIENCE) -> asyncio.Future[int]:
        return asyncio.ensure_future(self.channel.send(DATA, timeout=timeout))

    async def invited(self) -> Invitation:
        return invitation(await taken(self.sock, INVITATION_LEN))

    async def offered(self) -> int:
        """The ticket of the next message, all of which is offered."""
        frame = await taken(self.sock, len(offer([(1, SIZE)], [SIZE])))
        (ticket,) = struct.unpack_from("<Q", frame, 24)
        (address,) = struct.unpack_from("<Q", frame, len(frame) - 16)
        assert frame == offer([(address, SIZE)], [SIZE], ticket=ticket)
        assert at(address, SIZE) == DATA
        return ticket

    async def has_sent(self) -> bool:
        """Whether the next message comes by the socket."""
        return await taken(self.sock, len(plain(DATA))) == plain(DATA)


@contextlib.asynccontextmanager
async def invitee(
    face: Channels, extensions: bytes | None = None, flags: int = SAME_HOST
) -> AsyncIterator[Receiver]:
    """A raw receiver that has said hello to the channel."""
    async with face.raw(same_host="auto") as (sock, channel):
        sock.sendall(neighbours_hello(extensions, flags))
        assert len(take(sock, HELLO_LEN)) == HELLO_LEN
        yield Receiver(sock, channel)


def told(invited: Invitation, verdict: int = DONE, value: int = 0) -> socket.socket:
    """The way by which a sender has been told that it can be read, or something else."""
    sock = dial(invited)
    sock.sendall(invited.secret + answer(0, verdict, value))
    return sock
