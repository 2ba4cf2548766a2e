"""pinwire's channels by their public calls; `uvloop_channel` has them on that loop."""

from functools import partial
from typing import Any

import pinwire.blocking
from pinwire import Channel

from ..contestant import HOST_BULK, Contestant
from .blocking import BlockingContestant
from .flows import LoopContestant
from .over_unix import OverUnix
from .pinwire_ import PinwireBlocking, PinwireKit


class ChannelWire:
    """The channel's own methods, without anything around them."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.send = self.send_parts = channel.send
        self.recv = self.recv_parts = channel.recv_into
        self.recv_fresh = channel.recv
        self.send_object, self.recv_object = channel.send_object, channel.recv_object
        self.close = channel.close

    @property
    def carrier(self) -> str:
        return str(self._channel.transport)


async def channel_wire(stream: Any, **options: Any) -> ChannelWire:
    channel = Channel(stream, allow_pickle=True, **options)
    await channel.handshake()
    return ChannelWire(channel)


def blocking_channel_wire(stream: Any, **options: Any) -> ChannelWire:
    channel = pinwire.blocking.Channel(stream, allow_pickle=True, **options)
    channel.handshake()
    return ChannelWire(channel)


socket_wire = partial(channel_wire, same_host="off")
blocking_socket_wire = partial(blocking_channel_wire, same_host="off")

SETTINGS = "Channel over a stream: send, recv_into, send_object, recv_object; its defaults"
SOCKET_SETTINGS = f'{SETTINGS} but same_host="off"'
FRESH_SETTINGS = "Channel over a stream: send, recv; its defaults"
HOST_KINDS = HOST_BULK | {"same-host-memory", "same-host-ping"}
KINDS = HOST_KINDS | frozenset(
    {"message-ping", "message-bulk", "message-parts", "message-memory", "message-object"}
)
HOST_PINGS = frozenset({"same-host-ping"})
FRESH_KINDS = frozenset({"message-bulk", "message-parts", "message-memory"})

ASYNCIO = LoopContestant(
    "pinwire Channel asyncio", "asyncio", SETTINGS, PinwireKit(None, wrap=channel_wire), KINDS
)

CONTESTANTS: tuple[Contestant, ...] = (
    ASYNCIO,
    OverUnix("pinwire Channel asyncio, unix", ASYNCIO),
    LoopContestant(
        "pinwire Channel asyncio recv",
        "asyncio",
        FRESH_SETTINGS,
        PinwireKit(None, wrap=channel_wire),
        FRESH_KINDS,
        fresh=True,
    ),
    BlockingContestant(
        "pinwire Channel blocking", SETTINGS, PinwireBlocking(wrap=blocking_channel_wire), KINDS
    ),
    BlockingContestant(
        "pinwire Channel blocking recv",
        FRESH_SETTINGS,
        PinwireBlocking(wrap=blocking_channel_wire),
        FRESH_KINDS,
        fresh=True,
    ),
    LoopContestant(
        "pinwire Channel asyncio, socket",
        "asyncio",
        SOCKET_SETTINGS,
        PinwireKit(None, wrap=socket_wire),
        HOST_KINDS,
    ),
    BlockingContestant(
        "pinwire Channel blocking, socket",
        SOCKET_SETTINGS,
        PinwireBlocking(wrap=blocking_socket_wire),
        HOST_PINGS,
    ),
)
