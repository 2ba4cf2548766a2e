"""Addresses: URLs and tuples, names with several addresses, and the files of unix sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest
import uvloop
from support import ABSTRACT, PATIENCE, cancelled, until

import pinwire
import pinwire.blocking
from pinwire import _core


def names_of(tmp_path):
    """Addresses to listen on, and what the listener's own URL begins with."""
    return {
        "ipv4": ("tcp://127.0.0.1:0", "tcp://127.0.0.1:"),
        "ipv6": ("tcp://[::1]:0", "tcp://[::1]:"),
        "tuple": (("127.0.0.1", 0), "tcp://127.0.0.1:"),
        "ipv6_tuple": (("::1", 0), "tcp://[::1]:"),
        "stdlib_ipv6_tuple": (("::1", 0, 0, 0), "tcp://[::1]:"),
        "name": ("tcp://localhost:0", "tcp://127.0.0.1:"),
        "every_interface": ("tcp://:0", "tcp://[::]:"),
        "every_interface_as_none": ((None, 0), "tcp://[::]:"),
        "every_interface_as_text": (("", 0), "tcp://[::]:"),
        "every_interface_of_ipv4": ("tcp://0.0.0.0:0", "tcp://0.0.0.0:"),
        "path": (f"unix://{tmp_path}/socket", f"unix://{tmp_path}/socket"),
        "path_with_blanks": (f"unix://{tmp_path}/a b%20c#d?e", f"unix://{tmp_path}/a b%20c#d?e"),
        "path_not_utf8": (f"unix://{tmp_path}/\udcff", f"unix://{tmp_path}/\udcff"),
        "path_not_ascii": (f"unix://{tmp_path}/né", f"unix://{tmp_path}/né"),
        "abstract": (f"{ABSTRACT}/a b", f"{ABSTRACT}/a b"),
        "abstract_not_utf8": (f"{ABSTRACT}\udcfe", f"{ABSTRACT}\udcfe"),
    }


NAMES = list(names_of(""))


@pytest.mark.parametrize("name", NAMES)
def test_address_when_listened_on_then_its_url_connects_and_names_both_ends(run, name, tmp_path):
    address, begins = names_of(tmp_path)[name]

    async def main():
        async with pinwire.listen(address) as listener:
            assert listener.address.startswith(begins)
            client = await pinwire.connect(listener.address)
            server = await listener.accept()
            async with client, server:
                assert server.peer_address == client.local_address
                assert client.peer_address == server.local_address
                if "every" not in name:
                    assert client.peer_address == listener.address
                if begins.startswith("unix"):
                    assert client.local_address == "unix:"

    run(main())


@pytest.mark.parametrize("name", NAMES)
def test_blocking_address_when_listened_on_then_its_url_connects(name, tmp_path):
    address, begins = names_of(tmp_path)[name]
    with pinwire.blocking.listen(address) as listener:
        assert listener.address.startswith(begins)
        with pinwire.blocking.connect(listener.address) as client, listener.accept() as server:
            assert server.peer_address == client.local_address
            client.send_buffer(b"x")
            assert server.recv_into(bytearray(1)) == 1


def test_address_when_the_port_is_zero_then_each_listener_gets_its_own():
    listeners = [pinwire.blocking.listen("tcp://127.0.0.1:0") for _ in range(3)]
    assert len({listener.address for listener in listeners}) == 3
    for listener in listeners:
        listener.close()


def test_address_of_socketpair_when_asked_then_it_is_an_unnamed_unix_socket():
    client, server = pinwire.blocking.socketpair()
    with client, server:
        assert (client.local_address, client.peer_address) == ("unix:", "unix:")
        assert client.peer_credentials == (os.getpid(), os.getuid(), os.getgid())


BAD = {
    "tcp://127.0.0.1": ValueError,
    "tcp://127.0.0.1:": ValueError,
    "tcp://127.0.0.1:http": ValueError,
    "tcp://127.0.0.1:-1": ValueError,
    "tcp://127.0.0.1:+1": ValueError,
    "tcp://127.0.0.1:65536": ValueError,
    "tcp://::1:80": ValueError,
    "tcp://[::1]": ValueError,
    "tcp://[::1:80": ValueError,
    "tcp://[127.0.0.1]:80": ValueError,
    "tcp://user@host:80": ValueError,
    "tcp://host:80/path": ValueError,
    "tcp://ho\0st:80": ValueError,
    "127.0.0.1:80": ValueError,
    "http://host:80": ValueError,
    "": ValueError,
    "unix:": ValueError,
    "unix://relative/path": ValueError,
    "unix://": ValueError,
    "unix:///tmp/pinwire\0cut": ValueError,
    "unix:///" + "x" * 108: OSError,
    "unix:@" + "x" * 108: OSError,
    ("127.0.0.1", -1): ValueError,
    ("127.0.0.1", 65536): ValueError,
    ("127.0.0.1", "80"): TypeError,
    ("127.0.0.1",): TypeError,
    (127, 80): TypeError,
    (): TypeError,
    b"tcp://127.0.0.1:80": TypeError,
    80: TypeError,
    None: TypeError,
}


@pytest.mark.parametrize("address", BAD, ids=lambda address: repr(address)[:30])
def test_address_when_bad_then_every_call_refuses_it(address):
    async def main():
        for open_it in (pinwire.connect, pinwire.listen):
            with pytest.raises(BAD[address]):
                await open_it(address)

    asyncio.run(main())
    for open_it in (pinwire.blocking.connect, pinwire.blocking.listen):
        with pytest.raises(BAD[address]):
            open_it(address)


def refuse_numeric(flags=0, **_):
    if flags & socket.AI_NUMERICHOST:
        raise socket.gaierror(socket.EAI_NONAME, "not a number")


