"""How far files are: bars where rich is installed, else a line for each, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Protocol

from .errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import Progress as Bars


class Meter(Protocol):
    """One file."""

    def reach(self, offset: int) -> None: ...
    def finish(self) -> None: ...


class Progress(Protocol):
    def file(
        self, name: str, size: int, offset: int
    ) -> contextlib.AbstractContextManager[Meter]: ...


@contextlib.contextmanager
def progress() -> Generator[Progress]:
    if not sys.stderr.isatty():
        yield _Silence()
        return
    try:
        import rich.progress as rich_progress
        from rich.console import Console
    except ImportError:
        yield _Lines()
        return
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)


class _Silence:
    @contextlib.contextmanager
    def file(self, name: str, size: int, offset: int) -> Generator[Meter]:
        yield self

    def reach(self, offset: int) -> None:
        pass

    def finish(self) -> None:
        pass


class _Lines:
    @contextlib.contextmanager
    def file(self, name: str, size: int, offset: int) -> Generator[Meter]:
        yield _Line(name, size, offset)


class _Line:
    def __init__(
        self, name: str, size: int, offset: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = printable(name)
        self._size = size
        self._moved = size - offset
        self._clock = clock
        self._began = clock()

    def reach(self, offset: int) -> None:
        pass

    def finish(self) -> None:
        took = self._clock() - self._began
        speed = f", {self._moved / took / 1e9:.2f} GB/s" if took and self._moved else ""
        kept = self._size - self._moved
        there = "all" if kept == self._size else f"{kept} of them"
        earlier = f", {there} there" if kept else ""
        print(f"{self._name}: {self._size} bytes{earlier}{speed}", file=sys.stderr)


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextlib.contextmanager
    def file(self, name: str, size: int, offset: int) -> Generator[Meter]:
        # No bar can be full of nothing.
        task = self._bars.add_task(printable(name), total=max(size, 1), completed=offset)
        meter = _Bar(lambda now: self._bars.update(task, completed=now), max(size, 1))
        try:
            yield meter
        finally:
            self._bars.stop_task(task)
            if not meter.finished:
                self._bars.remove_task(task)


class _Bar:
    def __init__(self, update: Callable[[int], None], total: int) -> None:
        self.finished = False
        self._update = update
        self._total = total

    def reach(self, offset: int) -> None:
        self._update(offset)

    def finish(self) -> None:
        self._update(self._total)
        self.finished = True
