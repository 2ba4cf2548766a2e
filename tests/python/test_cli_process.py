"""The commands as processes: what they print, what they end with, and what an end leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from importlib import metadata

import pytest
from cli_support import PIECE, Record, begin, command, listening, part, parts, receiver, start
from support import finish, pattern, program, until

import pinwire
from pinwire._cli import main
from pinwire._cli.send import send
from pinwire._cli.wire import hear, say

LONG = pattern(4 * PIECE + 5)


def test_recv_when_one_sender_has_finished_then_it_ends(folders):
    here, there = folders
    (here / "a").write_bytes(pattern(PIECE + 1))
    (here / "b").write_bytes(b"")
    receiving, address = listening("recv", there, "tcp://127.0.0.1:0", "--once")
    assert not address.endswith(":0")
    assert command("send", here / "a", here / "b", address) == (0, "", "")
    assert finish(receiving) == (0, "", "")
    assert parts(there) == parts(here)


def test_recv_when_a_file_was_refused_then_both_ends_say_so(folders):
    here, there = folders
    (here / "a").write_bytes(b"12345")
    (here / "b").write_bytes(b"1234")
    receiving, address = listening("recv", there, "tcp://127.0.0.1:0", "--once", "--max-bytes", 4)
    why = "a: 5 bytes more would be over --max-bytes 4"
    sent = command("send", here / "a", here / "b", address)
    assert sent == (1, "", f"pinwire: the peer refused: {why}\n")
    code, _, errors = finish(receiving)
    assert code == 1
    assert errors.startswith(f"pinwire: {why} (from tcp://127.0.0.1:")


def test_recv_when_interrupted_then_it_ends_quietly(tmp_path):
    receiving, _ = listening("recv", tmp_path, f"unix://{tmp_path}/s")
    receiving.send_signal(signal.SIGINT)
    assert finish(receiving) == (130, "", "")


def go_on(here, there):
    """Send the file again: where it went on from."""
    record = Record()

    async def again():
        async with receiver(there, record) as address:
            assert await send([here / "a"], address)

    asyncio.run(again())
    assert parts(there) == parts(here)
    return record.began[0][1]


STOPS = {signal.SIGINT: (130, "", ""), signal.SIGKILL: (-signal.SIGKILL, "", "")}


@pytest.mark.parametrize("number", STOPS)
def test_recv_when_stopped_in_the_middle_then_the_next_one_goes_on(folders, number):
    here, there = folders
    (here / "a").write_bytes(LONG)
    receiving, address = listening("recv", there, "tcp://127.0.0.1:0")

    async def main():
        async with pinwire.connect_channel(address) as channel:
            await begin(channel, b"a", LONG)
            for offset in (0, PIECE, 2 * PIECE):
                piece = memoryview(LONG)[offset : offset + PIECE]
                await channel.send(piece, meta={"op": "piece", "offset": offset})
                await hear(channel, "got")
            receiving.send_signal(number)
            assert finish(receiving) == STOPS[number]

    asyncio.run(main())
    (there_name,) = parts(there)
    assert there_name == part("a", LONG)
    assert go_on(here, there) in (2 * PIECE, 3 * PIECE)  # the last one may not be written yet


@pytest.mark.parametrize("number", STOPS)
def test_send_when_stopped_in_the_middle_then_the_next_one_goes_on(folders, number):
    here, there = folders
    (here / "a").write_bytes(LONG)
    ends = []

    class Stop(Record):
        def reach(self, offset: int) -> None:
            if offset == 3 * PIECE:  # it cannot have finished: nobody has told it that all is well
                sending.send_signal(number)
                ends.append(finish(sending))
            super().reach(offset)

    async def main():
        nonlocal sending
        async with receiver(there, Stop()) as address:
            sending = start("send", here / "a", address)
            await until(lambda: ends)

    sending = None
    asyncio.run(main())
    assert ends == [STOPS[number]]
    assert set(parts(there)) == {part("a", LONG)}
    os.truncate(there / part("a", LONG), 2 * PIECE + 1)  # more may have been on the way
    assert go_on(here, there) == 2 * PIECE


def test_send_when_the_receiver_goes_then_it_is_one_line(folders):
    here, _ = folders
    (here / "a").write_bytes(LONG)

    async def main():
        async def handle(channel):
            await hear(channel, "offer")
            await say(channel, "have", offset=0)
            await hear(channel, "prefix")
            await say(channel, "go", offset=0)
            await channel.recv_header()
            channel.abort()

        async with pinwire.serve_channels(handle, "tcp://127.0.0.1:0") as server:
            return await asyncio.to_thread(command, "send", here / "a", server.address)

    code, out, errors = asyncio.run(main())
    assert (code, out) == (1, "")
    assert errors.startswith("pinwire: ")
    assert errors.count("\n") == 1


def test_usage_when_it_is_wrong_then_the_process_ends_with_2():
    code, out, errors = command("send", "a", "nowhere")
    assert (code, out) == (2, "")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["send", "a", "nowhere"], "argument ADDRESS: "),
        (["send", "tcp://127.0.0.1:1"], "the following arguments are required: ADDRESS"),
        (["recv", ".", "tcp://127.0.0.1:0", "--max-bytes", "-1"], "is not a number from 0 on"),
        (["bench", "tcp://127.0.0.1:1", "--seconds", "0"], "is not between 0 and 3600 seconds"),
        ([], "the following arguments are required: command"),
    ],
)
def test_usage_when_it_is_wrong_then_the_code_is_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert said in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["send", "{folder}/none", "tcp://127.0.0.1:1"], "No such file or directory: "),
        (["send", "{folder}", "tcp://127.0.0.1:1"], "{folder} is not a regular file"),
        (["send", "{folder}/a", "unix://{folder}/s"], "No such file or directory"),
        (["recv", "{folder}/none", "tcp://127.0.0.1:0"], "No such file or directory: "),
        (["recv", "{folder}/a", "tcp://127.0.0.1:0"], "Not a directory: "),
        (["recv", "{folder}", "unix://{folder}/none/s"], "No such file or directory"),
    ],
)
def test_command_when_it_cannot_be_done_then_it_is_one_line(tmp_path, arguments, said, capsys):
    (tmp_path / "a").write_bytes(b"a")
    assert main([text.format(folder=tmp_path) for text in arguments]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("pinwire: " + said.format(folder=tmp_path))
    assert errors.count("\n") == 1


def test_command_when_installed_then_it_is_that_of_the_module():
    (script,) = metadata.entry_points(group="console_scripts", name="pinwire")
    assert script.load() is main


def test_module_when_imported_then_the_command_line_is_not():
    code = """
        import pinwire, sys
        print([name for name in sys.modules if "_cli" in name or name in ("argparse", "rich")])
    """
    assert program(code) == (0, "[]\n", "")
