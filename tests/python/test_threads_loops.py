"""Several loops in several threads, streams that move between them, and forked children."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import socket
import threading
import warnings

import pytest
import uvloop
from support import BIG, PATIENCE, SMALL, Call, pattern, raw, received, received_blocking, waiting

import pinwire
import pinwire.blocking

FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=FACTORIES)
def new_loop(request):
    """Make event loops; they are closed at the end."""
    loops = []

    def make():
        loops.append(FACTORIES[request.param]())
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()


class LoopThread:
    """A loop that runs in a thread of its own."""

    def __init__(self, loop):
        self.loop = loop

    def __enter__(self):
        self._call = Call(self.loop.run_forever)
        return self

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._call.result()


async def exchange(client, server, rounds=50):
    """Bytes over and back, so that both directions have waited on this loop."""
    async with asyncio.timeout(PATIENCE):
        await _exchange(client, server, rounds)


async def _exchange(client, server, rounds):
    for i in range(rounds):
        for a, b in ((client, server), (server, client)):
            memory = bytearray(10)
            task = await waiting(b, b.recv_exactly_into(memory))
            await a.send_buffer(pattern(10, i))
            await task
            assert memory == pattern(10, i)
    payload = pattern(BIG)
    _, got = await asyncio.gather(client.send_buffer(payload), received(server, BIG))
    assert got == payload


async def close(*streams):
    for stream in streams:
        await stream.close()


def test_loops_when_each_has_its_own_streams_then_they_do_not_disturb_each_other(new_loop):
    async def work():
        client, server = pinwire.socketpair(**SMALL)
        async with client, server:
            await exchange(client, server, 200)

    calls = [Call(new_loop().run_until_complete, work()) for _ in range(3)]
    for call in calls:
        call.result()


def test_stream_when_idle_then_it_moves_to_another_loop(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    first, second = new_loop(), new_loop()
    for loop in (first, second, first):
        loop.run_until_complete(exchange(client, server))
    first.run_until_complete(close(client, server))


def test_stream_when_its_loop_was_closed_then_it_moves_to_another_loop(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    for _ in range(3):
        loop = new_loop()
        loop.run_until_complete(exchange(client, server))
        loop.close()
    loop = new_loop()
    loop.run_until_complete(close(client, server))


def test_stream_when_its_loop_still_runs_then_it_moves_to_another_loop(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    with LoopThread(new_loop()) as first, LoopThread(new_loop()) as second:
        for _ in range(3):
            first.run(exchange(client, server, 5))
            second.run(exchange(client, server, 5))
        first.run(close(client, server))


def test_stream_when_it_moves_while_the_old_loop_has_its_event_then_only_the_new_one_is_woken(
    new_loop,
):
    client, server = pinwire.socketpair()
    blocker, trigger = socket.socketpair()
    old, held, blocked = new_loop(), threading.Event(), threading.Event()
    fetch, go_on = threading.Event(), threading.Event()

    async def use():
        task = await waiting(server, server.recv_into(bytearray(1)))
        await client.send_buffer(b"0")
        await task

    def hold():
        held.set()
        fetch.wait(PATIENCE)

    def block():
        blocker.recv(1)
        blocked.set()
        go_on.wait(PATIENCE)

    async def receive_twice():
        assert await server.recv_into(bytearray(1)) == 1
        task = await waiting(server, server.recv_into(bytearray(1)))
        go_on.set()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), old))
        assert not task.done()
        await client.send_buffer(b"2")
        assert await asyncio.wait_for(task, PATIENCE) == 1

    with LoopThread(old) as first, blocker, trigger:
        first.run(use())
        old.call_soon_threadsafe(old.add_reader, blocker.fileno(), block)
        old.call_soon_threadsafe(hold)
        held.wait(PATIENCE)
        # The loop fetches both events in one go, and runs `block` first.
        trigger.send(b"x")
        with raw(client) as sock:
            sock.send(b"1")
        fetch.set()
        assert blocked.wait(PATIENCE)
        new_loop().run_until_complete(receive_twice())
        old.call_soon_threadsafe(old.remove_reader, blocker.fileno())
        first.run(close(client, server))


@pytest.mark.parametrize("what", ["receive", "send", "accept"])
def test_wait_when_another_thread_closes_as_it_begins_then_it_ends_nevertheless(what):
    """The loop is just being asked to watch the descriptor: nobody sleeps who could be woken."""
    if what == "send" and "PINWIRE_BULK_THRESHOLD" in os.environ:
        pytest.skip("no loop watches for a send that the workers have")
    client, server = pinwire.socketpair(**SMALL)
    closed = []

    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, fd, *args):
            super().add_reader(fd, *args)
            self.close_of(fd)

        def add_writer(self, fd, *args):
            super().add_writer(fd, *args)
            self.close_of(fd)

        def close_of(self, fd):
            for it in waited_for:
                if it.fileno() == fd:
                    closed.append(it)
                    Call(it.close).result()

    async def main():
        listener = await pinwire.listen("tcp://127.0.0.1:0")
        transfers = {
            "receive": (server, lambda: server.recv_into(bytearray(10))),
            "send": (client, lambda: client.send_buffer(bytes(100_000))),
            "accept": (listener, listener.accept),
        }
        waited_for.append(transfers[what][0])
        async with listener, client, server, asyncio.timeout(PATIENCE):
            with pytest.raises(pinwire.ClosedError):
                await transfers[what][1]()

    waited_for = []
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    assert closed == waited_for


def test_stream_when_one_loop_sends_and_another_receives_then_both_directions_work(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    payload = pattern(BIG)
    with LoopThread(new_loop()) as first, LoopThread(new_loop()) as second:
        sent = asyncio.run_coroutine_threadsafe(_await(client.send_buffer(payload)), first.loop)
        back = asyncio.run_coroutine_threadsafe(_await(server.send_buffer(payload)), first.loop)
        assert second.run(received(server, BIG)) == payload
        assert second.run(received(client, BIG)) == payload
        assert (sent.result(PATIENCE), back.result(PATIENCE)) == (BIG, BIG)
        second.run(close(client, server))


async def _await(transfer):
    return await transfer


def test_transfer_when_made_in_another_thread_then_it_runs_on_the_loop_that_awaits_it(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    payload = pattern(BIG)
    transfer = client.send_buffer(payload)
    with LoopThread(new_loop()) as thread:
        sent = asyncio.run_coroutine_threadsafe(_await(transfer), thread.loop)
        assert thread.run(received(server, BIG)) == payload
        assert sent.result(PATIENCE) == transfer.transferred == BIG
        thread.run(close(client, server))


def test_faces_when_mixed_then_they_understand_each_other(run):
    payload = pattern(BIG)

    async def main():
        with pinwire.blocking.listen("tcp://127.0.0.1:0", **SMALL) as listener:
            accepted = Call(listener.accept)
            async with pinwire.connect(listener.address, **SMALL) as client:
                with accepted.result() as server:
                    sent = Call(server.send_buffer, payload)
                    assert await received(client, BIG) == payload
                    assert await asyncio.to_thread(sent.result) == BIG

    run(main())


def test_context_variables_when_a_task_waits_then_they_stay_its_own(run):
    variable = contextvars.ContextVar("variable", default="outside")

    async def receive(stream, value):
        variable.set(value)
        await stream.recv_into(bytearray(1))
        return variable.get()

    async def main():
        client, server = pinwire.socketpair()
        async with client, server:
            tasks = [
                asyncio.create_task(receive(it, name))
                for it, name in ((client, "a"), (server, "b"))
            ]
            await asyncio.sleep(0)
            await client.send_buffer(b"x")
            await server.send_buffer(b"x")
            assert await asyncio.gather(*tasks) == ["a", "b"]
            assert variable.get() == "outside"

    run(main())


def in_child(work):
    """Fork, and run `work` in the child. Its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from 3.12
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    try:
        work()
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(0)


