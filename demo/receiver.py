"""The other process: it owns the preallocated memory, receives into it and compares."""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Sequence
from ctypes import c_uint64
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import pinwire
from benches.delivery.case import LIMIT, POISON, Arrival, Counter, matching, receive

from .items import Item, build, bytes_of, landing_for

STREAM = "stream"

# Building the objects takes seconds on a busy machine; nothing else takes longer than LIMIT twice.
ANSWER_SECONDS = 30.0


class Receiver:
    """The parent's handle: the process ends with the `with` block, whatever happened in it."""

    def __init__(self) -> None:
        # Spawned, not forked: two processes that share nothing but what is sent.
        context = multiprocessing.get_context("spawn")
        self._control, far_end = context.Pipe()
        self.progress: Counter = context.RawValue(c_uint64)
        self._process = context.Process(target=serve, args=(far_end, self.progress), daemon=True)
        self._process.start()
        far_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._control.close()
        self._process.join(timeout=LIMIT)
        self._process.kill()
        self._process.join()

    def ask(self, what: str | int) -> Any:
        """Make it ready for the STREAM, or for the object of that index; where it listens."""
        self._control.send(what)
        return self.answer()

    def answer(self) -> Any:
        if not self._control.poll(ANSWER_SECONDS):
            raise TimeoutError("no word from the receiving process")
        return self._control.recv()


def serve(control: Connection, progress: Counter) -> None:
    """The process: do what is asked until the parent hangs up."""
    items = build()
    landings = [landing_for(item.payload) for item in items]
    with socket.create_server(("127.0.0.1", 0)) as server:
        while True:
            try:
                what = control.recv()
            except EOFError:
                return
            if what == STREAM:
                asyncio.run(_serve_stream(control, items, landings))
            else:
                landing = bytes_of(landings[what])
                landing.fill(POISON)
                progress.value = 0
                control.send(server.getsockname())
                control.send(receive(server, landing, bytes_of(items[what].payload), progress))


async def _serve_stream(
    control: Connection, items: Sequence[Item], landings: Sequence[Any]
) -> None:
    """Every object in order, over one connection, straight into its memory; then compare."""
    for landing in landings:
        bytes_of(landing).fill(POISON)
    counts, times = [0] * len(items), [time.monotonic()] * len(items)
    problem = None
    async with pinwire.listen("tcp://127.0.0.1:0") as listener:
        control.send(listener.address)
        async with await listener.accept(timeout=LIMIT) as peer:
            for index, landing in enumerate(landings):
                transfer = peer.recv_exactly_into(landing, timeout=LIMIT)
                try:
                    await transfer
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
                    break
                finally:
                    counts[index], times[index] = transfer.transferred, time.monotonic()
    arrivals = [
        Arrival(count, matching(bytes_of(landing)[:count], bytes_of(item.payload)), finished)
        for item, landing, count, finished in zip(items, landings, counts, times, strict=True)
    ]
    control.send((arrivals, problem))
