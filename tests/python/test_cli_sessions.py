"""Many peers at once, or none that can be accepted: a receiver goes on, and says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import resource
import socket

import pytest
from cli_support import PIECE, begin, command, listening, offer, part, parts, receiver
from support import finish, until

import pinwire
from pinwire._cli import patience, sessions
from pinwire._cli.recv import Options, recv
from pinwire._cli.send import send
from pinwire._cli.sessions import Sessions
from pinwire._cli.wire import hear, say


@pytest.fixture
def here(folders):
    (folders[0] / "good").write_bytes(b"12345")
    return folders[0]


@pytest.fixture
def there(folders):
    return folders[1]


def options(there, **given):
    default = {
        "folder": there,
        "address": "tcp://127.0.0.1:0",
        "once": True,
        "overwrite": False,
        "max_bytes": None,
        "max_files": 100,
        "timeout": 10,
    }
    return Options(**{**default, **given})


LONG = bytes(PIECE) + b"rest"


async def begin_pieces(channel, name):
    """Send the first piece of a file of two."""
    await begin(channel, name, LONG)
    await channel.send(LONG[:PIECE], meta={"op": "piece", "offset": 0})
    await hear(channel, "got")


async def gone(stream):
    """Wait until the other end has closed it; what it has said before is dropped."""
    with contextlib.suppress(pinwire.Error, OSError):
        while await stream.recv_into(bytearray(4096)):
            pass


def test_strangers_when_there_are_too_many_then_the_oldest_go(here, there, monkeypatch):
    monkeypatch.setattr(sessions, "STRANGERS", 3)

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            address = await stack.enter_async_context(receiver(there))
            idle = [await stack.enter_async_context(pinwire.connect(address)) for _ in range(10)]
            for stream in idle[:7]:
                await gone(stream)
            return await send([here / "good"], address)

    assert asyncio.run(main())
    assert parts(there) == {"good": b"12345"}


def test_strangers_when_they_go_after_their_hello_then_nothing_is_said(there, monkeypatch, capsys):
    monkeypatch.setattr(sessions, "STRANGERS", 1)

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            address = await stack.enter_async_context(receiver(there))
            for _ in range(5):
                channel = await stack.enter_async_context(pinwire.connect_channel(address))
                await channel.handshake()

    asyncio.run(main())
    assert "closed" not in capsys.readouterr().err


def test_strangers_when_they_promise_and_send_nothing_then_they_keep_nobody_waiting(
    here, there, monkeypatch
):
    monkeypatch.setattr(sessions, "SENDERS", 1)
    monkeypatch.setattr(sessions, "GRACE", 3600)

    async def main():
        async with receiver(there) as address, pinwire.connect_channel(address) as idle:
            await begin(idle, b"idle", LONG, size=1 << 30)
            return await send([here / "good"], address)

    assert asyncio.run(main())


def test_senders_when_there_are_too_many_then_the_silent_one_goes(here, there, monkeypatch, capsys):
    monkeypatch.setattr(sessions, "SENDERS", 1)
    monkeypatch.setattr(sessions, "GRACE", 0)

    async def main():
        async with receiver(there) as address, pinwire.connect_channel(address) as idle:
            await begin_pieces(idle, b"idle")
            assert await send([here / "good"], address)
            await gone(idle.stream)

    asyncio.run(main())
    assert parts(there) == {"good": b"12345", part("idle", LONG): LONG[:PIECE]}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pinwire: made room for another sender (from tcp://127.0.0.1:")


def test_senders_when_all_are_at_work_then_another_one_waits_its_turn(here, there, monkeypatch):
    monkeypatch.setattr(sessions, "SENDERS", 1)
    monkeypatch.setattr(patience, "PULSE", 0)

    async def main():
        async with receiver(there) as address, pinwire.connect_channel(address) as first:
            await begin_pieces(first, b"first")
            async with pinwire.connect_channel(address) as second:
                await begin(second, b"second", b"2")
                await second.send(b"2", meta={"op": "piece", "offset": 0})
                header = await second.recv_header()
                await header.skip()
                assert header.meta == {"op": "wait"}
                await first.close()
                await hear(second, "got")

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError(), KeyError()]
)
def test_session_when_it_fails_then_the_others_go_on(here, there, monkeypatch, error, capsys):
    promote = Sessions.promote
    errors = [error]

    async def fail_once(self, place):
        if errors:
            raise errors.pop()
        await promote(self, place)

    monkeypatch.setattr(Sessions, "promote", fail_once)

    async def main():
        async with receiver(there) as address:
            with pytest.raises((pinwire.Error, OSError)):
                await send([here / "good"], address)
            return await send([here / "good"], address)

    assert asyncio.run(main())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pinwire: {type(error).__name__}")


class Failing:
    """A listener that fails before it accepts, and is closed in the end."""

    def __init__(self, *errors):
        self._errors = [*errors]

    async def accept(self):
        if self._errors:
            raise self._errors.pop(0)
        raise pinwire.ClosedError


PASSING = [
    OSError(errno.EPROTO, "Protocol error"),
    OSError(errno.EPERM, "Operation not permitted"),
    OSError(errno.ENETDOWN, "Network is down"),
    OSError(errno.EMFILE, "Too many open files"),
    RuntimeError("can't start new thread"),
    MemoryError("no memory"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_accept_when_it_fails_for_a_while_then_it_is_tried_again(error, monkeypatch, capsys):
    monkeypatch.setattr(sessions, "PAUSE", 0)

    async def main():
        async with Sessions(None) as running:
            await running.accept_all(Failing(error, error, error))

    asyncio.run(main())
    assert capsys.readouterr().err.startswith("pinwire: cannot accept for now: ")


def test_accept_when_it_fails_for_a_while_then_it_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(sessions, "PAUSE", 0)

    async def main():
        async with Sessions(None) as running:
            await running.accept_all(Failing(*PASSING))

    asyncio.run(main())
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_recv_when_its_listener_is_dead_then_it_ends_and_says_so(there, monkeypatch):
    async def accept_all(self, listener):
        await Failing(OSError(errno.EINVAL, "Invalid argument")).accept()

    monkeypatch.setattr(Sessions, "accept_all", accept_all)
    with pytest.raises(OSError, match="Invalid argument"):
        asyncio.run(recv(options(there)))


def test_accept_when_the_listener_is_dead_then_it_is_an_error():
    async def main():
        async with Sessions(None) as running:
            await running.accept_all(Failing(OSError(errno.EBADF, "Bad file descriptor")))

    with pytest.raises(OSError, match="Bad file descriptor"):
        asyncio.run(main())


async def hello(channel):
    await channel.handshake()


async def bye(channel):
    await say(channel, "bye")
    await gone(channel.stream)


async def only_an_offer(channel):
    await begin(channel, b"a", bytes(PIECE))


async def a_refused_offer(channel):
    await offer(channel, b"../a", b"1")
    with contextlib.suppress(Exception):
        await hear(channel, "have")
    await bye(channel)


@pytest.mark.parametrize("stranger", [hello, bye, only_an_offer, a_refused_offer])
def test_once_when_somebody_leaves_who_brought_nothing_then_it_goes_on(here, there, stranger):
    receiving, address = listening("recv", there, "tcp://127.0.0.1:0", "--once")

    async def visit():
        async with pinwire.connect_channel(address) as channel:
            await stranger(channel)

    asyncio.run(visit())
    assert command("send", here / "good", address) == (0, "", "")
    code, _, _ = finish(receiving)
    assert code == 0
    assert parts(there) == {"good": b"12345"}


def test_once_when_another_sender_is_in_the_middle_then_it_is_waited_for(here, there):
    receiving, address = listening("recv", there, "tcp://127.0.0.1:0", "--once")

    async def main():
        async with pinwire.connect_channel(address) as channel:
            await begin_pieces(channel, b"long")
            assert await send([here / "good"], address)
            await until(lambda: not _accepts(address))
            await channel.send(LONG[PIECE:], meta={"op": "piece", "offset": PIECE})
            await hear(channel, "got")
            await say(channel, "end", sha256=hashlib.sha256(LONG).digest())
            await hear(channel, "done")
            await say(channel, "bye")

    asyncio.run(main())
    assert finish(receiving) == (0, "", "")
    assert parts(there) == {"good": b"12345", "long": LONG}


def _accepts(address):
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except OSError:
        return False
    return True


def test_descriptors_when_there_are_more_strangers_then_a_sender_is_served(here, there):
    receiving, address = listening("recv", there, "tcp://127.0.0.1:0", "--once")
    resource.prlimit(receiving.pid, resource.RLIMIT_NOFILE, (48, 48))

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(60):
                await stack.enter_async_context(pinwire.connect(address))
            return await send([here / "good"], address)

    assert asyncio.run(main())
    assert finish(receiving) == (0, "", "")
    assert parts(there) == {"good": b"12345"}
