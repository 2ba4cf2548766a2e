"""Who may stay at a server of channels. Both faces follow these rules."""

from __future__ import annotations

import resource
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from . import _core
from ._memory import default_budget

MOST = 16 * 1024
"""Channels of a server by default, however many descriptors there are."""

IDLE_TIMEOUT = 10.0
"""Seconds of silence after which a channel gives way, by default, once a server is full."""


class ServerStats(NamedTuple):
    """What a server of channels has done since it was opened."""

    channels: int
    """Channels whose handler runs."""
    greeting: int
    """Peers that have connected and not said hello yet."""
    waiting: int
    """Peers that have, and wait for a place."""
    accepted: int
    """Connections so far."""
    rejected: int
    """Of these, how many never became a channel: they said no hello, or there was no place."""
    idle: int
    """Channels that were ended because the server was full and their peers were silent."""
    memory: _core.BudgetStats
    """The budget for what is being received."""


class Admitted(Protocol):
    """What a channel has to tell."""

    @property
    def _traffic(self) -> int | None: ...


_P = TypeVar("_P")
_C = TypeVar("_C", bound=Admitted)


def most_greeting(max_channels: int) -> int:
    """Peers that a server waits for a hello of, at one time."""
    return max(16, max_channels // 4)


def default_max_channels() -> int:
    """Half of the descriptors that the process may have (RLIMIT_NOFILE)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 2))


class Greeting(Generic[_P]):
    """Peers that have connected and not said hello yet: the first gives way to one too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._greeting: dict[_P, None] = {}
        self.accepted: int = 0
        self.rejected: int = 0

    def arrive(self, peer: _P) -> _P | None:
        """It has connected. Gives the one that has to leave for it, if any."""
        self.accepted += 1
        self._greeting[peer] = None
        if len(self._greeting) <= self._most:
            return None
        oldest = next(iter(self._greeting))
        self.reject(oldest)
        return oldest

    def greeted(self, peer: _P) -> None:
        """It has said hello."""
        self._greeting.pop(peer, None)

    def reject(self, peer: _P) -> None:
        """It will say none."""
        if peer in self._greeting:
            del self._greeting[peer]
            self.rejected += 1


class Admission(Greeting[_C]):
    """The peers of a server.

    A quarter of `max_channels`, and 16 at least, may be there that have said no hello. Those that
    have wait for a place, in the order in which they came, half of `max_channels` at most. Once all
    places are taken, the channel whose peer has been silent longest gives way, if that is
    `idle_timeout` seconds or more.
    """

    def __init__(self, max_channels: int, idle_timeout: float) -> None:
        if max_channels < 1:
            raise ValueError(f"max_channels must be positive: {max_channels}")
        if not idle_timeout >= 0:
            raise ValueError(f"idle_timeout must be a number of seconds from 0, not {idle_timeout}")
        super().__init__(most_greeting(max_channels))
        self._places = max_channels
        self._idle_timeout = idle_timeout
        self._waiting: dict[_C, None] = {}
        # With its traffic when that was last seen to change, and when that was.
        self._channels: dict[_C, tuple[int | None, float]] = {}
        self.idle = 0

    def __contains__(self, channel: _C) -> bool:
        return any(channel in group for group in (self._greeting, self._waiting, self._channels))

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for a place."""
        return bool(self._waiting)

    def queue(self, channel: _C) -> bool:
        """It has said hello. Whether it may wait for a place."""
        without_place = len(self._waiting) - (self._places - len(self._channels))
        if channel not in self._greeting or without_place >= max(1, self._places // 2):
            self.reject(channel)
            return False
        self.greeted(channel)
        self._waiting[channel] = None
        return True

    def usher(self, now: float) -> tuple[list[_C], list[_C]]:
        """Those that have a place from now on, and those that have to leave for them."""
        free = self._places - len(self._channels)
        leaving = self._idle(now)[: max(0, len(self._waiting) - free)] if self._waiting else []
        for channel in leaving:
            del self._channels[channel]
        self.idle += len(leaving)
        coming = list(islice(self._waiting, free + len(leaving)))
        for channel in coming:
            del self._waiting[channel]
            self._channels[channel] = (channel._traffic, now)
        return coming, leaving

    def _idle(self, now: float) -> list[_C]:
        """The channels whose peers have been silent for too long, the longest first."""
        for channel, (before, _) in self._channels.items():
            traffic = channel._traffic
            if traffic is None or traffic != before:
                self._channels[channel] = (traffic, now)
        since = {channel: moment for channel, (_, moment) in self._channels.items()}
        idle = [channel for channel in since if now - since[channel] >= self._idle_timeout]
        return sorted(idle, key=since.__getitem__)

    def leave(self, channel: _C) -> None:
        """It has gone, whatever it was."""
        self.reject(channel)
        if channel in self._waiting:
            del self._waiting[channel]
            self.rejected += 1
        self._channels.pop(channel, None)

    def stats(self, memory: _core.BudgetStats) -> ServerStats:
        """How it stands."""
        return ServerStats(
            channels=len(self._channels),
            greeting=len(self._greeting),
            waiting=len(self._waiting),
            accepted=self.accepted,
            rejected=self.rejected,
            idle=self.idle,
            memory=memory,
        )


def admission(options: Any) -> tuple[Admission[Any], _core.MemoryBudget, Any]:
    """What a server takes in, from its options; and those of its listener and its channels."""
    budget = options.get("memory_budget")
    if budget is None:
        budget = default_budget()
    elif isinstance(budget, int):
        budget = _core.MemoryBudget(budget)
    max_channels = options.get("max_channels")
    if max_channels is None:
        max_channels = default_max_channels()
    admission: Admission[Any] = Admission(max_channels, options.get("idle_timeout", IDLE_TIMEOUT))
    rest = {name: options[name] for name in options if name not in ("max_channels", "idle_timeout")}
    return admission, budget, rest | {"memory_budget": budget}
