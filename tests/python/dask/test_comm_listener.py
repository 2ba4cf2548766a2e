"""Listeners of Dask's over pinwire, and connecting to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import dask.config
import pytest
from comms import HERE, MESSAGE, connected, listening, passed, stream
from distributed.comm import CommClosedError, connect, listen
from distributed.comm.registry import get_backend
from distributed.utils import get_ip
from hostile import descriptors, rest
from support import PATIENCE, program, until

MANY = 100


def ignore(comm):
    """A handler that leaves the connection to the test."""


async def echo(comm):
    with contextlib.suppress(CommClosedError):
        while True:
            await comm.write(await comm.read())


async def answers(address):
    """Whether somebody sends back what is sent there."""
    comm = await connect(address, timeout=PATIENCE)
    try:
        return await passed(comm, comm, MESSAGE) == MESSAGE
    finally:
        await comm.close()


def has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")


@pytest.mark.parametrize("where", [HERE, "pinwire://0.0.0.0", "pinwire://"])
def test_listeners_when_there_are_many_then_each_has_its_own_address(where, run):
    async def main():
        async with listening(echo, HERE) as listener:  # the runtime takes some, once
            assert await answers(listener.contact_address)
        before = descriptors()
        async with contextlib.AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(listen(where, echo)) for _ in range(MANY)]
            for kind in ("listen_address", "contact_address"):
                assert len({getattr(each, kind) for each in listeners}) == MANY
            for each in listeners:
                host, port = each.get_host_port()
                assert host == ("127.0.0.1" if where == HERE else "0.0.0.0")
                assert each.listen_address == f"pinwire://{host}:{port}"
            ports = [each.get_host_port()[1] for each in listeners]
            assert all(await asyncio.gather(*(answers(f"{HERE}:{port}") for port in ports)))
        await until(lambda: descriptors() <= before + 2)

    run(main())


def test_contact_address_when_the_host_is_a_wildcard_then_it_is_one_that_others_reach(run):
    async def main():
        for where in ("pinwire://0.0.0.0", "pinwire://"):
            async with listening(echo, where) as listener:
                port = listener.get_host_port()[1]
                assert listener.contact_address == f"pinwire://{get_ip()}:{port}"
                assert await answers(listener.contact_address)
            async with listening(echo, where, default_host="127.0.0.1") as listener:
                port = listener.get_host_port()[1]
                assert listener.contact_address == f"{HERE}:{port}"

    run(main())


@needs_ipv6
def test_listener_when_it_has_no_host_then_ipv6_reaches_it_on_the_same_port(run):
    async def main():
        async with listening(echo, "pinwire://") as listener:
            assert await answers(f"pinwire://[::1]:{listener.get_host_port()[1]}")
        async with listening(echo, "pinwire://[::1]") as listener:
            host, port = listener.get_host_port()
            assert host == "::1"
            assert listener.listen_address == listener.contact_address == f"pinwire://[::1]:{port}"
            assert await answers(listener.contact_address)

    run(main())


def test_port_when_it_is_given_then_it_is_listened_on(run):
    async def main():
        async with listening(ignore) as listener:
            port = listener.get_host_port()[1]
        for where, options in ((f"{HERE}:{port}", {}), (HERE, {"default_port": port})):
            async with listening(ignore, where, **options) as listener:
                assert listener.listen_address == f"{HERE}:{port}"

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_port_when_it_is_taken_then_os_error_and_nothing_is_left(host, run):
    async def main():
        async with listening(ignore, f"pinwire://{host}") as listener:
            before = descriptors()
            with pytest.raises(OSError, match="in use"):
                await listen(f"pinwire://{host}:{listener.get_host_port()[1]}", ignore)
            assert descriptors() == before

    run(main())


@needs_ipv6
def test_port_when_it_is_taken_for_ipv6_only_then_os_error_and_nothing_is_left(run):
    async def main():
        with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
            before = descriptors()
            with pytest.raises(OSError, match="in use"):
                await listen(f"pinwire://:{taken.getsockname()[1]}", ignore)
            assert descriptors() == before

    run(main())


def test_listener_when_it_is_not_started_or_stopped_then_it_has_no_address(run):
    async def main():
        listener = listen(HERE, ignore)
        with pytest.raises(ValueError, match="not been started"):
            listener.get_host_port()
        await listener.start()
        address = listener.listen_address
        listener.stop()
        listener.stop()
        with pytest.raises(ValueError, match="stopped"):
            _ = listener.contact_address
        with pytest.raises(OSError, match="Timed out"):
            await connect(address, timeout=0.05)

    run(main())


def test_listener_when_it_stops_then_connections_stay(run):
    async def main():
        async with connected() as (client, server):  # its listener has stopped
            assert await passed(client, server, MESSAGE) == MESSAGE
            assert await passed(server, client, MESSAGE) == MESSAGE

    run(main())


def test_listener_when_it_stops_in_a_handshake_then_that_can_be_aborted(run):
    async def main():
        handled = []
        async with listening(handled.append) as listener:
            with socket.create_connection(listener.get_host_port(), PATIENCE) as silent:
                # Something comes once it has been accepted: its hello.
                assert await asyncio.to_thread(silent.recv, 1)
                listener.stop()
                listener.abort_handshaking_comms()
                await asyncio.to_thread(rest, silent)
        assert not handled

    run(main())


def test_listener_when_it_stops_before_a_connection_is_served_then_that_is_closed(run):
    async def main():
        handled = []
        async with listening(handled.append) as listener:
            stopping = listener._welcome

            def stop_first(stream):
                stopping(stream)
                listener.stop()
                listener.abort_handshaking_comms()

            listener._welcome = stop_first
            with socket.create_connection(listener.get_host_port(), PATIENCE) as silent:
                await asyncio.to_thread(rest, silent)
        assert not handled

    run(main())


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_handler_when_it_fails_then_it_is_reported_and_others_are_served(kind, run):
    async def main():
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

        def fail(comm):
            failing.append(comm)
            raise ZeroDivisionError(kind)

        async def fail_later(comm):
            if len(failing) == 0:
                fail(comm)
            await echo(comm)

        def fail_once(comm):
            if len(failing) == 0:
                fail(comm)
            return echo(comm)

        failing = []
        handler = fail_later if kind == "coroutine" else fail_once
        async with listening(handler) as listener:
            comm = await connect(listener.contact_address, timeout=PATIENCE)
            await until(lambda: failing)
            assert await answers(listener.contact_address)
            await until(lambda: reports)
            assert isinstance(reports[0]["exception"], ZeroDivisionError)
            failing.pop().abort()
            await until(comm.closed)

    run(main())


def test_connect_when_nobody_listens_then_os_error(run):
    async def main():
        async with listening(ignore) as listener:
            address = listener.contact_address
        with pytest.raises(OSError, match="Timed out trying to connect"):
            await connect(address, timeout=0.1)
        connector = get_backend("pinwire").get_connector()
        with pytest.raises(CommClosedError, match="ConnectionRefusedError"):
            await connector.connect(address.removeprefix("pinwire://"))

    run(main())


def test_connect_when_nobody_answers_then_it_times_out_and_nothing_is_left(run):
    async def main():
        # The second connection is one too many for a backlog of none.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.socket() as first:
            first.connect(silent.getsockname())
            before = descriptors()
            with pytest.raises(OSError, match="Timed out trying to connect"):
                await connect(f"{HERE}:{silent.getsockname()[1]}", timeout=0.2)
            await until(lambda: descriptors() <= before)

    run(main())


def test_connect_when_the_peer_ends_in_the_handshake_then_comm_closed_error(run):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"{HERE}:{server.getsockname()[1]}"
            connecting = asyncio.ensure_future(connect(address, timeout=PATIENCE))
            other, _ = await asyncio.to_thread(server.accept)
            other.close()
            with pytest.raises(CommClosedError):
                await connecting

    run(main())


@pytest.mark.parametrize("address", ["pinwire://127.0.0.1", "pinwire://:x", "pinwire://[::1"])
def test_connect_when_the_address_makes_no_sense_then_value_error(address, run):
    async def main():
        with pytest.raises(ValueError, match=r"address|port|literal"):
            await connect(address, timeout=PATIENCE)

    run(main())


def test_arguments_when_they_are_unknown_then_they_are_ignored(run):
    async def main():
        unknown = {"ssl_context": None, "require_encryption": False, "extra_conn_args": {"a": 1}}
        async with listening(echo, **unknown, max_buffer_size=1) as listener:
            comm = await connect(listener.contact_address, **unknown, server_hostname="x")
            assert await passed(comm, comm, MESSAGE) == MESSAGE
            await comm.close()

    run(main())


def test_encryption_when_it_is_required_then_runtime_error(run):
    async def main():
        async with listening(ignore) as listener:
            address = listener.contact_address
            with pytest.raises(RuntimeError, match="encryption required"):
                await connect(address, require_encryption=True)
        with pytest.raises(RuntimeError, match="encryption required"):
            await listen(HERE, ignore, require_encryption=True)

    run(main())


def test_sockets_when_connected_then_they_notice_a_peer_that_is_gone(run):
    async def main():
        with dask.config.set({"distributed.comm.timeouts.tcp": "40s"}):
            async with connected() as ends:
                for comm in ends:
                    option = stream(comm).getsockopt
                    assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                    assert option(socket.SOL_TCP, socket.TCP_KEEPCNT) == 10
                    assert option(socket.SOL_TCP, socket.TCP_KEEPIDLE) == 10
                    assert option(socket.SOL_TCP, socket.TCP_USER_TIMEOUT) == 40_000

    run(main())


EXHAUSTED = """
    import asyncio, contextlib, logging, os, resource, socket
    from distributed.comm import connect, listen
    from pinwire import _asyncio

    said = []

    class Memory(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    async def main():
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()
        async with listen("pinwire://127.0.0.1", accepted.set_result) as listener:
            peer, taken = socket.socket(), []
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            peer.connect(listener.get_host_port())
            while not said:
                await asyncio.sleep(0.001)
            peer.close()
            for number in taken:
                os.close(number)
            comm = await connect(listener.contact_address)
            await comm.write("served")
            print(await (await accepted).read(), said[0])

    _asyncio.PAUSE = 0.01
    logging.getLogger("pinwire.dask").addHandler(Memory())
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    asyncio.run(main())
"""


def test_listener_when_descriptors_run_out_then_it_says_so_and_goes_on():
    said = "no connection can be accepted: trying until one can: [Errno 24] Too many open files"
    code, out, err = program(EXHAUSTED)
    assert (code, out) == (0, f"served {said}\n"), err
