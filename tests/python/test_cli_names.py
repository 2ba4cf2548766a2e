"""What a peer says of a file is taken for what it is: somebody's claim."""

from __future__ import annotations

import asyncio
import types

import pytest

from pinwire._cli import wire
from pinwire._cli.errors import PeerError, RefusedByPeerError, RefusedError, printable, reason
from pinwire._cli.names import safe_name

BAD_NAMES = [
    b"",
    b".",
    b"..",
    b"/etc/passwd",
    b"../up",
    b"a/b",
    b"a/",
    b"a\0b",
    b"a" * 231,
    b"a.pinwire",
    b".pinwire",
    b".bash_profile",
    b"...",
    b"-rf",
    b"--help",
    b"a\nb",
    b"a\r",
    b"\ta",
    b"\x1b[2J",
    b"a\x7f",
    "a\x9b".encode(),  # CSI, as terminals know it
    b"a\x9b",  # the same, in Latin-1
    "a\u2028b".encode(),
    "photo\u202egpj.exe".encode(),
    "\u2066a".encode(),
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_name_when_it_is_not_a_plain_one_then_it_is_refused(name):
    with pytest.raises(RefusedError) as caught:
        safe_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b".bash_profile", "'.bash_profile' begins with a dot: such files are hidden, or settings"),
        (b"-rf", "'-rf' begins with a dash: commands take it for an option"),
        (b"a\nb", r"'a\\nb' has characters in it that a terminal obeys"),
        (b"a.pinwire", "'a.pinwire': names in .pinwire are those of unfinished files"),
        (b"a" * 231, f"'{'a' * 77}...' is longer than 230 bytes"),
    ],
)
def test_name_when_it_is_refused_then_the_reason_is_clear(name, why):
    with pytest.raises(RefusedError) as caught:
        safe_name(name)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    "name", [b"a", b"a.b-c", b"a.part", b"a b", b"\xff", b"a" * 230, "ä\xa0\u200d".encode()]
)
def test_name_when_it_is_a_plain_one_then_it_stays_what_it_is(name):
    assert safe_name(name).encode("utf-8", "surrogateescape") == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä", "plain ä"),
        ("\x1b[2J\r\n", r"\x1b[2J\r\n"),
        ("\udcff\u202e", r"\udcff\u202e"),
        ("a" * 1000, "a" * 77 + "..."),
        ("\U000e0001" * 300, (r"\U000e0001" * 8)[:77] + "..."),
    ],
)
def test_text_when_a_peer_wrote_it_then_no_terminal_obeys_it(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory: 'x'"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (OSError("odd"), "odd"),
        (EOFError(), "EOFError"),
    ],
)
def test_error_when_it_is_for_a_person_then_its_reason_is_said_plainly(error, said):
    assert reason(error) == said


@pytest.mark.parametrize("value", [None, "5", 5.0, True, -1, 2**63])
def test_integer_when_it_is_none_then_the_peer_is_wrong(value):
    with pytest.raises(PeerError):
        wire.integer({"size": value}, "size")


def test_integer_when_it_is_over_the_most_then_the_peer_is_wrong():
    assert wire.integer({"offset": 5}, "offset", 5) == 5
    with pytest.raises(PeerError, match="the peer's offset of 6 is not between 0 and 5"):
        wire.integer({"offset": 6}, "offset", 5)


def test_version_when_it_is_another_then_both_are_named():
    with pytest.raises(PeerError, match="version 3 of the protocol, not 2"):
        wire.check_version({"version": 3})


def test_refusal_when_it_comes_instead_of_an_answer_then_its_reason_is_given():
    with pytest.raises(RefusedByPeerError, match=r"the peer refused: no\\n"):
        wire.check_op({"op": "refuse", "why": "no\n"}, "have")


def header(meta, *sizes, kind="arrays"):
    parts = [types.SimpleNamespace(nbytes=size) for size in sizes]
    return types.SimpleNamespace(meta=meta, parts=parts, nbytes=sum(sizes), kind=kind)


PIECE = wire.PIECE
DUE = {"op": "piece", "offset": PIECE}


@pytest.mark.parametrize(
    "claimed",
    [
        header({**DUE, "offset": 0}, 5),
        header({**DUE, "offset": 2 * PIECE}, 5),
        header({"op": "piece"}, 5),
        header({**DUE, "op": "offer"}, 5),
        header(DUE, 4),
        header(DUE, 6),
        header(DUE, 2, 3),
        header(DUE),
        header(DUE, 5, kind="object"),
    ],
)
def test_piece_when_it_is_not_the_one_that_is_due_then_the_peer_is_wrong(claimed):
    with pytest.raises(PeerError):
        wire.check_piece(claimed, PIECE, PIECE + 5)


def test_piece_when_it_is_the_one_that_is_due_then_its_size_is_given():
    assert wire.check_piece(header(DUE, 5), PIECE, PIECE + 5) == 5
    assert wire.check_piece(header(DUE, PIECE), PIECE, 3 * PIECE) == PIECE


def test_say_when_called_then_only_meta_is_sent():
    sent = []

    class Channel:
        async def send(self, data, *, meta, timeout):
            sent.append((bytes(data), meta))

    asyncio.run(wire.say(Channel(), "offer", size=1))
    assert sent == [(b"", {"op": "offer", "size": 1})]
