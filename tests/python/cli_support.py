"""What the tests of the command line share: its processes, and both ends within one loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from support import PATIENCE, _heed_interrupts, finish

import pinwire
from pinwire._cli import wire
from pinwire._cli.digest import workers
from pinwire._cli.marks import mark_unfinished
from pinwire._cli.names import part_name
from pinwire._cli.receiving import Receiver, receive_all
from pinwire._cli.sessions import Sessions
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
async def receiver(
    path: Path, record: Record | None = None, *, timeout: float = PATIENCE, **options: Any
) -> AsyncIterator[str]:
    """The address of a receiver in this loop."""
    with Folder(path, **{"overwrite": False, **options}) as folder, workers() as pool:
        shared = Receiver(folder, pool, record or Record(), timeout)

        async def handle(channel: Any, place: Any) -> None:
            await receive_all(channel, place, shared)

        async with pinwire.listen("tcp://127.0.0.1:0") as listener, Sessions(handle) as sessions:
            accepting = asyncio.create_task(sessions.accept_all(listener))
            yield listener.address
            await listener.close()
            await accepting


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


def head(content: bytes) -> bytes:
    """What an offer says of the beginning of a file."""
    return hashlib.sha256(content[:PIECE]).digest()


def part(name: str, content: bytes) -> str:
    """The name of a file while it is unfinished."""
    return part_name(name, head(content))


def make_part(folder: Path, name: str, content: bytes, there: bytes) -> Path:
    """An unfinished file as an earlier receiver has left it, with `there` in it so far."""
    path = folder / part(name, content)
    path.write_bytes(there)
    with path.open("rb") as file:
        assert mark_unfinished(file.fileno())
    return path


async def offer(channel: Any, name: bytes, content: bytes, size: int | None = None) -> None:
    """Offer a file, of another size than it has perhaps."""
    size = len(content) if size is None else size
    await wire.say(channel, "offer", version=wire.VERSION, name=name, size=size, head=head(content))


async def begin(channel: Any, name: bytes, content: bytes, size: int | None = None) -> None:
    """Have a receiver wait for the first piece of a file."""
    await offer(channel, name, content, size)
    have = (await wire.hear(channel, "have"))["offset"]
    prefix = hashlib.sha256(content[:have]).digest()
    await wire.say(channel, "prefix", sha256=prefix)
    await wire.hear(channel, "go")
