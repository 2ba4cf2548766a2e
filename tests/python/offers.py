"""A peer on this host made of plain sockets: its invitations, offers and answers."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

from hostile import header, hello, part, prefix, take
from links import (
    ANSWER,
    HELLO_LEN,
    INVITATION_LEN,
    JOIN,
    SAME_HOST,
    Board,
    Invitation,
    Place,
    accepted,
    at,
    host,
    invitation,
    inviting,
    offer,
    place_in,
    record,
    welcome,
)
from support import PATIENCE, pattern

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from channels import Channels

SIZE = 1 << 19
"""Bytes of a message: just enough that a channel offers it."""

DATA = pattern(SIZE)
END = (1 << 64) - 1
KERNEL = 0xFFFF_8000_0000_0000


def neighbours_hello(extensions: bytes | None = None, flags: int = SAME_HOST) -> bytes:
    return hello(flags=flags, extensions=host() if extensions is None else extensions)


class Memory(Board):
    """Bytes at an address, and a board that offers them."""

    def __init__(self, data: bytes, number: int = 1) -> None:
        super().__init__()
        self._data = ctypes.create_string_buffer(data, len(data))
        self.run = (ctypes.addressof(self._data), len(data))
        self.stand(number, record([self.run]))


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
    """A raw peer that has invited a channel, which has joined."""

    sock: socket.socket
    link: socket.socket
    channel: Any
    memory: Memory

    def heard(self) -> tuple[int, int, int]:
        """The next answer."""
        return ANSWER.unpack(self.link.recv(100))


@contextlib.asynccontextmanager
async def inviter(face: Channels, memory: Memory) -> AsyncIterator[Sender]:
    """A raw sender whose invitation a channel has followed: by one message that is no large one."""
    async with face.raw(same_host="auto") as (sock, channel):
        invited = inviting()
        with invited.listen() as listener:
            sock.sendall(neighbours_hello() + invited.frame() + prefix(0, 0, 0, 0))
            assert (await channel.recv()).nbytes == 0
            link, join = accepted(listener)
        with link:
            assert JOIN.unpack(join)[:2] == (invited.secret, 0)
            link.send(welcome(memory))
            yield Sender(sock, link, channel, memory)


class Receiver:
    """A raw peer that a channel sends DATA to, and may invite."""

    def __init__(self, sock: socket.socket, channel: Any) -> None:
        self.sock = sock
        self.channel = channel

    def send(self, timeout: float = PATIENCE) -> asyncio.Future[int]:
        return asyncio.ensure_future(self.channel.send(DATA, timeout=timeout))

    async def invited(self) -> Invitation:
        return invitation(await taken(self.sock, INVITATION_LEN))

    async def offered(self, place: Place) -> int:
        """The number of the next message, all of which is offered."""
        frame = await taken(self.sock, len(offer([SIZE])))
        number = int.from_bytes(frame[24:32], "little")
        assert frame == offer([SIZE], number=number)
        assert place.number == number
        address = int.from_bytes(place.record[8:16], "little")
        assert place.record == record([(address, SIZE)])
        assert at(address, SIZE) == DATA
        return number

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


class Joined(NamedTuple):
    """A link that a raw receiver has joined."""

    link: socket.socket
    board: Board
    place: Place


@contextlib.asynccontextmanager
async def joined(invited: Invitation) -> AsyncIterator[Joined]:
    board = Board()
    with invited.dial() as link:
        link.send(invited.join(board))
        came = await asyncio.to_thread(link.recv, 1000)
        yield Joined(link, board, place_in(came))


def refused(invited: Invitation, errno: int) -> socket.socket:
    """A visitor that has said why it does not join."""
    link = invited.dial()
    link.send(invited.join(Board(), errno))
    return link
