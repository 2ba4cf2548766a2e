"""Calls of pinwire that are interrupted at random, and what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import documented, limits

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from .faces import InThreads, OnLoop
    from .ledger import Account

    Make = Callable[[float], Awaitable[Any]]

LONGEST = 0.02
"""Seconds after which a call that is to be interrupted is, at most."""


@dataclass
class Outcome:
    """How a call ended."""

    result: Any = None
    error: str = ""
    asked: bool = False
    """Whether it was interrupted in the way it was asked to be."""
    counts: tuple[int, int] | None = None
    """`transferred` and `nbytes` of its error, if that has them."""


class Attempts:
    """Makes calls for one end of a flow, and notes their errors in its account."""

    def __init__(
        self,
        face: OnLoop | InThreads,
        chance: random.Random,
        account: Account,
        ways: Sequence[str],
        rate: float,
        patience: float,
    ) -> None:
        self._face, self._chance, self._account = face, chance, account
        self._ways, self._rate, self._patience = list(ways), rate, patience
        self._pid = os.getpid()

    async def __call__(
        self, make: Make, *, spared: bool = False, only: str = "", fine: str = ""
    ) -> Outcome:
        """Make the call, and interrupt it if chance wants that.

        One that is `spared` is not interrupted, others `only` in these ways; an error that is
        `fine` needs no explanation.
        """
        is_struck = not spared and self._ways and self._chance.random() < self._rate
        way = self._chance.choice(self._ways) if is_struck else ""
        if only and way not in only.split():
            way = ""
        if way == "sigint" and threading.current_thread() is not threading.main_thread():
            way = "timeout"
        start = time.monotonic()
        try:
            return Outcome(await self._make(make, way))
        except BaseException as error:
            # A forked child has nothing to say about the flows of its parent.
            if isinstance(error, AssertionError | GeneratorExit) or os.getpid() != self._pid:
                raise
            return self._told(error, way, fine)
        finally:
            self._check_time(time.monotonic() - start)

    def _check_time(self, took: float) -> None:
        # When the time is over a call looks once more, and may find what nobody has told it of.
        if took >= self._patience and not self._account.errors.keys() & documented.SILENCE:
            self._account.wrong.append(
                f"a call of {took:.1f} s, which is all its time, and no word"
            )

    def _told(self, error: BaseException, way: str, fine: str) -> Outcome:
        name = documented.name(error)
        asked = name in documented.BY_INTERRUPTION.get(way, ())
        if name != fine:
            self._account.note(name, asked)
        told = error.__cause__ if way == "asyncio.timeout" and asked else error
        counts = None
        if "transferred" in getattr(told, "__dict__", {}) or name.startswith("pinwire."):
            counts = (told.transferred, told.nbytes)
            if not 0 <= counts[0] <= max(counts):
                self._account.wrong.append(f"{name} with counts {counts}")
        elif not asked and name != fine:
            self._account.origins += traceback.format_exception(error)[-6:]
        return Outcome(None, name, asked, counts)

    async def _make(self, make: Make, way: str) -> Any:
        moment = self._chance.random() ** 2 * LONGEST
        if way == "timeout":
            return await make(self._chance.choice([0.0, moment, moment]))
        if way == "cancel":
            task = asyncio.ensure_future(make(self._patience))
            stop = self._face.later(moment, task.cancel)
            try:
                return await task
            finally:
                stop()
        if way == "asyncio.timeout":
            async with asyncio.timeout(moment):
                return await make(self._patience)
        with _spoilt(way, self._face, self._chance, moment):
            return await make(self._patience)


def _spoilt(way: str, face: Any, chance: random.Random, moment: float) -> Any:
    if way == "sigint":
        return _interrupted(face, moment)
    if way == "descriptors":
        return limits.few_descriptors(chance.randrange(3))
    if way == "memory":
        return limits.little_memory(chance.choice([4, 8, 16]) << 20)
    return contextlib.nullcontext()


_armed = False


def on_sigint(_number: int, _frame: object) -> None:
    """The handler: it raises only in a call that is to be interrupted so."""
    global _armed
    if _armed:
        _armed = False
        raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupted(face: Any, moment: float) -> Any:
    global _armed
    main = threading.main_thread().ident
    stop = face.later(moment, lambda: signal.pthread_kill(main, signal.SIGINT))
    _armed = True
    try:
        yield
    finally:
        _armed = False
        stop()
