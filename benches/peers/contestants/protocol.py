"""An `asyncio.BufferedProtocol` that receives where the bytes are wanted."""

import asyncio
from collections.abc import Sequence

from .kit import Buffer

# Holds what comes before anybody asks for it: with these workloads a header, if anything.
SPILL_BYTES = 16 * 1024


class ProtocolWire(asyncio.BufferedProtocol):
    """The transport reads into the memory that is wanted, or into a spill when none is."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._spill, self._spilled = memoryview(bytearray(SPILL_BYTES)), 0
        self._wanted: memoryview | None = None
        self._got = 0
        self._arrival: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(0)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiter in (self._arrival, self._drained):
            if waiter is not None and not waiter.done():
                waiter.set_exception(exc or EOFError())

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._wanted is None:
            return self._spill[self._spilled :]
        return self._wanted[self._got :] if self._got else self._wanted

    def buffer_updated(self, nbytes: int) -> None:
        if self._wanted is None:
            self._spilled += nbytes
            if self._spilled == SPILL_BYTES:
                self.transport.pause_reading()
            return
        self._got += nbytes
        if self._got == len(self._wanted):
            self._wanted = None
            assert self._arrival is not None
            if not self._arrival.done():
                self._arrival.set_result(None)

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    async def send(self, buffer: Buffer) -> None:
        self.transport.write(memoryview(buffer))
        if self._drained is not None:
            await self._drained

    async def send_parts(self, buffers: Sequence[Buffer]) -> None:
        self.transport.writelines([memoryview(buffer) for buffer in buffers])
        if self._drained is not None:
            await self._drained

    async def recv(self, buffer: Buffer) -> None:
        view, taken = memoryview(buffer), 0
        if self._spilled:
            taken = min(self._spilled, len(view))
            view[:taken] = self._spill[:taken]
            self._spill[: self._spilled - taken] = self._spill[taken : self._spilled]
            if self._spilled == SPILL_BYTES:
                self.transport.resume_reading()
            self._spilled -= taken
            if taken == len(view):
                return
        self._wanted, self._got = view, taken
        self._arrival = self._loop.create_future()
        await self._arrival

    async def recv_parts(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            await self.recv(buffer)

    async def close(self) -> None:
        self.transport.close()
