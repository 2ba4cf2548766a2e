"""What keeps one process from reading another one's memory: then the socket has every byte."""

from __future__ import annotations

import asyncio
import errno
import json
import mmap
import socket
import subprocess
import sys
from contextlib import contextmanager
from ctypes import addressof, c_char
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple

import confined
import pytest
from neighbour import SIZE
from support import PATIENCE, finish, pattern, start_program

import pinwire

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SENTENCE = "the peer cannot read this process: "

IN_USE = "in use"
EPERM = SENTENCE + "Operation not permitted (os error 1)"
ESRCH = SENTENCE + "No such process (os error 3)"
ENOSYS = SENTENCE + "Function not implemented (os error 38)"
NOBODY = "the system refuses what it takes: Operation not permitted (os error 1)"
ELSEWHERE = "the peer is on another host, or in another network namespace"
UNANSWERED = "the peer has not answered"
REMOTE = "the peer is on another host"


class Case(NamedTuple):
    """How two processes are confined, and what the sender then says of the path."""

    before: str
    sender: tuple[str, ...] = ()
    receiver: tuple[str, ...] = ()
    # What one of them does to itself in the middle, and what is said after that.
    sender_then: tuple[str, ...] = ()
    receiver_then: tuple[str, ...] = ()
    after: str | None = None
    # Whether the sender may not hear of it: who comes from another user is not waited for.
    is_unheard: bool = False


CASES = {
    "nothing": Case(IN_USE),
    "receiver-is-nobody": Case(EPERM, receiver=("nobody",), is_unheard=True),
    "receiver-without-ptrace": Case(EPERM, receiver=("no ptrace",)),
    # The rights of one user, who is root and has no others.
    "both-without-ptrace": Case(IN_USE, sender=("no ptrace",), receiver=("no ptrace",)),
    "undumpable": Case(EPERM, sender=("no ptrace", "undumpable"), receiver=("no ptrace",)),
    "undumpable-later": Case(
        IN_USE,
        sender=("no ptrace",),
        receiver=("no ptrace",),
        sender_then=("undumpable",),
        after=EPERM,
    ),
    # Who is not dumpable may be another program by now, with rights that its user has not.
    "undumpable-before-who-may-trace": Case(
        EPERM, sender=("somebody", "undumpable"), receiver=("somebody who traces",)
    ),
    # Not to be seen is not to be gone.
    "hidden-later": Case(
        IN_USE,
        sender=("hidden processes", "somebody"),
        receiver=("hidden processes", "somebody"),
        sender_then=("undumpable",),
        after=EPERM,
    ),
    "eperm": Case(EPERM, receiver=("EPERM",)),
    "enosys": Case(ENOSYS, receiver=("ENOSYS",)),
    "eperm-later": Case(IN_USE, receiver_then=("EPERM",), after=EPERM),
    "enosys-later": Case(IN_USE, receiver_then=("ENOSYS",), after=ENOSYS),
    # The workers that help may still read.
    "eperm-in-the-thread-later": Case(IN_USE, receiver_then=("EPERM in the thread",), after=EPERM),
    # Who is outside has no number in the namespace, so it is not linked with who is inside.
    "receiver-in-pid-namespace": Case(ESRCH, receiver=("pid namespace",)),
    # Its /proc is that of outside, too.
    "sender-in-pid-namespace": Case(NOBODY, sender=("pid namespace",)),
    # Where a user has no number, it is nobody's equal.
    "receiver-in-user-namespace": Case(EPERM, receiver=("user namespace",)),
    "sender-in-user-namespace": Case(NOBODY, sender=("user namespace",)),
    "sender-in-network-namespace": Case(ELSEWHERE, sender=("network namespace",)),
}

# What changes in the middle of a transfer is the faces' own matter.
RUNS = [(name, "asyncio") for name in CASES]
RUNS += [(name, "blocking") for name, case in CASES.items() if case.after]


