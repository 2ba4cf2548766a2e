"""docs/wire-format.md says what is on the wire, what its limits are, and what violates it."""

from __future__ import annotations

import pickle
import re
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from support import PATIENCE, received_blocking

import pinwire
from pinwire import _open, blocking

PAGE = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text()
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


def hello(signature=SIGNATURE, lowest=1, highest=1, extensions=b"", announced=None, flags=0):
    size = len(extensions) if announced is None else announced
    return HELLO.pack(signature, lowest, highest, size, flags, 2**32) + extensions


def part(dtype=b"|u1", itemsize=1, shape=(), order=b"C"):
    text = struct.pack("<IcBH", itemsize, order, len(shape), len(dtype)) + dtype
    return text + struct.pack(f"<{len(shape)}Q", *shape)


def header(descriptions=b"", parts=0, meta=b"", payload=0, kind=1, flags=bytes(3), lengths=None):
    lengths = lengths or (len(descriptions), len(meta))
    return hello() + PREFIX.pack(kind, flags, parts, *lengths, payload) + descriptions + meta


VIOLATIONS = {
    "does not speak pinwire": b"\x89PNG",
    "speaks versions 2 to 3 of the wire format": hello(lowest=2, highest=3),
    "bytes of extensions": hello(announced=4097),
    "a message of an unknown kind": header(kind=4),
    "flags that this version does not know": header(flags=b"\0\0\1"),
    "parts, and": header(parts=65_537),
    "bytes of descriptions": header(lengths=(4 * 2**20 + 1, 0)),
    "bytes of meta": header(lengths=(0, 65_537)),
    "a description ends in the middle": header(part(shape=(1,))[:-1], 1, payload=1),
    "bytes are left behind the last description": header(part() + b"\0", 1, payload=1),
    "an order that is neither C nor F": header(part(order=b"K"), 1, payload=1),
    "dimensions of an array": header(part(shape=(1,) * 65), 1, payload=1),
    "bytes of a dtype's text": header(part(b"x" * 16_385), 1, payload=1),
    "an array larger than any memory": header(part(shape=(2**63, 0)), 1),
    "arrays larger than any memory": header(part(shape=(2**62,)) * 2, 2, payload=2**63),
    "the parts do not make up the payload": header(part(), 1, payload=2),
    "meta that is no MessagePack": header(meta=b"\x81"),
    "nests too deep": header(meta=b"\x81\x01" + b"\x91" * 17 + b"\x01"),
    "meta that is not one map": header(meta=b"\x80\x80"),
    "meta with extension types": header(meta=b"\x81\x01\xd4\x01\x00"),
    "meta that is no UTF-8": header(meta=b"\x81\x01\xa1\xff"),
    "meta with a container as a key": header(meta=b"\x81\x90\x01"),
    "a dtype that makes no sense": header(part(b"|O8", 8), 1, payload=8),
    "a dtype whose items have another size": header(part(b"<u2"), 1, payload=1),
}


def test_violations_when_listed_then_each_is_made_here():
    assert [quoted(row[1]) for row in rows("Violations")] == [[text] for text in VIOLATIONS]


@pytest.mark.parametrize(("what", "quote", "connection"), rows("Violations"))
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
    "bytes of a dtype's text": lambda n: header(part(b"x" * n), 1, payload=1),
}


def test_limits_when_listed_then_each_is_tried_here():
    *tried, largest = ((what, number(limit)) for what, limit in rows("Limits"))
    assert [what for what, _ in tried] == list(AT_A_LIMIT)
    assert largest == ("bytes of an array, and of a payload", LARGEST)


@pytest.mark.parametrize(("what", "limit"), rows("Limits")[:-1])
def test_limit_when_it_is_passed_by_one_then_the_error_names_it(what, limit, peers):
    over = AT_A_LIMIT[what](number(limit) + 1)
    assert f"and {number(limit)} is the limit" in failure(*peers, over)


@pytest.mark.parametrize(("what", "limit"), rows("Limits")[:-1])
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


PARTS = [np.array([[1, 2, 3], [4, 5, 6]], "<i2", order="F"), np.array([258], ">u2")]
META = {"step": 7}
META_BYTES = b"\x81\xa4step\x07"


def test_dump_when_a_message_is_sent_then_it_is_that_of_the_page(peers):
    raw, channel = peers
    channel.send(PARTS, meta=META, timeout=PATIENCE)
    channel.stream.send_eof()
    data = bytearray(4096)
    with pytest.raises(pinwire.IncompleteTransferError) as caught:
        raw.recv_exactly_into(data, timeout=PATIENCE)
    dump = "\n".join(annotated(bytes(data[: caught.value.transferred])))
    assert dump == page_dump(), f"the page should have:\n{dump}"


def test_dump_when_its_bytes_are_received_then_they_make_the_message(peers):
    raw, channel = peers
    raw.send_buffer(bytes.fromhex("".join(line[6:29] for line in page_dump().splitlines())))
    message = channel.recv(timeout=PATIENCE)
    assert message.meta == META
    for landed, sent in zip(message.parts, PARTS, strict=True):
        np.testing.assert_array_equal(landed, sent)
        assert (landed.dtype, landed.strides) == (sent.dtype, sent.strides)


def page_dump():
    return PAGE.rsplit("```\n", 2)[1].rstrip("\n")


def annotated(data):
    """Take a hello and a message apart, as the page says they are made."""
    lines = []
    at = 0

    def take(kind, says, size=0):
        nonlocal at
        size = size or struct.calcsize("<" + kind)
        piece = data[at : at + size]
        value = piece.decode("latin-1") if kind == "s" else struct.unpack("<" + kind, piece)[0]
        for start in range(0, size, 8):
            text = says.format(value) if start == 0 else ""
            bytes_ = piece[start : start + 8].hex(" ")
            lines.append(f"{at + start:04x}  {bytes_:23}  {text}".rstrip())
        at += size
        return value

    take("s", "hello: signature", 8)
    take("B", "lowest version: {}")
    take("B", "highest version: {}")
    take("H", "bytes of extensions: {}")
    take("I", "flags: {:#x}")
    take("Q", "max_message_bytes: {:,}")
    take("B", "header: kind {}")
    take("s", "flags: none", 3)
    count = take("I", "parts: {}")
    take("I", "bytes of descriptions: {}")
    meta = take("I", "bytes of meta: {}")
    take("Q", "bytes of payload: {}")
    for index in range(count):
        take("I", f"part {index}: itemsize {{}}")
        take("s", "order: {}", 1)
        ndim = take("B", "dimensions: {}")
        size = take("H", "bytes of dtype: {}")
        take("s", "dtype: {}", size)
        for axis in range(ndim):
            take("Q", f"extent {axis}: {{}}")
    assert data[at : at + meta] == META_BYTES
    take("s", f"meta: {META}".replace("{", "{{").replace("}", "}}"), meta)
    for index, array in enumerate(PARTS):
        take("s", f"payload of part {index}: {array.ravel(order='K').tolist()}", array.nbytes)
    assert at == len(data)
    return lines
