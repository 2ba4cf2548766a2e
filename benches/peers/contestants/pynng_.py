"""pynng: a Pair0 socket at each end."""

import threading
import time
import uuid
from collections.abc import Callable

import pynng

from ..contestant import Contestant, Result, Workload, fill, landing, matches, measured


class Pynng:
    name = "pynng"
    family = "messages"
    settings = (
        "Pair0, blocking, no size limit; sends the array as a cffi buffer (it takes no array as"
        " such), which nng copies; recv gives new bytes"
    )

    def takes(self, workload: Workload) -> bool:
        # nng leaves the kernel's buffers alone and has no messages of several parts.
        return workload.kind in {"ping", "bulk"} and workload.sockbuf is None

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        gone = threading.Event()
        with pynng.Pair0(recv_max_size=0) as sock:
            sock.add_post_pipe_remove_cb(lambda _: gone.set())
            unix = f"abstract://pinwire-{uuid.uuid4().hex}"
            listener = sock.listen(unix if workload.transport == "unix" else "tcp://127.0.0.1:0")
            ready(listener.url)
            if workload.kind == "ping":
                for _ in range(workload.count):
                    sock.send(sock.recv())
                verified = True
            else:
                verified = _receive(sock, workload.count)
            # nng has no linger: the last message is lost if this end closes before it has left.
            gone.wait()
        return {"verified": verified}

    def drive(self, workload: Workload, address: str) -> Result:
        with pynng.Pair0(recv_max_size=0) as sock:
            sock.dial(address, block=True)
            return _ping(sock, workload) if workload.kind == "ping" else _bulk(sock, workload)


def _receive(sock: pynng.Pair0, count: int) -> bool:
    verified = True
    for number in range(count):
        sock.send(b"go")
        landed = sock.recv()
        sock.send(b"ack")
        verified &= matches(landed, number)
        # Not two messages in memory at once.
        del landed
    return verified


def _ping(sock: pynng.Pair0, workload: Workload) -> Result:
    message, latencies = bytes(workload.size), []
    with measured():
        for _ in range(workload.count):
            begin = time.perf_counter_ns()
            sock.send(message)
            sock.recv()
            latencies.append(time.perf_counter_ns() - begin)
    return {"latencies_ns": latencies}


def _bulk(sock: pynng.Pair0, workload: Workload) -> Result:
    source, seconds = landing(workload.size), []
    message = pynng.ffi.from_buffer(source)
    with measured():
        for number in range(workload.count):
            fill(source, number)
            sock.recv()
            start = time.perf_counter()
            sock.send(message)
            sock.recv()
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


CONTESTANTS: tuple[Contestant, ...] = (Pynng(),)
