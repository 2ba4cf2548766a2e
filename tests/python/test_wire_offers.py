"""What docs/wire-format.md says under "Same host", one sentence after the other."""

from __future__ import annotations

import contextlib
import errno
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hostile import floats, hello, take
from links import (
    BOARD,
    BOOT,
    DONE,
    HELLO_LEN,
    INVITATION_LEN,
    JOIN,
    NETWORK,
    PROGRESS,
    UNREADABLE,
    Board,
    accepted,
    answer,
    at,
    extension,
    host,
    invitation,
    offer,
    record,
)
from neighbours import HELLO, PREFIX_LEN, Inviter, beside, joining
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


@contextlib.contextmanager
def offering(*runs, number=1):
    """A plain socket that has invited a channel, which has joined: and the link."""
    inviter = Inviter(runs, number)
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(inviter.invited.frame() + floats(5.0))
        channel.recv(timeout=PATIENCE)
        link, _ = inviter.visited()
        with link:
            yield inviter, theirs, channel, link


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
        frame = invited(theirs)
        with invitation(frame).dial() as stranger:
            stranger.send(bytes(JOIN.size))
            with joining(frame, answer(1)):
                assert sending.result() == ARRAY.nbytes
                assert stranger.recv(1) == b""


def test_visitor_when_it_says_why_it_does_not_join_then_the_socket_is_used():
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        wanted = invitation(invited(theirs))
        with wanted.dial() as visitor:
            visitor.send(wanted.join(Board(), errno.EPERM))
            assert take(theirs, PREFIX_LEN)[:4] == PLAIN
            take(theirs, 19 + ARRAY.nbytes)
            assert sending.result() == ARRAY.nbytes
        assert "Operation not permitted" in channel.stats().same_host


def test_join_when_it_is_followed_then_it_says_where_the_board_is():
    inviter = Inviter()
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(inviter.invited.frame() + floats(5.0))
        channel.recv(timeout=PATIENCE)
        link, join = accepted(inviter.listener)
        with link:
            secret, error, address, nonce = JOIN.unpack(join)
            assert (secret, error) == (inviter.invited.secret, 0)
            assert BOARD.unpack(at(address, BOARD.size)) == (nonce, 0, 0, 0)


def test_board_when_something_is_offered_then_it_leads_to_the_record():
    with beside() as (theirs, channel):
        rows = np.zeros((1024, 2048), "u1")[:, :1024]
        parts = [np.arange(9, dtype="u1"), ARRAY, rows]
        sending = Call(channel.send, parts * 2, timeout=PATIENCE)
        with joining(invited(theirs)) as (link, place):
            assert take(theirs, 4) == OFFERED
            start, first = ARRAY.ctypes.data, rows.ctypes.data
            runs = [(start, ARRAY.nbytes), *((first + 2048 * row, 1024) for row in range(1024))]
            assert (place.number, place.record) == (1, record(runs * 2, [0, 1, 1024] * 2))
            link.send(answer(1))
            assert sending.result() == sum(part.nbytes for part in parts) * 2
            assert place.number == 0


def test_sender_when_answers_are_about_another_number_then_it_reads_over_them():
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        said = [answer(9), answer(9, UNREADABLE, errno.EPERM), answer(1, PROGRESS, 5)]
        with joining(invited(theirs), *said, answer(1, 9), answer(1)[:9], b"x" * 99) as (link, _):
            take(theirs, PREFIX_LEN)
            assert channel.stats().messages_sent == 0
            link.send(answer(1))
            assert sending.result() == ARRAY.nbytes


def test_sender_when_it_hears_unreadable_then_it_sends_again_and_offers_no_more():
    with beside() as (theirs, channel):
        sending = Call(lambda: [channel.send(ARRAY, timeout=PATIENCE) for _ in range(2)])
        with joining(invited(theirs)) as (link, _):
            assert take(theirs, len(offer([ARRAY.nbytes])))[:4] == OFFERED
            link.send(answer(1, UNREADABLE, errno.EPERM))
            for _ in range(2):
                assert take(theirs, PREFIX_LEN)[:4] == PLAIN
                assert take(theirs, 19 + ARRAY.nbytes)[19:] == ARRAY.tobytes()
            assert sending.result() == [ARRAY.nbytes] * 2
        assert "the peer cannot read this process" in channel.stats().same_host


def test_sender_when_the_link_ends_then_the_peer_is_gone():
    with beside() as (theirs, channel):
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        with joining(invited(theirs)):
            pass
        assert sending.error().errno == errno.ECONNRESET


@pytest.mark.parametrize(
    ("same_host", "theirs_says", "times"),
    [("off", HELLO, 1), ("auto", hello(extensions=host()), 1), ("auto", HELLO, 2)],
)
def test_receiver_when_invited_unasked_or_twice_then_the_peer_loses_its_connection(
    same_host, theirs_says, times
):
    inviter = Inviter()
    with inviter.listener, beside(theirs_says, same_host=same_host) as (theirs, channel):
        theirs.sendall(inviter.invited.frame() * times + floats(5.0))
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
    with offering(*runs) as (_, theirs, channel, link):
        theirs.sendall(offer([target.nbytes]))
        channel.recv_into(target, timeout=PATIENCE)
        assert [link.recv(100) for _ in range(2)] == [answer(1, PROGRESS, STRETCH), answer(1, DONE)]
    assert not target.any()


def test_receiver_when_another_number_stands_then_it_goes_on_to_the_next_message():
    with offering(run(ARRAY[:1]), number=2) as (_, theirs, channel, link):
        theirs.sendall(offer([ARRAY.nbytes], number=1) + offer([1], number=2))
        assert channel.recv(timeout=PATIENCE).nbytes == 1
        assert link.recv(100) == answer(2, DONE)


def test_receiver_when_a_message_is_not_wanted_then_it_is_done_with_it():
    with offering((1, 8)) as (_, theirs, channel, link):
        theirs.sendall(offer([8]))
        channel.recv_header(timeout=PATIENCE).skip(timeout=PATIENCE)
        assert link.recv(100) == answer(1, DONE)


def test_receiver_when_memory_is_not_there_then_it_takes_the_message_that_comes_instead():
    with offering((1, 8)) as (_, theirs, channel, link):
        receiving = Call(channel.recv, timeout=PATIENCE)
        theirs.sendall(offer([8]))
        assert link.recv(100) == answer(1, UNREADABLE, errno.EFAULT)
        theirs.sendall(floats(6.0))
        assert receiving.result().parts[0] == [6.0]
        assert channel.stats().messages_received == 2


def test_receiver_when_another_nonce_is_there_then_the_message_is_incomplete():
    with offering(run(ARRAY)) as (inviter, theirs, channel, _):
        theirs.sendall(offer([ARRAY.nbytes]))
        channel.recv(timeout=PATIENCE)
        inviter.forget()
        theirs.sendall(offer([ARRAY.nbytes]))
        with pytest.raises(pinwire.IncompleteTransferError):
            channel.recv(timeout=PATIENCE)


def test_receiver_when_the_nonce_never_was_there_then_it_says_unreadable():
    with offering(run(ARRAY)) as (inviter, theirs, channel, link):
        inviter.forget()
        theirs.sendall(offer([ARRAY.nbytes]) + floats(6.0))
        assert channel.recv(timeout=PATIENCE).parts[0] == [6.0]
        assert link.recv(100) == answer(1, UNREADABLE, errno.ESRCH)
