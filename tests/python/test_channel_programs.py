"""Servers of channels in programs of their own: signals, and limits of a process."""

from __future__ import annotations

import signal

import pytest
from support import finish, program, start_program

FACES = pytest.mark.parametrize("face", ["asyncio", "blocking"])

FOREVER = {
    "asyncio": """
        import asyncio
        import pinwire

        async def handler(channel):
            print("in", flush=True)
            try:
                await channel.recv()
            finally:
                print("out", flush=True)

        async def main():
            async with pinwire.serve_channels(handler, "tcp://127.0.0.1:0") as server:
                async with pinwire.connect_channel(server.address) as channel:
                    await channel.handshake()
                    await server.serve_forever()

        asyncio.run(main())
    """,
    "blocking": """
        import pinwire.blocking

        def handler(channel):
            print("in", flush=True)
            try:
                channel.recv()
            finally:
                print("out", flush=True)

        with pinwire.blocking.serve_channels(handler, "tcp://127.0.0.1:0") as server:
            with pinwire.blocking.connect_channel(server.address) as channel:
                channel.handshake()
                server.serve_forever()
    """,
}


@FACES
def test_server_when_interrupted_by_ctrl_c_then_it_closes_and_the_program_ends(face):
    process = start_program(FOREVER[face], options=("-W", "error", "-X", "dev"))
    assert process.stdout.readline() == "in\n"
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert out == "out\n"
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert "ClosedError" not in err
    assert "Warning" not in err
    assert code in (1, 130, -signal.SIGINT)


EXHAUSTED = """
    import asyncio, os, resource, socket, sys, threading
    import pinwire, pinwire.blocking
    from pinwire import _asyncio, _blocking_server

    _asyncio.PAUSE = _blocking_server.PAUSE = 0.01
    reports = []
    threading.excepthook = lambda args: reports.append(args.exc_value)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    def connections(address):
        "Peers that connect once every other descriptor there may be is taken."
        peers, taken = [socket.socket() for _ in range(3)], []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        for peer in peers:
            peer.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        return peers, taken

    async def handler(channel):
        await channel.send(b"served")

    def blocking_handler(channel):
        channel.send(b"served")

    def check(peers):
        for peer in peers:
            peer.settimeout(10)
            peer.sendall(b"\\x89PWIRE\\r\\n" + bytes([2, 2]) + bytes(13) + b"\\1" + bytes(0))
            data = b""
            while piece := peer.recv(1000):
                data += piece
            assert data.endswith(b"served"), data
            peer.close()
        assert {type(error) for error in reports} == {OSError}, reports
        print("served")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
        async with pinwire.serve_channels(handler, "tcp://127.0.0.1:0") as server:
            peers, taken = connections(server.address)
            while not reports:
                await asyncio.sleep(0.001)
            for fd in taken:
                os.close(fd)
            await asyncio.to_thread(check, peers)

    def blocking():
        with pinwire.blocking.serve_channels(blocking_handler, "tcp://127.0.0.1:0") as server:
            peers, taken = connections(server.address)
            while not reports:
                threading.Event().wait(0.001)
            for fd in taken:
                os.close(fd)
            check(peers)

    asyncio.run(main()) if sys.argv[1] == "asyncio" else blocking()
"""


@FACES
def test_server_when_out_of_descriptors_then_it_pauses_and_goes_on(face):
    assert program(EXHAUSTED, face) == (0, "served\n", "")