class Resolver:
    """A `getaddrinfo` that knows one name, for both faces and every loop."""

    def __init__(self, *answers):
        self._answers = [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", it)
            for it in answers
            for host in it[:1]
        ]

    def __call__(self, host, port, **kwargs):
        assert (host, kwargs["type"]) == ("pinwire.example", socket.SOCK_STREAM)
        refuse_numeric(**kwargs)
        return self._answers

    def connect(self, loop, monkeypatch, **kwargs):
        """Connect on a loop, whose names the runtime looks up."""

        async def resolve(host, port, passive):
            return self(host, port, type=socket.SOCK_STREAM)

        async def main():
            async with pinwire.connect("tcp://pinwire.example:1", **kwargs) as stream:
                return stream.peer_address

        monkeypatch.setattr(_core, "resolve", resolve)
        made = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.Loop}[loop]
        with asyncio.Runner(loop_factory=made) as runner:
            return runner.run(asyncio.wait_for(main(), PATIENCE))

    def connect_blocking(self, monkeypatch, **kwargs):
        monkeypatch.setattr(socket, "getaddrinfo", self)
        with pinwire.blocking.connect("tcp://pinwire.example:1", **kwargs) as stream:
            return stream.peer_address


@pytest.fixture(params=["asyncio", "uvloop", "blocking"])
def connect(request, monkeypatch):
    """Connect to a name that has these addresses. The one that answered."""

    def connect_to(*answers, **kwargs):
        resolver = Resolver(*answers)
        if request.param == "blocking":
            return resolver.connect_blocking(monkeypatch, **kwargs)
        return resolver.connect(request.param, monkeypatch, **kwargs)

    return connect_to


@pytest.fixture
def refusing():
    """A port of IPv4 and IPv6 on which nobody listens."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        return server.getsockname()[1]


def test_connect_when_the_first_address_refuses_then_the_next_is_tried(connect, refusing):
    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        port = int(listener.address.rpartition(":")[2])
        answers = ("::1", refusing, 0, 0), ("127.0.0.1", refusing), ("127.0.0.1", port)
        assert connect(*answers) == listener.address


def test_connect_when_the_first_address_is_silent_then_the_next_is_tried_beside_it(connect):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.socket() as first:
        first.connect(silent.getsockname())
        with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
            port = int(listener.address.rpartition(":")[2])
            answers = silent.getsockname(), ("127.0.0.1", port)
            assert connect(*answers, timeout=PATIENCE) == listener.address


def test_connect_when_every_address_refuses_then_the_error_names_them_all(connect, refusing):
    with pytest.raises(ConnectionRefusedError) as caught:
        connect(("::1", refusing, 0, 0), ("127.0.0.1", refusing))
    assert caught.value.errno == errno.ECONNREFUSED
    assert f"tcp://[::1]:{refusing}" in str(caught.value)
    assert f"tcp://127.0.0.1:{refusing}" in str(caught.value)


def test_connect_when_a_name_is_looked_up_then_the_loop_goes_on(run):
    async def main():
        async with pinwire.listen("tcp://localhost:0") as listener:
            port = listener.address.rpartition(":")[2]
            connecting = asyncio.ensure_future(pinwire.connect(f"tcp://localhost:{port}"))
            await asyncio.sleep(0)
            assert not connecting.done()
            await (await connecting).close()

    run(main())


def test_connect_when_cancelled_under_way_then_the_socket_is_closed(run):
    def connecting_to(address):
        """Sockets that wait for an answer (proc_pid_net(5): state 02, SYN_SENT)."""
        port = f"{address[1]:04X}"
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()]
        return sum(row[2].endswith(port) and row[3] == "02" for row in rows)

    async def main():
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.socket() as first:
            address = silent.getsockname()
            first.connect(address)
            connecting = asyncio.ensure_future(pinwire.connect(address))
            await until(lambda: connecting_to(address) == 1)
            await cancelled(connecting)
            await until(lambda: connecting_to(address) == 0)

    run(main())


def test_unix_path_when_the_listener_closes_then_it_is_removed(run, tmp_path):
    async def main():
        async with pinwire.listen(f"unix://{tmp_path}/socket"):
            assert (tmp_path / "socket").is_socket()
        assert not (tmp_path / "socket").exists()

    run(main())


def test_unix_path_when_somebody_else_took_it_then_close_leaves_it(tmp_path):
    path = tmp_path / "socket"
    with pinwire.blocking.listen(f"unix://{path}"):
        path.unlink()
        path.write_text("not ours")
    assert path.read_text() == "not ours"


def test_unix_path_when_stale_then_it_is_listened_on_again(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    assert (tmp_path / "socket").is_socket()
    address = f"unix://{tmp_path}/socket"
    with pinwire.blocking.listen(address), pinwire.blocking.connect(address):
        pass


@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo", "datagram", "listener"])
def test_unix_path_when_it_is_something_else_then_listening_fails_and_leaves_it(kind, tmp_path):
    path = tmp_path / "taken"
    (tmp_path / "target").write_text("precious")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, socket.socket(1) as listener:
        {
            "file": lambda: path.write_text("precious"),
            "directory": path.mkdir,
            "link": lambda: path.symlink_to(tmp_path / "target"),
            "fifo": lambda: os.mkfifo(path),
            "datagram": lambda: sock.bind(str(path)),
            "listener": lambda: (listener.bind(str(path)), listener.listen()),
        }[kind]()
        before = path.lstat()
        with pytest.raises(OSError, match="in use") as caught:
            pinwire.blocking.listen(f"unix://{path}")
        assert caught.value.errno == errno.EADDRINUSE
        assert path.lstat() == before
    assert (tmp_path / "target").read_text() == "precious"
