"""What the tests of behaviour share: conditions to wait for, threads, other processes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALL = {"send_buffer_size": 4096, "recv_buffer_size": 4096}
"""So small that every payload worth testing is written and read in pieces."""

ABSTRACT = f"unix:@pinwire-test-{os.getpid()}"
"""An address that no other run of the tests uses at the same time."""

BIG = 1 << 20
"""More bytes than the buffers of two sockets hold, those that the kernel tunes excepted."""

LISTEN_ON = {"tcp": "tcp://127.0.0.1:0", "tcp6": "tcp://[::1]:0", "unix": "unix:@pinwire-{name}"}
"""Addresses by transport; each needs a `name` of its own."""

PATIENCE = int(os.environ.get("PINWIRE_TEST_PATIENCE", "10"))
"""Seconds after which something that should happen at once is taken not to happen."""

PPOLL = {"x86_64": 271, "aarch64": 73}[os.uname().machine]


def pattern(size: int, start: int = 0) -> bytes:
    """Bytes of which a lost, doubled or exchanged one is seen: their period is prime."""
    period = bytes(range(251))
    start %= 251
    return (period * (size // 251 + 2))[start : start + size]


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.0005)


async def until(condition: Callable[[], Any]) -> None:
    """As `wait_until`, by turns of the loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what we wait for is not always an event
            await asyncio.sleep(0)


def sleeps(process: object) -> bool:
    """Whether a process or thread, a part of a path in /proc, waits in the kernel for a socket."""
    with contextlib.suppress(OSError):  # it has ended
        return Path(f"/proc/{process}/syscall").read_text().split()[0] == str(PPOLL)
    return False


class Call:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        work = (call, args, kwargs)
        self._thread = threading.Thread(target=self._run, args=work, daemon=True)
        self._thread.start()

    def _run(self, call: Callable[..., Any], args: Any, kwargs: Any) -> None:
        try:
            self._future.set_result(call(*args, **kwargs))
        except BaseException as error:
            self._future.set_exception(error)

    @property
    def ident(self) -> int | None:
        return self._thread.ident

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def sleeps(self) -> bool:
        """Whether it waits in the kernel for a socket."""
        return sleeps(f"self/task/{self._thread.native_id}")

    def result(self) -> Any:
        """What it returns or raises, once it has ended."""
        try:
            return self._future.result(PATIENCE)
        finally:
            self._thread.join(PATIENCE)

    def error(self) -> Any:
        """The exception it raises."""
        try:
            return self._future.exception(PATIENCE)
        finally:
            self._thread.join(PATIENCE)


def sleeping(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Call:
    """A call in a thread of its own that has come to wait for a socket."""
    started = Call(call, *args, **kwargs)
    wait_until(started.sleeps)
    return started


async def waiting(stream: Any, transfer: Any) -> asyncio.Task[Any]:
    """A task of the transfer that has come to wait for the socket."""
    before = stream.stats().waits
    task = asyncio.ensure_future(transfer)
    await until(lambda: stream.stats().waits > before or task.done())
    return task


async def cancelled(task: asyncio.Task[Any], *msg: object) -> Any:
    """Cancel it. The exception it ends with."""
    task.cancel(*msg)
    try:
        result = await task
    except asyncio.CancelledError as error:
        return error
    raise AssertionError(f"it was not cancelled, but returned {result!r}")


async def received(stream: Any, size: int) -> bytes:
    """The next bytes of the stream."""
    out = bytearray(size)
    assert await stream.recv_exactly_into(out) == size
    return bytes(out)


def received_blocking(stream: Any, size: int) -> bytes:
    """The next bytes of the stream, on the face for threads."""
    out = bytearray(size)
    assert stream.recv_exactly_into(out, timeout=PATIENCE) == size
    return bytes(out)


@contextlib.contextmanager
def raw(stream: Any) -> Iterator[socket.socket]:
    """The stdlib's view of the stream's socket, in whatever mode it is."""
    with socket.socket(fileno=os.dup(stream.fileno())) as sock:
        yield sock


def fill(stream: Any) -> int:
    """Send until not a byte more fits. Use it on unix sockets: TCP keeps making room."""
    sent = 0
    with raw(stream) as sock:
        for piece in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += sock.send(bytes(piece), socket.MSG_DONTWAIT)
    return sent


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def start_program(code: str, *args: object, options: tuple[str, ...] = (), **kwargs: Any) -> Any:
    """Python in another process, its output captured."""
    command = [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heed_interrupts, **kwargs
    )


def _heed_interrupts() -> None:
    # Whatever a shell starts in the background ignores SIGINT, and so do its children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: Any) -> tuple[int, str, str]:
    """Its return code, output and errors, once it has ended."""
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += "\n(it did not end by itself)"
    return process.returncode, out, err


def program(code: str, *args: object, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    return finish(start_program(code, *args, options=options))


def printed_by(*arguments: str) -> str:
    """What Python prints, run with these arguments; it has nothing to complain about."""
    command = [sys.executable, "-W", "error", "-X", "dev", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    # On a busy machine asyncio's debug mode finds that a callback took long.
    errors = [line for line in result.stderr.splitlines() if not line.startswith("Executing <")]
    assert (result.returncode, errors) == (0, []), f"{result.returncode}: {errors}"
    return result.stdout


async def aloft(stream: Any, transfer: Any) -> asyncio.Task[Any]:
    """A task of the transfer that the engine's workers have taken over."""
    before = stream.stats().bulk_transfers
    task = asyncio.ensure_future(transfer)
    await until(lambda: stream.stats().bulk_transfers > before or task.done())
    return task


def names_of(inode: int) -> list[str]:
    """The descriptors of this process that stand for the file with this inode."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the directory itself
            if path.stat().st_ino == inode:
                found.append(path.name)
    return found
