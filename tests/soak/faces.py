"""The faces of pinwire as one: what is written once as coroutines runs on loops and in threads.

On the face for threads every call returns at once to whoever awaits it, so that a coroutine runs
to its end in one step, in the thread that takes it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pinwire
import pinwire.blocking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

NAMES = ["asyncio", "uvloop", "blocking"]


class OnLoop:
    """asyncio and uvloop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_blocking = False
        self.connect = pinwire.connect
        self.listen = pinwire.listen
        self.pair = pinwire.socketpair
        self.channel = pinwire.Channel

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        with asyncio.Runner(loop_factory=_factory(self.name)) as runner:
            return runner.run(make())

    async def all(self, *work: Awaitable[Any]) -> list[Any]:
        return await asyncio.gather(*work)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def later(self, seconds: float, call: Callable[[], object]) -> Callable[[], None]:
        """Do it then; the result takes that back."""
        return asyncio.get_running_loop().call_later(seconds, call).cancel

    def caller(self) -> Callable[..., None]:
        """How another thread has something done where the flows run."""
        loop = asyncio.get_running_loop()

        def call(work: Callable[[], object]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(work)

        return call


class InThreads:
    """pinwire.blocking."""

    def __init__(self, name: str = "blocking") -> None:
        self.name = name
        self.is_blocking = True
        self.pair = lambda **options: tuple(map(Immediate, pinwire.blocking.socketpair(**options)))

    async def connect(self, *args: Any, **options: Any) -> Immediate:
        return Immediate(pinwire.blocking.connect(*args, **options))

    async def listen(self, *args: Any, **options: Any) -> Immediate:
        return Immediate(pinwire.blocking.listen(*args, **options))

    def channel(self, stream: Immediate, **options: Any) -> Immediate:
        return Immediate(pinwire.blocking.Channel(stream.inner, **options))

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return at_once(make())

    async def all(self, *work: Coroutine[Any, Any, Any]) -> list[Any]:
        threads = [_Thread(one) for one in work[1:]]
        try:
            first = [at_once(one) for one in work[:1]]
        finally:
            for thread in threads:
                thread.join()
        return first + [thread.result() for thread in threads]

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - in the thread that is to pause

    def later(self, seconds: float, call: Callable[[], object]) -> Callable[[], None]:
        timer = threading.Timer(seconds, call)
        timer.daemon = True
        timer.start()
        return timer.cancel

    def caller(self) -> Callable[..., None]:
        return lambda work: work()


class Immediate:
    """An object of the face for threads whose calls are awaited."""

    _CALLS = frozenset(
        [
            "accept",
            "close",
            "drain",
            "handshake",
            "post",
            "read",
            "read_into",
            "recv",
            "recv_buffers_into",
            "recv_exactly_into",
            "recv_header",
            "recv_into",
            "recv_object",
            "send",
            "send_buffer",
            "send_buffers",
            "send_eof",
            "send_file",
            "send_object",
            "skip",
        ]
    )

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return partial(self._call, found) if name in self._CALLS else found

    async def _call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        wrapped = pinwire.blocking.Stream | pinwire.blocking.Header
        return Immediate(result) if isinstance(result, wrapped) else result


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that awaits nothing which takes time."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("a coroutine for threads has waited for a loop")


class _Thread(threading.Thread):
    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        super().__init__(daemon=True)
        self._work, self._outcome, self._error = work, None, None
        self.start()

    def run(self) -> None:
        try:
            self._outcome = at_once(self._work)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._outcome


def face(name: str) -> OnLoop | InThreads:
    return InThreads() if name == "blocking" else OnLoop(name)


def _factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop
