"""Invitations that lead nowhere, or elsewhere, and peers that say nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from typing import Any

import pytest
from hostile import descriptors, prefix, rest
from links import (
    JOIN,
    UNREADABLE,
    Board,
    Invitation,
    accepted,
    answer,
    inviting,
    offer,
    place_in,
    welcome,
)
from offers import (
    DATA,
    SIZE,
    Memory,
    invitee,
    inviter,
    joined,
    neighbours_hello,
    plain,
    received,
    taken,
)
from support import PATIENCE, Call, finish, start_program

import pinwire


def test_a_receive_when_only_withdrawn_offers_come_then_its_timeout_holds(face):
    async def main() -> None:
        over = threading.Event()
        flood = offer([8], number=2) * 100

        def talk(sock: socket.socket) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while not over.is_set():
                    sock.sendall(flood)

        async with inviter(face, Memory(DATA)) as sender:
            call = Call(talk, sender.sock)
            try:
                with pytest.raises(pinwire.TransferTimeoutError):
                    await sender.channel.recv(timeout=0.1)
            finally:
                over.set()
                sender.channel.abort()
            call.result()

    face.run(main())


@contextlib.contextmanager
def nowhere(_: Invitation) -> Any:
    """Nobody listens."""
    yield


@contextlib.contextmanager
def full(invited: Invitation) -> Any:
    """A listener with more before it than it takes."""
    with invited.listen(0) as listener, contextlib.ExitStack() as stack:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                stack.enter_context(sock)
                sock.setblocking(False)
                sock.connect(invited.address)
        yield listener


@contextlib.contextmanager
def streaming(invited: Invitation) -> Any:
    """A socket of another type."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(invited.address)
        listener.listen()
        yield listener


@pytest.mark.parametrize("where", [nowhere, full, streaming])
def test_an_invitation_when_it_leads_nowhere_then_the_socket_is_used_as_before(face, where):
    async def main() -> None:
        invited = inviting()
        async with face.raw(same_host="auto") as (sock, channel):
            with where(invited):
                before = descriptors()
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
                assert await received(channel) == b"next"
                assert descriptors() <= before
                assert channel.transport == "unix"
                assert "the system refuses what it takes" in channel.stats().same_host
            sending = asyncio.ensure_future(channel.send(DATA, timeout=PATIENCE))
            size = 52 + len(plain(DATA))
            assert (await taken(sock, size))[52:] == plain(DATA)
            assert await sending == SIZE
            sock.sendall(offer([SIZE]))
            with pytest.raises(pinwire.ProtocolError, match="an offer without a link"):
                await channel.recv(timeout=PATIENCE)

    face.run(main())


WELCOMES = {
    "none": None,
    "empty": b"",
    "short": bytes(39),
    "long": bytes(41),
}


@pytest.mark.parametrize("name", WELCOMES)
def test_an_offer_when_the_link_has_no_welcome_then_the_liar_loses_its_connection(face, name):
    async def main() -> None:
        async with face.raw(same_host="auto") as (sock, channel):
            invited = inviting()
            with invited.listen() as listener:
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
                assert await received(channel) == b"next"
                link, _ = accepted(listener)
            with link:
                if (packet := WELCOMES[name]) is not None:
                    link.send(packet)
                sock.sendall(offer([SIZE]))
                with pytest.raises(pinwire.ProtocolError, match="an offer without a link"):
                    await channel.recv(timeout=PATIENCE)
                assert rest(link) == b""

    face.run(main())


def test_a_link_when_its_inviter_closes_it_then_the_socket_has_every_byte(face):
    async def main() -> None:
        async with face.raw(same_host="auto") as (sock, channel):
            invited = inviting()
            with invited.listen() as listener:
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
                assert await received(channel) == b"next"
                accepted(listener)[0].close()
            sending = asyncio.ensure_future(channel.send(DATA, timeout=PATIENCE))
            assert (await taken(sock, 52 + len(plain(DATA))))[52:] == plain(DATA)
            assert await sending == SIZE
            assert channel.stats().same_host == "the peer has not taken up the link"

    face.run(main())


def test_a_link_when_nobody_hears_then_offers_are_read_unanswered(face):
    async def main() -> None:
        async with inviter(face, Memory(DATA)) as sender:
            sender.link.close()
            for _ in range(2):
                sender.sock.sendall(offer([SIZE]))
                assert await received(sender.channel) == DATA

    face.run(main())


def test_a_link_when_it_was_invited_to_then_it_goes_both_ways(face):
    async def main() -> None:
        async with face.raw(same_host="auto") as (sock, channel):
            invited, memory = inviting(), Memory(DATA)
            with invited.listen() as listener:
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
                assert await received(channel) == b"next"
                link, join = accepted(listener)
            with link:
                link.send(welcome(memory))
                place = place_in(join)
                sending = asyncio.ensure_future(channel.send(DATA, timeout=PATIENCE))
                assert (await taken(sock, 52 + len(offer([SIZE]))))[52:] == offer([SIZE])
                assert place.number == 1
                link.send(answer(1))
                assert await sending == SIZE
                sock.sendall(offer([SIZE]))
                assert await received(channel) == DATA
                assert link.recv(100) == answer(1)
                assert channel.stats().same_host == "in use"

    face.run(main())


