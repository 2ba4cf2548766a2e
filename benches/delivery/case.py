"""One object through one connection: how the call ended, and what a reading peer got."""

import socket
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .senders import GiveUp, Sender

Bytes = npt.NDArray[np.uint8]

SEND_BUFFER = 64 * 1024
RETURNED = "returned"
HUNG = "hung"

# A call is given up when no byte has arrived for this long: a thousand times what the kernel needs.
STALL = 1.0
# Bounds everything else: a peer that never comes, a transfer that trickles.
LIMIT = 10.0
# Landing memory holds this before every case, so that bytes of an earlier one cannot pass for it.
POISON = 0xAA


class Counter(Protocol):
    """A ctypes integer, in this process or shared with another."""

    value: int


@dataclass(frozen=True)
class Attempt:
    """The sender's side. `ended` is RETURNED, HUNG or the name of the exception."""

    ended: str
    started: float


@dataclass(frozen=True)
class Arrival:
    """The peer's side, in bytes: how many came, how many of them are right from the first on."""

    arrived: int
    right: int
    finished: float
    surplus: bool = False


@dataclass(frozen=True)
class Delivery:
    """Both sides of one case."""

    nbytes: int
    attempt: Attempt
    arrival: Arrival

    @property
    def exact(self) -> bool:
        """The call returned and the peer has every byte, in order, and no other."""
        whole = self.arrival.arrived == self.arrival.right == self.nbytes
        return whole and self.attempt.ended == RETURNED and not self.arrival.surplus

    @property
    def seconds(self) -> float:
        # CLOCK_MONOTONIC is one clock for every process of the machine (clock_gettime(2)).
        return self.arrival.finished - self.attempt.started


def attempt(
    sender: Sender,
    address: tuple[str, int],
    payload: Any,
    progress: Counter,
    congestion: bytes | None = None,
) -> Attempt:
    """Send `payload` over a new connection with a small send buffer, bounded in time.

    `progress` is what the peer has read so far; `congestion` is set as TCP_CONGESTION.
    """
    ended, started = HUNG, time.monotonic()

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if congestion is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion)
        sock.connect(address)
        sock.setblocking(False)

        async def job() -> None:
            nonlocal ended, started
            started = time.monotonic()
            try:
                await sender.send(sock, payload)
            except Exception as error:
                ended = type(error).__name__
            else:
                ended = RETURNED

        sender.run(job, _stall_detector(progress))
    return Attempt(ended, started)


def receive(server: socket.socket, landing: Bytes, expected: Bytes, progress: Counter) -> Arrival:
    """Accept one connection, read it to its end into `landing` with blocking reads, compare."""
    server.settimeout(LIMIT)
    connection, _ = server.accept()
    with connection:
        connection.settimeout(LIMIT)
        arrived = 0
        finished = time.monotonic()
        while arrived < landing.nbytes and (n := _read(connection, landing[arrived:])):
            arrived += n
            finished = time.monotonic()
            progress.value = arrived
        surplus = arrived == landing.nbytes and _read(connection, np.empty(1, np.uint8)) > 0
    return Arrival(arrived, matching(landing[:arrived], expected), finished, surplus)


def matching(landing: Bytes, expected: Bytes) -> int:
    """How many bytes of `landing` are right before the first that is wrong."""
    wrong = landing != expected[: landing.nbytes]
    first = int(wrong.argmax()) if landing.nbytes else 0
    return first if landing.nbytes and wrong[first] else landing.nbytes


def percent(share: float) -> str:
    """Two digits, without a unit."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f}"


def _read(connection: socket.socket, into: Bytes) -> int:
    try:
        return connection.recv_into(into)
    except (ConnectionResetError, TimeoutError):
        return 0


def _stall_detector(progress: Counter) -> GiveUp:
    began = moved = time.monotonic()
    seen = progress.value

    def stalled() -> bool:
        nonlocal moved, seen
        now = time.monotonic()
        if progress.value != seen:
            seen, moved = progress.value, now
        return now - moved > STALL or now - began > LIMIT

    return stalled
