"""Senders on this host that lie about what they offer, and where it lies."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct

import pytest
from hostile import MARGIN, header, part, prefix, rest, rss
from links import DONE, UNREADABLE, accepted, inviting, offer, record, welcome
from offers import (
    DATA,
    END,
    KERNEL,
    SIZE,
    Memory,
    Sender,
    inviter,
    neighbours_hello,
    plain,
    received,
    said,
)
from support import PATIENCE

import pinwire


def test_an_offer_when_it_is_true_then_it_is_read_and_answered(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA, number=7)) as sender:
            sender.sock.sendall(offer([SIZE], number=7))
            assert await received(sender.channel) == DATA
            assert sender.heard() == (7, DONE, 0)
            assert sender.channel.stats().bytes_pulled == SIZE

    face.run(main())


def test_an_offer_when_there_is_no_link_then_the_liar_loses_its_connection(face):
    async def main() -> None:
        async with face.raw(same_host="auto") as (sock, channel):
            sock.sendall(neighbours_hello() + offer([SIZE]))
            with pytest.raises(pinwire.ProtocolError, match="an offer without a link"):
                await channel.recv(timeout=PATIENCE)
            assert channel.stream.fileno() == -1
            rest(sock)

    face.run(main())


# What the network connection says alone.
NONSENSE = {
    "number-0": (offer([8], number=0), "an offer without a number"),
    "way-2": (offer([8], by_link=[2]), "a part that comes by no known way"),
    "long-invitation": (prefix(0, 0, 49, 0, kind=3) + bytes(49), "an invitation of another length"),
    "no-invitation": (prefix(0, 0, 0, 0, kind=3), "an invitation of another length"),
    "loaded-invitation": (prefix(0, 0, 48, 1, kind=3) + bytes(49), "an invitation with a payload"),
    "flagged-invitation": (prefix(0, 0, 48, 0, 259) + bytes(48), "an invitation with a payload"),
}

# A record in the sender's memory, and the parts of a header that is not of it.
OTHERS = {
    "too-short": (record([(1, 7)]), [8], None, "runs that do not make up their part"),
    "too-long": (record([(1, 8), (20, 1)]), [8], None, "runs that do not make up their part"),
    "empty-run": (record([(1, 8), (20, 0)]), [8], None, "runs that do not make up their part"),
    "beyond-the-end": (record([(END - 6, 8)]), [8], None, "runs that do not make up their part"),
    "longest-run": (record([(1, END), (1, 9)]), [8], None, "runs that do not make up their part"),
    "sum-wraps": (record([(0, END), (0, 9)]), [8], None, "runs that do not make up their part"),
    "no-runs": (record([]), [8], None, "runs that do not make up their part"),
    "of-no-part": (record([(1, 8), (20, 8)], [1]), [8], None, "runs of no part"),
    "of-no-part-at-all": (record([(1, 8)], []), [], [], "runs of no part"),
    "missing": (record([(1, 8)], [2]), [8], None, "more runs than there are"),
    "count-of-all": (record([(1, 8)], [END]), [8], None, "more runs than there are"),
    "of-the-next": (record([(1, 8), (9, 4)], [1, 2]), [8, 8], [1, 1], "more runs than there are"),
    "another-part": (record([(1, 8)], [1, 0]), [8, 8], [0, 1], "does not come by the link"),
    "one-part-more": (record([(1, 8)], [1, 0]), [8, 8], [1, 1], "do not make up their part"),
    "fewer-parts": (record([(1, 8)], [0, 0, 1]), [8], None, "do not make up their part"),
    "no-count": (b"", [8], None, "an offer of another length"),
    "cut": (record([(1, 8)])[:-1], [8], None, "an offer of another length"),
    "too-many-runs": (record([(1, 1)] * 65537), [65537], None, "65537 runs of memory, and 65536"),
}


def test_a_frame_when_it_makes_no_sense_then_the_liar_loses_its_connection(face):
    async def main(data: bytes, text: str) -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.sock.sendall(data)
            await loses(sender, text)

    for data, text in NONSENSE.values():
        face.run(main(data, text))


def test_an_offer_when_it_is_another_than_the_header_says_then_the_connection_is_lost(face):
    async def main(shown: bytes, data: bytes, text: str) -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.memory.stand(1, shown)
            sender.sock.sendall(data)
            await loses(sender, text)

    for shown, sizes, by_link, text in OTHERS.values():
        face.run(main(shown, offer(sizes, by_link=by_link), text))


async def loses(sender: Sender, text: str) -> None:
    with pytest.raises(pinwire.ProtocolError, match=text):
        await sender.channel.recv(timeout=PATIENCE)
    assert sender.channel.stream.fileno() == -1
    # It was not answered, and the link has gone with the connection.
    assert rest(sender.link) == b""


@pytest.mark.parametrize("length", [END, END - 7, 1 << 40, 8 + 16 * 65537])
def test_an_offer_when_its_length_is_a_lie_then_no_memory_is_used(face, length):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            before = rss()
            sender.memory.stand(1, length=length)
            sender.sock.sendall(offer([SIZE]))
            with pytest.raises(pinwire.ProtocolError, match=r"runs of memory, and 65536"):
                await sender.channel.recv(timeout=PATIENCE)
            assert rss() - before < MARGIN

    face.run(main())


def test_an_offer_when_it_is_of_as_many_runs_as_there_may_be_then_it_is_read(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            start, _ = sender.memory.run
            sender.memory.stand(1, record([(start + at, 8) for at in range(0, SIZE, 8)]))
            before = rss()
            sender.sock.sendall(offer([SIZE]))
            assert await received(sender.channel) == DATA
            assert rss() - before < MARGIN

    face.run(main())


def test_offers_when_they_are_only_announced_then_no_memory_is_used(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            before = rss()
            announced = prefix(65536, 4 << 20, 65536, 1 << 40, kind=257)
            sender.sock.sendall(announced + struct.pack("<Q", 1) + bytes(1000))
            with pytest.raises(pinwire.TransferTimeoutError):
                await sender.channel.recv(timeout=0.05)
            assert rss() - before < MARGIN

    face.run(main())


def nowhere(memory: Memory) -> dict[str, list[tuple[int, int]]]:
    """Runs of SIZE bytes that cannot be read."""
    half = SIZE // 2
    start, _ = memory.run
    return {
        "zero": [(0, SIZE)],
        "end": [(END - SIZE, SIZE)],
        "kernel": [(KERNEL, SIZE)],
        "behind": [(start, half), (0, half)],
        "before": [(0, half), (start, half)],
        "many": [(start, half)] + [(at, 512) for at in range(0, half, 512)],
    }


def test_an_offer_when_it_cannot_be_read_then_what_is_sent_instead_is_received_once(face):
    async def main() -> None:
        memory = Memory(DATA)
        async with inviter(face, memory) as sender:
            for number, runs in enumerate(nowhere(memory).values(), 1):
                memory.stand(number, record(runs))
                receiving = asyncio.ensure_future(received(sender.channel))
                await said(sender.sock, offer([SIZE], number=number))
                heard = await asyncio.to_thread(sender.heard)
                assert heard == (number, UNREADABLE, errno.EFAULT)
                assert not receiving.done()
                await said(sender.sock, plain(DATA[number:]))
                assert await receiving == DATA[number:]
            stats = sender.channel.stats()
            assert (stats.messages_received, stats.messages_skipped) == (1 + number, 0)
            assert stats.bytes_pulled == 0

    face.run(main())


PLACES = {
    "zero": (0, errno.EFAULT),
    "unmapped": (64, errno.EFAULT),
    "end": (END - 39, errno.EFAULT),
    "kernel": (KERNEL, errno.EFAULT),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("which", ["record", "board"])
def test_an_offer_when_it_is_not_where_it_is_said_to_be_then_the_sender_hears_it(face, name, which):
    async def main() -> None:
        address, error = PLACES[name]
        memory = Memory(DATA)
        if which == "record":
            memory.show(memory.nonce, 1, address, 24)
        else:
            memory.address = address
        async with inviter(face, memory) as sender:
            sender.sock.sendall(offer([SIZE]) + plain(b"next"))
            assert await received(sender.channel) == b"next"
            assert sender.heard() == (1, UNREADABLE, error)

    face.run(main())


def test_an_offer_when_the_board_was_never_there_then_the_sender_hears_it(face):
    async def main() -> None:
        memory = Memory(DATA)
        memory.forget()
        async with inviter(face, memory) as sender:
            sender.sock.sendall(offer([SIZE]) + plain(b"next"))
            assert await received(sender.channel) == b"next"
            assert sender.heard() == (1, UNREADABLE, errno.ESRCH)

    face.run(main())


def test_an_offer_when_it_cannot_be_read_and_nothing_follows_then_it_is_incomplete(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.memory.stand(1, record([(0, SIZE)]))
            sender.sock.sendall(offer([SIZE]))
            sender.sock.shutdown(socket.SHUT_WR)
            with pytest.raises(pinwire.IncompleteTransferError, match="in the middle"):
                await sender.channel.recv(timeout=PATIENCE)

    face.run(main())


def test_an_offer_when_another_message_comes_instead_then_it_has_to_fit_all_the_same(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            out = bytearray(SIZE)
            receiving = asyncio.ensure_future(sender.channel.recv_into(out, timeout=PATIENCE))
            sender.memory.stand(1, record([(0, SIZE)]))
            sender.sock.sendall(offer([SIZE]))
            await said(sender.sock, plain(b"short") + plain(b"next"))
            with pytest.raises(pinwire.MessageRefusedError, match="the memory for it is"):
                await receiving
            assert await received(sender.channel) == b"short"
            assert await received(sender.channel) == b"next"

    face.run(main())


def test_an_offer_when_a_larger_message_comes_instead_then_it_is_over_the_limit(face):
    async def main() -> None:
        async with face.raw(same_host="auto", max_message_bytes=SIZE) as (sock, channel):
            memory, invited = Memory(DATA), inviting()
            memory.stand(1, record([(0, SIZE)]))
            with invited.listen() as listener:
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"first"))
                assert await received(channel) == b"first"
                link, _ = accepted(listener)
            with link:
                link.send(welcome(memory))
                sock.sendall(offer([SIZE]) + header(part("|u1", [1 << 40], 1), payload=1 << 40))
                with pytest.raises(pinwire.MessageRefusedError, match="max_message_bytes is"):
                    await channel.recv(timeout=PATIENCE)

    face.run(main())


def test_an_offer_when_it_does_not_stand_then_the_next_message_is_received(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA, number=2)) as sender:
            sender.sock.sendall(offer([SIZE], number=1) + offer([SIZE], number=2))
            assert await received(sender.channel) == DATA
            assert sender.heard() == (2, DONE, 0)
            sender.memory.stand(0)
            sender.sock.sendall(offer([SIZE], number=3) + plain(b"next"))
            announced = await sender.channel.recv_header(timeout=PATIENCE)
            with pytest.raises(pinwire.MessageRefusedError, match="withdrawn"):
                await announced.read(timeout=PATIENCE)
            assert await received(sender.channel) == b"next"

    face.run(main())


def test_an_offer_when_its_sender_is_not_who_it_was_then_it_is_incomplete(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.sock.sendall(offer([SIZE]))
            assert await received(sender.channel) == DATA
            sender.memory.forget()
            sender.sock.sendall(offer([SIZE]))
            with pytest.raises(pinwire.IncompleteTransferError, match="in the middle"):
                await sender.channel.recv(timeout=PATIENCE)

    face.run(main())


def test_offers_when_nobody_hears_the_answers_then_they_are_received(face):
    async def main() -> None:
        count = 2000  # more answers than the link holds
        async with inviter(face, Memory(b"x" * 8)) as sender:
            saying = asyncio.ensure_future(said(sender.sock, offer([8]) * count))
            for _ in range(count):
                assert await received(sender.channel) == b"x" * 8
            await saying

    face.run(main())
