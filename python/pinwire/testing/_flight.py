"""A call under way, on either face: awaited by a task, or made by a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._outcome import ClauseError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

TURNS = 8
"""Turns of the loop after which a task has come to wait for what it waits for."""

PAUSE = 0.0005
"""Seconds between two looks at what nobody tells of."""

FUTEX = {"x86_64": "202", "aarch64": "98"}.get(os.uname().machine)
"""futex(2): what a thread waits in for a lock, that of the interpreter among them."""


class Flight:
    """What `End.start` returns. Await it for the result."""

    def __init__(
        self, future: asyncio.Future[Any], transfer: object = None, thread: int | None = None
    ) -> None:
        future.add_done_callback(_look_at)
        self._future = future
        self._transfer = transfer
        self._thread = thread

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._future.__await__()

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._future.done()

    def cancel(self) -> None:
        """Cancel its task. A thread's call goes on."""
        self._future.cancel()

    @property
    def transferred(self) -> int | None:
        """Bytes so far, if the call returned an object that tells."""
        return getattr(self._transfer, "transferred", None)

    async def settle(self) -> None:
        """Wait until it has ended, or waits for the peer."""
        if self._thread is None:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            return
        thread = self._thread
        await comes_true(lambda: self.done() or _sleeps(thread))

    async def ended(self, within: float | None = None) -> bool:
        """Wait for its end, and no longer than so many seconds. Raises nothing of its own."""
        await asyncio.wait([self._future], timeout=within)
        return self.done()

    async def failure(self, *expected: type[BaseException]) -> BaseException:
        """The exception it ends with, which has to be one of these."""
        await self.ended()
        wanted = " or ".join(kind.__name__ for kind in expected)
        try:
            result = self._future.result()
        except expected as error:
            # The frames of a traceback would keep alive, and pinned, what they know.
            return error.with_traceback(None)
        except Exception as error:
            raise ClauseError(f"{type(error).__name__} instead of {wanted}: {error}") from error
        raise ClauseError(f"no {wanted}: the call returned {result!r}")

    async def drop(self, patience: float) -> None:
        """End it, and want to know nothing more of it."""
        if self._thread is None:
            self._future.cancel()
        await self.ended(patience)


def _look_at(future: asyncio.Future[Any]) -> None:
    """Look at the exception, so that asyncio does not log that nobody has."""
    if not future.cancelled():
        future.exception()


async def results(*flights: Flight) -> list[Any]:
    """The results of several, or the first error, though others may wait on for ever."""
    futures = [flight._future for flight in flights]
    done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
    for future in done:
        future.result()
    return [future.result() for future in futures]


async def comes_true(condition: Callable[[], object], within: float = math.inf) -> bool:
    """Wait for a condition of which nobody tells, and no longer than so many seconds."""
    end = time.monotonic() + within
    while not (holds := condition()) and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(PAUSE)
    return bool(holds)


def awaited(call: Callable[[], Any]) -> Flight:
    """A flight of a call that returns something to be awaited."""
    loop = asyncio.get_running_loop()
    try:
        operation = call()
    except Exception as error:
        failed: asyncio.Future[Any] = loop.create_future()
        failed.set_exception(error)
        return Flight(failed)
    if not hasattr(operation, "__await__"):
        returned: asyncio.Future[Any] = loop.create_future()
        returned.set_result(operation)
        return Flight(returned)
    return Flight(asyncio.ensure_future(operation), operation)


def threaded(call: Callable[[], Any]) -> Flight:
    """A flight of a call that blocks. Its thread is a daemon: a call may never return."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    thread = threading.Thread(target=work, name="pinwire.testing", daemon=True)
    thread.start()
    return Flight(asyncio.wrap_future(future), thread=thread.native_id)


def _sleeps(thread: int) -> bool:
    """Whether it waits in the kernel for something else than a lock (proc(5))."""
    try:
        call = Path(f"/proc/self/task/{thread}/syscall").read_text().split()[0]
    except OSError:  # it has ended
        return False
    return call not in ("running", "-1", FUTEX)
