"""A peer that does not keep to the protocol is told so, believed nothing, and left."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from cli_support import PIECE, begin, offer, part, parts, receiver
from support import pattern

import pinwire
from pinwire._cli.errors import PeerError, RefusedError
from pinwire._cli.send import send
from pinwire._cli.wire import VERSION, hear, say

SIZE = PIECE + 5


def offered(there, lies):
    """Begin well with a receiver, go on by `lies`, and see that it leaves."""

    async def main():
        async with receiver(there) as address:
            channel = await pinwire.connect_channel(address)
            with pytest.raises((pinwire.Error, OSError)):
                await lies(channel)
                while True:
                    await (await channel.recv_header()).skip()
            channel.abort()

    asyncio.run(main())


async def go(channel, size=SIZE):
    await begin(channel, b"a", bytes(SIZE), size)


async def piece(channel, size, **meta):
    await channel.send(bytes(size), meta={"op": "piece", **meta})


async def another_version(channel):
    await say(channel, "offer", version=1, name=b"a", size=1)


async def no_size(channel):
    await say(channel, "offer", version=VERSION, name=b"a")


async def negative_size(channel):
    await say(channel, "offer", version=VERSION, name=b"a", size=-1)


async def no_head(channel):
    await say(channel, "offer", version=VERSION, name=b"a", size=1)


async def a_short_head(channel):
    await say(channel, "offer", version=VERSION, name=b"a", size=1, head=b"abc")


async def a_short_prefix(channel):
    await offer(channel, b"a", b"1")
    await hear(channel, "have")
    await say(channel, "prefix", sha256=b"abc")


async def a_payload(channel):
    await channel.send(b"x", meta={"op": "offer", "version": VERSION, "name": b"a", "size": 1})


async def no_meta(channel):
    await channel.send(b"")


async def another_offset(channel):
    await go(channel)
    await piece(channel, PIECE, offset=1 << 40)


async def an_offset_gone_back(channel):
    await go(channel)
    await piece(channel, PIECE, offset=0)
    await piece(channel, PIECE, offset=0)


async def a_short_piece(channel):
    await go(channel)
    await piece(channel, PIECE - 1, offset=0)


async def more_than_the_size(channel):
    await go(channel, size=5)
    await piece(channel, 6, offset=0)


async def a_piece_too_many(channel):
    await go(channel, size=5)
    await piece(channel, 5, offset=0)
    await piece(channel, 5, offset=5)


async def an_early_end(channel):
    await go(channel)
    await say(channel, "end", sha256=bytes(32))


LIES = {
    another_version: "the peer speaks version 1 of the protocol, not 2",
    no_size: "the peer's message has no 'size'",
    no_head: "the peer's message has no 'head'",
    a_short_head: "the peer's head of 3 bytes is no SHA-256",
    a_short_prefix: "the peer's sha256 of 3 bytes is no SHA-256",
    negative_size: "the peer's size of -1 is not between 0 and",
    a_payload: "the peer sent 1 bytes where 0 were due",
    no_meta: "the peer's message has no 'op'",
    another_offset: f"the peer sent a piece for {1 << 40} where that for 0 was due",
    an_offset_gone_back: f"the peer sent a piece for 0 where that for {PIECE} was due",
    a_short_piece: f"the peer sent {PIECE - 1} bytes where {PIECE} were due",
    more_than_the_size: "the peer sent 6 bytes where 5 were due",
    a_piece_too_many: "the peer said 'piece' where end was due",
    an_early_end: "the peer said 'end' where piece was due",
}


@pytest.mark.parametrize("lies", LIES, ids=lambda lies: lies.__name__)
def test_receiver_when_the_sender_lies_then_it_says_so_and_leaves(tmp_path, lies, capsys):
    offered(tmp_path, lies)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pinwire: {LIES[lies]}")
    assert set(parts(tmp_path)) <= {part("a", bytes(SIZE))}


@pytest.mark.parametrize("name", [b"../a", b"/a", b"a/b", b"..", b"a\0"])
def test_receiver_when_the_name_leads_elsewhere_then_nothing_is_written(tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()

    async def main():
        async with receiver(folder) as address, pinwire.connect_channel(address) as channel:
            await offer(channel, name, b"1")
            with pytest.raises(RefusedError, match="is not the plain name of a file"):
                await hear(channel, "have")
            await go(channel)  # the connection stays

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == [folder]


def test_receiver_when_the_sender_goes_without_a_word_then_it_says_so(tmp_path, capsys):
    async def main():
        async with receiver(tmp_path) as address:
            async with pinwire.connect_channel(address) as channel:
                await go(channel)
                await piece(channel, PIECE, offset=0)
                await hear(channel, "got")
            async with asyncio.timeout(10):
                while not (said := capsys.readouterr().err):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            return said

    said = asyncio.run(main())
    assert said.startswith("pinwire: ")
    assert said.count("\n") == 1
    assert parts(tmp_path) == {part("a", bytes(SIZE)): bytes(PIECE)}


def answered(path, *answers):
    """What `send` raises at a receiver that gives these answers, one to each message."""

    async def main():
        async def handle(channel):
            for op, fields in answers:
                await (await channel.recv_header()).skip()
                await say(channel, op, **fields)
            with contextlib.suppress(pinwire.Error, OSError):
                while True:
                    await (await channel.recv_header()).skip()

        async with pinwire.serve_channels(handle, "tcp://127.0.0.1:0") as server:
            with pytest.raises(PeerError) as caught:
                await send([path], server.address)
            return str(caught.value)

    return asyncio.run(main())


ANSWERS = [
    ([("got", {})], "the peer said 'got' where have was due"),
    ([("\x1b[2J", {})], r"the peer said '\\x1b[2J' where have was due"),
    ([("have", {})], "the peer's message has no 'offset'"),
    ([("have", {"offset": SIZE + 1})], f"is not between 0 and {SIZE}"),
    ([("have", {"offset": -1})], f"is not between 0 and {SIZE}"),
    ([("have", {"offset": 9}), ("go", {"offset": 5})], "wants to go on at 5, and has 9 bytes"),
    (
        [("have", {"offset": 0}), ("go", {"offset": 0}), ("got", {"offset": 7})],
        "the peer got a piece for 7 where that for 0 was due",
    ),
]


@pytest.mark.parametrize(("answers", "said"), ANSWERS, ids=[said for _, said in ANSWERS])
def test_sender_when_the_receiver_lies_then_it_says_so_and_leaves(tmp_path, answers, said):
    path = tmp_path / "a"
    path.write_bytes(pattern(SIZE))
    assert said in answered(path, *answers)
