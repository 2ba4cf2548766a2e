"""`send_file` sends what is on disk, leaves the file behind it, and refuses what is no file."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import socket
import tempfile
from pathlib import Path

import pytest
from support import (
    BIG,
    SMALL,
    Call,
    cancelled,
    pattern,
    received,
    received_blocking,
    sleeping,
    until,
    waiting,
)

import pinwire
import pinwire.blocking

SIZE = 300_001
CONTENT = pattern(SIZE)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with path.open("rb") as opened:
        yield opened


@pytest.fixture(params=["sendfile", "staged"])
def streams(request):
    """Two blocking streams: by sendfile(2), or through a block, as the first's mode demands."""
    if request.param == "sendfile":
        pair = pinwire.blocking.socketpair(**SMALL)
    else:
        take = pinwire.blocking.Stream.from_socket
        pair = tuple(take(sock, **SMALL) for sock in socket.socketpair())
    with pair[0], pair[1]:
        yield pair


# What is asked for, and which part of the content comes.
PARTS = [
    ((), slice(0, SIZE)),
    ((0, None), slice(0, SIZE)),
    ((1,), slice(1, SIZE)),
    ((100, 1), slice(100, 101)),
    ((1000, 100_000), slice(1000, 101_000)),
    ((0, 0), slice(0, 0)),
    ((5, 0), slice(5, 5)),
    ((0, SIZE + 1), slice(0, SIZE)),
    ((SIZE - 1, 2**40), slice(SIZE - 1, SIZE)),
    ((SIZE,), slice(SIZE, SIZE)),
    ((SIZE + 5,), slice(SIZE + 5, SIZE + 5)),
    ((SIZE + 5, 10), slice(SIZE + 5, SIZE + 5)),
]


@pytest.mark.parametrize(("args", "part"), PARTS, ids=str)
def test_send_file_when_given_offset_and_count_then_that_part_comes(run, pair, file, args, part):
    expected = CONTENT[part]

    async def main():
        async with pair() as (client, server):
            file.seek(7)
            transfer = client.send_file(file, *args)
            assert (transfer.nbytes, file.tell()) == (len(expected), 7)
            sent, got = await asyncio.gather(transfer, received(server, len(expected)))
            assert (sent, transfer.transferred) == (len(expected), len(expected))
            assert got == expected
            assert file.tell() == part.stop
            assert client.stats().bytes_sent == len(expected)
            await client.send_eof()
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


@pytest.mark.parametrize(("args", "part"), PARTS, ids=str)
def test_blocking_send_file_when_given_offset_and_count_then_that_part_comes(
    streams, file, args, part
):
    client, server = streams
    expected = CONTENT[part]
    call = Call(client.send_file, file, *args)
    assert received_blocking(server, len(expected)) == expected
    assert call.result() == len(expected)
    assert file.tell() == part.stop


def test_send_file_when_the_kernel_does_it_then_no_byte_is_copied_in_user_space(file):
    client, server = pinwire.blocking.socketpair(**SMALL)
    with client, server:
        call = Call(client.send_file, file)
        received_blocking(server, SIZE)
        call.result()
        assert client.stats().packed_bytes == 0


def test_send_file_when_the_socket_is_in_blocking_mode_then_the_loop_is_not_blocked(run, file):
    async def main():
        left, right = socket.socketpair()
        client, server = (pinwire.Stream.from_socket(it, **SMALL) for it in (left, right))
        async with client, server:
            task = await waiting(client, client.send_file(file))
            assert not task.done()
            assert await received(server, SIZE) == CONTENT
            assert await task == SIZE
            assert client.stats().packed_bytes == SIZE

    run(main())


def test_send_file_when_empty_then_nothing_is_sent(run, pair, tmp_path):
    (tmp_path / "empty").touch()

    async def main():
        async with pair() as (client, server):
            with (tmp_path / "empty").open("rb") as empty:
                assert await client.send_file(empty) == 0
            await client.send_eof()
            assert await server.recv_into(bytearray(1)) == 0

    run(main())


