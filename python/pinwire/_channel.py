"""Channels for asyncio: what the core's have not, and how they are connected."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _core
from ._asyncio import Opening, bounded, connect
from ._open import LINGER, split
from ._pickling import dump
from ._posted import Posted
from .errors import Error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from ._core import Transfer
    from ._types import Address, ChannelStreamOptions, Exporter


class Channel(_core.Channel):
    """Messages of arrays over a stream.

    A message is a list of arrays and a small mapping. Its dtypes, shapes and orders travel in a
    header; the arrays go from their own memory to memory that the receiver chooses, without a copy
    in user space. `stream` belongs to the channel from now on: its own transfers raise BusyError.

    - `max_message_bytes`: the largest payload for which `recv` makes memory, and which the peer is
      told.
    - `allow_pickle`: whether objects may be sent and received. A pickle can run any code when it is
      loaded: only among peers that trust each other.
    - `allocator(shape, dtype, order)`: makes the memory of received arrays, as `numpy.empty` does.
      By default NumPy arrays; from 4 MiB on aligned to 2 MiB, in huge pages where there are some.
      Without NumPy memoryviews.
    - `high_water`: bytes of posted messages that may wait before `post` refuses more.
    - `memory_budget`: a `MemoryBudget` that this channel shares with others.
    - `same_host`: with "auto", large parts (512 KiB, or PINWIRE_OFFER_THRESHOLD) go past the socket
      between processes of one host that may read one another's memory: the receiver copies them
      straight from the sender's arrays (process_vm_readv(2)). A send then ends when they have been
      received. Where the system forbids it, or with "off", everything goes over the socket.
    """

    __module__ = "pinwire"

    _posted: Posted | None = None

    def send_object(self, obj: Any, /, *, timeout: float | None = None) -> Transfer:
        """Send any object that pickles; arrays in it go out of band, without a copy (PEP 574).

        Only if both ends have opened their channel with `allow_pickle=True`:
        MessageRefusedError otherwise.
        """
        return self._send_pickle(dump(self, obj), timeout=timeout)

    @overload
    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: Literal[False] = False,
    ) -> None: ...
    @overload
    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: Literal[True],
    ) -> Awaitable[None]: ...
    def post(
        self,
        data: Exporter | Iterable[Exporter],
        /,
        *,
        meta: Mapping[str, Any] | None = None,
        wait: bool = False,
    ) -> Awaitable[None] | None:
        """Line a message up and return; it is sent in its turn, its memory pinned until then.

        Once `high_water` bytes are waiting, raises QueueFullError; with `wait=True` it is to be
        awaited, and returns when the message has been lined up. What goes wrong later is raised
        by the next call that sends, and by `drain`.
        """
        if self._posted is None:
            self._posted = Posted(self)
        if wait:
            return self._posted.put_when_room(data, meta)
        self._posted.put(data, meta)
        return None

    async def drain(self, *, timeout: float | None = None) -> None:
        """Wait until the kernel has everything that was posted.

        Raises what went wrong with the first message that was not sent.
        """
        async with bounded(timeout, f"sending what was posted to {self.peer_address}"):
            if self._posted is not None:
                await self._posted.join()
        self._raise_failure()

    async def close(self) -> None:
        """Close the channel and its stream. What is under way ends with ClosedError.

        What was posted and has not been sent is dropped: `drain` first, or use `async with`. It
        waits up to a second for the peer's hello if that has not come: a connection that is closed
        before would be reset.
        """
        try:
            if self._lingers:
                with suppress(Error, OSError):
                    await self.handshake(timeout=LINGER)
        finally:
            await self.stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None:
                await self.drain()
        finally:
            await self.close()


def connect_channel(
    address: Address, *, timeout: float | None = None, **options: Unpack[ChannelStreamOptions]
) -> Opening[Channel]:
    """Connect to a channel's listener: `await` it, or use it with `async with`.

    Takes what `connect` and `Channel` take. It does not wait for the peer's hello, which a first
    receive does, and `handshake`.
    """
    for_channel, for_stream = split(options)
    _core.check_channel_options(**for_channel)
    opening = connect(address, timeout=timeout, **for_stream)
    return opening.then("pinwire.connect_channel", partial(Channel, **for_channel))
