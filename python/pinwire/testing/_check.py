"""A clause of the contract, and how it is checked."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ._outcome import ClauseError, NotChecked
from ._pair import MakePair, Pair, open_pair
from ._settings import Options, Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from typing_extensions import Unpack

Function: TypeAlias = "Callable[[Pair], Awaitable[None]]"
AnyFunction = TypeVar("AnyFunction", bound=Function)


@dataclass(frozen=True)
class Check:
    """One clause: `str(check)` is its name, `await check.run(make_pair)` looks whether it holds."""

    name: str
    """The part of the contract and what is checked, as in "cancel.a_receive_takes_nothing"."""

    clause: str
    """What the contract says."""

    function: Function
    """`async def check(pair) -> None`, which raises if the clause does not hold."""

    needs: tuple[str, ...] = ()
    """What the streams must have: methods, keywords of their transfers ("timeout="), "asyncio" (a
    face whose calls are awaited) or "numpy"."""

    def __str__(self) -> str:
        return self.name

    async def run(self, make_pair: MakePair, /, **options: Unpack[Options]) -> None:
        """Check it on a new pair, which is closed afterwards.

        Raises ClauseError, or what the stream raised that it should not have; NotChecked (a
        `unittest.SkipTest`) if the streams lack what it needs; UnsuitableError if they cannot be
        judged. The clause is a note of the exception (PEP 678).
        """
        settings = Settings(**options)
        if "numpy" in self.needs and not _has_numpy():
            raise NotChecked("NumPy is not installed")
        limit = asyncio.timeout(settings.patience)
        try:
            async with limit, open_pair(make_pair, settings) as pair:
                for need in self.needs:
                    if reason := pair.client.lacks(need) or pair.server.lacks(need):
                        raise NotChecked(reason)
                await self.function(pair)
        except TimeoutError as error:
            if not limit.expired():
                raise self._noted(error) from None
            raise self._noted(ClauseError(f"not done within {settings.patience} s")) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self._noted(ClauseError("CancelledError, and nobody cancelled")) from error
        except NotChecked:
            raise
        except Exception as error:
            self._noted(error)
            raise

    def _noted(self, error: Exception) -> Exception:
        error.add_note(f"{self.name}: {self.clause}")
        return error


def _has_numpy() -> bool:
    """Imports it, too, so that no check need have the patience."""
    try:
        importlib.import_module("numpy")
    except ImportError:
        return False
    return True


class Section:
    """The checks of one part of the contract, in order."""

    def __init__(self, name: str) -> None:
        self.checks: list[Check] = []
        self._name = name

    def clause(self, *needs: str) -> Callable[[AnyFunction], AnyFunction]:
        """Register a function; its docstring is the clause."""

        def register(function: AnyFunction) -> AnyFunction:
            name = f"{self._name}.{getattr(function, '__name__', '')}"
            clause = " ".join((inspect.getdoc(function) or "").split())
            self.checks.append(Check(name, clause, function, needs))
            return function

        return register
