"""The two sides of round trips and messages for contestants that block; the socket module."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..contestant import PINGS, Contestant, Result, Workload, measured, poison
from ..pattern import fill_parts, parts_match
from . import objects, sockets
from .flows import ACK, GO, parts_of, whole
from .kit import Buffer, Landed, carried


class BlockingWire(Protocol):
    """A connection. Receiving fills the memory it is given."""

    def send(self, buffer: Buffer, /) -> object: ...
    def recv(self, buffer: Buffer, /) -> object: ...
    def send_parts(self, buffers: Sequence[Buffer], /) -> object: ...
    def recv_parts(self, buffers: Sequence[Buffer], /) -> object: ...
    def close(self) -> object: ...


class BlockingFreshWire(BlockingWire, Protocol):
    """One that also receives into memory which it makes."""

    def recv_fresh(self) -> Landed: ...


BlockingAccept: TypeAlias = Callable[[], Any]
"""For a BlockingWire, or a wire of `objects`."""
Flow: TypeAlias = Callable[[Any, Workload], Result]


class Opener(Protocol):
    def listen(
        self, workload: Workload, /
    ) -> AbstractContextManager[tuple[str, BlockingAccept]]: ...
    def connect(self, workload: Workload, address: str, /) -> Any: ...


@dataclass(frozen=True)
class BlockingContestant:
    name: str
    settings: str
    opener: Opener
    kinds: frozenset[str] = frozenset({"ping", "bulk", "gather"})
    sets_buffers: bool = False
    family: str = "blocking"
    fresh: bool = False
    """Receives into memory that is made for each message."""

    def takes(self, workload: Workload) -> bool:
        return workload.kind in self.kinds and (self.sets_buffers or workload.sockbuf is None)

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with self.opener.listen(workload) as (address, accept):
            ready(address)
            wire = accept()
            result = self._server(workload)(wire, workload)
            wire.close()
            return result

    def drive(self, workload: Workload, address: str) -> Result:
        wire = self.opener.connect(workload, address)
        result = _client(workload)(wire, workload) | carried(wire)
        wire.close()
        return result

    def _server(self, workload: Workload) -> Flow:
        if workload.kind in PINGS:
            return serve_ping
        if workload.kind == "message-object":
            return objects.serve_blocking
        return serve_fresh if self.fresh else serve_messages


def _client(workload: Workload) -> Flow:
    if workload.kind in PINGS:
        return drive_ping
    return objects.drive_blocking if workload.kind == "message-object" else drive_messages


def serve_ping(wire: BlockingWire, workload: Workload) -> Result:
    memory = memoryview(bytearray(workload.size))
    with measured():
        for _ in range(workload.count):
            wire.recv(memory)
            wire.send(memory)
    return {"verified": True}


def drive_ping(wire: BlockingWire, workload: Workload) -> Result:
    sent, came = bytearray(workload.size), bytearray(workload.size)
    out, back = memoryview(sent), memoryview(came)
    clock, latencies, verified = time.perf_counter_ns, [], True
    with measured():
        for number in range(workload.count):
            out[:8] = number.to_bytes(8, "little")
            began = clock()
            wire.send(out)
            wire.recv(back)
            latencies.append(clock() - began)
            verified &= sent == came
    return {"latencies_ns": latencies, "verified": verified}


def serve_messages(wire: BlockingWire, workload: Workload) -> Result:
    parts = parts_of(workload)

    def receive(number: int) -> bool:
        poison(*parts)
        wire.send(GO)
        if len(parts) == 1:
            wire.recv(parts[0])
        else:
            wire.recv_parts(parts)
        wire.send(ACK)
        return parts_match(parts, number)

    verified = [receive(number) for number in workload.warming]
    with measured():
        verified += [receive(number) for number in workload.counted]
    return {"verified": all(verified)}


def serve_fresh(wire: BlockingFreshWire, workload: Workload) -> Result:
    verified = True
    with measured(workload.size):
        for number in range(workload.count):
            wire.send(GO)
            parts = wire.recv_fresh().parts
            wire.send(ACK)
            verified &= whole(parts, number, workload)
            # Memory that is given back may come again; and not two messages in it at once.
            poison(*parts)
            del parts
    return {"verified": verified}


def drive_messages(wire: BlockingWire, workload: Workload) -> Result:
    parts, sign = parts_of(workload), memoryview(bytearray(1))

    def send(number: int) -> float:
        fill_parts(parts, number)
        wire.recv(sign)
        began = time.perf_counter()
        if len(parts) == 1:
            wire.send(parts[0])
        else:
            wire.send_parts(parts)
        wire.recv(sign)
        return time.perf_counter() - began

    for number in workload.warming:
        send(number)
    with measured():
        seconds = [send(number) for number in workload.counted]
    return {"seconds": seconds}


class SocketWire:
    """`sendall` and `recv_into`, `sendmsg` and `recvmsg_into` until all is moved."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.send, self.close = sock.sendall, sock.close

    def recv(self, buffer: Buffer) -> None:
        got = self._sock.recv_into(buffer)
        if got == len(buffer):
            return
        view = memoryview(buffer)
        while got < len(view):
            n = self._sock.recv_into(view[got:])
            if not n:
                raise EOFError
            got += n

    def send_parts(self, buffers: Sequence[Buffer]) -> None:
        left = [memoryview(buffer) for buffer in buffers]
        while left:
            advance(left, self._sock.sendmsg(left))

    def recv_parts(self, buffers: Sequence[Buffer]) -> None:
        left = [memoryview(buffer) for buffer in buffers]
        while left:
            n = self._sock.recvmsg_into(left)[0]
            if not n:
                raise EOFError
            advance(left, n)


def advance(left: list[memoryview], moved: int) -> None:
    """Take `moved` bytes off the front."""
    done = 0
    while done < len(left) and moved >= len(left[done]):
        moved -= len(left[done])
        done += 1
    del left[:done]
    if moved:
        left[0] = left[0][moved:]


class SocketOpener:
    @contextmanager
    def listen(self, workload: Workload) -> Iterator[tuple[str, BlockingAccept]]:
        listener, address = sockets.listening(workload)
        with listener:
            yield (
                address,
                lambda: SocketWire(sockets.accepted(listener.accept()[0], workload)),
            )

    def connect(self, workload: Workload, address: str) -> Any:
        return SocketWire(sockets.connecting(workload, address))


CONTESTANTS: tuple[Contestant, ...] = (
    BlockingContestant(
        "socket",
        "sendall and recv_into into the destination, sendmsg and recvmsg_into for gather;"
        " TCP_NODELAY",
        SocketOpener(),
        sets_buffers=True,
    ),
)
