"""The link between two ends of one host, by plain sockets and memory: packets, boards, records."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostile import part, prefix
from support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOOT = bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
NETWORK = Path("/proc/thread-self/ns/net").stat().st_ino

SAME_HOST = 2
OFFERED = 1 << 8
INVITATION = 3
DONE, PROGRESS, UNREADABLE = 1, 2, 3
HELLO_LEN = 24 + 28
INVITATION_LEN = 24 + 48
BOARD = struct.Struct("=32sQQQ")
JOIN = struct.Struct("<32sQQ32s")
WELCOME = struct.Struct("<Q32s")
ANSWER = struct.Struct("<QQQ")

_names = itertools.count()


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def host(boot: bytes = BOOT, network: int = NETWORK) -> bytes:
    """The extension of a hello that says where its end is: here, unless it lies."""
    return extension(1, boot + struct.pack("<Q", network))


def answer(number: int, verdict: int = DONE, value: int = 0) -> bytes:
    return ANSWER.pack(number, verdict, value)


def offer(sizes: Sequence[int], *, number: int = 1, by_link: Sequence[int] | None = None) -> bytes:
    """The header of a message of arrays of bytes, the first of which comes by the link."""
    by_link = [1] + [0] * (len(sizes) - 1) if by_link is None else by_link
    descriptions = b"".join(part("|u1", [size], 1) for size in sizes)
    head = prefix(len(sizes), len(descriptions), 0, sum(sizes), kind=1 | OFFERED)
    return head + struct.pack("<Q", number) + bytes(by_link) + descriptions


def record(runs: Iterable[tuple[int, int]], counts: Sequence[int] | None = None) -> bytes:
    """Runs of (address, length), and how many of them each part has: one has all by default."""
    runs = list(runs)
    counts = [len(runs)] if counts is None else counts
    return struct.pack(f"={len(counts)}Q", *counts) + b"".join(
        struct.pack("=QQ", *run) for run in runs
    )


def at(address: int, length: int) -> bytes:
    """What this process has there."""
    return ctypes.string_at(address, length)


class Board:
    """What a receiver looks at in the memory of who offers."""

    def __init__(self) -> None:
        self.nonce = os.urandom(32)
        self._shown = ctypes.create_string_buffer(BOARD.size)
        self._record = ctypes.create_string_buffer(1)
        self.address = ctypes.addressof(self._shown)
        self.stand(0, b"")

    def stand(self, number: int, record: bytes | None = None, length: int | None = None) -> None:
        """This offer stands: the record is the one before if there is none."""
        if record is not None:
            self._record = ctypes.create_string_buffer(record, max(len(record), 1))
            self._length = len(record)
        length = self._length if length is None else length
        self.show(self.nonce, number, ctypes.addressof(self._record), length)

    @property
    def record_address(self) -> int:
        return ctypes.addressof(self._record)

    def show(self, nonce: bytes, number: int, record: int, length: int) -> None:
        self._shown.raw = BOARD.pack(nonce, number, record, length)

    def forget(self) -> None:
        """No process has the nonce any more."""
        self.show(bytes(32), 0, 0, 0)


class Place(NamedTuple):
    """Where a board of this process is."""

    address: int
    nonce: bytes

    @property
    def shown(self) -> tuple[bytes, int, int, int]:
        return BOARD.unpack(at(self.address, BOARD.size))

    @property
    def number(self) -> int:
        """The offer that stands."""
        nonce, number, _, _ = self.shown
        assert nonce == self.nonce
        return number

    @property
    def record(self) -> bytes:
        """That of the offer that stands."""
        _, _, record, length = self.shown
        return at(record, length)


class Invitation(NamedTuple):
    """Where to join, and what to say there."""

    name: bytes
    secret: bytes

    def frame(self) -> bytes:
        fields = self.name + self.secret
        return prefix(0, 0, len(fields), 0, kind=INVITATION) + fields

    @property
    def address(self) -> bytes:
        return b"\0pinwire-" + self.name.hex().encode()

    def listen(self, backlog: int = 16) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.settimeout(PATIENCE)
        listener.bind(self.address)
        listener.listen(backlog)
        return listener

    def dial(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # Without a timeout: with one it would not wait where there are others before it.
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        sock.settimeout(PATIENCE)
        return sock

    def join(self, board: Board, errno: int = 0) -> bytes:
        if errno:
            return JOIN.pack(self.secret, errno, 0, bytes(32))
        return JOIN.pack(self.secret, 0, board.address, board.nonce)


def inviting() -> Invitation:
    """One with a name that nobody else has."""
    name = struct.pack("<QQ", os.getpid(), next(_names))
    return Invitation(name, bytes(range(32)))


def invitation(frame: bytes) -> Invitation:
    assert frame[:24] == prefix(0, 0, 48, 0, kind=INVITATION)
    return Invitation(frame[24:40], frame[40:])


def welcome(board: Board) -> bytes:
    return WELCOME.pack(board.address, board.nonce)


def accepted(listener: socket.socket) -> tuple[socket.socket, bytes]:
    """The next visitor, and what it says."""
    link = listener.accept()[0]
    link.settimeout(PATIENCE)
    return link, link.recv(1000)


def place_in(packet: bytes) -> Place:
    """Where its sender's board is, by a join or a welcome."""
    return Place(*WELCOME.unpack(packet[-WELCOME.size :]))
