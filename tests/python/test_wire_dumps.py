"""The dumps at the end of docs/wire-format.md are what is sent, and mean what they say."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
from hostile import hello, rest, take
from neighbours import (
    BOOT,
    HELLO_LEN,
    INVITATION_LEN,
    NETWORK,
    Inviter,
    answer,
    beside,
    visit,
)
from support import PATIENCE, Call
from wire_dump import Dump

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text()
DUMPS = PAGE.split("\n## One of each\n")[1]
MESSAGE, OFFER, ANSWERS = re.findall(r"^```\n(.*?)\n```$", DUMPS, re.DOTALL | re.MULTILINE)

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
        invitation = first[HELLO_LEN:]
        with visit(invitation, bytes_of(ANSWERS, invitation[40:72])):
            assert sending.result() == 524_290
        channel.stream.send_eof()
        dump = Dump(first + rest(theirs))
    dump.hello()
    dump.invitation()
    dump.header()
    dump.payload(1, OFFERED[1])
    assert dump.text() == OFFER, f"the page should have:\n{dump.text()}"


def test_dump_when_an_offer_of_its_bytes_is_received_then_the_answers_are_those_of_the_page():
    inviter = Inviter(ticket=1)
    said = [BOOT, struct.pack("<Q", NETWORK), inviter.name, inviter.secret]
    said += [struct.pack("<Q", inviter.address), inviter.nonce]
    said += [struct.pack("<Q", OFFERED[0].ctypes.data)]
    with inviter.listener, beside(bytes_of(OFFER, *said)) as (_, channel):
        message = channel.recv(timeout=PATIENCE)
        side, visited = inviter.visited()
        with side:
            dump = Dump(visited + take(side, 2 * len(answer(1))))
        np.testing.assert_array_equal(message.parts[0], OFFERED[0])
        np.testing.assert_array_equal(message.parts[1], OFFERED[1])
    dump.mask("secret", 32)
    for _ in range(3):
        dump.answer()
    assert dump.text() == ANSWERS, f"the page should have:\n{dump.text()}"
