"""pinwire's channels on uvloop."""

import uvloop

from ..contestant import Contestant
from .flows import LoopContestant
from .pinwire_ import PinwireKit
from .pinwire_channel import HOST_PINGS, SETTINGS, SOCKET_SETTINGS, channel_wire, socket_wire

CONTESTANTS: tuple[Contestant, ...] = (
    LoopContestant(
        "pinwire Channel uvloop",
        "uvloop",
        SETTINGS,
        PinwireKit(uvloop.new_event_loop, wrap=channel_wire),
        HOST_PINGS | {"message-ping"},
    ),
    LoopContestant(
        "pinwire Channel uvloop, socket",
        "uvloop",
        SOCKET_SETTINGS,
        PinwireKit(uvloop.new_event_loop, wrap=socket_wire),
        HOST_PINGS,
    ),
)
