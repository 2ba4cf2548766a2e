"""docs/wire-format.md says what is on the wire, what its limits are, and what violates it."""

from __future__ import annotations

import pickle
import re
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from links import offer, record
from neighbours import Inviter, beside
from support import PATIENCE, received_blocking

import pinwire
from pinwire import _open, blocking

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "wire-format.md").read_text()
HELLO = struct.Struct("<8sBBHIQ")
PREFIX = struct.Struct("<B3sIIIQ")
SIGNATURE = b"\x89PWIRE\r\n"
LARGEST = 2**63 - 1


@pytest.fixture
def peers():
    """A stream that says what it likes, and the channel that listens to it."""
    with blocking.listen("tcp://127.0.0.1:0") as listener:
        raw = blocking.connect(listener.address)
        channel = blocking.Channel(listener.accept(), same_host="off")
    with raw:
        yield raw, channel
        channel.abort()


def rows(heading):
    """The cells of the tables under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)
    return [line.replace(r"\|", "\0").split(" | ") for line in lines[1:]]


def quoted(cell):
    return [text.replace("\0", "|") for text in re.findall("`([^`]+)`", cell)]


def hello(signature=SIGNATURE, lowest=2, highest=2, extensions=b"", announced=None, flags=0):
    size = len(extensions) if announced is None else announced
    return HELLO.pack(signature, lowest, highest, size, flags, 2**32) + extensions


def part(dtype=b"|u1", itemsize=1, shape=(), order=b"C"):
    text = struct.pack("<IcBH", itemsize, order, len(shape), len(dtype)) + dtype
    return text + struct.pack(f"<{len(shape)}Q", *shape)


def header(descriptions=b"", parts=0, meta=b"", payload=0, kind=1, flags=bytes(3), lengths=None):
    lengths = lengths or (len(descriptions), len(meta))
    return hello() + PREFIX.pack(kind, flags, parts, *lengths, payload) + descriptions + meta


def offered(number=1, way=1):
    """A header of one part, a byte, which is offered."""
    described = part()
    prefix = PREFIX.pack(1, b"\1\0\0", 1, len(described), 0, 1)
    return hello() + prefix + struct.pack("<QB", number, way) + described


def padded(nbytes):
    """Descriptions of 17 parts of one byte an item, beside so many of no field in all."""
    least, rest = divmod(nbytes, 17)
    return b"".join(structure(least + (k < rest)) for k in range(17))


def structure(padding):
    text = b'{"names":["x"],"formats":["|u1"],"offsets":[0],"itemsize":%d}' % (padding + 1)
    return part(text, padding + 1, shape=(0,))


def deep(ndim):
    """A description of one byte in arrays of so many dimensions, half of them in the item."""
    inner = ndim // 2
    field = b'["|u1",[%s]]' % b",".join([b"1"] * inner)
    text = b'{"names":["x"],"formats":[%s],"offsets":[0],"itemsize":1}' % field
    return part(text, 1, shape=(1,) * (ndim - inner))


VIOLATIONS = {
    "does not speak pinwire": b"\x89PNG",
    "speaks versions 1 to 1 of the wire format": hello(lowest=1, highest=1),
    "bytes of extensions": hello(announced=4097),
    "an extension ends in the middle": hello(extensions=struct.pack("<HH", 9, 1)),
    "a host of another length": hello(extensions=struct.pack("<HH25x", 1, 25)),
    "a message of an unknown kind": header(kind=4),
    "flags that this version does not know": header(flags=b"\2\0\0"),
    "parts, and": header(parts=65_537),
    "bytes of descriptions": header(lengths=(4 * 2**20 + 1, 0)),
    "bytes of meta": header(lengths=(0, 65_537)),
    "a description ends in the middle": header(part(shape=(1,))[:-1], 1, payload=1),
    "bytes are left behind the last description": header(part() + b"\0", 1, payload=1),
    "an order that is neither C nor F": header(part(order=b"K"), 1, payload=1),
    "dimensions of an array": header(part(shape=(1,) * 65), 1, payload=1),
    "dimensions of an array and of those within its items": header(deep(33), 1, payload=1),
    "bytes of a dtype's text": header(part(b"x" * 16_385), 1, payload=1),
    "an array larger than any memory": header(part(shape=(2**63, 0)), 1),
    "arrays larger than any memory": header(part(shape=(2**62,)) * 2, 2, payload=2**63),
    "the parts do not make up the payload": header(part(), 1, payload=2),
    "an object without its pickle": header(kind=2),
    "an object of something else than bytes": header(part(b"|i1"), 1, payload=1, kind=2),
    "meta that is no MessagePack": header(meta=b"\x81"),
    "nests too deep": header(meta=b"\x81\x01" + b"\x91" * 17 + b"\x01"),
    "meta that is not one map": header(meta=b"\x80\x80"),
    "meta with extension types": header(meta=b"\x81\x01\xd4\x01\x00"),
    "meta that is no UTF-8": header(meta=b"\x81\x01\xa1\xff"),
    "meta with a container as a key": header(meta=b"\x81\x90\x01"),
    "an invitation with a payload": header(kind=3, meta=bytes(48), payload=1),
    "an invitation of another length": header(kind=3, meta=bytes(47)),
    "nobody has asked for it, or once more": header(kind=3, meta=bytes(48)),
    "an offer without a link": offered(),
    "an offer without a number": offered(number=0),
    "a part that comes by no known way": offered(way=2),
    "a dtype that makes no sense": header(part(b"|O8", 8), 1, payload=8),
    "a dtype whose items have another size": header(part(b"<u2"), 1, payload=1),
    "items without a byte": header(part(b"|V0", 0, shape=(2**20 + 1,)), 1),
    "bytes of padding": header(padded(2**20 + 1), 17),
}


# A record in the memory of who offers two parts of 8 bytes, of which the first comes by the link.
RECORDS = {
    "an offer of another length": record([(64, 8)], [1, 0])[:-1],
    "runs of memory, and": record([(64, 1)] * 65_537, [65_537, 0]),
    "more runs than there are": record([(64, 8)], [2, 0]),
    "runs of no part": record([(64, 8)] * 2, [1, 0]),
    "an offer of a part that does not come by the link": record([(64, 8)] * 2, [1, 1]),
    "runs that do not make up their part": record([(64, 9)], [1, 0]),
}


def violations(size):
    """The rows of those under that heading that have so many cells."""
    found = [row for row in rows("Violations") if len(row) == size]
    return found if size == 3 else found[1:]


def test_violations_when_listed_then_each_is_made_here():
    assert [quoted(row[1]) for row in violations(3)] == [[text] for text in VIOLATIONS]
    assert [quoted(row[1]) for row in violations(2)] == [[text] for text in RECORDS]


@pytest.mark.parametrize(("what", "quote"), violations(2))
def test_violation_when_the_record_has_it_then_the_error_is_as_the_page_says(what, quote):
    (text,) = quoted(quote)
    inviter = Inviter()
    inviter.stand(1, RECORDS[text])
    with inviter.listener, beside() as (theirs, channel):
        theirs.sendall(inviter.invited.frame() + PREFIX.pack(1, bytes(3), 0, 0, 0, 0))
        channel.recv(timeout=PATIENCE)
        link, _ = inviter.visited()
        with link:
            theirs.sendall(offer([8, 8]))
            with pytest.raises(pinwire.ProtocolError, match=re.escape(text)):
                channel.recv(timeout=PATIENCE)
            assert link.recv(1) == b""
        assert channel.stream.fileno() == -1


def test_violations_when_the_code_finds_nonsense_then_the_page_lists_it():
    found = set()
    for path in (ROOT / "src" / "wire").rglob("*.rs"):
        found |= set(re.findall(r'Nonsense\(\s*"([^"]+)"', path.read_text()))
    assert len(found) > 20
    found -= set(RECORDS)
    assert [text for text in found if not any(row in text for row in VIOLATIONS)] == []


# More ways to the same errors, as the page words them.
@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("an invitation with a payload", header(kind=3, flags=b"\1\0\0", meta=bytes(48))),
        ("an invitation with a payload", header(part(), 1, kind=3, meta=bytes(48))),
        ("speaks versions 3 to 9 of the wire format", hello(lowest=3, highest=9)),
    ],
)
def test_violation_when_it_comes_another_way_then_its_error_is_the_same(text, data, peers):
    assert text in failure(*peers, data)


@pytest.mark.parametrize(("what", "quote", "connection"), violations(3))
def test_violation_when_it_comes_then_error_and_connection_are_as_the_page_says(
    what, quote, connection, peers
):
    (text,) = quoted(quote)
    raw, channel = peers
    raw.send_buffer(VIOLATIONS[text])
    for _ in range(2):
        with pytest.raises(pinwire.ProtocolError, match=re.escape(text)):
            channel.recv(timeout=PATIENCE)
    assert ending(raw) == connection


def ending(raw):
    try:
        while raw.recv_into(bytearray(64), timeout=PATIENCE):
            pass
    except ConnectionResetError:
        return "reset"
    return "closed"


def failure(raw, channel, data):
    """Why the channel takes no message from a peer that says this, and no more."""
    raw.send_buffer(data)
    raw.send_eof()
    with pytest.raises(pinwire.Error) as caught:
        channel.recv(timeout=PATIENCE)
    return str(caught.value)


AT_A_LIMIT = {
    "bytes of extensions in a hello": lambda n: hello(announced=n),
    "parts of a message": lambda n: header(parts=n),
    "bytes of descriptions in a message": lambda n: header(lengths=(n, 0)),
    "bytes of meta in a message": lambda n: header(lengths=(0, n)),
    "dimensions of an array": lambda n: header(part(shape=(1,) * n), 1, payload=1),
    "dimensions of an array and of those within its items, if there are any": lambda n: header(
        deep(n) + part(), 2, payload=2
    ),
    "bytes of a dtype's text": lambda n: header(part(b"x" * n), 1, payload=1),
    "items of an array that has no bytes": lambda n: header(
        part(b"|V0", 0, shape=(n,)) + part(), 2, payload=1
    ),
    "bytes of no field, in one item of each part": lambda n: header(
        padded(n) + part(), 18, payload=1
    ),
}


def test_limits_when_listed_then_each_is_tried_here():
    *tried, largest = ((what, number(limit)) for what, limit in rows("Limits"))
    # The runs of an offer come by no connection: the one too many is in RECORDS.
    assert [what for what, _ in tried] == [*AT_A_LIMIT, "runs of memory in an offer"]
    assert largest == ("bytes of an array, and of a payload", LARGEST)


@pytest.mark.parametrize(("what", "limit"), rows("Limits")[:-2])
def test_limit_when_it_is_passed_by_one_then_the_error_names_it(what, limit, peers):
    over = AT_A_LIMIT[what](number(limit) + 1)
    assert f"and {number(limit)} is the limit" in failure(*peers, over)


@pytest.mark.parametrize(("what", "limit"), rows("Limits")[:-2])
def test_limit_when_it_is_just_reached_then_the_error_is_not_about_it(what, limit, peers):
    assert "is the limit" not in failure(*peers, AT_A_LIMIT[what](number(limit)))


def test_largest_array_when_it_is_just_reached_then_only_max_message_bytes_is_in_its_way(peers):
    raw, channel = peers
    raw.send_buffer(header(part(shape=(LARGEST,)), 1, payload=LARGEST))
    assert channel.recv_header(timeout=PATIENCE).nbytes == LARGEST
    assert f"up to its\n`max_message_bytes`, {channel.max_message_bytes:,} unless" in PAGE
    with pytest.raises(pinwire.MessageRefusedError, match=str(channel.max_message_bytes)):
        channel.recv(timeout=PATIENCE)


def number(cell):
    return int(cell.replace(",", ""))


def test_hello_when_it_has_flags_and_extensions_of_a_later_version_then_they_are_read_over(peers):
    raw, channel = peers
    later = hello(highest=9, extensions=bytes(4096), flags=2**32 - 1)
    raw.send_buffers([later, header()[HELLO.size :]])
    assert channel.recv(timeout=PATIENCE).parts == []


def test_hello_when_a_channel_is_told_otherwise_then_it_says_so(peers):
    raw, _ = peers
    blocking.Channel(raw, allow_pickle=True, max_message_bytes=5)
    _, channel = peers
    channel.handshake(timeout=PATIENCE)
    with pytest.raises(pinwire.MessageRefusedError, match="at most 5 bytes"):
        channel.send(bytes(6))


def test_object_when_it_is_sent_then_it_is_a_pickle_and_its_buffers_as_plain_bytes():
    left, right = blocking.socketpair()
    array = np.arange(3, dtype="<i4")
    with left, blocking.Channel(right, allow_pickle=True, same_host="off") as channel:
        channel.send_object(array, timeout=PATIENCE)
        *_, flags, _ = HELLO.unpack(received_blocking(left, HELLO.size))
        prefix = PREFIX.unpack(received_blocking(left, PREFIX.size))
        size = prefix[5] - array.nbytes
        assert (flags, prefix) == (1, (2, bytes(3), 2, 38, 0, size + array.nbytes))
        described = received_blocking(left, 38)
        assert described == part(shape=(size,)) + part(shape=(array.nbytes,))
        pickled, buffer = received_blocking(left, size), received_blocking(left, array.nbytes)
    np.testing.assert_array_equal(pickle.loads(pickled, buffers=[buffer]), array)


def test_waits_when_the_page_names_them_then_they_are_those_of_the_code():
    assert f"if no hello comes within {_open.HANDSHAKE_TIMEOUT:.0f} seconds" in PAGE
    assert "waits for it up to a second before" in PAGE and _open.LINGER == 1


STRUCTURE = np.dtype([("id", "<u4"), ("xy", "<f8", 2)])
DTYPES = {
    **{text: np.zeros(2, text) for text in ("|b1", "|i1", "|u1", "<i4", ">u2", "<f8", "<c16")},
    **{text: np.zeros(2, text) for text in ("|S5", "<U3", "<M8[ns]", "<m8[25s]")},
    **{text: np.zeros(2, getattr(ml_dtypes, text)) for text in ("bfloat16", "float8_e4m3fn")},
    "|V6": np.zeros(2, "V6"),
    '{"names":["id","xy"],"formats":["<u4",["<f8",[2]]],"offsets":[0,4],"itemsize":20}': np.zeros(
        2, STRUCTURE
    ),
    '{"names":["a","b"],"formats":["|u1","<f8"],"offsets":[0,8],"itemsize":16,"aligned":true}': (
        np.zeros(2, np.dtype([("a", "u1"), ("b", "<f8")], align=True))
    ),
}


def test_dtypes_when_listed_then_each_is_sent_here():
    assert [text for row in rows("Dtypes") for text in quoted(row[1])] == list(DTYPES)


@pytest.mark.parametrize("text", DTYPES)
def test_dtype_when_it_is_sent_then_its_text_is_that_of_the_page(text, peers):
    raw, channel = peers
    channel.send(DTYPES[text], timeout=PATIENCE)
    size = HELLO.size + PREFIX.size + 8
    sent = received_blocking(raw, size + len(text))
    assert (sent[size - 2 : size], sent[size:]) == (struct.pack("<H", len(text)), text.encode())