def start(
    role: str, face: str, where: str, first: tuple[str, ...], then: tuple[str, ...], fd: int = -1
) -> Any:
    command = [sys.executable, "-W", "error", str(HERE / "neighbour.py"), role, face, where]
    return subprocess.Popen(
        [*command, json.dumps(first), json.dumps(then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[] if fd < 0 else [fd],
    )


def agreed(*processes: Any) -> dict[str, Any]:
    """What the sender prints, after a look whether every message has come exact, and once.

    The test is skipped if the kernel does not let a process be confined.
    """
    ended = [finish(process) for process in processes]
    lines = [json.loads(line) for _, out, _ in ended for line in out.splitlines()]
    for line in lines:
        if "cannot" in line:
            pytest.skip(f"the kernel does not allow it here: {line['cannot']}")
    assert [(code, err) for code, _, err in ended] == [(0, "")] * len(ended)
    by_role = {line["role"]: line for line in lines}
    sent, received = by_role["send"], by_role["receive"]
    assert received["numbers"] == sent["numbers"]
    assert received["pulled"] == sent["offered"] == SIZE * sent["ways"].count(IN_USE)
    # Gone is the socket that there was before.
    assert (sent["left"], received["left"]) == (-1, -1)
    return sent


@pytest.mark.parametrize(("name", "face"), RUNS)
def test_messages_when_the_peer_may_not_read_then_the_socket_has_every_byte(face, name):
    case = CASES[name]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        where = [f"fd:{end.fileno()}" for end in (ours, theirs)]
        processes = [
            start("send", face, where[0], case.sender, case.sender_then, ours.fileno()),
            start("receive", face, where[1], case.receiver, case.receiver_then, theirs.fileno()),
        ]
    sent = agreed(*processes)
    if case.is_unheard and set(sent["ways"]) == {UNANSWERED}:
        return
    # Two of them follow on the one after which somebody is confined.
    assert sent["ways"][-3:] == [case.before, *[case.after or case.before] * 2]


FOREIGN_PROC = """
import ctypes, json, os, socket, subprocess, sys
import confined

try:
    confined.WAYS["pid namespace"]()
    # Numbers that nobody has whom /proc shows.
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write("3500000")
except OSError as error:
    print(json.dumps({"cannot": str(error)}))
    sys.exit()
ends = dict(zip(("send", "receive"), socket.socketpair()))
processes = [
    subprocess.Popen(
        [sys.executable, "neighbour.py", role, "asyncio", f"fd:{end.fileno()}", "[]", "[]"],
        pass_fds=[end.fileno()],
    )
    for role, end in ends.items()
]
for end in ends.values():
    end.close()
sys.exit(max(process.wait() for process in processes))
"""


def test_messages_when_proc_is_of_another_pid_namespace_then_the_socket_has_every_byte():
    process = start_program(FOREIGN_PROC, options=("-W", "error"), cwd=HERE)
    assert set(agreed(process)["ways"]) == {NOBODY}


def test_messages_when_a_path_joins_network_namespaces_then_the_socket_has_every_byte(tmp_path):
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        fd = listener.fileno()
        processes = [
            start("send", "asyncio", f"accept:{fd}", (), (), fd),
            start("receive", "asyncio", f"connect:{path}", ("network namespace",), ()),
        ]
    assert set(agreed(*processes)["ways"]) == {ELSEWHERE}


VETH = """
import json, os, socket, subprocess
import confined, neighbour

def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, stderr=subprocess.PIPE, text=True)

def take_address(device, address):
    ip("address", "add", address + "/30", "dev", device)
    ip("link", "set", device, "up")

def receive(words):
    with words:
        confined.WAYS["network namespace"]()
        words.send(b"ready")
        if not (port := words.recv(100)):
            return
    take_address("theirs", "192.0.2.2")
    with socket.create_connection(("192.0.2.1", int(port)), 5) as sock:
        sock.settimeout(None)
        neighbour.run("receive", "blocking", socket.socket(fileno=sock.detach()), [])

def send(words, child):
    with words:
        words.recv(100)
        ip("link", "add", "ours", "type", "veth", "peer", "name", "theirs", "netns", child)
        take_address("ours", "192.0.2.1")
        listener = socket.create_server(("192.0.2.1", 0))
        words.send(b"%d" % listener.getsockname()[1])
    with listener:
        sock = listener.accept()[0]
    neighbour.run("send", "blocking", sock, [])
    assert os.waitpid(child, 0)[1] == 0

neighbour.import_all()
try:
    confined.WAYS["network namespace"]()
    ours, theirs = socket.socketpair()
    if child := os.fork():
        theirs.close()
        send(ours, child)
    else:
        ours.close()
        receive(theirs)
except (PermissionError, FileNotFoundError, subprocess.CalledProcessError) as error:
    print(json.dumps({"cannot": str(error)}))
"""


def test_messages_when_a_wire_joins_network_namespaces_then_it_has_every_byte():
    process = start_program(VETH, options=("-W", "error"), cwd=HERE)
    assert set(agreed(process)["ways"]) == {REMOTE}


@contextmanager
def cut(keep: int) -> Iterator[mmap.mmap]:
    """A map of a file that has lost all but so many bytes since."""
    with TemporaryFile() as file:
        file.write(pattern(SIZE))
        file.flush()
        with mmap.mmap(file.fileno(), SIZE) as memory:
            file.truncate(keep)
            yield memory


@contextmanager
def forbidden(start: int, length: int) -> Iterator[mmap.mmap]:
    """Memory of which some pages may not be touched."""
    with mmap.mmap(-1, SIZE) as memory:
        memory[:] = pattern(SIZE)
        first = c_char.from_buffer(memory)
        address = addressof(first) + start
        del first
        confined.protect(address, length, 0)
        try:
            yield memory
        finally:
            confined.protect(address, length, mmap.PROT_READ | mmap.PROT_WRITE)


UNREADABLE = {
    "a-file-that-is-gone": lambda: cut(0),
    "a-file-that-is-cut": lambda: cut(SIZE // 2),
    "all-pages-forbidden": lambda: forbidden(0, SIZE),
    "a-page-forbidden-in-the-middle": lambda: forbidden(SIZE // 2, mmap.PAGESIZE),
    "the-last-page-forbidden": lambda: forbidden(SIZE - mmap.PAGESIZE, mmap.PAGESIZE),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_memory_when_it_cannot_be_read_then_a_send_ends_as_it_does_over_the_socket(face, name):
    def outcome(same_host: str) -> Any:
        with UNREADABLE[name]() as memory:
            return face.run(sent_unreadable(face, same_host, memory))

    past, over = outcome("auto"), outcome("off")
    assert past == over
    assert past[:2] == (OSError, errno.EFAULT)


async def sent_unreadable(face: Any, same_host: str, memory: Any) -> tuple[Any, ...]:
    """How the send of it ends, and what becomes of the next one."""
    async with face.pair(same_host=same_host) as (sender, receiver):
        fine = asyncio.ensure_future(receiver.recv())
        await sender.send(pattern(SIZE), timeout=PATIENCE)
        assert bytes((await fine).parts[0]) == pattern(SIZE)
        assert (sender.stats().same_host == IN_USE) == (same_host == "auto")
        receiving = asyncio.ensure_future(receiver.recv())
        error = await failure(sender.send(memory, timeout=PATIENCE))
        following = await failure(sender.send(b"next", timeout=PATIENCE))
        if following is None:
            assert bytes((await receiving).parts[0]) == b"next"
        else:
            sender.abort()
            kinds = (pinwire.IncompleteTransferError, ConnectionResetError)
            assert isinstance(await failure(receiving), kinds)
        return type(error), getattr(error, "errno", None), type(following)


async def failure(call: Any) -> BaseException | None:
    """What it raises, if it does."""
    try:
        await call
    except Exception as error:
        return error
    return None
