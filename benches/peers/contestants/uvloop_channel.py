"""pinwire's channels on uvloop."""

import uvloop

from ..contestant import Contestant
from .flows import LoopContestant
from .pinwire_ import PinwireKit
from .pinwire_channel import SETTINGS, channel_wire

CONTESTANTS: tuple[Contestant, ...] = (
    LoopContestant(
        "pinwire Channel uvloop",
        "uvloop",
        SETTINGS,
        PinwireKit(uvloop.new_event_loop, wrap=channel_wire),
        frozenset({"message-ping"}),
    ),
)
