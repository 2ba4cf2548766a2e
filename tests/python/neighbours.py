"""Ends of the path between processes of one host, by plain sockets: who invites, and who joins."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from hostile import hello
from links import Board, Place, accepted, host, invitation, inviting, place_in, record, welcome
from support import PATIENCE

import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX_LEN = 24

HELLO = hello(extensions=host(), flags=2)
"""That of a peer on this host."""


class Inviter(Board):
    """A board, and the socket to which its process invites."""

    def __init__(self, runs: Sequence[tuple[int, int]] = (), number: int = 1) -> None:
        super().__init__()
        self.stand(number, record(runs))
        self.invited = inviting()
        self.listener = self.invited.listen()

    def visited(self) -> tuple[socket.socket, bytes]:
        """The next visitor, who is welcome, and what it has said."""
        link, join = accepted(self.listener)
        link.send(welcome(self))
        return link, join


@contextlib.contextmanager
def joining(frame: bytes, *answers: bytes) -> Iterator[tuple[socket.socket, Place]]:
    """Follow an invitation, and send these answers at once: the link, and the inviter's board."""
    invited, board = invitation(frame), Board()
    with invited.dial() as link:
        link.send(invited.join(board))
        for each in answers:
            link.send(each)
        yield link, place_in(link.recv(1000))


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
