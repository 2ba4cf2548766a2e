"""What the tests of the command line share: its processes, and both ends within one loop."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from support import _heed_interrupts, finish

import pinwire
from pinwire._cli import wire
from pinwire._cli.recv import receive_all
from pinwire._cli.store import Folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PIECE = wire.PIECE


class Record:
    """A progress that writes down where files began, how far they came, and which finished."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.reached: list[int] = []
        self.finished = 0

    @contextlib.contextmanager
    def file(self, name: str, size: int, offset: int) -> Iterator[Record]:
        self.began.append((name, offset))
        yield self

    def reach(self, offset: int) -> None:
        self.reached.append(offset)

    def finish(self) -> None:
        self.finished += 1


@contextlib.asynccontextmanager
async def receiver(path: Path, record: Record | None = None, **options: Any) -> AsyncIterator[str]:
    """The address of a receiver in this loop."""
    record = record or Record()
    with Folder(path, **{"overwrite": False, **options}) as folder:

        async def handle(channel: Any) -> None:
            await receive_all(channel, folder, record)

        serving = pinwire.serve_channels(handle, "tcp://127.0.0.1:0", max_message_bytes=wire.PIECE)
        async with serving as server:
            yield server.address


def start(*args: object) -> Any:
    """The command, in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "pinwire", *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heed_interrupts
    )


def command(*args: object) -> tuple[int, str, str]:
    return finish(start(*args))


def listening(*args: object) -> tuple[Any, str]:
    """A command that listens, and where it does."""
    process = start(*args)
    return process, process.stdout.readline().removeprefix("listening at ").strip()


def parts(folder: Path) -> dict[str, bytes]:
    """Everything in the folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
