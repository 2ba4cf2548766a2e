"""What docs/wire-format.md says under "Same host", one sentence after the other."""

from __future__ import annotations

import errno
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hostile import floats, hello, take
from neighbours import (
    BOOT,
    DONE,
    HELLO,
    HELLO_LEN,
    INVITATION_LEN,
    NETWORK,
    PREFIX_LEN,
    PROGRESS,
    UNREADABLE,
    Inviter,
    answer,
    beside,
    extension,
    host,
    offer,
    visit,
)
from support import PATIENCE, Call

import pinwire

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text()
SECTION = " ".join(PAGE.split("\n## Same host\n")[1].split("\n## ")[0].split())
THRESHOLD = 524_288
STRETCH = 134_217_728
ARRAY = np.arange(THRESHOLD, dtype="u1")
PLAIN, OFFERED, INVITATION = b"\1\0\0\0", b"\1\1\0\0", b"\3\0\0\0"


def first_frame(theirs):
    """What stands first in the frame that follows the channel's hello."""
    return take(theirs, HELLO_LEN + 4)[HELLO_LEN:]


def invited(theirs):
    """The first invitation of a channel that sends."""
    return take(theirs, HELLO_LEN + INVITATION_LEN)[HELLO_LEN:]


def pulling(runs, ticket=1):
    """Who invites and offers these runs, and the bytes that say so."""
    inviter = Inviter(ticket)
    return inviter, inviter.invitation() + offer(ticket, runs)


def run(array):
    return (array.ctypes.data, array.nbytes)


def test_numbers_when_the_page_says_them_then_they_are_those_that_are_tried_here():
    assert f"that has {THRESHOLD:,} bytes or more" in SECTION
    assert f"after {STRETCH:,} bytes of what is offered" in SECTION
    assert re.findall(r"(\d+) ms", SECTION) == ["250"]


@pytest.mark.parametrize(
    ("size", "frame"),
    [(THRESHOLD - 1, PLAIN), (THRESHOLD, INVITATION)],
    ids=["smaller", "so-many"],
)
def test_invitation_when_a_message_has_so_many_bytes_then_it_comes_first(size, frame):
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY[:size], timeout=PATIENCE)
        assert first_frame(theirs) == frame
        channel.abort()
        sending.error()


SAYS = {
    "unknown": (extension(7, b"?") + host(), INVITATION),
    "last": (host(bytes(16)) + host(), INVITATION),
    "boot": (host(bytes(16)), PLAIN),
    "network": (host(BOOT, NETWORK + 1), PLAIN),
    "nowhere": (b"", PLAIN),
}


@pytest.mark.parametrize("extensions", SAYS)
def test_invitation_when_the_peer_says_where_it_is_then_it_comes_on_the_same_host_only(extensions):
    said, frame = SAYS[extensions]
    with beside(hello(extensions=said, flags=2)) as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        assert first_frame(theirs) == frame
        channel.abort()
        sending.error()


@pytest.mark.parametrize("first", [b"", HELLO], ids=["hello", "answer"])
def test_sender_when_there_is_no_answer_then_it_waits_so_long_and_sends_as_usual(first):
    with beside(first) as (theirs, channel):
        start = time.monotonic()
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        take(theirs, HELLO_LEN + (INVITATION_LEN if first else 0))
        assert take(theirs, 4) == PLAIN
        assert 0.25 <= time.monotonic() - start < PATIENCE
        take(theirs, PREFIX_LEN - 4 + 19 + ARRAY.nbytes)
        assert sending.result() == ARRAY.nbytes


def test_visitor_when_it_does_not_know_the_secret_then_it_is_dropped_and_another_heard():
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        invitation = invited(theirs)
        with (
            visit(invitation, bytes(32) + answer(0)) as stranger,
            visit(invitation, invitation[40:72] + answer(0) + answer(1)),
        ):
            assert sending.result() == ARRAY.nbytes
            assert stranger.recv(1) == b""


def test_sender_when_answers_are_about_another_ticket_then_it_reads_over_them():
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        invitation = invited(theirs)
        with visit(invitation) as side:
            side.sendall(answer(9) + answer(9, UNREADABLE, errno.EPERM) + answer(1, PROGRESS, 5))
            take(theirs, PREFIX_LEN)
            assert channel.stats().messages_sent == 0
            side.sendall(answer(1))
            assert sending.result() == ARRAY.nbytes


