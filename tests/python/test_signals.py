"""Signals: Ctrl-C works at once, and a handler that returns interrupts nothing (PEP 475)."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest
from support import (
    BIG,
    SMALL,
    Call,
    finish,
    pattern,
    program,
    received_blocking,
    sleeping,
    sleeps,
    start_program,
    wait_until,
)

import pinwire
import pinwire.blocking

# A program that tells what its call raised.
PRELUDE = """
import asyncio, os, signal, socket, sys, threading, pinwire, pinwire.blocking

def report(call):
    try:
        call()
    except BaseException as error:
        counts = [str(getattr(error, name, None)) for name in ("transferred", "nbytes")]
        print(type(error).__name__, *counts)
    else:
        print("no exception")

a, b = pinwire.blocking.socketpair()
b.send_buffer(b"12")
listener = pinwire.blocking.listen("tcp://127.0.0.1:0")
full = socket.create_server(("127.0.0.1", 0), backlog=0)
first = socket.create_connection(full.getsockname())
"""

WAITING = {
    "recv_into": ("b.recv_into(bytearray(10))", "KeyboardInterrupt 0 10"),
    "recv_exactly_into": ("a.recv_exactly_into(bytearray(10))", "KeyboardInterrupt 2 10"),
    "accept": ("listener.accept()", "KeyboardInterrupt None None"),
    "next": ("next(listener)", "KeyboardInterrupt None None"),
    "connect": ("pinwire.blocking.connect(full.getsockname())", "KeyboardInterrupt None None"),
}


@pytest.mark.parametrize("call", WAITING)
def test_sigint_when_a_call_waits_then_it_raises_and_says_how_far_it_came(call):
    code, raised = WAITING[call]
    process = start_program(PRELUDE + f"report(lambda: {code})")
    wait_until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGINT)
    assert finish(process) == (0, raised + "\n", "")


def test_sigint_when_a_send_waits_then_it_raises_and_the_stream_is_torn():
    code = """
report(lambda: a.send_buffer(bytes(1 << 26)))
report(lambda: a.send_buffer(b"more"))
"""
    process = start_program(PRELUDE + code)
    wait_until(lambda: sleeps(process.pid))
    process.send_signal(signal.SIGINT)
    returncode, out, err = finish(process)
    assert (returncode, err) == (0, "")
    interrupted, torn = (line.split() for line in out.splitlines())
    assert (interrupted[0], torn[0]) == ("KeyboardInterrupt", "TornStreamError")
    assert interrupted[1:] == torn[1:]
    assert 0 < int(torn[1]) < int(torn[2]) == 1 << 26


def test_sigint_when_the_peer_keeps_up_then_a_bulk_send_is_interrupted_in_the_middle():
    code = """
ours, theirs = socket.socketpair()
if not (child := os.fork()):
    ours.close()
    memory, got = bytearray(1 << 20), 0
    while n := theirs.recv_into(memory):
        if got < 1 << 26 <= got + n:
            os.kill(os.getppid(), signal.SIGINT)
        got += n
    os._exit(0)
theirs.close()
with pinwire.blocking.Stream.from_socket(ours) as stream:
    report(lambda: stream.send_buffer(bytes(1 << 30)))
os.waitpid(child, 0)
"""
    returncode, out, err = program(PRELUDE + code)
    assert (returncode, err) == (0, "")
    kind, transferred, nbytes = out.split()
    assert kind == "KeyboardInterrupt"
    assert 1 << 26 <= int(transferred) < int(nbytes) == 1 << 30


def test_sigint_when_a_call_spins_then_it_raises():
    code = """
b = pinwire.blocking.Stream.from_socket(socket.socket(fileno=b.detach()), busy_poll=3600)

def interrupt():
    while b.stats().system_calls < 100:
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
report(lambda: b.recv_into(bytearray(10)))
"""
    assert program(PRELUDE + code) == (0, "KeyboardInterrupt 0 10\n", "")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sigint_when_a_task_waits_then_the_program_ends_by_keyboard_interrupt(loop):
    code = f"""
import {loop} as loops

def interrupt(transfer):
    while transfer.transferred < 2:
        pass
    os.kill(os.getpid(), signal.SIGINT)

async def main():
    a, b = pinwire.socketpair()
    async with a, b:
        await a.send_buffer(b"12")
        transfer = b.recv_exactly_into(bytearray(10))
        threading.Thread(target=interrupt, args=[transfer]).start()
        try:
            await transfer
        except asyncio.CancelledError as error:
            print(error.transferred, error.nbytes)
            raise

