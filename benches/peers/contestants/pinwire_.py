"""pinwire by its public calls, on a loop and for threads; `uvloop_` has it on that loop."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pinwire
import pinwire.blocking

from ..contestant import Contestant, Workload
from .asyncio_ import LoopKit
from .blocking import BlockingAccept, BlockingContestant, BlockingWire
from .flows import LoopContestant
from .kit import Accept, Wire

# Longer than any wait of a round trip on an idle machine.
BUSY_POLL = 0.001


class StreamWire:
    """The stream's own methods, without anything around them."""

    def __init__(self, stream: Any) -> None:
        self.send, self.recv = stream.send_buffer, stream.recv_exactly_into
        self.send_parts, self.recv_parts = stream.send_buffers, stream.recv_buffers_into
        self.close = stream.close


async def stream_wire(stream: Any) -> StreamWire:
    return StreamWire(stream)


class PinwireKit(LoopKit):
    def __init__(
        self,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        busy_poll: float = 0.0,
        wrap: Callable[[Any], Awaitable[Wire]] = stream_wire,
    ) -> None:
        super().__init__(loop_factory)
        self._busy_poll, self._wrap = busy_poll, wrap

    @asynccontextmanager
    async def listen(self, workload: Workload) -> AsyncIterator[tuple[str, Accept]]:
        options = _options(workload, self._busy_poll)
        async with pinwire.listen(_listen_address(workload), **options) as listener:

            async def accept() -> Wire:
                return await self._wrap(await listener.accept())

            yield listener.address, accept

    async def connect(self, workload: Workload, address: str) -> Wire:
        options = _options(workload, self._busy_poll)
        return await self._wrap(await pinwire.connect(address, **options))


class PinwireBlocking:
    def __init__(
        self, busy_poll: float = 0.0, wrap: Callable[[Any], BlockingWire] = StreamWire
    ) -> None:
        self._busy_poll, self._wrap = busy_poll, wrap

    @contextmanager
    def listen(self, workload: Workload) -> Iterator[tuple[str, BlockingAccept]]:
        options = _options(workload, self._busy_poll)
        with pinwire.blocking.listen(_listen_address(workload), **options) as listener:
            yield listener.address, lambda: self._wrap(listener.accept())

    def connect(self, workload: Workload, address: str) -> Any:
        options = _options(workload, self._busy_poll)
        return self._wrap(pinwire.blocking.connect(address, **options))


def _listen_address(workload: Workload) -> str:
    if workload.transport == "tcp":
        return "tcp://127.0.0.1:0"
    return f"unix:@pinwire-bench-{uuid.uuid4().hex}"


def _options(workload: Workload, busy_poll: float) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if workload.sockbuf is not None:
        options["send_buffer_size"] = options["recv_buffer_size"] = workload.sockbuf
    if busy_poll:
        options["busy_poll"] = busy_poll
    return options


SETTINGS = "send_buffer, send_buffers, recv_exactly_into, recv_buffers_into; its defaults"
PING = frozenset({"ping"})
# What channels, which move the same arrays as messages, are held against.
BARE = frozenset({"message-ping", "message-bulk"})
LOOP_KINDS = LoopContestant.kinds | BARE
BLOCKING_KINDS = BlockingContestant.kinds | BARE

CONTESTANTS: tuple[Contestant, ...] = (
    LoopContestant(
        "pinwire asyncio", "asyncio", SETTINGS, PinwireKit(None), LOOP_KINDS, sets_buffers=True
    ),
    BlockingContestant(
        "pinwire blocking", SETTINGS, PinwireBlocking(), BLOCKING_KINDS, sets_buffers=True
    ),
    BlockingContestant(
        "pinwire blocking busy_poll",
        f"{SETTINGS} but busy_poll of 1 ms",
        PinwireBlocking(BUSY_POLL),
        kinds=PING,
    ),
    LoopContestant(
        "pinwire asyncio busy_poll",
        "asyncio",
        f"{SETTINGS} but busy_poll of 1 ms",
        PinwireKit(None, BUSY_POLL),
        kinds=PING,
    ),
)
