"""Connections that stay on this machine are not paced; all others stay as the system made them.

Each test is a program of its own: it may enter a network namespace to have the default that it
needs, and forbid itself a system call.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from support import program

SKIP = 77

PRELUDE = f"""
import asyncio, contextlib, ctypes, fcntl, json, os, platform, socket, struct, sys
from pathlib import Path
import pinwire, pinwire.blocking

CONGESTION = socket.IPPROTO_TCP, socket.TCP_CONGESTION
SNDBUF = socket.SOL_SOCKET, socket.SO_SNDBUF
libc = ctypes.CDLL(None, use_errno=True)

def skip(why):
    print(json.dumps(why))
    sys.exit({SKIP})

def default(name):
    path = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    if path.read_text().strip() == name:
        return
    if libc.unshare(0x40000000):  # CLONE_NEWNET
        skip("may not enter a network namespace")
    with socket.socket() as sock:  # SIOCSIFFLAGS: bring the loopback up
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh22x", b"lo", 1))
    try:
        path.write_text(name)
    except OSError as error:
        skip(f"{{name}} cannot be the default here: {{error}}")

def forbid_choosing():
    "Let setsockopt(TCP_CONGESTION) fail with EPERM from now on (seccomp(2), 64 bits)."
    setsockopt = {{"x86_64": 54, "aarch64": 208}}[platform.machine()]
    load, equal, ret = 0x20, 0x15, 0x06
    program = b"".join(struct.pack("HBBI", *line) for line in [
        (load, 0, 0, 0), (equal, 0, 5, setsockopt),
        (load, 0, 0, 24), (equal, 0, 3, CONGESTION[0]),
        (load, 0, 0, 32), (equal, 0, 1, CONGESTION[1]),
        (ret, 0, 0, 0x00050001), (ret, 0, 0, 0x7FFF0000),
    ])
    memory = ctypes.create_string_buffer(program, len(program))
    filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(memory))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter, 0, 0):
        skip("no seccomp filters")

def algorithm(sock):
    return sock.getsockopt(*CONGESTION, 16).rstrip(bytes(1)).decode()

def ends(where="tcp://127.0.0.1:0", to="", **options):
    "Both ends of a connection on the face for threads."
    with pinwire.blocking.listen(where, **options) as listener:
        to = to and f"{{to}}:{{listener.address.rpartition(':')[2]}}"
        client = pinwire.blocking.connect(to or listener.address, **options)
        return client, listener.accept()

async def ends_on_a_loop(where="tcp://127.0.0.1:0"):
    async with pinwire.listen(where) as listener:
        client = await pinwire.connect(listener.address)
        return client, await listener.accept()

def tell(streams, ask):
    print(json.dumps([ask(stream) for stream in streams]))
    for stream in streams:
        stream.close()
"""


def told(code: str) -> list[object]:
    """What the program tells of both ends."""
    status, out, err = program(PRELUDE + textwrap.dedent(code))
    if status == SKIP:
        pytest.skip(json.loads(out))
    assert (status, err) == (0, "")
    answers: list[object] = json.loads(out)
    return answers


WAYS = [
    "ends()",
    "ends('tcp://[::1]:0')",
    "ends('tcp://:0', to='tcp://127.0.0.2')",
    "ends('tcp://[::]:0', to='tcp://127.0.0.1')",
    "asyncio.run(ends_on_a_loop())",
]


@pytest.mark.parametrize("way", WAYS)
def test_local_connection_when_bbr_is_the_default_then_neither_end_has_it(way):
    assert told(f"default('bbr'); tell({way}, algorithm)") in (["cubic"] * 2, ["reno"] * 2)


def test_local_connection_when_bbr_is_replaced_then_the_kernel_still_tunes_the_buffers():
    ours, plain = told("""
        default("bbr")
        client, server = ends()
        listener = socket.create_server(("127.0.0.1", 0))
        plain = socket.create_connection(listener.getsockname())
        with listener, server:
            tell([client, plain], lambda sock: sock.getsockopt(*SNDBUF))
    """)
    assert ours == plain


def test_local_connection_when_another_is_the_default_then_it_stays():
    assert told("default('reno'); tell(ends(), algorithm)") == ["reno"] * 2


def test_socket_when_taken_over_then_it_keeps_its_congestion_control():
    algorithms = told("""
        default("bbr")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        take = pinwire.blocking.Stream.from_socket
        tell([take(client), take(server)], algorithm)
    """)
    assert algorithms == ["bbr"] * 2


def test_congestion_control_when_the_user_sets_it_then_it_stays():
    client, _ = told("""
        default("bbr")
        client, server = ends()
        client.setsockopt(*CONGESTION, b"bbr")
        client.send_buffer(b"abc")
        server.recv_exactly_into(bytearray(3))
        tell([client, server], algorithm)
    """)
    assert client == "bbr"


def test_local_connection_when_bbr_must_stay_then_the_send_buffers_are_small():
    limit = int(Path("/proc/sys/net/core/wmem_max").read_text())
    both = told("""
        default("bbr")
        forbid_choosing()
        tell(ends(), lambda s: [algorithm(s), s.getsockopt(*SNDBUF)])
    """)
    assert both == [["bbr", 2 * min(256 * 1024, limit)]] * 2


def test_local_connection_when_bbr_must_stay_then_the_users_buffer_size_wins():
    both = told("""
        default("bbr")
        forbid_choosing()
        tell(ends(send_buffer_size=8192), lambda s: [algorithm(s), s.getsockopt(*SNDBUF)])
    """)
    assert both == [["bbr", 16384]] * 2