def test_sender_when_it_hears_unreadable_then_it_sends_again_and_offers_no_more():
    with beside() as (theirs, channel):
        sending = Call(lambda: [channel.send(ARRAY, timeout=PATIENCE) for _ in range(2)])
        invitation = invited(theirs)
        with visit(invitation) as side:
            assert take(theirs, len(offer(1, [run(ARRAY)])))[:4] == OFFERED
            side.sendall(answer(1, UNREADABLE, errno.EPERM))
            for _ in range(2):
                assert take(theirs, PREFIX_LEN)[:4] == PLAIN
                assert take(theirs, 19 + ARRAY.nbytes)[19:] == ARRAY.tobytes()
            assert sending.result() == [ARRAY.nbytes] * 2
        assert "the peer cannot read this process" in channel.stats().same_host


def test_sender_when_the_way_for_answers_ends_then_the_peer_is_gone():
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        visit(invited(theirs)).close()
        assert sending.error().errno == errno.ECONNRESET


@pytest.mark.parametrize(("same_host", "times"), [("off", 1), ("auto", 2)])
def test_receiver_when_invited_unasked_or_twice_then_the_peer_loses_its_connection(
    same_host, times
):
    inviter = Inviter()
    with inviter.listener, beside(same_host=same_host) as (theirs, channel):
        theirs.sendall(inviter.invitation() * times + floats(5.0))
        for _ in range(2):
            with pytest.raises(pinwire.ProtocolError, match="nobody has asked for it, or once"):
                channel.recv(timeout=PATIENCE)
        inviter.listener.setblocking(False)
        for _ in range(times - 1):
            inviter.listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            inviter.listener.accept()


def test_receiver_when_there_is_much_then_it_tells_of_progress():
    source, target = np.zeros(2 * 2**20, "u1"), np.empty(STRETCH + 2**20, "u1")
    target.fill(1)
    runs = [run(source)] * (STRETCH // source.nbytes) + [run(source[: 2**20])]
    inviter, said = pulling(runs)
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(said)
        channel.recv_into(target, timeout=PATIENCE)
        side, _ = inviter.visited()
        with side:
            assert take(side, 48) == answer(1, PROGRESS, STRETCH) + answer(1, DONE)
    assert not target.any()


def test_receiver_when_another_ticket_stands_then_it_goes_on_to_the_next_message():
    inviter, said = pulling([run(ARRAY)])
    with inviter.listener, beside() as (theirs, channel):
        inviter.show(2)
        theirs.sendall(said + offer(2, [run(ARRAY[:1])]))
        assert channel.recv(timeout=PATIENCE).nbytes == 1
        side, _ = inviter.visited()
        with side:
            assert take(side, 24) == answer(2, DONE)


def test_receiver_when_a_message_is_not_wanted_then_it_is_done_with_it():
    inviter, said = pulling([(1, 8)])
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(said)
        channel.recv_header(timeout=PATIENCE).skip(timeout=PATIENCE)
        side, _ = inviter.visited()
        with side:
            assert take(side, 24) == answer(1, DONE)


def test_receiver_when_memory_is_not_there_then_it_takes_the_message_that_comes_instead():
    inviter, said = pulling([(1, 8)])
    with inviter.listener, beside() as (theirs, channel):
        receiving = Call(channel.recv, timeout=PATIENCE)
        theirs.sendall(said)
        side, _ = inviter.visited()
        with side:
            assert take(side, 24) == answer(1, UNREADABLE, errno.EFAULT)
            theirs.sendall(floats(5.0))
            assert receiving.result().parts[0] == [5.0]
    assert channel.stats().messages_received == 1


def test_receiver_when_another_nonce_is_there_then_the_message_is_incomplete():
    inviter, said = pulling([run(ARRAY)])
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(inviter.invitation() + floats(5.0))
        channel.recv(timeout=PATIENCE)
        inviter.show(1, nonce=bytes(32))
        theirs.sendall(said[INVITATION_LEN:])
        with pytest.raises(pinwire.IncompleteTransferError):
            channel.recv(timeout=PATIENCE)


def test_receiver_when_the_nonce_is_not_that_of_the_invitation_then_it_says_unreadable():
    inviter = Inviter()
    inviter.show(1, nonce=bytes(32))
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(inviter.invitation() + floats(5.0))
        channel.recv(timeout=PATIENCE)
        side, said = inviter.visited()
        side.close()
        assert said == inviter.secret + answer(0, UNREADABLE, errno.ESRCH)
        theirs.sendall(offer(1, [run(ARRAY)]))
        with pytest.raises(pinwire.ProtocolError, match="an offer without an invitation"):
            channel.recv(timeout=PATIENCE)