def test_send_file_when_the_file_is_closed_meanwhile_then_it_goes_on(run, pair, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(pattern(BIG * 8))

    async def main():
        async with pair() as (client, server):
            with path.open("rb") as opened:
                transfer = client.send_file(opened)
                task = asyncio.create_task(transfer)
                await until(lambda: transfer.transferred)
            path.unlink()
            assert await received(server, BIG * 8) == pattern(BIG * 8)
            assert await task == BIG * 8

    run(main())


def test_send_file_when_the_file_is_truncated_meanwhile_then_the_count_is_what_was_there(
    streams, tmp_path
):
    client, server = streams
    path = tmp_path / "file"
    path.write_bytes(pattern(BIG * 8))
    with path.open("r+b") as opened:
        call = sleeping(client.send_file, opened)
        opened.truncate(BIG * 4)
        reader = Call(_read_all, server)
        sent = call.result()
        client.send_eof()
        got = reader.result()
        assert len(got) == sent == opened.tell()
        # A staging block may hold a little that was read before.
        assert BIG * 4 <= sent < BIG * 5
        assert got == pattern(sent)
        client.close()


def _read_all(stream):
    got, memory = bytearray(), bytearray(BIG)
    while n := stream.recv_into(memory):
        got += memory[:n]
    return got


def test_send_file_when_cancelled_then_the_position_is_behind_what_was_sent(run, pair, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(pattern(BIG * 8))

    async def main():
        async with pair() as (client, server):
            with path.open("rb") as opened:
                task = await waiting(client, client.send_file(opened, 1000))
                error = await cancelled(task)
                assert 0 < error.transferred < error.nbytes == BIG * 8 - 1000
                assert opened.tell() == 1000 + error.transferred
                expected = pattern(BIG * 8)[1000 : opened.tell()]
                assert await received(server, error.transferred) == expected
                with pytest.raises(pinwire.TornStreamError):
                    await client.send_file(opened)

    run(main())


def test_blocking_send_file_when_it_times_out_then_the_position_is_behind_what_was_sent(
    streams, tmp_path
):
    client, server = streams
    (tmp_path / "file").write_bytes(pattern(BIG * 8))
    with (tmp_path / "file").open("rb") as opened:
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            client.send_file(opened, timeout=0.01)
        error = caught.value
        assert 0 < error.transferred == opened.tell() < error.nbytes == BIG * 8
        assert received_blocking(server, error.transferred) == pattern(error.transferred)
        with pytest.raises(pinwire.TornStreamError):
            client.send_file(opened)


def test_send_file_when_never_awaited_then_the_file_is_left_alone(file):
    client, server = pinwire.socketpair()
    file.seek(7)
    with pytest.warns(RuntimeWarning, match="Stream.send_file was never awaited"):
        client.send_file(file)
    assert file.tell() == 7
    client.abort()
    server.abort()


def test_send_file_when_any_object_has_a_descriptor_then_it_is_taken(streams, file, tmp_path):
    client, server = streams
    temporary = tempfile.TemporaryFile()  # noqa: SIM115
    temporary.write(CONTENT)
    temporary.flush()

    class Wrapper:
        def fileno(self):
            return file.fileno()

    raw = (tmp_path / "file").open("rb", buffering=0)
    with temporary, raw:
        for it in (temporary, raw, Wrapper()):
            call = Call(client.send_file, it)
            assert received_blocking(server, SIZE) == CONTENT
            assert call.result() == SIZE


def pipe():
    reading, writing = os.pipe()
    os.close(writing)
    return os.fdopen(reading, "rb")


REFUSED = {
    "text": (lambda path: path.open(), ValueError, "binary"),
    "string_io": (lambda _: io.StringIO("text"), TypeError, "descriptor"),
    "bytes_io": (lambda _: io.BytesIO(b"bytes"), TypeError, "getbuffer"),
    "bytes": (lambda _: io.BytesIO(b"bytes").getbuffer(), TypeError, "send_buffer"),
    "path": (lambda path: path, TypeError, "open file"),
    "number": (lambda _: 0, TypeError, "open file"),
    "gzip": (gzip.open, TypeError, "decodes"),
    "bz2": (bz2.open, TypeError, "decodes"),
    "lzma": (lzma.open, TypeError, "decodes"),
    "pipe": (lambda _: pipe(), ValueError, "regular file"),
    "socket": (lambda _: socket.socket(), ValueError, "regular file"),
    "device": (lambda _: open("/dev/zero", "rb"), ValueError, "regular file"),  # noqa: PTH123, SIM115
}


@pytest.mark.parametrize("thing", REFUSED)
def test_send_file_when_it_is_no_file_then_it_is_refused_before_a_byte_moves(thing, file, run):
    make, error, text = REFUSED[thing]

    async def main():
        client, server = pinwire.socketpair()
        opened = make(Path(file.name))
        async with client, server:
            with pytest.raises(error, match=text):
                client.send_file(opened)
            await client.send_buffer(b"next")
            assert await received(server, 4) == b"next"
        if hasattr(opened, "close"):
            opened.close()

    run(main())


@pytest.mark.parametrize(("args", "error"), [((-1,), ValueError), ((0, -1), ValueError)])
def test_send_file_when_a_number_is_negative_then_value_error(file, args, error):
    client, server = pinwire.blocking.socketpair()
    with client, server, pytest.raises(error):
        client.send_file(file, *args)
