"""Descriptors that another user leaves on our sockets: however slowly they close, nobody waits.

The last reference to a connection with SO_LINGER closes as slowly as that says. Whoever drops it
stands so long: by receiving it without taking it, or by closing a socket with it unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest
from hostile import MAGIC, take
from links import invitation, inviting
from offers import DATA, Memory, invitee, inviter, joined
from relay import Connection
from strangers import LINGER, Stranger, victim
from support import PATIENCE, finish, start_program

import pinwire.blocking

HERE = Path(__file__).parent
KERNELS = {"this": (), "older": ("older kernel",)}
_numbers = itertools.count()


def refuses() -> bool:
    """Whether sockets can refuse descriptors here."""
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, 83, 0)  # SO_PASSRIGHTS
        return True
    return False


def fates(kernel: str) -> set[str]:
    """What may become of a descriptor."""
    return {"refused", "late"} if refuses() and kernel == "this" else {"left", "late"}


def unix_name() -> bytes:
    return b"\0pinwire-stranger-%d-%d" % (os.getpid(), next(_numbers))


def url(name: bytes) -> str:
    return "unix:" + name.decode().replace("\0", "@")


@pytest.fixture
def stranger():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with Stranger() as process:
        yield process


@pytest.fixture(params=KERNELS)
def kernel(request):
    return request.param


@pytest.mark.skipif(not refuses(), reason="about Linux 6.16")
@pytest.mark.parametrize("how", ["follows", "invites"])
def test_a_link_when_it_is_there_then_its_end_refuses_descriptors(face, how):
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            if how == "follows":
                link = (await stack.enter_async_context(inviter(face, Memory(DATA)))).link
            else:
                receiver = await stack.enter_async_context(invitee(face))
                sending = receiver.send()
                link, _, _ = await stack.enter_async_context(joined(await receiver.invited()))
            with pytest.raises(PermissionError):
                socket.send_fds(link, [b"x"], [link.fileno()])
            if how == "invites":
                receiver.channel.abort()
                await asyncio.gather(sending, return_exceptions=True)

    face.run(main())


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
def test_a_visitor_when_his_descriptor_lingers_then_nobody_waits(face, kernel, stranger):
    with (
        victim(face, "tcp://127.0.0.1:0", *KERNELS[kernel]) as server,
        Connection(server.target) as connection,
    ):
        invited = invitation(connection.invited(DATA).data)
        assert stranger.tell("visit", "link", invited.address) in fates(kernel)
        frame = connection.frame()
        assert take(connection.sock, frame.payload) == DATA
    assert server.longest < LINGER / 2


def test_visitors_when_nobody_has_heard_them_then_their_descriptors_go_with_the_listener(
    kernel, stranger
):
    with victim("asyncio", "tcp://127.0.0.1:0", *KERNELS[kernel]) as server:
        with Connection(server.target) as connection:
            invited = invitation(connection.invited(DATA).data)
            frame = connection.frame()
            assert take(connection.sock, frame.payload) == DATA
            # Nobody looks for visitors any more.
            assert stranger.tell("visit", "link", invited.address) in fates(kernel)
        with Connection(server.target) as connection:
            connection.invited(DATA)
    assert server.longest < LINGER / 2


def test_a_stranger_when_he_is_visited_then_his_descriptor_keeps_nobody(kernel, stranger):
    with victim("asyncio", "tcp://127.0.0.1:0", *KERNELS[kernel]) as server:
        came = set()
        for _ in range(200):  # of which a few come in time
            invited = inviting()
            with Connection(server.target) as connection:
                assert stranger.tell("receive", "link", invited.address) == "listening"
                connection.sock.sendall(invited.frame())
                came.add(stranger.heard())
            if "left" in came:
                break
        assert came <= fates(kernel)
    assert server.longest < LINGER / 2


def test_bytes_when_a_descriptor_comes_beside_them_then_no_server_waits(kernel, stranger):
    name = unix_name()
    with victim("asyncio", url(name), *KERNELS[kernel]) as server:
        assert stranger.tell("visit", "stream", name) in fates(kernel)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(name)
            sock.settimeout(PATIENCE)
            assert take(sock, len(MAGIC)) == MAGIC
    assert server.longest < LINGER / 2


ALONE = """
import os, socket, sys, time
import confined, pinwire, pinwire.blocking
from neighbour import import_all

import_all()
how, name, ways = sys.argv[1], sys.argv[2], sys.argv[3:]
for way in ways:
    confined.WAYS[way]()

def said(text):
    print(text, flush=True)
    sys.stdin.readline()

def close(stream):
    start = time.monotonic()
    stream.close()
    print(time.monotonic() - start)

match how:
    case "listener":
        listener = pinwire.blocking.listen("unix:" + name)
        said("ready")
        close(listener)
    case "stream":
        listener = pinwire.blocking.listen("unix:" + name)
        said("ready")
        stream = listener.accept()
        listener.close()
        close(stream)
    case "connection":
        stream = pinwire.blocking.connect("unix:" + name)
        said("ready")
        close(stream)
    case "adopted" | "received":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name.replace("@", "\\0"))
            listener.listen()
            said("ready")
            stream = pinwire.blocking.Stream.from_socket(listener.accept()[0])
        start = time.monotonic()
        if how == "received":
            stream.recv_into(bytearray(9))
        stream.close()
        print(time.monotonic() - start)
"""


@pytest.mark.parametrize("how", ["listener", "stream", "adopted", "received"])
def test_a_socket_when_a_descriptor_is_left_on_it_then_its_close_takes_no_time(
    how, kernel, stranger
):
    name = unix_name()
    at = name.decode().replace("\0", "@")
    process = start_program(ALONE, how, at, *KERNELS[kernel], cwd=HERE, stdin=-1)
    assert process.stdout.readline() == "ready\n"
    fate = stranger.tell("visit", "stream", name)
    # A socket that somebody else has opened takes descriptors as before.
    assert fate in fates("older" if how in {"adopted", "received"} else kernel)
    process.stdin.write("\n")
    process.stdin.flush()
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert float(out) < LINGER / 2


def test_a_connection_when_its_listener_leaves_a_descriptor_then_its_close_takes_no_time(
    kernel, stranger
):
    name = unix_name()
    assert stranger.tell("receive", "stream", name) == "listening"
    at = name.decode().replace("\0", "@")
    process = start_program(ALONE, "connection", at, *KERNELS[kernel], cwd=HERE, stdin=-1)
    assert process.stdout.readline() == "ready\n"
    assert stranger.heard() in fates(kernel)
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert float(out) < LINGER / 2


def test_the_file_of_a_stranger_when_we_look_whether_he_listens_then_nobody_waits(stranger):
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        path = Path(shared) / "door"
        assert stranger.tell("receive", "stream", bytes(path)) == "listening"
        start = time.monotonic()
        with pytest.raises(OSError, match="in use"):
            pinwire.blocking.listen(f"unix://{path}")
        assert time.monotonic() - start < LINGER / 2
        assert stranger.heard() in fates("this")
