"""pyzmq: a PAIR socket at each end, blocking and under asyncio."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import zmq
import zmq.asyncio

from ..contestant import Contestant, Result, Workload, gather_buffers, landing, measured, poison
from ..pattern import fill_parts, parts_match

SETTINGS = (
    "PAIR, HWM 0, TCP_NODELAY by libzmq; copy=False, track=False from pyzmq's own threshold of"
    " 64 KiB on; bulk lands in libzmq's frames (recv(copy=False)), gather by recv_into (a memcpy)"
)


class Pyzmq:
    name = "pyzmq"
    family = "messages"
    settings = SETTINGS

    def takes(self, workload: Workload) -> bool:
        return workload.kind in {"ping", "bulk", "gather"}

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with zmq.Context() as context, _pair(context, workload) as sock:
            _bind(sock, workload, ready)
            if workload.kind == "ping":
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
                landed = given or [sock.recv(copy=False).buffer]
                sock.send(b"ack")
                verified &= parts_match(landed, number)
                # Not two messages in memory at once.
                del landed
            return {"verified": verified}

    def drive(self, workload: Workload, address: str) -> Result:
        with zmq.Context() as context, _pair(context, workload) as sock:
            sock.connect(address)
            if workload.kind == "ping":
                message, latencies = bytes(workload.size), []
                with measured():
                    for _ in range(workload.count):
                        begin = time.perf_counter_ns()
                        sock.send(message)
                        sock.recv()
                        latencies.append(time.perf_counter_ns() - begin)
                return {"latencies_ns": latencies}
            source, seconds = _source(workload), []
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
        return workload.kind in {"ping", "bulk", "gather"}

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        return asyncio.run(self._serve(workload, ready))

    def drive(self, workload: Workload, address: str) -> Result:
        return asyncio.run(self._drive(workload, address))

    async def _serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with zmq.asyncio.Context() as context, _pair(context, workload) as sock:
            _bind(sock, workload, ready)
            if workload.kind == "ping":
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
                landed = given or [(await sock.recv(copy=False)).buffer]
                await sock.send(b"ack")
                verified &= parts_match(landed, number)
                del landed
            return {"verified": verified}

    async def _drive(self, workload: Workload, address: str) -> Result:
        with zmq.asyncio.Context() as context, _pair(context, workload) as sock:
            sock.connect(address)
            if workload.kind == "ping":
                message, latencies = bytes(workload.size), []
                with measured():
                    for _ in range(workload.count):
                        begin = time.perf_counter_ns()
                        await sock.send(message)
                        await sock.recv()
                        latencies.append(time.perf_counter_ns() - begin)
                return {"latencies_ns": latencies}
            source, seconds = _source(workload), []
            with measured():
                for number in range(workload.count):
                    fill_parts(source, number)
                    await sock.recv()
                    start = time.perf_counter()
                    await sock.send_multipart(source, copy=False)
                    await sock.recv()
                    seconds.append(time.perf_counter() - start)
            return {"seconds": seconds}


def _pair(context: Any, workload: Workload) -> Any:
    sock = context.socket(zmq.PAIR)
    sock.set_hwm(0)
    # What was sent last, an echo or an acknowledgement, still has to leave on close.
    sock.linger = 10_000
    if workload.sockbuf is not None:
        sock.sndbuf = sock.rcvbuf = workload.sockbuf
    return sock


def _bind(sock: Any, workload: Workload, ready: Callable[[str], None]) -> None:
    sock.bind(
        f"ipc://@pinwire-{uuid.uuid4().hex}"
        if workload.transport == "unix"
        else "tcp://127.0.0.1:*"
    )
    ready(sock.last_endpoint.decode())


def _source(workload: Workload) -> list[npt.NDArray[np.uint8]]:
    return gather_buffers() if workload.kind == "gather" else [landing(workload.size)]


CONTESTANTS: tuple[Contestant, ...] = (Pyzmq(), PyzmqAsyncio())
