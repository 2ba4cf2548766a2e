"""pinwire's channels by their public calls; `uvloop_channel` has them on that loop."""

from typing import Any

import pinwire.blocking
from pinwire import Channel

from ..contestant import Contestant
from .blocking import BlockingContestant
from .flows import LoopContestant
from .pinwire_ import PinwireBlocking, PinwireKit


class ChannelWire:
    """The channel's own methods, without anything around them."""

    def __init__(self, channel: Any) -> None:
        self.send = self.send_parts = channel.send
        self.recv = self.recv_parts = channel.recv_into
        self.recv_fresh = channel.recv
        self.send_object, self.recv_object = channel.send_object, channel.recv_object
        self.close = channel.close


def channel_wire(stream: Any) -> ChannelWire:
    return ChannelWire(Channel(stream, allow_pickle=True))


def blocking_channel_wire(stream: Any) -> ChannelWire:
    return ChannelWire(pinwire.blocking.Channel(stream, allow_pickle=True))


SETTINGS = "Channel over a stream: send, recv_into, send_object, recv_object; its defaults"
FRESH_SETTINGS = "Channel over a stream: send, recv; its defaults"
KINDS = frozenset(
    {"message-ping", "message-bulk", "message-parts", "message-memory", "message-object"}
)
FRESH_KINDS = frozenset({"message-bulk", "message-parts", "message-memory"})

CONTESTANTS: tuple[Contestant, ...] = (
    LoopContestant(
        "pinwire Channel asyncio", "asyncio", SETTINGS, PinwireKit(None, wrap=channel_wire), KINDS
    ),
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
)
