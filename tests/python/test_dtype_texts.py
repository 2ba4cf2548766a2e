"""What a sender says of its dtypes is what a receiver understands."""

from __future__ import annotations

import numpy as np
import pytest
from support import PATIENCE

import pinwire
from pinwire import blocking


@pytest.fixture
def channels():
    left, right = map(blocking.Channel, blocking.socketpair())
    with left, right:
        yield left, right


def nested(levels):
    dtype = np.dtype("<i4")
    for _ in range(levels):
        dtype = np.dtype([("field", dtype)])
    return dtype


def test_structure_when_it_nests_16_deep_then_it_arrives(channels):
    left, right = channels
    left.send(np.zeros(3, nested(16)), timeout=PATIENCE)
    (landed,) = right.recv(timeout=PATIENCE).parts
    assert landed.dtype == nested(16)


def test_structure_when_it_nests_deeper_then_the_sender_is_refused(channels):
    left, right = channels
    with pytest.raises(pinwire.MessageRefusedError, match="nests too deep"):
        left.send(np.zeros(3, nested(17)), timeout=PATIENCE)
    left.send(b"next", timeout=PATIENCE)
    assert bytes(right.recv(timeout=PATIENCE).parts[0]) == b"next"


def test_dtype_when_numpy_knows_it_from_elsewhere_then_the_sender_is_refused(channels):
    rational = pytest.importorskip("numpy._core._rational_tests").rational
    with pytest.raises(pinwire.MessageRefusedError, match="cannot travel: it is no type"):
        channels[0].send(np.zeros(3, rational), timeout=PATIENCE)


@pytest.mark.parametrize("text", ["|S0", "<U0", "|V0"])
@pytest.mark.parametrize("share", [False, True])
def test_dtype_when_its_items_have_no_bytes_then_it_arrives(text, share, channels):
    left, right = channels
    left.send(np.ndarray((2, 3), text, b""), timeout=PATIENCE)
    (landed,) = right.recv(timeout=PATIENCE, share=share).parts
    assert (landed.dtype.str, landed.shape) == (text, (2, 3))
