"""The dumps at the end of docs/wire-format.md are what is sent, and mean what they say."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from hostile import hello, rest, take
from links import (
    BOARD,
    BOOT,
    HELLO_LEN,
    INVITATION_LEN,
    NETWORK,
    accepted,
    at,
    invitation,
    offer,
    place_in,
)
from neighbours import Inviter, beside
from support import PATIENCE, Call
from wire_dump import Dump

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text()
DUMPS = PAGE.split("\n## One of each\n")[1]
MESSAGE, OFFER, LINK, MEMORY = re.findall(r"^```\n(.*?)\n```$", DUMPS, re.DOTALL | re.MULTILINE)

PARTS = [np.array([[1, 2, 3], [4, 5, 6]], "<i2", order="F"), np.array([258], ">u2")]
META = {"step": 7}
OFFERED = [np.full(524_288, 7, "u1"), np.array([258], ">u2")]


def bytes_of(block, *masked):
    """What a dump has, and where it says xx, these."""
    text = "".join(line[6:29] for line in block.splitlines()).replace(" ", "")
    pieces = re.split("((?:xx)+)", text)
    fill = "".join(piece.hex() for piece in masked)
    for index, piece in enumerate(pieces):
        if piece.startswith("xx"):
            pieces[index], fill = fill[: len(piece)], fill[len(piece) :]
    assert fill == ""
    return bytes.fromhex("".join(pieces))


def test_dump_when_a_message_is_sent_then_it_is_that_of_the_page():
    with beside(hello(), same_host="off") as (theirs, channel):
        channel.send(PARTS, meta=META, timeout=PATIENCE)
        channel.stream.send_eof()
        dump = Dump(rest(theirs))
    dump.hello()
    dump.header(f"meta: {META}")
    dump.payload(0, PARTS[0])
    dump.payload(1, PARTS[1])
    assert dump.text() == MESSAGE, f"the page should have:\n{dump.text()}"


def test_dump_when_its_bytes_are_received_then_they_make_the_message():
    with beside(bytes_of(MESSAGE)) as (_, channel):
        message = channel.recv(timeout=PATIENCE)
    assert message.meta == META
    for landed, sent in zip(message.parts, PARTS, strict=True):
        np.testing.assert_array_equal(landed, sent)
        assert (landed.dtype, landed.strides) == (sent.dtype, sent.strides)


def test_dump_when_a_message_is_offered_then_it_is_that_of_the_page():
    with beside() as (theirs, channel):
        sending = Call(channel.send, OFFERED, timeout=PATIENCE)
        first = take(theirs, HELLO_LEN + INVITATION_LEN)
        invited = invitation(first[HELLO_LEN:])
        nonce = bytes(32)
        link_says = bytes_of(LINK, invited.secret, bytes(8), nonce, bytes(8), nonce)
        join, answers = link_says[:80], link_says[120:]
        with invited.dial() as link:
            link.send(join)
            place = place_in(link.recv(1000))
            header = take(theirs, len(offer([1, 1], by_link=[1, 0])))
            memory = at(place.address, BOARD.size) + place.record
            for start in range(0, len(answers), 24):
                link.send(answers[start : start + 24])
            assert sending.result() == 524_290
        channel.stream.send_eof()
        dump = Dump(first + header + rest(theirs))
    dump.hello()
    dump.invitation()
    dump.header()
    dump.payload(1, OFFERED[1])
    assert dump.text() == OFFER, f"the page should have:\n{dump.text()}"
    dump = Dump(memory)
    dump.board()
    dump.record(2, 1)
    assert dump.text() == MEMORY, f"the page should have:\n{dump.text()}"


def test_dump_when_an_offer_of_its_bytes_is_received_then_the_link_is_that_of_the_page():
    inviter = Inviter()
    record = struct.pack("<Q", OFFERED[0].ctypes.data)
    shown = bytes_of(MEMORY, inviter.nonce, bytes(8), record)
    inviter.stand(1, shown[BOARD.size :])
    said = [BOOT, struct.pack("<Q", NETWORK), inviter.invited.name, inviter.invited.secret]
    with inviter.listener, beside() as (theirs, channel):
        said = bytes_of(OFFER, *said)
        receiving = Call(channel.recv, timeout=PATIENCE)
        theirs.sendall(said[HELLO_LEN : HELLO_LEN + INVITATION_LEN])
        link, join = accepted(inviter.listener)
        with link:
            came = struct.pack("<Q", inviter.address) + inviter.nonce
            link.send(came)
            theirs.sendall(said[HELLO_LEN + INVITATION_LEN :])
            message = receiving.result()
            dump = Dump(join + came + link.recv(100) + link.recv(100))
        np.testing.assert_array_equal(message.parts[0], OFFERED[0])
        np.testing.assert_array_equal(message.parts[1], OFFERED[1])
    dump.join()
    dump.place("welcome: address of the board")
    for _ in range(2):
        dump.answer()
    assert dump.text() == LINK, f"the page should have:\n{dump.text()}"
