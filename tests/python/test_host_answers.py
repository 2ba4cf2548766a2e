"""Receivers on this host that lie about what they have read, and strangers who were not invited."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import threading
from typing import Any

import pytest
from hostile import MARGIN, descriptors, rest, rss
from links import (
    DONE,
    HELLO_LEN,
    PROGRESS,
    SAME_HOST,
    UNREADABLE,
    Board,
    answer,
    host,
    place_in,
)
from offers import (
    END,
    SIZE,
    Receiver,
    invitee,
    joined,
    neighbours_hello,
    refused,
    taken,
)
from support import Call

import pinwire

UNANSWERED = "the peer has not answered"
ELSEWHERE = "the peer is on another host, or in another network namespace"


@contextlib.asynccontextmanager
async def standing(face: Any, timeout: float = 10) -> Any:
    """An offer that stands.

    Gives the raw receiver, its link, the number of the offer, the send, and where the board is.
    """
    async with invitee(face) as receiver:
        sending = receiver.send(timeout)
        async with joined(await receiver.invited()) as (link, _, place):
            number = await receiver.offered(place)
            yield receiver, link, number, sending, place


def test_an_answer_when_it_says_done_before_anything_was_read_then_the_send_returns(face):
    async def main() -> None:
        async with standing(face) as (receiver, link, number, sending, place):
            link.send(answer(number, DONE))
            assert await sending == SIZE
            assert place.number == 0
            stats = receiver.channel.stats()
            assert (stats.bytes_offered, stats.messages_sent) == (SIZE, 1)

    face.run(main())


NONSENSE = {
    "garbage": lambda number: [bytes(range(24)), bytes(range(48))],
    "zeros": lambda number: [bytes(24)] * 10,
    "another-number": lambda number: [answer(number + 1, DONE), answer(0, DONE)],
    "old-refusal": lambda number: [answer(number - 1, UNREADABLE, errno.EPERM)],
    "no-verdict": lambda number: [answer(number, verdict) for verdict in (0, 4, END)],
    "beyond-the-payload": lambda number: [answer(number, PROGRESS, SIZE + 1)],
    "beyond-all": lambda number: [answer(number, PROGRESS, END)],
    "backwards": lambda number: [answer(number, PROGRESS, SIZE), answer(number, PROGRESS, 1)],
    "cut": lambda number: [answer(number, DONE)[:23], answer(number, DONE)[:1]],
    "longer": lambda number: [answer(number, DONE) + b"x", answer(number, DONE) * 2],
}


@pytest.mark.parametrize("name", NONSENSE)
def test_an_answer_when_it_makes_no_sense_then_the_send_waits_for_one_that_does(face, name):
    async def main() -> None:
        async with standing(face) as (receiver, link, number, sending, place):
            for packet in NONSENSE[name](number):
                link.send(packet)
            link.send(answer(number, DONE))
            assert await sending == SIZE
            following = receiver.send()
            link.send(answer(await receiver.offered(place), DONE))
            assert await following == SIZE
            assert receiver.channel.stats().same_host == "in use"

    face.run(main())


def test_an_answer_when_descriptors_come_with_it_then_they_are_closed(face):
    async def main() -> None:
        async with standing(face) as (_, link, number, sending, _):
            before = descriptors()
            for packet, count in ((answer(number, PROGRESS), 1), (answer(number, DONE), 5)):
                try:
                    socket.send_fds(link, [packet], [link.fileno()] * count)
                except PermissionError:  # since Linux 6.16
                    link.send(packet)
            assert await sending == SIZE
            assert descriptors() <= before

    face.run(main())


@pytest.mark.parametrize("bytes_read", [SIZE // 2, SIZE + 1, END])
def test_an_answer_when_progress_is_all_it_says_then_the_timeout_tells_no_more(face, bytes_read):
    async def main() -> None:
        async with standing(face, timeout=0.25) as (_, link, number, sending, place):
            link.send(answer(number, PROGRESS, bytes_read))
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await sending
            assert (caught.value.transferred, caught.value.nbytes) == (min(bytes_read, SIZE), SIZE)
            assert place.number == 0

    face.run(main())


@pytest.mark.parametrize("packets", [[], [b""], [bytes(1)]], ids=["end", "empty", "nonsense"])
def test_an_answer_when_the_link_ends_instead_then_the_peer_is_gone(face, packets):
    async def main() -> None:
        async with standing(face) as (_, link, _, sending, place):
            for packet in packets:
                link.send(packet)
            link.close()
            with pytest.raises(ConnectionResetError, match="closed the channel, or died"):
                await sending
            assert place.number == 0

    face.run(main())


def test_answers_when_they_make_no_sense_and_do_not_end_then_the_timeout_holds(face):
    def talk(link: socket.socket, over: threading.Event) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while not over.is_set():
                link.send(answer(0, DONE))

    async def main() -> None:
        over = threading.Event()
        before = rss()
        async with standing(face, timeout=0.25) as (receiver, link, _, sending, place):
            flood = Call(talk, link, over)
            with pytest.raises(pinwire.TransferTimeoutError):
                await sending
            assert place.number == 0
            assert rss() - before < MARGIN
            over.set()
            receiver.channel.abort()
            flood.result()

    face.run(main())


@pytest.mark.parametrize("progress", [0, SIZE // 2, END])
def test_an_answer_when_it_says_unreadable_then_the_socket_has_it_and_all_that_follow(
    face, progress
):
    async def main() -> None:
        async with standing(face) as (receiver, link, number, sending, _):
            link.send(answer(number, PROGRESS, progress))
            link.send(answer(number, UNREADABLE, errno.EPERM))
            assert await receiver.has_sent()
            assert await sending == SIZE
            following = receiver.send()
            assert await receiver.has_sent()
            assert await following == SIZE
            stats = receiver.channel.stats()
            assert (stats.bytes_offered, stats.messages_sent) == (0, 2)
            assert "Operation not permitted" in stats.same_host

    face.run(main())


REFUSALS = {
    "system": (errno.ENOSYS, "Function not implemented"),
    "no-process": (errno.ESRCH, "No such process"),
    "most-errno": (END, "the peer cannot read this process: "),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_invitation_when_it_is_refused_then_the_socket_has_every_byte(face, name):
    async def main() -> None:
        error, reason = REFUSALS[name]
        async with invitee(face) as receiver:
            sending = receiver.send()
            with refused(await receiver.invited(), error):
                assert await receiver.has_sent()
                assert await sending == SIZE
                assert reason in receiver.channel.stats().same_host

    face.run(main())


STRANGE = {
    "nothing": None,
    "empty": lambda invited: b"",
    "another-secret": lambda invited: bytes(80),
    "cut": lambda invited: invited.join(Board())[:-1],
    "longer": lambda invited: invited.join(Board()) + b"x",
    "secret-only": lambda invited: invited.secret,
}


@pytest.mark.parametrize("name", STRANGE)
def test_an_invitation_when_a_stranger_comes_then_the_socket_has_every_byte(face, name):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            with invited.dial() as stranger:
                if says := STRANGE[name]:
                    stranger.send(says(invited))
                for message in (sending, receiver.send()):
                    assert await receiver.has_sent()
                    assert await message == SIZE
                stats = receiver.channel.stats()
                assert (stats.bytes_offered, stats.same_host) == (0, UNANSWERED)
                # Who comes late is welcome all the same.
                with invited.dial() as late:
                    late.send(invited.join(board := Board()))
                    message = receiver.send()
                    place = place_in(await asyncio.to_thread(late.recv, 1000))
                    late.send(answer(await receiver.offered(place), DONE))
                    assert await message == SIZE
                    assert board.address != place.address
                    # Nobody is kept any more, nor is there a listener.
                    assert rest(stranger) == b""
                    with pytest.raises(ConnectionRefusedError):
                        invited.dial()

    face.run(main())


def test_strangers_when_there_are_many_then_the_invited_one_gets_in_behind_them(face):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            before = descriptors()
            with contextlib.ExitStack() as stack:
                for number in range(100):
                    stranger = stack.enter_context(await asyncio.to_thread(invited.dial))
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        stranger.send(bytes(number))
                # Theirs, those who wait to be heard, and one who is silent.
                assert descriptors() <= before + 100 + 8 + 2
                joining = await asyncio.to_thread(invited.dial)
                with joining as link:
                    link.send(invited.join(Board()))
                    place = place_in(await asyncio.to_thread(link.recv, 1000))
                    link.send(answer(await receiver.offered(place), DONE))
                    assert await sending == SIZE
                    assert receiver.channel.stats().same_host == "in use"

    face.run(main())


LIES = {
    "another-boot": (host(boot=bytes(16)), SAME_HOST, ELSEWHERE),
    "another-network": (host(network=END), SAME_HOST, ELSEWHERE),
    "no-host": (b"", SAME_HOST, ELSEWHERE),
    "unknown-extension": (b"\7\0\2\0ab", SAME_HOST, ELSEWHERE),
    "no-flag": (host(), 0, "the peer has it off, or no /proc to know its host by"),
    # The last one of several is believed.
    "two-hosts": (host() + host(boot=bytes(16)), SAME_HOST, ELSEWHERE),
}


@pytest.mark.parametrize("name", LIES)
def test_a_hello_when_it_is_of_another_host_then_nobody_is_invited(face, name):
    async def main() -> None:
        extensions, flags, reason = LIES[name]
        async with invitee(face, extensions, flags) as receiver:
            sending = receiver.send()
            assert await receiver.has_sent()
            assert await sending == SIZE
            assert receiver.channel.stats().same_host == reason

    face.run(main())


@pytest.mark.parametrize("said_of_it", [0, 51])
def test_a_hello_when_it_does_not_come_then_the_socket_has_every_byte(face, said_of_it):
    async def main() -> None:
        async with face.raw(same_host="auto") as (sock, channel):
            sock.sendall(neighbours_hello()[:said_of_it])
            receiver = Receiver(sock, channel)
            sending = receiver.send()
            assert len(await taken(sock, HELLO_LEN)) == HELLO_LEN
            assert await receiver.has_sent()
            assert await sending == SIZE
            assert channel.stats().same_host == "untried"
            sock.sendall(neighbours_hello()[said_of_it:])  # or else it waits for that to close

    face.run(main())


BAD_HOSTS = {
    "short": (struct.pack("<HH", 1, 23) + bytes(23), "a host of another length"),
    "long": (struct.pack("<HH", 1, 25) + bytes(25), "a host of another length"),
    "cut": (host()[:-1], "an extension ends in the middle"),
    "cut-early": (host() + b"\1\0\0", "an extension ends in the middle"),
}


@pytest.mark.parametrize("name", BAD_HOSTS)
def test_a_hello_when_its_host_makes_no_sense_then_the_liar_loses_its_connection(face, name):
    async def main() -> None:
        extensions, text = BAD_HOSTS[name]
        async with invitee(face, extensions) as receiver:
            with pytest.raises(pinwire.ProtocolError, match=text):
                await receiver.channel.recv()
            assert rest(receiver.sock) == b""

    face.run(main())


def test_a_send_when_its_connection_ends_and_the_link_does_not_then_it_ends(face):
    async def main() -> None:
        async with standing(face) as (receiver, _, _, sending, place):
            receiver.sock.close()
            with pytest.raises(ConnectionResetError):
                await sending
            assert place.number == 0

    face.run(main())


def test_a_send_when_its_peer_only_ends_its_stream_then_an_answer_is_waited_for(face):
    async def main() -> None:
        async with standing(face) as (receiver, link, number, sending, _):
            receiver.sock.shutdown(socket.SHUT_WR)
            # Longer than it takes to look.
            assert await asyncio.wait([sending], timeout=0.8) == (set(), {sending})
            link.send(answer(number, DONE))
            assert await sending == SIZE

    face.run(main())
