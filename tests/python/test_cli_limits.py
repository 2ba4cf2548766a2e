"""How much may come to a receiver: bytes, files, and room that nobody keeps from others."""

from __future__ import annotations

import pytest
from cli_support import PIECE, parts
from test_cli_store import admit, begin, receive

from pinwire._cli.errors import RefusedError
from pinwire._cli.part import Part
from pinwire._cli.store import Allowance, Folder


@pytest.fixture
def narrow(monkeypatch):
    """A disk with room for little."""
    monkeypatch.setattr(Part, "free", lambda _: 8)


@pytest.mark.usefixtures("narrow")
def test_promise_when_it_is_as_large_as_the_disk_then_others_come_all_the_same(tmp_path):
    with Folder(tmp_path, overwrite=False) as folder, admit(folder, b"a", b"12345678") as idle:
        assert begin(idle, b"12345678")
        assert receive(folder, b"b", b"123456") == 0


def test_promise_when_it_is_all_of_max_bytes_then_others_come_all_the_same(tmp_path):
    with (
        Folder(tmp_path, overwrite=False, max_bytes=8) as folder,
        admit(folder, b"a", b"12345678") as idle,
    ):
        assert begin(idle, b"12345678")
        receive(folder, b"b", b"123456")
        with pytest.raises(RefusedError, match="8 bytes more would be over --max-bytes 8"):
            idle.expect(8)


def test_pieces_when_they_are_under_way_then_all_of_them_count():
    allowance = Allowance(None)
    allowance.reserve(PIECE, free=2 * PIECE)
    allowance.reserve(PIECE, free=2 * PIECE)
    with pytest.raises(RefusedError):
        allowance.reserve(1, free=2 * PIECE)
    allowance.release(PIECE)
    allowance.reserve(1, free=2 * PIECE)


def test_max_files_when_as_many_are_there_then_no_empty_one_comes(tmp_path):
    with Folder(tmp_path, overwrite=False, max_bytes=0, max_files=2) as folder:
        receive(folder, b"a", b"")
        receive(folder, b"b", b"")
        for _ in range(2):
            with pytest.raises(RefusedError, match="c: one file more would be over --max-files 2"):
                receive(folder, b"c", b"")
        assert receive(folder, b"a", b"") == 0  # it is there: no file is made
    assert parts(tmp_path) == {"a": b"", "b": b""}


def test_max_files_when_nothing_stays_of_one_then_it_does_not_count(tmp_path):
    with Folder(tmp_path, overwrite=False, max_files=1) as folder:
        for _ in range(3):
            with admit(folder, b"a", b"12345") as incoming:
                assert begin(incoming, b"12345")
        receive(folder, b"b", b"12345")


def test_max_files_when_a_part_is_gone_on_with_then_it_counts_once(tmp_path):
    with Folder(tmp_path, overwrite=False, max_files=1) as folder:
        with admit(folder, b"a", b"12345") as incoming:
            assert begin(incoming, b"12345")
            incoming.expect(5)
            incoming.append(b"12345", 0)
        receive(folder, b"a", b"12345")