def run():
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(main())

report(run)
"""
    assert program(PRELUDE + code) == (0, "2 10\nKeyboardInterrupt None None\n", "")


@contextlib.contextmanager
def handled(handler):
    """A handler of SIGUSR1; SIGALRM is pytest-timeout's."""
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, old)


@pytest.fixture
def ticks():
    """A list that grows by one with each signal; they come every millisecond."""
    seen, stop = [], threading.Event()

    def tick():
        while not stop.wait(0.001):
            os.kill(os.getpid(), signal.SIGUSR1)

    with handled(lambda *_: seen.append(None)):
        call = Call(tick)
        yield seen
        stop.set()
        call.result()


@contextlib.contextmanager
def interrupted(handler):
    """The handler runs once this thread sleeps for a socket."""

    def interrupt():
        wait_until(lambda: sleeps("self"))
        os.kill(os.getpid(), signal.SIGUSR1)

    with handled(handler):
        call = Call(interrupt)
        yield
        call.result()


@contextlib.contextmanager
def later(condition, action, *args):
    """Do it in a thread once the condition is true."""

    def work():
        wait_until(condition)
        action(*args)

    call = Call(work)
    yield
    call.result()


def test_handler_when_it_returns_then_a_receive_goes_on_to_its_end(ticks):
    client, server = pinwire.blocking.socketpair(**SMALL)
    memory = bytearray(BIG)
    with client, server, later(lambda: len(ticks) > 10, client.send_buffer, pattern(BIG)):
        assert server.recv_exactly_into(memory) == BIG
    assert memory == pattern(BIG)


def test_handler_when_it_returns_then_a_send_goes_on_to_its_end(ticks):
    client, server = pinwire.blocking.socketpair(**SMALL)
    got = []

    def receive():
        got.append(received_blocking(server, BIG))

    with client, server, later(lambda: len(ticks) > 10, receive):
        assert client.send_buffer(pattern(BIG)) == BIG
    assert got == [pattern(BIG)]


def test_handler_when_it_returns_then_accept_goes_on(ticks):
    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        clients = []
        connect = lambda: clients.append(pinwire.blocking.connect(listener.address))  # noqa: E731
        with later(lambda: len(ticks) > 10, connect), listener.accept():
            pass
        clients[0].close()


def test_handler_when_it_returns_then_the_timeout_still_holds(ticks):
    client, server = pinwire.blocking.socketpair()
    with client, server, pytest.raises(pinwire.TransferTimeoutError):
        server.recv_into(bytearray(1), timeout=0.02)
    assert ticks


@pytest.mark.timeout(10)  # instead of one of its own, which would wake it
def test_handler_when_it_closes_the_stream_and_waits_itself_then_the_call_ends():
    client, server = pinwire.blocking.socketpair()
    left, right = pinwire.blocking.socketpair()

    def handler(*_):
        server.close()
        with later(lambda: sleeps("self"), left.send_buffer, b"x"):
            right.recv_into(bytearray(1))

    with client, left, right, interrupted(handler), pytest.raises(pinwire.ClosedError):
        server.recv_into(bytearray(1))


def test_handler_when_it_closes_the_listener_and_raises_then_the_exception_leaves_the_loop():
    listener = pinwire.blocking.listen("tcp://127.0.0.1:0")

    def handler(*_):
        listener.close()
        raise ZeroDivisionError

    with interrupted(handler), pytest.raises(ZeroDivisionError):
        for _ in listener:
            pass


def test_handler_when_it_raises_in_accept_then_no_connection_is_lost():
    def handler(*_):
        raise ZeroDivisionError

    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:
        with interrupted(handler), pytest.raises(ZeroDivisionError):
            listener.accept()
        with pinwire.blocking.connect(listener.address), listener.accept(timeout=5):
            pass


def test_signal_when_it_hits_a_thread_that_waits_then_its_call_goes_on():
    seen = threading.Event()
    client, server = pinwire.blocking.socketpair()
    with client, server, handled(lambda *_: seen.set()):
        call = sleeping(server.recv_into, bytearray(4))
        signal.pthread_kill(call.ident, signal.SIGUSR1)
        wait_until(seen.is_set)  # the main thread runs the handler
        wait_until(call.sleeps)
        client.send_buffer(b"data")
        assert call.result() == 4
