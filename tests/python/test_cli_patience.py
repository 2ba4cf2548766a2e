"""Ends that are silent, slow, busy or gone: how long they are waited for and worked for."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from cli_support import PIECE, begin, make_part, offer, parts, receiver
from support import pattern, until

import pinwire
from pinwire._cli import digest as digest_module
from pinwire._cli import patience
from pinwire._cli.digest import WORKERS, Digest, workers
from pinwire._cli.errors import PeerError, RefusedByPeerError
from pinwire._cli.incoming import Incoming
from pinwire._cli.patience import busy, patient
from pinwire._cli.send import send
from pinwire._cli.wire import hear, say

SOON = 0.05
"""Seconds, where a timeout has to pass."""


def ends():
    return (pinwire.Channel(it, same_host="off") for it in pinwire.socketpair())


async def nothing(channel):
    pass


async def only_an_offer(channel):
    await offer(channel, b"a", b"12345")


async def only_the_beginning(channel):
    await begin(channel, b"a", bytes(PIECE + 5))


@pytest.mark.parametrize("silent", [nothing, only_an_offer, only_the_beginning])
def test_receiver_when_the_sender_is_silent_then_it_leaves(tmp_path, silent, capsys):
    async def main():
        async with (
            receiver(tmp_path, timeout=SOON) as address,
            pinwire.connect_channel(address) as channel,
        ):
            await channel.handshake()
            await silent(channel)
            said = f"the peer refused: the peer was silent for {SOON} seconds"
            with pytest.raises(RefusedByPeerError, match=said):
                while True:
                    await hear(channel, "have", "go", timeout=None)
            with pytest.raises(pinwire.Error):
                await channel.recv_header()

    asyncio.run(main())
    assert f"pinwire: the peer was silent for {SOON} seconds (from " in capsys.readouterr().err
    assert parts(tmp_path) == {}


@contextlib.asynccontextmanager
async def mute(*answers):
    """A receiver that gives these answers, one for each message, and then says nothing."""

    async def handle(channel):
        for op, fields in answers:
            await (await channel.recv_header()).skip()
            await say(channel, op, **fields)
        await asyncio.Event().wait()

    async with pinwire.serve_channels(handle, "tcp://127.0.0.1:0") as server:
        yield server.address


ANSWERS = [[], [("have", {"offset": 0})], [("have", {"offset": 0}), ("go", {"offset": 0})]]


@pytest.mark.parametrize("answers", ANSWERS, ids=len)
def test_send_when_the_receiver_is_silent_then_it_gives_up(tmp_path, answers):
    path = tmp_path / "a"
    path.write_bytes(pattern(20 * PIECE))

    async def main():
        async with mute(*answers) as address:
            with pytest.raises(PeerError, match=f"the peer was silent for {SOON} seconds"):
                await send([path], address, SOON)

    asyncio.run(main())


def test_send_when_the_receiver_has_no_hello_then_it_gives_up(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")

    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            with pytest.raises(PeerError, match=f"the peer was silent for {SOON} seconds"):
                await send([path], listener.address, SOON)

    asyncio.run(main())


class Slow:
    """A transfer of which a byte has moved whenever somebody looks, until all five have."""

    def __init__(self):
        self._moved = 0
        self._waiting = self._done()

    async def _done(self):
        while self._moved < 5:  # noqa: ASYNC110 - it is looked at, not told
            await asyncio.sleep(0)
        return self._moved

    @property
    def transferred(self):
        self._moved += 1
        return self._moved

    def __await__(self):
        return self._waiting.__await__()


def test_transfer_when_it_is_slow_then_it_is_waited_for():
    async def main():
        return await patient(Slow(), 0)

    assert asyncio.run(main()) >= 5


def test_transfer_when_no_byte_of_it_moves_then_it_is_given_up():
    async def main():
        mine, theirs = pinwire.socketpair()
        async with mine, theirs:
            with pytest.raises(PeerError, match="silent"):
                await patient(mine.recv_exactly_into(bytearray(5)), 0)

    asyncio.run(main())


def test_work_when_the_peer_has_gone_then_it_ends(monkeypatch):
    monkeypatch.setattr(patience, "PULSE", 0)
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main():
        mine, theirs = ends()
        async with mine, theirs:
            working = asyncio.create_task(busy(mine, work(), 5))
            await theirs.handshake()
            await theirs.close()
            with pytest.raises((PeerError, pinwire.Error, OSError)):
                await working

    asyncio.run(main())
    assert ended == [True]


def test_checksum_when_its_peer_has_gone_then_nobody_computes_it(tmp_path, monkeypatch):
    """Neither a thread nor the file is held any longer."""
    monkeypatch.setattr(patience, "PULSE", 0)
    content = pattern(2 * PIECE)
    make_part(tmp_path, "a", content, content[:PIECE])
    begun, ended = [], []

    async def agrees(*_):
        begun.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    monkeypatch.setattr(Incoming, "agrees", agrees)

    async def main():
        async with receiver(tmp_path) as address:
            async with pinwire.connect_channel(address) as channel:
                await offer(channel, b"a", content)
                await hear(channel, "have")
                await say(channel, "prefix", sha256=bytes(32))
                await until(lambda: begun)
            await until(lambda: ended)

    asyncio.run(main())


def test_peer_when_it_is_busy_then_it_says_so_and_is_waited_for(monkeypatch):
    monkeypatch.setattr(patience, "PULSE", 0)

    async def main():
        mine, theirs = ends()
        async with mine, theirs:
            heard = asyncio.Event()

            async def listen():
                header = await theirs.recv_header()
                await header.skip()
                assert header.meta == {"op": "wait"}
                heard.set()
                return await hear(theirs, "done")

            async def work():
                await heard.wait()
                return "result"

            listening = asyncio.create_task(listen())
            assert await busy(mine, work(), 5) == "result"
            await say(mine, "done")
            return await listening

    assert asyncio.run(main()) == {"op": "done"}


def test_files_when_there_are_many_then_a_few_threads_work_on_them(tmp_path):
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            address = await stack.enter_async_context(receiver(tmp_path))
            for i in range(3 * WORKERS):
                channel = await stack.enter_async_context(pinwire.connect_channel(address))
                await begin(channel, b"%d" % i, bytes(PIECE))
            return [it.name for it in threading.enumerate() if it.name.startswith("pinwire-")]

    names = asyncio.run(main())
    assert len([name for name in names if "file" in name or "digest" in name]) <= WORKERS


def test_digest_when_it_ends_while_a_piece_is_written_then_it_waits_for_that():
    """The descriptor that the job uses is closed next, and its number given to another file."""
    begun, go, written = threading.Event(), threading.Event(), []

    def write(piece):
        begun.set()
        go.wait()
        written.append(bytes(piece))

    async def main():
        with workers() as pool:

            async def copy():
                async with Digest(pool) as digest:
                    await digest.add_received(b"12345", write)
                    await digest.value()

            copying = asyncio.create_task(copy())
            await until(begun.is_set)
            copying.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not copying.done()
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await copying

    asyncio.run(main())
    assert written == [b"12345"]


def test_workers_when_one_cannot_start_then_it_is_an_error(monkeypatch):
    start = threading.Thread.start
    started = iter(range(10))

    def fail(thread):
        if next(started) == 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(digest_module.threading.Thread, "start", fail)
    with pytest.raises(OSError, match="can't start new thread"), workers():
        pass
