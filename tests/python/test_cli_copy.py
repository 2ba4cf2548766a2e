"""`send` and `receive_all` within one loop: what arrives, what is gone on with, what is refused."""

from __future__ import annotations

import asyncio
import os

import pytest
from cli_support import PIECE, Record, make_part, part, parts, receiver
from support import pattern

from pinwire._cli import send as sending
from pinwire._cli.errors import CommandError, RefusedError
from pinwire._cli.incoming import Incoming
from pinwire._cli.send import send

SIZES = [0, 1, 4095, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7]


def copy(here, there, record=None, **options):
    """Whether all the files of one folder came to the other."""

    async def main():
        async with receiver(there, record, **options) as address:
            return await send(sorted(here.iterdir()), address)

    return asyncio.run(main())


def test_files_when_sent_then_they_are_there(folders, capsys):
    here, there = folders
    for size in SIZES:
        (here / f"of {size}").write_bytes(pattern(size))
    assert copy(here, there)
    assert parts(there) == parts(here)
    assert capsys.readouterr() == ("", "")


def test_file_when_its_name_is_odd_then_it_is_kept(folders):
    here, there = folders
    for name in (b"\xff\xfe".decode(errors="surrogateescape"), "a'; b", "ä"):
        (here / name).write_bytes(name.encode(errors="surrogateescape"))
    assert copy(here, there)
    assert parts(there) == parts(here)


def test_senders_when_there_are_several_then_all_of_their_files_come(folders):
    here, there = folders
    for i in range(4):
        (here / f"{i}").write_bytes(pattern(PIECE + i, i))

    async def main():
        async with receiver(there) as address:
            return await asyncio.gather(*(send([path], address) for path in here.iterdir()))

    assert asyncio.run(main()) == [True] * 4
    assert parts(there) == parts(here)


def test_file_when_a_part_is_there_then_only_the_rest_is_sent(folders):
    here, there = folders
    content = pattern(3 * PIECE + 7)
    (here / "a").write_bytes(content)
    make_part(there, "a", content, content[: 2 * PIECE] + bytes(PIECE - 1))
    record = Record()
    assert copy(here, there, record)
    assert record.began == [("a", 2 * PIECE)]
    assert record.reached == [3 * PIECE, 3 * PIECE + 7]
    assert parts(there) == parts(here)


def test_file_when_a_part_goes_on_otherwise_then_all_is_sent(folders):
    here, there = folders
    content = pattern(3 * PIECE)
    (here / "a").write_bytes(content)
    make_part(there, "a", content, content[:PIECE] + bytes(PIECE))
    record = Record()
    assert copy(here, there, record)
    assert record.began == [("a", 0)]
    assert parts(there) == parts(here)


def test_file_when_sent_again_then_nothing_is(folders):
    here, there = folders
    (here / "a").write_bytes(pattern(PIECE + 1))
    record = Record()
    assert copy(here, there, record)
    assert copy(here, there, record)
    assert record.began == [("a", 0)]


def test_file_when_it_is_refused_then_the_others_come_all_the_same(folders, capsys):
    here, there = folders
    for name in ("a", "b.pinwire", "c"):
        (here / name).write_bytes(pattern(PIECE))
    (there / "a").write_bytes(b"mine")
    assert not copy(here, there)
    assert parts(there) == {"a": b"mine", "c": pattern(PIECE)}
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "pinwire: the peer refused: a: there is another file of that name"
    assert len(lines) == 4  # one for each at each end


def test_file_when_it_is_refused_in_the_middle_then_the_others_come_all_the_same(
    folders, monkeypatch
):
    here, there = folders
    for name in ("a", "b"):
        (here / name).write_bytes(pattern(6 * PIECE if name == "a" else 1))
    monkeypatch.setattr(sending, "AHEAD", 2)
    append = Incoming.append

    def append_two(incoming, piece, offset):
        if offset == 2 * PIECE:
            raise RefusedError("a: No space left on device")
        append(incoming, piece, offset)

    monkeypatch.setattr(Incoming, "append", append_two)
    assert not copy(here, there)
    assert parts(there) == {part("a", pattern(6 * PIECE)): pattern(2 * PIECE), "b": pattern(1)}


def test_file_when_it_changes_while_sent_then_it_is_not_finished(folders, monkeypatch, capsys):
    here, there = folders
    (here / "a").write_bytes(pattern(4 * PIECE))
    (here / "b").write_bytes(b"b")
    checks = iter(range(100))
    check = sending.Source.check

    def change_then_check(source):
        if next(checks) == 3:
            with (here / "a").open("ab") as file:
                file.write(b"more")
        check(source)

    monkeypatch.setattr(sending.Source, "check", change_then_check)
    assert not copy(here, there)
    assert set(parts(there)) == {part("a", pattern(4 * PIECE)), "b"}
    assert "pinwire: a was changed while it was sent\n" in capsys.readouterr().err


def test_checksum_when_it_is_another_then_the_file_stays_a_part(folders, monkeypatch, capsys):
    here, there = folders
    (here / "a").write_bytes(pattern(PIECE + 1))
    say = sending.say

    async def say_another(channel, op, **fields):
        if op == "end":
            fields["sha256"] = bytes(32)
        await say(channel, op, **fields)

    monkeypatch.setattr(sending, "say", say_another)
    assert not copy(here, there)
    assert parts(there) == {part("a", pattern(PIECE + 1)): pattern(PIECE + 1)}
    said = "pinwire: the peer refused: a: the checksum is wrong; it stays unfinished\n"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_source_when_it_is_no_file_then_nothing_is_sent(folders, kind):
    here, there = folders
    (here / "a").write_bytes(b"a")
    path = here / "b"
    {"missing": lambda: None, "directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()

    async def main():
        async with receiver(there) as address:
            with pytest.raises((CommandError, FileNotFoundError)):
                await send([here / "a", path], address)

    asyncio.run(main())
    assert parts(there) == {}
