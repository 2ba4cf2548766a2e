"""A connection of Dask's, over a channel."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from distributed.comm.core import Comm as BaseComm
from distributed.comm.core import CommClosedError
from distributed.comm.tcp import set_tcp_timeout
from distributed.comm.utils import from_frames, to_frames

from .._channel import Channel
from ..errors import Error, MessageRefusedError, QueueFullError
from ._frames import pack, unpack
from ._options import channel_options

if TYPE_CHECKING:
    from .._core import ChannelStats, Stream

logger = logging.getLogger(__name__)

FAILURES = (Error, OSError)
"""What a channel raises when its connection is of no more use."""


def closed_by(error: Exception, where: object) -> CommClosedError:
    """What Dask is told of a failure."""
    return CommClosedError(f"in {where}: {type(error).__name__}: {error}")


class Comm(BaseComm):
    """An established connection: whole messages, each written and read by one call.

    - `write` returns when the message has been lined up, and does not wait for the peer, except
      with more than `high-water` bytes waiting already. The frames are pinned, and must not be
      changed, until the kernel has them, or the peer on the same host. What goes wrong meanwhile is
      raised by the next call.
    - Whatever ends the connection is CommClosedError. A read or a write that is cancelled, or fails
      in any other way, aborts it: nobody can know what has been lost.
    """

    def __init__(
        self, stream: Stream, local_address: str, peer_address: str, deserialize: bool = True
    ) -> None:
        self._channel = Channel(stream, **channel_options())
        self._closed = False
        super().__init__(deserialize=deserialize)
        self._local_addr = local_address
        self._peer_addr = peer_address
        set_tcp_timeout(SimpleNamespace(closed=lambda: False, socket=stream))

    @property
    def local_address(self) -> str:
        """This end, as a URI."""
        return self._local_addr

    @property
    def peer_address(self) -> str:
        """The other end: what was connected to, or where the connection came from."""
        return self._peer_addr

    def stats(self) -> ChannelStats:
        """Counters of its channel: of `bytes_received`, `bytes_pulled` went past the socket."""
        return self._channel.stats()

    async def read(self, deserializers: Any = None) -> Any:
        """The next message. Raises CommClosedError, and what its deserialization raises."""
        self._check_open()
        try:
            message = await self._channel.recv()
            frames: list[memoryview] = []
            for some in unpack(message.parts):
                if frames:  # however many there are, the loop has its turn
                    await asyncio.sleep(0)
                frames += some
        except FAILURES as error:
            raise self._lost(error) from error
        except BaseException:
            self.abort()
            raise
        try:
            return await from_frames(
                frames,
                deserialize=self.deserialize,
                deserializers=deserializers,
                allow_offload=self.allow_offload,
            )
        except EOFError as error:
            raise self._lost(error) from error
        except asyncio.CancelledError:
            self.abort()
            raise

    async def write(self, msg: Any, serializers: Any = None, on_error: Any = "message") -> int:
        """Line a message up to be sent; the result is its size in bytes.

        Raises CommClosedError, what its serialization raises, and MessageRefusedError for a message
        that the peer has said it does not take; nothing is sent then.
        """
        self._check_open()
        context = {
            "sender": self.local_info,
            "recipient": self.remote_info,
            **self.handshake_options,
        }
        try:
            frames = await to_frames(
                msg,
                allow_offload=self.allow_offload,
                serializers=serializers,
                on_error=on_error,
                context=context,
            )
        except asyncio.CancelledError:
            self.abort()
            raise
        self._check_open()
        parts, nbytes = pack(frames)
        try:
            try:
                self._channel.post(parts)
            except QueueFullError:
                await self._channel.post(parts, wait=True)
        except MessageRefusedError:  # nothing was sent
            raise
        except FAILURES as error:
            raise self._lost(error) from error
        except BaseException:
            self.abort()
            raise
        return nbytes

    async def close(self) -> None:
        """Close it once all that was written has been sent; a read under way ends."""
        if self._closed:
            return
        self._closed = True
        try:
            with suppress(*FAILURES):
                await self._channel.drain()
                await self._channel.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """Close it at once, and drop what has not been sent."""
        self._closed = True
        self._channel.stream.close()

    def closed(self) -> bool:
        """Whether it is closed, by either end, and nothing is left to be read."""
        if not self._closed and self._channel.peer_closed:
            self.abort()
        return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise CommClosedError(f"{self} is closed")

    def _lost(self, error: Exception) -> CommClosedError:
        self.abort()
        return closed_by(error, self)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not self.closed():
            logger.warning("Closing dangling connection %r", self)
            self.abort()
