"""Another user of the host, who leaves descriptors on sockets: they close as slowly as he likes."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from confined import WAYS
from support import finish, start_program

if TYPE_CHECKING:
    from collections.abc import Iterator

LINGER = 6
"""Seconds that the last reference to such a descriptor takes to close."""

NOBODY = 65534


def _lingering() -> socket.socket:
    """A connection whose close waits, because its peer does not read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours = socket.socket()  # what imports nothing, which this user may not read
        ours.connect(listener.getsockname())
        theirs = listener.accept()[0]
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 16))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))
    _kept.append(theirs)
    return ours


def _leave(sock: socket.socket, ours: socket.socket) -> str:
    """Send it with a byte, so that no other reference is left."""
    rights = array.array("i", [ours.fileno()]).tobytes()
    try:
        sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    except OSError as error:
        _kept.append(ours)  # or else it is he who waits
        return "refused" if isinstance(error, PermissionError) else "late"
    ours.close()
    return "left"


_kept: list[socket.socket] = []


def _visit(kind: int, name: bytes) -> str:
    sock, ours = socket.socket(socket.AF_UNIX, kind), _lingering()
    # He is in a hurry: who is visited may close the connection at once.
    sock.connect(name)
    fate = _leave(sock, ours)
    _kept.append(sock)
    return fate


def _say(text: str) -> None:
    print(text, flush=True)


def _receive_visit(kind: int, name: bytes) -> str:
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(name)
        if name[:1] != b"\0":
            Path(os.fsdecode(name)).chmod(0o777)
        listener.listen()
        listener.setblocking(False)
        ours = _lingering()
        _say("listening")
        while True:
            with contextlib.suppress(BlockingIOError):
                sock = listener.accept()[0]
                break
        fate = _leave(sock, ours)
    _kept.append(sock)
    return fate


def main() -> None:
    WAYS["nobody"]()
    _say("ready")
    kinds = {"link": socket.SOCK_SEQPACKET, "stream": socket.SOCK_STREAM}
    acts = {"visit": _visit, "receive": _receive_visit}
    for line in sys.stdin:
        act, kind, name = line.split()
        _say(acts[act](kinds[kind], bytes.fromhex(name)))


class Stranger:
    """That user's process, told what to do."""

    def __init__(self) -> None:
        program = "import strangers; strangers.main()"
        self._process: Any = start_program(program, cwd=Path(__file__).parent, stdin=-1)
        assert self.heard() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        finish(self._process)

    def heard(self) -> str:
        return self._process.stdout.readline().strip()

    def tell(self, act: str, kind: str, name: bytes) -> str:
        """Gives what it says next: of a visit, what has become of the descriptor."""
        self._process.stdin.write(f"{act} {kind} {name.hex()}\n")
        self._process.stdin.flush()
        return self.heard()


VICTIM = """
import asyncio, json, sys, threading, time
import confined, pinwire, pinwire.blocking
from neighbour import import_all

import_all()
face, where, ways = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
longest = 0

async def echo(channel):
    async for message in channel:
        await channel.send(message.parts)

def echo_in_thread(channel):
    for message in channel:
        channel.send(message.parts)

async def look():
    global longest
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now

async def main():
    looking = asyncio.create_task(look())
    async with pinwire.serve_channels(echo, where) as server:
        print(server.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    await asyncio.sleep(0.01)  # one more look, which sees whether closing stood
    looking.cancel()

def main_of_threads():
    threading.Thread(target=lambda: asyncio.run(look()), daemon=True).start()
    with pinwire.blocking.serve_channels(echo_in_thread, where) as server:
        print(server.address, flush=True)
        sys.stdin.read()
    time.sleep(0.01)  # one more look, which sees whether closing stood

for way in ways:
    confined.WAYS[way]()
asyncio.run(main()) if face == "asyncio" else main_of_threads()
print(longest)
"""


class Victim:
    """A server that sends back what it gets, and how long everything else in it stood."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.address: str = process.stdout.readline().strip()
        self.longest = 0.0

    @property
    def target(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition("/")[2].rpartition(":")
        return host, int(port)

    def end(self) -> None:
        code, out, err = finish(self._process)
        # Connections that ended in the middle are told of there.
        assert code == 0, err
        self.longest = float(out)


@contextlib.contextmanager
def victim(face: str, where: str, *ways: str) -> Iterator[Victim]:
    """Afterwards it tells how long it stood."""
    here = Path(__file__).parent
    process = start_program(VICTIM, face, where, json.dumps(ways), cwd=here, stdin=-1)
    try:
        served = Victim(process)
        yield served
        served.end()
    finally:
        process.kill()
        process.wait()
