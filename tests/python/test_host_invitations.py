"""Invitations that lead nowhere, or elsewhere, and peers that say nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from typing import Any

import pytest
from hostile import descriptors, rest
from offers import (
    DATA,
    END,
    KERNEL,
    SECRET,
    SIZE,
    UNREADABLE,
    Memory,
    answer,
    dial,
    door,
    inviting,
    neighbours_hello,
    offer,
    plain,
    received,
)
from support import PATIENCE, Call, finish, start_program

import pinwire

FLOODS = {
    "withdrawn-offers": lambda memory, invited: offer([(memory.address, 8)], [8], ticket=2) * 100,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_receive_when_only_what_is_no_message_comes_then_its_timeout_holds(face, name):
    async def main() -> None:
        memory = Memory(DATA)
        invited = inviting(memory.shown)
        flood = FLOODS[name](memory, invited)
        over = threading.Event()

        def talk(sock: socket.socket) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while not over.is_set():
                    sock.sendall(flood)

        def listen(listener: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while not over.is_set():
                    listener.accept()[0].close()

        async with face.raw(same_host="auto") as (sock, channel):
            with door(invited) as listener:
                sock.sendall(neighbours_hello() + invited.frame())
                calls = [Call(talk, sock), Call(listen, listener)]
                before = descriptors()
                try:
                    with pytest.raises(pinwire.TransferTimeoutError):
                        await channel.recv(timeout=0.1)
                    assert descriptors() <= before + 10
                finally:
                    over.set()
                    channel.abort()
                    dial(invited).close()  # which wakes who listens
                for call in calls:
                    call.result()

    face.run(main())


@contextlib.contextmanager
def full(invited: Any) -> Any:
    """A door with more before it than it takes."""
    with door(invited, 0) as listener, contextlib.ExitStack() as stack:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                sock.connect(invited.door)
        yield listener


DOORS = {
    "nowhere": lambda invited: contextlib.nullcontext(),
    "full": full,
    "zero": door,
    "unmapped": door,
    "end": door,
    "kernel": door,
    "elsewhere": door,
}


@pytest.mark.parametrize("name", DOORS)
def test_an_invitation_when_it_leads_nowhere_then_the_socket_is_used_as_before(face, name):
    async def main() -> None:
        memory = Memory(DATA)
        wrong = {
            "zero": (0, errno.EFAULT),
            "unmapped": (64, errno.EFAULT),
            "end": (END - 39, errno.EFAULT),
            "kernel": (KERNEL, errno.EFAULT),
            "elsewhere": (memory.address, errno.ESRCH),
        }
        address, error = wrong.get(name, (memory.shown, 0))
        invited = inviting(address)
        with DOORS[name](invited) as listener:
            async with face.raw(same_host="auto") as (sock, channel):
                before = descriptors()
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
                assert await received(channel) == b"next"
                if error:
                    with listener.accept()[0] as visitor:
                        visitor.settimeout(PATIENCE)
                        assert rest(visitor) == SECRET + answer(0, UNREADABLE, error)
                assert descriptors() <= before
                assert channel.transport == "unix"
                sock.sendall(offer([(memory.address, SIZE)], [SIZE]))
                with pytest.raises(pinwire.ProtocolError, match="an offer without an invitation"):
                    await channel.recv(timeout=PATIENCE)

    face.run(main())


@pytest.mark.parametrize("closes", [True, False])
def test_an_invitation_when_nobody_is_behind_the_door_then_offers_are_read_unanswered(face, closes):
    async def main() -> None:
        memory = Memory(DATA)
        invited = inviting(memory.shown)
        with door(invited) as listener:
            async with face.raw(same_host="auto") as (sock, channel):
                sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
                assert await received(channel) == b"next"
                if closes:
                    listener.accept()[0].close()
                for _ in range(2):
                    sock.sendall(offer([(memory.address, SIZE)], [SIZE]))
                    assert await received(channel) == DATA

    face.run(main())


THIRD = """
import socket, sys

with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(b"\\0pinwire-" + sys.argv[1].encode())
    listener.listen()
    print("listens", flush=True)
    with listener.accept()[0] as visitor:
        came = b""
        while piece := visitor.recv(100):
            came += piece
        print(came.hex())
"""


def test_an_invitation_when_another_process_listens_then_its_memory_is_not_read(face):
    async def main() -> None:
        memory = Memory(DATA)
        invited = inviting(memory.shown)
        process = start_program(THIRD, invited.name.hex())
        assert process.stdout.readline() == "listens\n"
        async with face.raw(same_host="auto") as (sock, channel):
            sock.sendall(neighbours_hello() + invited.frame() + plain(b"next"))
            assert await received(channel) == b"next"
            code, out, err = await asyncio.to_thread(finish, process)
            errors = [errno.EFAULT, errno.ESRCH]
            heard = [(SECRET + answer(0, UNREADABLE, error)).hex() + "\n" for error in errors]
            assert (code, err) == (0, "") and out in heard
            sock.sendall(offer([(memory.address, SIZE)], [SIZE]))
            with pytest.raises(pinwire.ProtocolError, match="an offer without an invitation"):
                await channel.recv(timeout=PATIENCE)

    face.run(main())
