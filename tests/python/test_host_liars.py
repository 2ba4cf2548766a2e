"""Senders on this host that lie about what they offer, and where it lies."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct

import pytest
from hostile import MARGIN, header, part, prefix, rest, rss
from offers import (
    DATA,
    DONE,
    END,
    KERNEL,
    SIZE,
    UNREADABLE,
    Memory,
    door,
    inviter,
    inviting,
    neighbours_hello,
    offer,
    plain,
    received,
    said,
)
from support import PATIENCE

import pinwire


def test_an_offer_when_it_is_true_then_it_is_read_and_answered(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA, ticket=7)) as sender:
            assert sender.heard() == (0, DONE, 0)
            sender.sock.sendall(offer([(sender.memory.address, SIZE)], [SIZE], ticket=7))
            assert await received(sender.channel) == DATA
            assert sender.heard() == (7, DONE, 0)
            assert sender.channel.stats().bytes_pulled == SIZE

    face.run(main())


def test_an_offer_when_nobody_was_invited_then_the_liar_loses_its_connection(face):
    async def main() -> None:
        memory = Memory(DATA)
        async with face.raw(same_host="auto") as (sock, channel):
            sock.sendall(neighbours_hello() + offer([(memory.address, SIZE)], [SIZE]))
            with pytest.raises(pinwire.ProtocolError, match="an offer without an invitation"):
                await channel.recv(timeout=PATIENCE)
            assert channel.stream.fileno() == -1
            rest(sock)

    face.run(main())


NONSENSE = {
    "ticket-0": (offer([(1, 8)], [8], ticket=0), "an offer without a ticket"),
    "reserved": (offer([(1, 8)], [8], reserved=1), "an offer without a ticket"),
    "too-many-runs": (offer([(1, 8)], [8], announced=65537), "65537 runs of memory, and 65536"),
    "most-runs": (offer([(1, 8)], [8], announced=0xFFFFFFFF), "4294967295 runs of memory"),
    "too-short": (offer([(1, 7)], [8]), "runs that do not make up their part"),
    "too-long": (offer([(1, 8), (20, 1)], [8]), "runs that do not make up their part"),
    "empty-run": (offer([(1, 8), (20, 0)], [8]), "runs that do not make up their part"),
    "all-empty": (offer([(1, 0)], [0]), "runs that do not make up their part"),
    "beyond-the-end": (offer([(END - 6, 8)], [8]), "runs that do not make up their part"),
    "longest-run": (offer([(1, END), (1, 9)], [8]), "runs that do not make up their part"),
    "sum-wraps": (offer([(0, END), (0, 9)], [8]), "runs that do not make up their part"),
    "of-no-part": (offer([(1, 8), (20, 8)], [8], counts=[1]), "runs of no part"),
    "of-no-part-at-all": (offer([(1, 8)], [], counts=[]), "runs of no part"),
    "missing": (offer([(1, 8)], [8], counts=[2]), "more runs than there are"),
    "count-of-all": (offer([(1, 8)], [8], counts=[0xFFFFFFFF]), "more runs than there are"),
    "of-the-next": (offer([(1, 8), (9, 4)], [8, 8], counts=[1, 2]), "more runs than there are"),
    "long-invitation": (prefix(0, 0, 89, 0, kind=3) + bytes(89), "an invitation of another length"),
    "no-invitation": (prefix(0, 0, 0, 0, kind=3), "an invitation of another length"),
    "loaded-invitation": (prefix(0, 0, 88, 1, kind=3) + bytes(89), "an invitation with a payload"),
    "flagged-invitation": (prefix(0, 0, 88, 0, 259) + bytes(88), "an invitation with a payload"),
}


def test_an_offer_when_it_makes_no_sense_then_the_liar_loses_its_connection(face):
    async def main(data: bytes, text: str) -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.sock.sendall(data)
            with pytest.raises(pinwire.ProtocolError, match=text):
                await sender.channel.recv(timeout=PATIENCE)
            assert sender.channel.stream.fileno() == -1
            assert sender.heard() == (0, DONE, 0)
            # It was not answered, and the way of answers has gone with the connection.
            assert rest(sender.answers) == b""

    for data, text in NONSENSE.values():
        face.run(main(data, text))


def test_an_offer_when_it_is_of_as_many_runs_as_there_may_be_then_it_is_read(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            runs = [(sender.memory.address + at, 16) for at in range(0, SIZE, 16)]
            before = rss()
            saying = asyncio.ensure_future(said(sender.sock, offer(runs, [SIZE])))
            assert await received(sender.channel) == DATA
            await saying
            assert rss() - before < MARGIN

    face.run(main())


def test_offers_when_they_are_only_announced_then_no_memory_is_used(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            before = rss()
            announced = prefix(65536, 4 << 20, 65536, 1 << 40, kind=257)
            sender.sock.sendall(announced + struct.pack("<QII", 1, 65536, 0) + bytes(1000))
            with pytest.raises(pinwire.TransferTimeoutError):
                await sender.channel.recv(timeout=0.05)
            assert rss() - before < MARGIN

    face.run(main())


def nowhere(memory: Memory) -> dict[str, list[tuple[int, int]]]:
    """Runs of SIZE bytes that cannot be read."""
    half = SIZE // 2
    return {
        "zero": [(0, SIZE)],
        "end": [(END - SIZE, SIZE)],
        "kernel": [(KERNEL, SIZE)],
        "behind": [(memory.address, half), (0, half)],
        "before": [(0, half), (memory.address, half)],
        "many": [(memory.address, half)] + [(at, 512) for at in range(0, half, 512)],
    }


def test_an_offer_when_it_cannot_be_read_then_what_is_sent_instead_is_received_once(face):
    async def main() -> None:
        memory = Memory(DATA)
        async with inviter(face, memory) as sender:
            assert sender.heard() == (0, DONE, 0)
            for ticket, runs in enumerate(nowhere(memory).values(), 1):
                memory.stand(ticket)
                receiving = asyncio.ensure_future(received(sender.channel))
                await said(sender.sock, offer(runs, [SIZE], ticket=ticket))
                heard = await asyncio.to_thread(sender.heard)
                assert heard == (ticket, UNREADABLE, errno.EFAULT)
                assert not receiving.done()
                await said(sender.sock, plain(DATA[ticket:]))
                assert await receiving == DATA[ticket:]
            stats = sender.channel.stats()
            assert (stats.messages_received, stats.messages_skipped) == (1 + ticket, 0)
            assert stats.bytes_pulled == 0

    face.run(main())


def test_an_offer_when_it_cannot_be_read_and_nothing_follows_then_it_is_incomplete(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.sock.sendall(offer([(0, SIZE)], [SIZE]))
            sender.sock.shutdown(socket.SHUT_WR)
            with pytest.raises(pinwire.IncompleteTransferError, match="in the middle"):
                await sender.channel.recv(timeout=PATIENCE)

    face.run(main())


def test_an_offer_when_another_message_comes_instead_then_it_has_to_fit_all_the_same(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            out = bytearray(SIZE)
            receiving = asyncio.ensure_future(sender.channel.recv_into(out, timeout=PATIENCE))
            sender.sock.sendall(offer([(0, SIZE)], [SIZE]))
            await said(sender.sock, plain(b"short") + plain(b"next"))
            with pytest.raises(pinwire.MessageRefusedError, match="the memory for it is"):
                await receiving
            assert await received(sender.channel) == b"short"
            assert await received(sender.channel) == b"next"

    face.run(main())


def test_an_offer_when_a_larger_message_comes_instead_then_it_is_over_the_limit(face):
    async def main() -> None:
        async with face.raw(same_host="auto", max_message_bytes=SIZE) as (sock, channel):
            memory = Memory(DATA)
            invited = inviting(memory.shown)
            with door(invited):
                sock.sendall(neighbours_hello() + invited.frame() + offer([(0, SIZE)], [SIZE]))
                announced = header(part("|u1", [1 << 40], 1), payload=1 << 40)
                sock.sendall(announced)
                with pytest.raises(pinwire.MessageRefusedError, match="max_message_bytes is"):
                    await channel.recv(timeout=PATIENCE)

    face.run(main())


def test_an_offer_when_it_does_not_stand_then_the_next_message_is_received(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA, ticket=2)) as sender:
            run = (sender.memory.address, SIZE)
            sender.sock.sendall(offer([run], [SIZE], ticket=1) + offer([run], [SIZE], ticket=2))
            assert await received(sender.channel) == DATA
            assert [sender.heard() for _ in range(2)] == [(0, DONE, 0), (2, DONE, 0)]
            sender.memory.stand(0)
            sender.sock.sendall(offer([run], [SIZE], ticket=3) + plain(b"next"))
            announced = await sender.channel.recv_header(timeout=PATIENCE)
            with pytest.raises(pinwire.MessageRefusedError, match="withdrawn"):
                await announced.read(timeout=PATIENCE)
            assert await received(sender.channel) == b"next"

    face.run(main())


def test_an_offer_when_its_sender_is_not_who_it_was_then_it_is_incomplete(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.memory.forget()
            sender.sock.sendall(offer([(sender.memory.address, SIZE)], [SIZE]))
            with pytest.raises(pinwire.IncompleteTransferError, match="in the middle"):
                await sender.channel.recv(timeout=PATIENCE)

    face.run(main())


def test_offers_when_nobody_hears_the_answers_then_they_are_received(face):
    async def main() -> None:
        count = 2000  # more answers than their way holds
        async with inviter(face, Memory(b"x" * 8)) as sender:
            saying = asyncio.ensure_future(
                said(sender.sock, offer([(sender.memory.address, 8)], [8]) * count)
            )
            for _ in range(count):
                assert await received(sender.channel) == b"x" * 8
            await saying

    face.run(main())
