"""The receiver's folder: what may come, what is gone on with, and what is never touched."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os

import pytest
from cli_support import PIECE, head, make_part, part, parts
from support import pattern

from pinwire._cli.digest import Digest, workers
from pinwire._cli.errors import RefusedError
from pinwire._cli.store import Allowance, Folder

CONTENT = pattern(2 * PIECE + 5)


@pytest.fixture
def folder(tmp_path):
    with Folder(tmp_path, overwrite=False) as opened:
        yield opened


@pytest.fixture
def overwriting(tmp_path):
    with Folder(tmp_path, overwrite=True) as opened:
        yield opened


def sha(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def begin(incoming, content: bytes) -> bool:
    async def main():
        with workers() as pool:
            async with Digest(pool) as digest:
                return await incoming.agrees(sha(content[: incoming.have]), digest)

    return incoming.begin(same=asyncio.run(main()))


def fill(incoming, content: bytes) -> None:
    while incoming.offset < incoming.size:
        piece = content[incoming.offset : incoming.offset + PIECE]
        incoming.expect(len(piece))
        incoming.append(piece, incoming.offset)
        incoming.arrived(len(piece))


def admit(folder: Folder, name: bytes, content: bytes):
    return folder.admit(name, len(content), head(content))


def receive(folder: Folder, name: bytes, content: bytes) -> int:
    """Where it went on from."""
    with admit(folder, name, content) as incoming:
        if not begin(incoming, content):
            return len(content)
        offset = incoming.offset
        fill(incoming, content)
        incoming.finish(sha(content), sha(content))
        return offset


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 2 * PIECE])
def test_file_when_all_of_it_came_then_it_has_its_name(folder, tmp_path, size):
    assert receive(folder, b"a", CONTENT[:size]) == 0
    assert parts(tmp_path) == {"a": CONTENT[:size]}


@pytest.mark.parametrize(
    ("there", "offset"),
    [
        (1, 0),
        (PIECE, PIECE),
        (PIECE + 1, PIECE),
        (2 * PIECE, 2 * PIECE),
        (2 * PIECE + 4, 2 * PIECE),
        (2 * PIECE + 5, 2 * PIECE),
        (3 * PIECE, 2 * PIECE),
    ],
)
def test_part_when_it_is_gone_on_with_then_its_whole_pieces_stay(folder, tmp_path, there, offset):
    make_part(tmp_path, "a", CONTENT, (CONTENT + bytes(PIECE))[:there])
    assert receive(folder, b"a", CONTENT) == offset
    assert parts(tmp_path) == {"a": CONTENT}


def test_part_when_it_goes_on_otherwise_then_it_is_begun_again(folder, tmp_path):
    make_part(tmp_path, "a", CONTENT, CONTENT[:PIECE] + bytes(PIECE))
    assert receive(folder, b"a", CONTENT) == 0
    assert parts(tmp_path) == {"a": CONTENT}


def test_part_when_its_file_is_refused_then_it_stays(tmp_path):
    other = CONTENT[:PIECE] + bytes(PIECE)
    make_part(tmp_path, "a", CONTENT, other)
    with (
        Folder(tmp_path, overwrite=False, max_bytes=5) as folder,
        admit(folder, b"a", CONTENT) as incoming,
        pytest.raises(RefusedError),
    ):
        begin(incoming, CONTENT)
    assert parts(tmp_path) == {part("a", CONTENT): other}


def test_part_when_only_begun_then_it_is_no_longer_than_what_came(folder, tmp_path):
    with admit(folder, b"a", CONTENT) as incoming:
        assert begin(incoming, CONTENT)
        incoming.expect(PIECE)
        incoming.append(CONTENT[:PIECE], 0)
        assert parts(tmp_path) == {part("a", CONTENT): CONTENT[:PIECE]}


def test_part_when_nothing_came_then_none_stays(folder, tmp_path):
    with admit(folder, b"a", b"12345") as incoming:
        assert begin(incoming, b"12345")
    assert parts(tmp_path) == {}


def test_file_when_its_checksum_is_wrong_then_it_stays_a_part(folder, tmp_path):
    with admit(folder, b"a", b"12345") as incoming:
        assert begin(incoming, b"12345")
        fill(incoming, b"12345")
        with pytest.raises(RefusedError, match=r"a: the checksum is wrong; it stays unfinished"):
            incoming.finish(sha(b"12345"), sha(b"12346"))
    assert parts(tmp_path) == {part("a", b"12345"): b"12345"}


def test_file_when_it_is_there_already_then_nothing_has_to_come(folder, tmp_path):
    assert receive(folder, b"a", CONTENT) == 0
    assert receive(folder, b"a", CONTENT) == len(CONTENT)
    assert parts(tmp_path) == {"a": CONTENT}


@pytest.mark.parametrize("other", [b"", b"1234", b"12346", b"123456"])
def test_file_when_another_has_its_name_then_that_one_stays(folder, tmp_path, other):
    (tmp_path / "a").write_bytes(other)
    with pytest.raises(RefusedError, match="a: there is another file of that name"):
        receive(folder, b"a", b"12345")
    assert parts(tmp_path) == {"a": other}


@pytest.mark.parametrize("other", [b"", b"1234", b"12346", b"123456"])
def test_file_when_told_to_overwrite_then_it_replaces_another(overwriting, tmp_path, other):
    (tmp_path / "a").write_bytes(other)
    receive(overwriting, b"a", b"12345")
    assert parts(tmp_path) == {"a": b"12345"}


def test_file_when_another_takes_its_name_meanwhile_then_that_one_stays(folder, tmp_path):
    with admit(folder, b"a", b"12345") as incoming:
        assert begin(incoming, b"12345")
        fill(incoming, b"12345")
        (tmp_path / "a").write_bytes(b"mine")
        with pytest.raises(RefusedError, match="there is another file of that name"):
            incoming.finish(sha(b"12345"), sha(b"12345"))
    assert parts(tmp_path) == {"a": b"mine", part("a", b"12345"): b"12345"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_directory_when_it_has_the_name_then_the_file_is_refused(tmp_path, overwrite):
    (tmp_path / "a").mkdir()
    refused = pytest.raises(RefusedError, match="there is a directory of that name")
    with Folder(tmp_path, overwrite=overwrite) as folder, refused:
        receive(folder, b"a", b"12345")


@pytest.mark.parametrize("there", [b"12345", b"other"])
def test_link_when_it_has_the_name_then_what_it_leads_to_stays(tmp_path, there):
    aim = tmp_path / "aim"
    aim.write_bytes(there)
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a").symlink_to(aim)
    refused = pytest.raises(RefusedError, match="there is another file")
    with Folder(inside, overwrite=False) as folder, refused:
        receive(folder, b"a", b"12345")
    with Folder(inside, overwrite=True) as folder:
        receive(folder, b"a", b"12345")
    assert aim.read_bytes() == there
    assert not (inside / "a").is_symlink()


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "directory"])
def test_part_when_it_is_no_file_of_its_own_then_it_is_refused(tmp_path, kind):
    aim = tmp_path / "aim"
    aim.write_bytes(b"mine")
    path = tmp_path / part("a", b"12345")
    {
        "symlink": lambda: path.symlink_to(aim),
        "hard link": lambda: path.hardlink_to(aim),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
    }[kind]()
    with Folder(tmp_path, overwrite=True) as folder, pytest.raises(RefusedError):
        receive(folder, b"a", b"12345")
    assert aim.read_bytes() == b"mine"
    assert path.exists()


def test_file_when_it_is_being_received_then_a_second_one_is_refused(folder, tmp_path):
    with admit(folder, b"a", b"12345") as incoming:
        with pytest.raises(RefusedError, match="it is being received already"):
            admit(folder, b"a", b"12345")
        assert begin(incoming, b"12345")
        fill(incoming, b"12345")
        incoming.finish(sha(b"12345"), sha(b"12345"))
    assert parts(tmp_path) == {"a": b"12345"}


def test_file_when_it_was_finished_while_its_part_was_opened_then_it_stays(
    folder, tmp_path, monkeypatch
):
    path = make_part(tmp_path, "a", b"12345", b"12345")
    lock = "pinwire._cli.part.fcntl.flock"
    monkeypatch.setattr(lock, lambda *_: path.rename(tmp_path / "a"))
    with pytest.raises(RefusedError, match="it is being received already"):
        admit(folder, b"a", b"12345")
    assert parts(tmp_path) == {"a": b"12345"}


def test_disk_when_it_is_too_small_then_the_file_is_refused_before_anything_comes(folder, tmp_path):
    with pytest.raises(RefusedError, match=f"{2**62} bytes more do not fit into the"):
        folder.admit(b"a", 2**62, bytes(32))
    assert parts(tmp_path) == {}


def test_disk_when_it_becomes_full_meanwhile_then_the_file_is_refused(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with admit(folder, b"a", b"12345") as incoming:
        assert begin(incoming, b"12345")
        with pytest.raises(RefusedError, match="a: No space left on device"):
            incoming.append(b"12345", 0)


def test_max_bytes_when_files_come_then_it_is_for_all_of_them(tmp_path):
    with Folder(tmp_path, overwrite=False, max_bytes=10) as folder:
        receive(folder, b"a", b"123456")
        with pytest.raises(RefusedError, match="5 bytes more would be over --max-bytes 10"):
            receive(folder, b"b", b"12345")
        receive(folder, b"b", b"1234")


def test_max_bytes_when_a_file_breaks_off_then_what_did_not_come_is_free_again(tmp_path):
    with Folder(tmp_path, overwrite=False, max_bytes=10) as folder:
        for _ in range(3):
            with admit(folder, b"a", b"1234567890") as incoming:
                assert begin(incoming, b"1234567890")


def test_allowance_when_promised_to_several_then_all_of_them_count():
    allowance = Allowance(None)
    allowance.reserve(6, free=10)
    with pytest.raises(RefusedError):
        allowance.reserve(5, free=10)
    allowance.arrived(6)
    allowance.reserve(4, free=4)
    allowance.release(4)


def test_folder_when_there_is_none_then_it_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path / "none", overwrite=False)