def test_a_link_when_we_have_invited_then_it_goes_both_ways(face):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            async with joined(await receiver.invited()) as (link, board, place):
                link.send(answer(await receiver.offered(place)))
                assert await sending == SIZE
                memory = Memory(DATA)
                board.show(board.nonce, 5, memory.record_address, 24)
                receiver.sock.sendall(offer([SIZE], number=5))
                assert await received(receiver.channel) == DATA
                assert link.recv(100) == answer(5)

    face.run(main())


def crossing(ours: Invitation, lower: bool) -> Invitation:
    """Another one, whose name is lower or higher."""
    number = int.from_bytes(ours.name, "big") + (-1 if lower else 1)
    return Invitation(number.to_bytes(16, "big"), bytes(range(32)))


@pytest.mark.parametrize("after", [False, True], ids=["outstanding", "linked"])
def test_invitations_when_they_cross_and_ours_is_lower_then_the_other_is_ignored(face, after):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            theirs = crossing(invited, lower=False)
            with theirs.listen() as listener, contextlib.ExitStack() as stack:
                listener.setblocking(False)
                if not after:
                    receiver.sock.sendall(theirs.frame() + prefix(0, 0, 0, 0))
                    await receiver.channel.recv(timeout=PATIENCE)
                link = stack.enter_context(invited.dial())
                link.send(invited.join(Board()))
                place = place_in(await asyncio.to_thread(link.recv, 1000))
                link.send(answer(await receiver.offered(place)))
                assert await sending == SIZE
                if after:
                    receiver.sock.sendall(theirs.frame() + prefix(0, 0, 0, 0))
                    await receiver.channel.recv(timeout=PATIENCE)
                with pytest.raises(BlockingIOError):
                    listener.accept()
                assert receiver.channel.stats().same_host == "in use"

    face.run(main())


def test_invitations_when_they_cross_and_theirs_is_lower_then_it_is_followed(face):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            theirs = crossing(invited, lower=True)
            with theirs.listen() as listener:
                receiver.sock.sendall(theirs.frame() + prefix(0, 0, 0, 0))
                await receiver.channel.recv(timeout=PATIENCE)
                link, join = accepted(listener)
            with link:
                with pytest.raises(ConnectionRefusedError):
                    invited.dial()
                link.send(welcome(Board()))
                link.send(answer(await receiver.offered(place_in(join))))
                assert await sending == SIZE

    face.run(main())


@pytest.mark.parametrize("what", ["our-own", "lower-when-linked", "higher-twice"])
def test_invitations_when_they_cannot_have_crossed_then_the_connection_is_lost(face, what):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            async with joined(invited) as (link, _, place):
                link.send(answer(await receiver.offered(place)))
                assert await sending == SIZE
                receiver.sock.sendall(
                    {
                        "our-own": invited.frame(),
                        "lower-when-linked": crossing(invited, lower=True).frame(),
                        "higher-twice": crossing(invited, lower=False).frame() * 2,
                    }[what]
                )
                with pytest.raises(pinwire.ProtocolError, match="asked for it, or once more"):
                    await receiver.channel.recv(timeout=PATIENCE)
                assert rest(link) == b""

    face.run(main())


THIRD = """
import socket, sys

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
    listener.bind(b"\\0pinwire-" + sys.argv[1].encode())
    listener.listen()
    print("listens", flush=True)
    with listener.accept()[0] as link:
        join = link.recv(1000)
        link.send(bytes.fromhex(sys.argv[2]))
        print(join.hex(), flush=True)
        print(link.recv(1000).hex(), flush=True)
"""


def test_an_invitation_when_another_process_listens_then_no_other_memory_is_read(face):
    async def main() -> None:
        memory, invited = Memory(DATA), inviting()
        # What is in this process, and not in that one.
        process = start_program(THIRD, invited.name.hex(), welcome(memory).hex())
        assert process.stdout.readline() == "listens\n"
        async with face.raw(same_host="auto") as (sock, channel):
            sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
            assert await received(channel) == b"next"
            join = bytes.fromhex(process.stdout.readline())
            assert JOIN.unpack(join)[:2] == (invited.secret, 0)
            sock.sendall(offer([SIZE]) + plain(b"next"))
            assert await received(channel) == b"next"
            code, out, err = await asyncio.to_thread(finish, process)
            heard = [answer(1, UNREADABLE, error) for error in (errno.EFAULT, errno.ESRCH)]
            assert (code, err) == (0, "") and bytes.fromhex(out) in heard
            assert channel.stats().bytes_pulled == 0

    face.run(main())
