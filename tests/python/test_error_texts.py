"""What errors say: what was being done, with whom, and what to do instead."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from pathlib import Path

import pytest
from channels import address, exchange
from host_pairs import LARGE
from support import ABSTRACT, PATIENCE, finish, start_program

import pinwire
import pinwire.blocking

OTHER = {pinwire: pinwire.blocking, pinwire.blocking: pinwire}
FACES = pytest.mark.parametrize("face", OTHER, ids=["asyncio", "blocking"])
NOBODY = "no-such-host.invalid"


@pytest.mark.parametrize("where", ["tcp", "unix", "socketpair"])
def test_blocking_transfer_when_it_times_out_then_the_error_names_it_and_the_peer(where):
    with pinwire.blocking.listen(ABSTRACT if where == "unix" else address("tcp")) as listener:
        client = pinwire.blocking.connect(listener.address)
        server = listener.accept()
    if where == "socketpair":
        client.close()
        server.close()
        client, server = pinwire.blocking.socketpair()
    names = {
        "tcp": (client.peer_address, server.peer_address),
        "unix": (ABSTRACT, f"the peer of {ABSTRACT}"),
        "socketpair": ("the peer", "the peer"),
    }[where]
    with client, server:
        ends = list(zip((client, server), names, strict=True))
        for stream, name in ends:
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                stream.recv_into(bytearray(1), timeout=0)
            assert caught.value.strerror == f"receiving from {name} timed out"
        for stream, name in ends:
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                stream.send_buffer(bytes(1 << 26), timeout=0)
            assert caught.value.strerror == f"sending to {name} timed out"


def test_transfer_when_it_times_out_then_the_error_names_it_and_the_peer(run):
    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0") as listener:
            with pytest.raises(pinwire.TransferTimeoutError) as caught:
                await listener.accept(timeout=0)
            assert caught.value.strerror == f"accepting on {listener.address} timed out"
            async with pinwire.connect(listener.address) as client, await listener.accept():
                for timeout in (0, 0.01):
                    with pytest.raises(pinwire.TransferTimeoutError) as caught:
                        await client.recv_into(bytearray(1), timeout=timeout)
                    text = f"receiving from {listener.address} timed out"
                    assert caught.value.strerror == text
                with pytest.raises(pinwire.TransferTimeoutError) as caught:
                    await client.send_buffer(bytes(1 << 26), timeout=0.01)
                assert caught.value.strerror == f"sending to {listener.address} timed out"

    run(main())


def test_blocking_accept_when_it_times_out_then_the_error_names_the_address():
    timed_out = pytest.raises(
        pinwire.TransferTimeoutError, match=f"accepting on {ABSTRACT} timed out"
    )
    with pinwire.blocking.listen(ABSTRACT) as listener, timed_out:
        listener.accept(timeout=0)


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:{}", ("127.0.0.1", "{}")], ids=["url", "tuple"])
def test_connect_when_it_times_out_then_the_error_names_the_address(run, where):
    async def main(there):
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            await pinwire.connect(there, timeout=0)
        return caught.value.strerror

    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, socket.socket() as first:
        first.connect(deaf.getsockname())
        port = deaf.getsockname()[1]
        there = where.format(port) if isinstance(where, str) else (where[0], port)
        text = f"connecting to tcp://127.0.0.1:{port} timed out"
        assert run(main(there)) == text
        with pytest.raises(pinwire.TransferTimeoutError) as caught:
            pinwire.blocking.connect(there, timeout=0)
        assert caught.value.strerror == text


def test_channel_when_it_times_out_then_the_error_names_the_call_and_the_peer(channels):
    async def main():
        async with channels.pair() as (client, server):
            await client.send(b"")
            await server.recv()
            peer = re.escape(server.peer_address if channels.transport == "tcp" else "the peer of")
            with pytest.raises(pinwire.TransferTimeoutError, match=f"from {peer}.* timed"):
                await server.recv(timeout=0)
            with pytest.raises(pinwire.TransferTimeoutError, match=f"sending to {peer}.* timed"):
                await server.send(bytes(1 << 26), timeout=0)

    channels.run(main())


def test_drain_when_it_times_out_then_the_error_names_the_peer(face):
    async def main():
        async with face.pair() as (client, server):
            client.post(bytes(1 << 26))
            peer = re.escape(client.peer_address)
            text = f"sending what was posted to {peer} timed out"
            with pytest.raises(pinwire.TransferTimeoutError, match=text):
                await client.drain(timeout=0.01)
            await server.recv()

    face.run(main())


def test_large_send_when_nobody_receives_it_then_the_error_says_so(host):
    async def main():
        async with host.pair() as (client, server):
            async with asyncio.timeout(PATIENCE):
                while client.stats().same_host != "in use":
                    await exchange(client, server, bytes(LARGE))
            text = "sending to .*, which has not received the message yet .*same_host.* timed out"
            with pytest.raises(pinwire.TransferTimeoutError, match=text):
                await client.send(bytes(LARGE), timeout=0.01)

    host.run(main())


@pytest.mark.parametrize("where", ["tcp", "unix", "file"])
def test_listen_when_the_address_cannot_be_had_then_the_error_names_it(run, tmp_path, where):
    async def main(there):
        with pytest.raises(OSError, match=re.escape(f"({there})")) as caught:
            await pinwire.listen(there)
        return caught.value.errno

    with pinwire.blocking.listen(ABSTRACT if where == "unix" else address("tcp")) as taken:
        there = f"unix://{tmp_path}/none/socket" if where == "file" else taken.address
        number = errno.ENOENT if where == "file" else errno.EADDRINUSE
        assert run(main(there)) == number
        with pytest.raises(OSError, match=re.escape(f"({there})")) as caught:
            pinwire.blocking.listen(there)
        assert caught.value.errno == number


def test_listen_when_a_unix_name_is_too_long_then_the_error_names_it():
    name = "unix:@" + "x" * 108
    with pytest.raises(OSError, match=name[:50]) as caught:
        pinwire.blocking.listen(name)
    assert caught.value.errno == errno.EINVAL


def test_open_when_the_name_does_not_resolve_then_the_error_names_the_address(run):
    async def main():
        for open_it in (pinwire.connect, pinwire.listen):
            with pytest.raises(socket.gaierror, match=rf"\(tcp://{NOBODY}:1\)") as caught:
                await open_it((NOBODY, 1))
            assert caught.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)

    run(main())


@pytest.mark.parametrize("open_it", [pinwire.blocking.connect, pinwire.blocking.listen])
def test_blocking_open_when_the_name_does_not_resolve_then_the_error_names_the_address(open_it):
    with pytest.raises(socket.gaierror, match=rf"\(tcp://{NOBODY}:1\)") as caught:
        open_it(f"tcp://{NOBODY}:1")
    assert caught.value.errno in (socket.EAI_NONAME, socket.EAI_AGAIN)


@pytest.mark.parametrize("host", ["x" * 64, "a..b"])
def test_open_when_no_name_can_be_like_that_then_the_error_names_the_address(host):
    for module in OTHER:
        for open_it in (module.connect, module.listen):
            with pytest.raises(ValueError, match=re.escape(f"tcp://{host}:1")):
                open_it(f"tcp://{host}:1")


@FACES
def test_channel_when_its_stream_is_of_the_other_face_then_the_error_says_which_to_use(face):
    one, two = OTHER[face].socketpair()
    mine, other = face.__name__, OTHER[face].__name__
    text = f"{mine}.Channel takes a {mine}.Stream, not {other}.Stream, which is for {other}.Channel"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        face.Channel(one)
    one.abort()
    two.abort()


@FACES
def test_channel_when_it_is_given_no_stream_then_the_error_names_what_it_was(face):
    text = f"{face.__name__}.Channel takes a {face.__name__}.Stream, not int"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        face.Channel(3)


def test_recv_into_when_the_parts_are_too_few_or_many_then_the_error_counts_them(face):
    async def main():
        async with face.pair(same_host="off") as (client, server):
            for parts, text in (([b"a"], "has 1 part, and"), ([b"a", b"b"], "has 2 parts, and")):
                await client.send(parts)
                with pytest.raises(pinwire.MessageRefusedError, match=text):
                    await server.recv_into([])
                await server.recv()

    face.run(main())


WITHOUT_PROC = """
    import sys
    import confined, pinwire.blocking as pinwire

    pinwire.socketpair()[0].abort()  # so that nothing has to be imported afterwards
    pinwire.Channel
    try:
        confined.WAYS["no /proc"]()
    except OSError as error:
        sys.exit(f"not here: {error}")
    one, two = (pinwire.Channel(stream) for stream in pinwire.socketpair())
    print(one.stats().same_host)
    one.abort()
    two.abort()
"""


def test_channel_when_there_is_no_proc_then_it_says_that_and_not_that_the_peer_has_it_off():
    process = start_program(WITHOUT_PROC, cwd=Path(__file__).parent, options=("-Wignore",))
    code, out, err = finish(process)
    if err.startswith("not here"):
        pytest.skip(err)
    assert (code, out, err) == (0, "this process has no /proc to know its host by\n", "")