def test_fork_when_parent_used_the_blocking_face_then_the_child_can_too():
    client, server = pinwire.blocking.socketpair(**SMALL)
    payload = pattern(BIG)

    def use():
        sent = Call(client.send_buffer, payload)
        assert received_blocking(server, BIG) == payload
        assert sent.result() == BIG

    with client, server:
        use()
        assert in_child(use) == 0
        use()


def test_fork_when_parent_used_a_loop_then_the_child_can_use_one_of_its_own(new_loop):
    client, server = pinwire.socketpair(**SMALL)
    loop = new_loop()
    loop.run_until_complete(exchange(client, server))
    assert in_child(lambda: asyncio.run(exchange(client, server))) == 0
    loop.run_until_complete(exchange(client, server))
    loop.run_until_complete(close(client, server))


@pytest.mark.parametrize("how", ["close", "detach"])
def test_fork_when_the_child_lets_go_of_a_stream_then_the_parents_loop_still_watches_it(
    new_loop, how
):
    client, server = pinwire.socketpair(**SMALL)
    loop = new_loop()
    loop.run_until_complete(exchange(client, server))
    assert in_child(lambda: [getattr(it, how)() for it in (client, server)]) == 0
    loop.run_until_complete(exchange(client, server, 2))
    loop.run_until_complete(close(client, server))


def test_fork_when_the_child_closes_a_unix_listener_then_the_parents_path_stays(tmp_path):
    with pinwire.blocking.listen(f"unix://{tmp_path}/socket") as listener:
        assert in_child(listener.close) == 0
        with pinwire.blocking.connect(listener.address), listener.accept():
            pass
