"""Receivers on this host that lie about what they have read, and strangers who were not invited."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hostile import MARGIN, descriptors, rest, rss
from offers import (
    DONE,
    END,
    HELLO_LEN,
    PROGRESS,
    SAME_HOST,
    SIZE,
    UNREADABLE,
    Receiver,
    answer,
    dial,
    host,
    invitee,
    neighbours_hello,
    said,
    taken,
    told,
)
from support import Call

import pinwire

if TYPE_CHECKING:
    import socket

UNANSWERED = "the peer has not answered"
ELSEWHERE = "the peer is on another host, or in another network namespace"


@contextlib.asynccontextmanager
async def standing(face: Any, timeout: float = 10) -> Any:
    """An offer that stands.

    Gives the raw receiver, its way of answers, the ticket, the send, and the invitation.
    """
    async with invitee(face) as receiver:
        sending = receiver.send(timeout)
        invited = await receiver.invited()
        with told(invited) as answers:
            ticket = await receiver.offered()
            assert invited.ticket == ticket
            yield receiver, answers, ticket, sending, invited


def test_an_answer_when_it_says_done_before_anything_was_read_then_the_send_returns(face):
    async def main() -> None:
        async with standing(face) as (receiver, answers, ticket, sending, invited):
            answers.sendall(answer(ticket, DONE))
            assert await sending == SIZE
            assert invited.ticket == 0
            stats = receiver.channel.stats()
            assert (stats.bytes_offered, stats.messages_sent) == (SIZE, 1)

    face.run(main())


NONSENSE = {
    "garbage": lambda ticket: bytes(range(48)),
    "zeros": lambda ticket: bytes(240),
    "another-ticket": lambda ticket: answer(ticket + 1, DONE) + answer(0, DONE),
    "old-refusal": lambda ticket: answer(ticket - 1, UNREADABLE, errno.EPERM),
    "no-verdict": lambda ticket: answer(ticket, 0) + answer(ticket, 4) + answer(ticket, END),
    "beyond-the-payload": lambda ticket: answer(ticket, PROGRESS, SIZE + 1),
    "beyond-all": lambda ticket: answer(ticket, PROGRESS, END),
    "backwards": lambda ticket: answer(ticket, PROGRESS, SIZE) + answer(ticket, PROGRESS, 1),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_an_answer_when_it_makes_no_sense_then_the_send_waits_for_one_that_does(face, name):
    async def main() -> None:
        async with standing(face) as (receiver, answers, ticket, sending, _):
            answers.sendall(NONSENSE[name](ticket) + answer(ticket, DONE))
            assert await sending == SIZE
            following = receiver.send()
            answers.sendall(answer(await receiver.offered(), DONE))
            assert await following == SIZE
            assert receiver.channel.stats().same_host == "in use"

    face.run(main())


@pytest.mark.parametrize("bytes_read", [SIZE // 2, SIZE + 1, END])
def test_an_answer_when_progress_is_all_it_says_then_the_timeout_tells_no_more(face, bytes_read):
    async def main() -> None:
        async with standing(face, timeout=0.25) as (_, answers, ticket, sending, invited):
            answers.sendall(answer(ticket, PROGRESS, bytes_read))
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await sending
            assert (caught.value.transferred, caught.value.nbytes) == (min(bytes_read, SIZE), SIZE)
            assert invited.ticket == 0

    face.run(main())


@pytest.mark.parametrize("begun", [1, 23])
def test_an_answer_when_only_its_start_comes_then_the_message_is_withdrawn(face, begun):
    async def main() -> None:
        async with standing(face, timeout=0.25) as (receiver, answers, ticket, sending, invited):
            answers.sendall(answer(ticket, DONE)[:begun])
            with pytest.raises(pinwire.TransferTimeoutError):
                await sending
            assert invited.ticket == 0
            # Whole it is still: the next one is offered, and heard of.
            following = receiver.send()
            ticket = await receiver.offered()
            assert invited.ticket == ticket
            answers.sendall(answer(ticket, DONE))
            assert await following == SIZE

    face.run(main())


@pytest.mark.parametrize("begun", [0, 1, 23])
def test_an_answer_when_its_way_is_closed_in_the_middle_then_the_peer_is_gone(face, begun):
    async def main() -> None:
        async with standing(face) as (_, answers, ticket, sending, invited):
            answers.sendall(answer(ticket, DONE)[:begun])
            answers.close()
            with pytest.raises(ConnectionResetError, match="closed the channel, or died"):
                await sending
            assert invited.ticket == 0

    face.run(main())


def test_answers_when_they_make_no_sense_and_do_not_end_then_the_timeout_holds(face):
    def talk(answers: socket.socket, over: threading.Event) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while not over.is_set():
                answers.sendall(answer(0, DONE) * 100)

    async def main() -> None:
        over = threading.Event()
        before = rss()
        async with standing(face, timeout=0.25) as (receiver, answers, _, sending, invited):
            flood = Call(talk, answers, over)
            with pytest.raises(pinwire.TransferTimeoutError):
                await sending
            assert invited.ticket == 0
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
        async with standing(face) as (receiver, answers, ticket, sending, _):
            answers.sendall(answer(ticket, PROGRESS, progress))
            answers.sendall(answer(ticket, UNREADABLE, errno.EPERM))
            assert await receiver.has_sent()
            assert await sending == SIZE
            following = receiver.send()
            assert await receiver.has_sent()
            assert await following == SIZE
            stats = receiver.channel.stats()
            assert (stats.bytes_offered, stats.messages_sent) == (0, 2)
            assert "Operation not permitted" in stats.same_host

    face.run(main())


FIRST_WORDS = {
    "unreadable": (UNREADABLE, errno.ENOSYS, "Function not implemented"),
    "no-errno": (UNREADABLE, 0, "the peer cannot read this process: "),
    "most-errno": (UNREADABLE, END, "the peer cannot read this process: "),
    "progress": (PROGRESS, 5, "the peer's answer means nothing"),
    # Nobody who was invited says that.
    "unknown-verdict": (4, 0, UNANSWERED),
}


@pytest.mark.parametrize("name", FIRST_WORDS)
def test_an_invitation_when_it_is_not_taken_then_the_socket_has_every_byte(face, name):
    async def main() -> None:
        verdict, value, reason = FIRST_WORDS[name]
        async with invitee(face) as receiver:
            sending = receiver.send()
            with told(await receiver.invited(), verdict, value):
                assert await receiver.has_sent()
                assert await sending == SIZE
                assert reason in receiver.channel.stats().same_host

    face.run(main())


@pytest.mark.parametrize("secret", [b"", bytes(32), bytes(56)], ids=len)
def test_an_invitation_when_it_is_never_answered_then_the_socket_has_every_byte(face, secret):
    async def main() -> None:
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            with dial(invited) as stranger:
                stranger.sendall(secret)
                for message in (sending, receiver.send()):
                    assert await receiver.has_sent()
                    assert await message == SIZE
                stats = receiver.channel.stats()
                assert (stats.bytes_offered, stats.same_host) == (0, UNANSWERED)
                # A late answer is one all the same.
                with told(invited) as answers:
                    message = receiver.send()
                    answers.sendall(answer(await receiver.offered(), DONE))
                    assert await message == SIZE
                    # Nobody is kept at the door any more.
                    assert rest(stranger) == b""

    face.run(main())


def test_strangers_when_there_are_many_then_who_was_invited_gets_in_behind_them(face):
    async def main() -> None:
        async with invitee(face) as receiver:
            before = descriptors()
            sending = receiver.send()
            invited = await receiver.invited()
            with contextlib.ExitStack() as stack:
                for number in range(100):
                    stranger = stack.enter_context(await asyncio.to_thread(dial, invited))
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        stranger.sendall(bytes(number))
                # Theirs, and those of them who are waiting in a room for 16.
                assert descriptors() <= before + 100 + 20
                with await asyncio.to_thread(told, invited) as answers:
                    await answered_when_offered(receiver, answers)
                    assert await sending == SIZE
                    assert receiver.channel.stats().same_host == "in use"

    face.run(main())


async def answered_when_offered(receiver: Receiver, answers: socket.socket) -> None:
    await said(answers, answer(await receiver.offered(), DONE))


LIES = {
    "another-boot": (host(boot=bytes(16)), SAME_HOST, ELSEWHERE),
    "another-network": (host(network=END), SAME_HOST, ELSEWHERE),
    "no-host": (b"", SAME_HOST, ELSEWHERE),
    "unknown-extension": (b"\7\0\2\0ab", SAME_HOST, ELSEWHERE),
    "no-flag": (host(), 0, "the peer has it off"),
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
