"""One end of a flow: it opens a connection, plays both directions, and closes."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from .attempts import Attempts
from .content import Content
from .ledger import Account
from .messages import ChannelEnd
from .streams import StreamEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faces import InThreads, OnLoop

EXHAUSTED = "OSError:EMFILE"
OPENING_ATTEMPTS = "timeout cancel asyncio.timeout descriptors"


@dataclass(frozen=True)
class Flow:
    """A connection and what goes over it, as both ends are told."""

    number: int
    key: str
    is_channel: bool
    address: str
    forward: int
    """Bytes that go from who connects to who listens, or messages."""
    backward: int
    largest: int
    """Bytes of the largest call or message."""
    patience: float
    """Seconds after which a call is given up that was not asked to be interrupted."""
    ways: dict[str, list[str]] = field(default_factory=dict)
    """How the calls of each role are interrupted."""
    rate: float = 0.0
    """How often."""
    closes_at: dict[str, float] = field(default_factory=dict)
    """Seconds after which a role closes its end, whatever is under way."""
    options: dict[str, Any] = field(default_factory=dict)
    channel: dict[str, Any] = field(default_factory=dict)
    with_files: bool = True


class End:
    """What one role, "connect" or "listen", has of a flow."""

    def __init__(self, face: OnLoop | InThreads, flow: Flow, role: str, seed: str) -> None:
        self.flow, self._face, self._role = flow, face, role
        self._chance = random.Random(f"{seed} {flow.number} {role}")
        self.account = Account(flow.number)
        ways = flow.ways.get(role, [])
        if face.is_blocking:
            ways = [way for way in ways if way not in ("cancel", "asyncio.timeout")]
        else:
            ways = [way for way in ways if way != "sigint"]
        self._attempt = Attempts(face, self._chance, self.account, ways, flow.rate, flow.patience)
        self.listener: Any = None
        self.stream: Any = None

    async def listen(self) -> str:
        self.listener = await self._face.listen(self.flow.address, **self.flow.options)
        return str(self.listener.address)

    async def play(self, tell: Callable[[dict[str, int]], None]) -> None:
        try:
            await self._open()
            tell({"unconnected" if self.stream is None else "connected": self.flow.number})
            if self.stream is None:
                return
            await self._exchange()
        finally:
            await self._close()

    async def _open(self) -> None:
        fine = EXHAUSTED if "descriptors" in chain.from_iterable(self.flow.ways.values()) else ""
        while self.stream is None and not self.account.connected:
            outcome = await self._attempt(self._accept_or_connect, only=OPENING_ATTEMPTS, fine=fine)
            self.stream = outcome.result
            if not outcome.error:
                break
            # An accept that was interrupted goes on; of a connect the peer may know already.
            if outcome.error == fine:
                await self._face.pause(0.01)
            elif not outcome.asked or self.listener is None:
                self.account.connected = outcome.error
        if self.stream is not None:
            self.account.connected = "yes"

    def _accept_or_connect(self, timeout: float) -> Any:
        if self.listener is not None:
            return self.listener.accept(timeout=timeout)
        return self._connect(timeout)

    async def _connect(self, timeout: float) -> Any:
        return await self._face.connect(self.flow.address, timeout=timeout, **self.flow.options)

    async def _exchange(self) -> None:
        mine, theirs = ("forward", "backward")[:: 1 if self._role == "connect" else -1]
        amount, flow = getattr(self.flow, mine), self.flow
        keys = [f"{flow.key} {direction}" for direction in (mine, theirs)]
        settings = {"largest": flow.largest, "with_files": flow.with_files}
        stop = self._close_later()
        try:
            if flow.is_channel:
                channel = self._face.channel(self.stream, **flow.channel)
                settings["failed"] = self._close_now
                settings["withdraws"] = any(flow.ways.values())
                end = ChannelEnd(channel, self.account, self._attempt, self._chance, **settings)
                await self._face.all(end.send(keys[0], amount), end.receive(keys[1]))
                await end.close()
            else:
                one = StreamEnd(self.stream, self.account, self._attempt, self._chance, **settings)
                contents = [Content(key) for key in keys]
                await self._face.all(one.send(contents[0], amount), one.receive(contents[1]))
        finally:
            stop()

    def _close_later(self) -> Callable[[], None]:
        moment = self.flow.closes_at.get(self._role)
        if moment is None:
            return lambda: None
        return self._face.later(moment, self._close_now)

    def _close_now(self) -> None:
        self.account.closed_early = True
        stream = getattr(self.stream, "inner", self.stream)
        self._chance.choice([stream.close, stream.abort])()

    async def _close(self) -> None:
        for one in (self.listener, self.stream):
            if one is not None:
                await one.close()

    def give_up(self) -> None:
        """Nobody will come any more."""
        if self.listener is not None and self.stream is None:
            listener = getattr(self.listener, "inner", self.listener)
            with contextlib.suppress(RuntimeError):
                listener.close()
