"""Who is connected to a receiver: strangers until their first piece comes, senders from then on.

Both are limited in number. Who connects is never turned away for those that are there: of the
strangers the oldest one goes, of the senders the one that has kept us waiting for the longest.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
from typing import TYPE_CHECKING

import pinwire

from .errors import complain, origin, reason
from .wire import PIECE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from typing import Self

    from pinwire import Channel, Listener, Stream

STRANGERS = 256
"""Three descriptors each (socket, file, link) and no memory to speak of. With the senders, they
have three quarters of the process's descriptors at most."""

SENDERS = 64
"""Two pieces of memory each, 512 MiB in all at worst."""

SHARE = 8
"""What part of the process's descriptors, in number, either of them may be: one in so many."""

GRACE = 5.0
"""Seconds that a sender has for a message when others want its place: 7 Mbit/s do."""

HELLO = 10.0
"""Seconds for a hello, as `pinwire.serve_channels` gives."""

PAUSE = 1.0
"""Seconds before the next accept after one that failed (as asyncio's servers wait)."""

_DEAD = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
"""What accept(2) says of a socket that does not listen any more."""


class Place:
    """What one connection holds."""

    def __init__(self, sessions: Sessions, stream: Stream) -> None:
        self.stream = stream
        self._sessions = sessions
        self.task: asyncio.Task[None] | None = None
        self.waiting_since: float | None = None
        self.is_sender = False
        self.evicted = False

    @contextlib.contextmanager
    def waiting(self) -> Generator[None]:
        """While the peer is waited for."""
        self.waiting_since = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.waiting_since = None

    async def become_sender(self) -> None:
        """Wait for a place among the senders."""
        await self._sessions.promote(self)

    def evict(self) -> None:
        self.evicted = True
        if self.task is not None:
            self.task.cancel()


class Sessions:
    """Runs `handle(channel, place)` for everybody who connects; use it with `async with`."""

    def __init__(self, handle: Callable[[Channel, Place], Awaitable[None]]) -> None:
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers: dict[Place, None] = {}  # the oldest first
        self._senders: set[Place] = set()
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def accept_all(self, listener: Listener) -> None:
        """Accept until the listener is closed. What fails for a while is said once."""
        said = False
        while True:
            try:
                stream = await listener.accept()
            except pinwire.ClosedError:
                return
            except (OSError, RuntimeError, MemoryError) as error:
                if isinstance(error, OSError) and error.errno in _DEAD:
                    raise
                if not said:
                    complain(f"cannot accept for now: {reason(error)}")
                said = True
                self._evict_strangers(keep=0)  # their descriptors may be what is wanting
                await asyncio.sleep(PAUSE)
            else:
                said = False
                self._evict_strangers(keep=_within_descriptors(STRANGERS) - 1)
                self._welcome(stream)

    async def settle(self) -> None:
        """Wait for the end of those whose pieces come; the others have brought nothing yet."""
        self._evict_strangers(keep=0)
        while tasks := [place.task for place in self._senders if place.task is not None]:
            await asyncio.wait(tasks)

    async def promote(self, place: Place) -> None:
        async with self._turn:  # in the order in which they asked
            while len(self._senders) >= _within_descriptors(SENDERS):
                self._left.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._evict_a_sender()):
                        await self._left.wait()
            self._strangers.pop(place, None)
            self._senders.add(place)
            place.is_sender = True

    def _evict_a_sender(self) -> float:
        """Have the one go that has used up its time, or the seconds until there may be one."""
        now = asyncio.get_running_loop().time()
        idlest = min(self._senders, key=lambda place: place.waiting_since or now)
        left = (idlest.waiting_since or now) + GRACE - now
        if left > 0:
            return left
        idlest.evict()
        self._senders.discard(idlest)
        self._left.set()
        return GRACE

    def _evict_strangers(self, keep: int) -> None:
        while len(self._strangers) > keep:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.evict()
            oldest.stream.abort()  # its descriptor is free before the next accept

    def _welcome(self, stream: Stream) -> None:
        place = Place(self, stream)
        self._strangers[place] = None
        task = asyncio.get_running_loop().create_task(self._serve(stream, place))
        place.task = task
        self._tasks.add(task)

        def leave(_: object) -> None:
            stream.abort()  # one that is cancelled before it begins closes nothing
            self._tasks.discard(task)
            self._strangers.pop(place, None)
            self._senders.discard(place)
            self._left.set()

        task.add_done_callback(leave)

    async def _serve(self, stream: Stream, place: Place) -> None:
        channel = pinwire.Channel(stream, max_message_bytes=PIECE)
        try:
            with contextlib.suppress(pinwire.Error, OSError):  # nobody whom we could speak to
                await channel.handshake(timeout=HELLO)
                async with channel:
                    await self._handle(channel, place)
        except asyncio.CancelledError:
            channel.abort()
            if not place.evicted:
                raise
            if place.is_sender:
                complain(f"made room for another sender (from {origin(channel)})")
        except Exception as error:
            complain(f"{type(error).__name__}: {reason(error)} (from {origin(channel)})")


def _within_descriptors(most: int) -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if limit == resource.RLIM_INFINITY else max(1, min(most, limit // SHARE))
