"""pyzmq: a PAIR socket at each end, blocking and under asyncio."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import zmq
import zmq.asyncio

from ..contestant import PINGS, Contestant, Result, Workload, gather_buffers, measured, poison
from ..pattern import fill_parts
from .flows import arrays_of, whole

SETTINGS = (
    "PAIR, HWM 0, TCP_NODELAY by libzmq; copy=False, track=False from pyzmq's own threshold of"
    " 64 KiB on; bulk and many arrays land in libzmq's frames (recv_multipart(copy=False)), gather"
    " by recv_into (a memcpy)"
)
KINDS = frozenset({"ping", "bulk", "gather", "message-ping", "message-parts"})


class Pyzmq:
    name = "pyzmq"
    family = "messages"
    settings = SETTINGS

    def takes(self, workload: Workload) -> bool:
        return workload.kind in KINDS

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with zmq.Context() as context, pair(context, workload) as sock:
            ready(bind(sock, workload))
            if workload.kind in PINGS:
                for _ in range(workload.count):
                    sock.send(sock.recv())
                return {"verified": True}
            given = gather_buffers() if workload.kind == "gather" else []
            verified = True
            for number in range(workload.count):
                for part in given:
                    poison(part)
                sock.send(b"go")
                for part in given:
                    sock.recv_into(part)
                frames = [] if given else sock.recv_multipart(copy=False)
                sock.send(b"ack")
                landed = given or [frame.buffer for frame in frames]
                verified &= whole(landed, number, workload)
                # Not two messages in memory at once.
                del frames, landed
            return {"verified": verified}

    def drive(self, workload: Workload, address: str) -> Result:
        with zmq.Context() as context, pair(context, workload) as sock:
            sock.connect(address)
            if workload.kind in PINGS:
                message, latencies = bytes(workload.size), []
                with measured():
                    for _ in range(workload.count):
                        begin = time.perf_counter_ns()
                        sock.send(message)
                        sock.recv()
                        latencies.append(time.perf_counter_ns() - begin)
                return {"latencies_ns": latencies}
            source, seconds = arrays_of(workload), []
            with measured():
                for number in range(workload.count):
                    fill_parts(source, number)
                    sock.recv()
                    start = time.perf_counter()
                    sock.send_multipart(source, copy=False)
                    sock.recv()
                    seconds.append(time.perf_counter() - start)
            return {"seconds": seconds}


class PyzmqAsyncio:
    name = "pyzmq asyncio"
    family = "messages"
    settings = f"zmq.asyncio; {SETTINGS}"

    def takes(self, workload: Workload) -> bool:
        return workload.kind in KINDS

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        return asyncio.run(self._serve(workload, ready))

    def drive(self, workload: Workload, address: str) -> Result:
        return asyncio.run(self._drive(workload, address))

    async def _serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with zmq.asyncio.Context() as context, pair(context, workload) as sock:
            ready(bind(sock, workload))
            if workload.kind in PINGS:
                for _ in range(workload.count):
                    await sock.send(await sock.recv())
                return {"verified": True}
            given = gather_buffers() if workload.kind == "gather" else []
            verified = True
            for number in range(workload.count):
                for part in given:
                    poison(part)
                await sock.send(b"go")
                for part in given:
                    await sock.recv_into(part)
                frames = [] if given else await sock.recv_multipart(copy=False)
                await sock.send(b"ack")
                landed = given or [frame.buffer for frame in frames]
                verified &= whole(landed, number, workload)
                del frames, landed
            return {"verified": verified}

    async def _drive(self, workload: Workload, address: str) -> Result:
        with zmq.asyncio.Context() as context, pair(context, workload) as sock:
            sock.connect(address)
            if workload.kind in PINGS:
                message, latencies = bytes(workload.size), []
                with measured():
                    for _ in range(workload.count):
                        begin = time.perf_counter_ns()
                        await sock.send(message)
                        await sock.recv()
                        latencies.append(time.perf_counter_ns() - begin)
                return {"latencies_ns": latencies}
            source, seconds = arrays_of(workload), []
            with measured():
                for number in range(workload.count):
                    fill_parts(source, number)
                    await sock.recv()
                    start = time.perf_counter()
                    await sock.send_multipart(source, copy=False)
                    await sock.recv()
                    seconds.append(time.perf_counter() - start)
            return {"seconds": seconds}


def pair(context: Any, workload: Workload) -> Any:
    """A socket for either end."""
    sock = context.socket(zmq.PAIR)
    sock.set_hwm(0)
    # What was sent last, an echo or an acknowledgement, still has to leave on close.
    sock.linger = 10_000
    if workload.sockbuf is not None:
        sock.sndbuf = sock.rcvbuf = workload.sockbuf
    return sock


def bind(sock: Any, workload: Workload) -> str:
    """Its address, as `connect` takes it."""
    sock.bind(
        f"ipc://@pinwire-{uuid.uuid4().hex}"
        if workload.transport == "unix"
        else "tcp://127.0.0.1:*"
    )
    return str(sock.last_endpoint.decode())


CONTESTANTS: tuple[Contestant, ...] = (Pyzmq(), PyzmqAsyncio())
