"""What a peer has chosen reaches no error, no log and no terminal as it is."""

from __future__ import annotations

import contextlib
import json
import os
import socket

import numpy as np
import pytest
from hostile import header, hello, part

import pinwire
from pinwire import blocking
from pinwire._cli.errors import origin

FORGED = "\x1b[2K\rpinwire: all is well\n"


@contextlib.contextmanager
def channel_of(data=b"", name=None):
    """A channel whose peer says this, from a socket with this abstract name."""
    with (
        blocking.listen(f"unix:@words-{os.getpid()}") as listener,
        socket.socket(socket.AF_UNIX) as peer,
    ):
        if name is not None:
            peer.bind(b"\0" + name.encode())
        peer.connect(b"\0" + listener.address.partition("@")[2].encode())
        peer.sendall(hello() + data)
        with blocking.Channel(listener.accept(), same_host="off") as channel:
            yield channel


def is_a_line(text, longest):
    return text.isprintable() and len(text) <= longest


def structure(name):
    fields = {"names": [name], "formats": ["<f8"], "offsets": [0], "itemsize": 8}
    return json.dumps(fields, ensure_ascii=False)


@pytest.mark.parametrize("name", ["x" * 10_000, "\u202egnp", "\x7f" * 1000])
def test_dtype_when_it_is_refused_then_the_error_has_a_line_of_it(name):
    with channel_of(header(part(structure(name)), payload=8)) as channel:
        with pytest.raises(pinwire.MessageRefusedError) as caught:
            channel.recv_into(np.zeros(1))
        assert is_a_line(str(caught.value), 250)
        assert all(is_a_line(repr(part), 200) for part in channel.recv_header().parts)


def test_shape_when_it_is_refused_then_the_error_has_a_line_of_it():
    shape = [2**62] + [1] * 62 + [0]
    with channel_of(header(part("|u1", [0, *shape[1:]], 1), payload=0)) as channel:
        with pytest.raises(pinwire.MessageRefusedError) as caught:
            channel.recv_into(np.zeros(1))
        assert is_a_line(str(caught.value), 250)


def test_meta_when_its_message_is_shown_then_it_has_a_line_of_it():
    meta = b"\x81\xa1k\xda\x20\x00" + b"x" * 0x2000
    with channel_of(header(meta=meta, payload=0)) as channel:
        assert is_a_line(repr(channel.recv()), 200)


def test_address_when_it_is_shown_then_it_stays_on_its_line():
    with channel_of(name=FORGED) as channel:
        assert channel.peer_address == f"unix:@{FORGED}"
        for shown in (repr(channel), repr(channel.stream), origin(channel)):
            assert is_a_line(shown, 160)
