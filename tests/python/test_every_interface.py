"""An empty host: every interface, of both families where the machine has both."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest
from support import finish, received, start_program

import pinwire
import pinwire.blocking

EMPTY = ["tcp://:0", ("", 0), (None, 0)]


def port_of(listener):
    return int(listener.address.rpartition(":")[2])


@pytest.mark.parametrize("address", EMPTY, ids=repr)
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_listen_when_the_host_is_empty_then_both_families_connect_and_look_as_they_are(
    run, address, host
):
    async def main():
        async with pinwire.listen(address) as listener:
            client = await pinwire.connect(f"tcp://{host}:{port_of(listener)}")
            server = await listener.accept()
            async with client, server:
                await client.send_buffer(b"abc")
                assert await received(server, 3) == b"abc"
                assert server.peer_address == client.local_address
                assert server.local_address == client.peer_address
                assert "ffff" not in server.peer_address + server.local_address
                if host != "[::1]" and host != "localhost":
                    assert server.peer_address.startswith("tcp://127.0.0.1:")

    run(main())


def test_blocking_listen_when_the_host_is_empty_then_its_address_connects():
    with pinwire.blocking.listen("tcp://:0") as listener:
        assert listener.address == f"tcp://[::]:{port_of(listener)}"
        with pinwire.blocking.connect(listener.address), listener.accept() as server:
            assert server.peer_address.startswith("tcp://[::1]:")


def test_blocking_listen_when_ipv6_is_not_to_be_shared_then_it_is_ipv4_alone():
    with pinwire.blocking.listen("tcp://:0", dualstack_ipv6=False) as listener:
        port = port_of(listener)
        assert listener.address == f"tcp://0.0.0.0:{port}"
        with pytest.raises(ConnectionRefusedError):
            pinwire.blocking.connect(f"tcp://[::1]:{port}")


def test_accepted_when_the_peer_is_of_ipv4_on_a_socket_of_ipv6_then_it_looks_so():
    with (
        pinwire.blocking.listen("tcp://[::]:0") as listener,
        socket.create_connection(("127.0.0.1", port_of(listener))) as client,
        listener.accept() as server,
    ):
        assert server.peer_address == f"tcp://127.0.0.1:{client.getsockname()[1]}"
        assert server.local_address == f"tcp://127.0.0.1:{port_of(listener)}"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_listen_when_one_family_has_the_port_taken_then_it_is_in_use(family):
    with socket.socket(family) as taken:
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use") as caught:
            pinwire.blocking.listen(("", taken.getsockname()[1]))
        assert caught.value.errno == errno.EADDRINUSE


WITHOUT = """
    import sys
    import confined, pinwire.blocking as pinwire

    try:
        confined.WAYS[sys.argv[1]]()
    except OSError as error:
        sys.exit(f"not here: {error}")
    for options in ({}, {"dualstack_ipv6": True}, {"dualstack_ipv6": False}):
        with pinwire.listen("tcp://:0", **options) as listener:
            assert listener.address.startswith("tcp://0.0.0.0:"), listener.address
            with pinwire.connect(listener.address), listener.accept() as server:
                print(server.peer_address.rpartition(":")[0])
"""


@pytest.mark.parametrize("way", ["no IPv6", "IPv6 disabled"])
def test_listen_when_there_is_no_ipv6_then_it_is_ipv4_alone(way):
    code, out, err = finish(start_program(WITHOUT, way, cwd=Path(__file__).parent))
    if err.startswith("not here"):
        pytest.skip(err)
    assert (code, out, err) == (0, "tcp://127.0.0.1\n" * 3, "")
