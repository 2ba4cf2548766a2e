"""What a round does to its flows, and which errors that explains."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from . import documented, faces
from .ends import Flow
from .hosts import FAR

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

ROLES = ("connect", "listen")
MIB = 1 << 20
MOST_CALLS = 60
ENDED = documented.PEER_GONE | documented.TORN | documented.CLOSED | documented.NO_HALF_CLOSE


@dataclass
class Round:
    """Flows, and what happens to them."""

    flows: list[Flow] = field(default_factory=list)
    allowed: frozenset[str] = frozenset()
    """Errors that need not be asked for by a call."""
    faces: dict[str, str] = field(default_factory=dict)
    spoil: str = ""
    """What the link does: a method of `Link`."""
    through_proxy: bool = False
    forks: int = 0
    signals: bool = False
    killed: str = ""
    """The role whose process is killed."""

    def settings(self, role: str) -> dict[str, Any]:
        return {
            "role": role,
            "face_name": self.faces[role],
            "flows": [asdict(flow) for flow in self.flows],
            "forks": self.forks,
            "signals": self.signals,
        }


class Maker:
    """Makes the flows of one round."""

    def __init__(self, chance: random.Random, seed: str) -> None:
        self.chance, self._seed = chance, seed

    def round(
        self, count: int = 6, *, far: bool = False, megabytes: float = 4.0, **changes: Any
    ) -> Round:
        made = Round(faces={role: self.chance.choice(faces.NAMES) for role in ROLES})
        made.flows = [self._flow(n, far, megabytes, **changes) for n in range(count)]
        return made

    def _flow(self, number: int, far: bool, megabytes: float, **changes: Any) -> Flow:
        chance = self.chance
        is_channel = changes.pop("is_channel", chance.random() < 0.5)
        size = int(megabytes * MIB * chance.random())
        largest = max(1, min(size, chance.choice([2000, 100_000, MIB, 3 * MIB])))
        size = max(1, min(size, largest * MOST_CALLS))
        calls = [size, chance.choice([0, size // 3])]
        if is_channel:
            calls = [min(60, 1 + 6 * amount // largest) for amount in calls]
        settings: dict[str, Any] = {
            "number": number,
            "key": f"{self._seed} {number}",
            "is_channel": is_channel,
            "address": self._address(number, far),
            "forward": calls[0],
            "backward": calls[1],
            "largest": largest,
            "patience": 20.0,
            "options": self._options(),
            "channel": {
                "allow_pickle": True,
                "same_host": chance.choice(["auto", "auto", "off"]),
                "high_water": chance.choice([1, MIB, 64 * MIB]),
            },
        }
        return Flow(**(settings | changes))

    def _address(self, number: int, far: bool) -> str:
        if far:
            return f"tcp://{FAR}:0"
        unix = f"unix:@soak-{os.getpid()}-{abs(hash(self._seed))}-{number}"
        return self.chance.choice(["tcp://127.0.0.1:0", unix])

    def _options(self) -> dict[str, Any]:
        size = self.chance.choice([None, None, 4096, 65536])
        return {"send_buffer_size": size, "recv_buffer_size": size}


def both(*ways: str) -> dict[str, list[str]]:
    """Both roles are interrupted in these ways."""
    return {role: list(ways) for role in ROLES}


def calm(make: Maker) -> Round:
    return make.round(8)


def cancels(make: Maker) -> Round:
    ways = both("cancel", "timeout", "asyncio.timeout")
    made = make.round(12, ways=ways, rate=make.chance.choice([0.05, 0.3]))
    made.allowed = ENDED
    return made


def closes(make: Maker) -> Round:
    who = make.chance.choice([ROLES, ROLES[:1], ROLES[1:]])
    moments = {role: make.chance.random() * 0.1 for role in who}
    made = make.round(10, megabytes=30, closes_at=moments)
    made.allowed = ENDED
    return made


def lossy(make: Maker) -> Round:
    made = make.round(4, far=True, megabytes=1)
    made.spoil = "lose"
    return made


def slow(make: Maker) -> Round:
    made = make.round(3, far=True, megabytes=0.3)
    made.spoil = "slow"
    return made


def resets(make: Maker) -> Round:
    # One end may hear nothing of what the other was told.
    made = make.round(6, far=True, megabytes=2, patience=1.5)
    made.spoil = "reset"
    made.allowed = ENDED | documented.REFUSED | documented.SILENCE
    return made


def proxy(make: Maker) -> Round:
    made = make.round(10, megabytes=2)
    made.through_proxy = True
    made.allowed = ENDED
    return made


def killed(make: Maker) -> Round:
    made = make.round(6, megabytes=60)
    made.killed = make.chance.choice(ROLES)
    made.allowed = ENDED | documented.REFUSED
    return made


def forks(make: Maker) -> Round:
    made = make.round(6, megabytes=8)
    made.forks = 4
    return made


def signals(make: Maker) -> Round:
    made = make.round(6, ways=both("sigint", "timeout"), rate=0.05)
    made.signals = True
    made.allowed = ENDED
    return made


def descriptors(make: Maker) -> Round:
    ways = both("descriptors")
    return make.round(6, ways=ways, rate=0.3, with_files=False)


def memory(make: Maker) -> Round:
    return make.round(
        1,
        is_channel=True,
        ways={"listen": ["memory"]},
        rate=0.5,
        largest=48 * MIB,
        forward=12,
        backward=0,
    )


ON_LINK = {"lossy", "slow", "resets"}
SCENARIOS: dict[str, Callable[[Maker], Round]] = {
    scenario.__name__: scenario
    for scenario in (
        calm,
        cancels,
        closes,
        lossy,
        slow,
        resets,
        proxy,
        killed,
        forks,
        signals,
        descriptors,
        memory,
    )
}
