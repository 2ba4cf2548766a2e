"""What runs on asyncio, on uvloop."""

import uvloop

from ..contestant import Contestant
from .asyncio_ import contestants
from .flows import LoopContestant
from .pinwire_ import SETTINGS, PinwireKit

CONTESTANTS: tuple[Contestant, ...] = (
    *contestants("uvloop", uvloop.new_event_loop),
    LoopContestant(
        "pinwire uvloop",
        "uvloop",
        SETTINGS,
        PinwireKit(uvloop.new_event_loop),
        LoopContestant.kinds | {"message-ping"},
        sets_buffers=True,
    ),
)
