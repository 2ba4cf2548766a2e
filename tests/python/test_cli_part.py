"""Files that pinwire did not make are never changed, whatever a peer or a neighbour does."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil

import pytest
from cli_support import PIECE, head, make_part, part, parts, receiver
from cli_support import begin as begin_at
from support import pattern
from test_cli_store import admit, begin, fill, receive, sha

import pinwire
from pinwire._cli import part as part_module
from pinwire._cli.errors import RefusedError
from pinwire._cli.store import Folder
from pinwire._cli.wire import hear, say

CONTENT = pattern(PIECE + 5)
NAME = part("a", b"12345")


@pytest.fixture
def folder(tmp_path):
    with Folder(tmp_path, overwrite=False) as opened:
        yield opened


def finish(incoming, content=b"12345"):
    incoming.finish(sha(content), sha(content))


@pytest.mark.parametrize("name", ["a.part", NAME])
@pytest.mark.parametrize("there", [b"", b"download"])
def test_peer_when_it_offers_and_leaves_then_somebody_elses_part_stays(tmp_path, name, there):
    (tmp_path / name).write_bytes(there)
    before = (tmp_path / name).stat()

    async def main():
        async with receiver(tmp_path) as address, pinwire.connect_channel(address) as channel:
            try:
                await begin_at(channel, b"a", b"12345")
            except RefusedError as error:
                assert f"{name} is there, and pinwire did not make it" in str(error)

    asyncio.run(main())
    assert parts(tmp_path) == {name: there}
    after = (tmp_path / name).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_part_when_it_is_a_copy_of_pinwires_then_it_is_not_pinwires(folder, tmp_path):
    path = make_part(tmp_path, "a", b"12345", b"1234")
    shutil.copy2(path, tmp_path / "copy")  # with its attributes
    (tmp_path / "copy").replace(path)
    with pytest.raises(RefusedError, match="pinwire did not make it"):
        admit(folder, b"a", b"12345")
    assert parts(tmp_path) == {NAME: b"1234"}


def replaced(tmp_path, how):
    """Put something else where the part was, which goes to `kept`."""
    (tmp_path / NAME).rename(tmp_path / "kept")
    {
        "file": lambda: (tmp_path / NAME).write_bytes(b"mine"),
        "symlink": lambda: (tmp_path / NAME).symlink_to(tmp_path / "aim"),
        "directory": (tmp_path / NAME).mkdir,
    }[how]()
    return (tmp_path / NAME).lstat().st_ino


REPLACED = pytest.mark.parametrize("how", ["file", "symlink", "directory"])


@REPLACED
def test_part_when_it_is_replaced_meanwhile_then_closing_removes_neither(folder, tmp_path, how):
    (tmp_path / "aim").write_bytes(b"aim")
    with admit(folder, b"a", b"12345"):
        inode = replaced(tmp_path, how)
    assert (tmp_path / NAME).lstat().st_ino == inode
    assert (tmp_path / "kept").exists()
    assert (tmp_path / "aim").read_bytes() == b"aim"


@REPLACED
@pytest.mark.parametrize("overwrite", [False, True])
def test_part_when_it_is_replaced_meanwhile_then_what_came_gets_the_name(tmp_path, how, overwrite):
    with (
        Folder(tmp_path, overwrite=overwrite) as folder,
        admit(folder, b"a", b"12345") as incoming,
    ):
        assert begin(incoming, b"12345")
        fill(incoming, b"12345")
        inode = replaced(tmp_path, how)
        finish(incoming)
    assert (tmp_path / "a").read_bytes() == b"12345"
    assert (tmp_path / NAME).lstat().st_ino == inode


@pytest.mark.parametrize("how", ["file", "symlink"])
def test_part_when_it_is_replaced_between_look_and_unlink_then_the_other_gets_its_name_back(
    folder, tmp_path, monkeypatch, how
):
    look = part_module.leads_to
    inodes = []

    def look_then_replace(*args):
        found = look(*args)
        if not inodes:
            inodes.append(replaced(tmp_path, how))
        return found

    with admit(folder, b"a", b"12345"):
        monkeypatch.setattr(part_module, "leads_to", look_then_replace)
    assert (tmp_path / NAME).lstat().st_ino == inodes[0]
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "kept"}


def test_part_when_it_is_removed_meanwhile_then_the_file_is_refused(folder, tmp_path):
    with admit(folder, b"a", b"12345") as incoming:
        assert begin(incoming, b"12345")
        fill(incoming, b"12345")
        (tmp_path / NAME).unlink()
        with pytest.raises(RefusedError, match="a: No such file or directory"):
            finish(incoming)
    assert parts(tmp_path) == {}


@pytest.mark.parametrize("cut_off", [0, 3])
def test_part_when_somebody_truncates_it_then_the_file_is_refused(tmp_path, cut_off):
    """The receiver neither dies of it nor takes the holes for what came."""

    async def main():
        async with receiver(tmp_path) as address, pinwire.connect_channel(address) as channel:
            await begin_at(channel, b"a", CONTENT)
            await channel.send(CONTENT[:PIECE], meta={"op": "piece", "offset": 0})
            await hear(channel, "got")
            path = tmp_path / part("a", CONTENT)
            while path.stat().st_size < PIECE:  # noqa: ASYNC110 - written in a thread
                await asyncio.sleep(0)
            os.truncate(path, cut_off)
            await channel.send(CONTENT[PIECE:], meta={"op": "piece", "offset": PIECE})
            await hear(channel, "got")
            await say(channel, "end", sha256=sha(CONTENT))
            said = f"a: somebody has made it {cut_off} bytes long, from {PIECE}"
            with pytest.raises(RefusedError, match=said):
                await hear(channel, "done")

    asyncio.run(main())
    assert not (tmp_path / "a").exists()


def test_file_when_somebody_shortens_it_at_the_end_then_it_is_refused(folder, tmp_path):
    with admit(folder, b"a", b"12345") as incoming:
        assert begin(incoming, b"12345")
        fill(incoming, b"12345")
        os.truncate(tmp_path / NAME, 2)
        with pytest.raises(RefusedError, match="somebody has made it 2 bytes long, from 5"):
            finish(incoming)
    assert not (tmp_path / "a").exists()


def test_attributes_when_there_are_none_then_files_come_and_parts_go(folder, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    receive(folder, b"whole", CONTENT)
    with admit(folder, b"a", CONTENT) as incoming:
        assert begin(incoming, CONTENT)
        incoming.expect(PIECE)
        incoming.append(CONTENT[:PIECE], 0)
        incoming.arrived(PIECE)
    assert parts(tmp_path) == {"whole": CONTENT}
    with pytest.raises(RefusedError, match="there is another file of that name"):
        admit(folder, b"whole", CONTENT)


def test_senders_when_their_files_of_one_name_differ_then_they_do_not_meet(folder, tmp_path):
    with admit(folder, b"a", b"first") as first, admit(folder, b"a", b"other") as second:
        for incoming, content in ((first, b"first"), (second, b"other")):
            assert begin(incoming, content)
            fill(incoming, content)
        finish(second, b"other")
        with pytest.raises(RefusedError, match="there is another file of that name"):
            finish(first, b"first")
    assert parts(tmp_path) == {"a": b"other", part("a", b"first"): b"first"}


def refusal(folder, name, content, size=None):
    with pytest.raises(RefusedError) as caught:
        folder.admit(name, len(content) if size is None else size, head(content))
    return str(caught.value)


def test_existing_file_when_pinwire_did_not_receive_it_then_only_its_name_is_told(folder, tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    said = "a: there is another file of that name"
    for guess in (CONTENT, CONTENT[:-1], b"x" + CONTENT[1:], b""):
        assert refusal(folder, b"a", guess) == said


def test_existing_file_when_its_beginning_is_not_known_then_only_its_name_is_told(folder):
    receive(folder, b"a", CONTENT)
    assert refusal(folder, b"a", b"x" + CONTENT[1:]) == "a: there is another file of that name"
    assert refusal(folder, b"a", CONTENT, size=5) == "a: there is another file of that name"


@pytest.mark.parametrize("change", ["write", "copy"])
def test_existing_file_when_it_is_not_as_it_came_then_only_its_name_is_told(
    folder, tmp_path, change
):
    receive(folder, b"a", CONTENT)
    path = tmp_path / "a"
    if change == "copy":
        shutil.copy2(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
    else:
        with path.open("r+b") as file:
            file.write(CONTENT[:1])
        os.utime(path, ns=(0, 1))
    assert refusal(folder, b"a", CONTENT) == "a: there is another file of that name"


def test_existing_file_when_it_is_offered_again_then_nobody_reads_it(folder, monkeypatch):
    receive(folder, b"a", CONTENT)
    monkeypatch.setattr(os, "pread", None)
    assert receive(folder, b"a", CONTENT) == len(CONTENT)
