"""The interpreter exits promptly and silently with transfers in flight, whoever runs them."""

from __future__ import annotations

import pytest
from support import program

ASYNCIO = """
import asyncio, atexit, sys, threading, time, uvloop, pinwire

factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
ready = threading.Event()

def run(main, loop_factory=factory):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())

def run_in_daemon(main, loop_factory=factory):
    threading.Thread(target=run, args=(main, loop_factory), daemon=True).start()
    ready.wait()

async def start():
    global a, b, listener, tasks
    a, b = pinwire.socketpair()
    listener = await pinwire.listen("unix:@pinwire-exit-" + str(threading.get_native_id()))
    transfers = a.send_buffer(bytes(1 << 25)), a.recv_into(bytearray(1)), listener.accept()
    tasks = [asyncio.ensure_future(transfer) for transfer in transfers]
    while a.stats().waits < 2:
        await asyncio.sleep(0)
    ready.set()

async def sleep():
    await start()
    await asyncio.gather(*tasks, return_exceptions=True)

async def move():
    async def send():
        while True:
            await a.send_buffer(bytes(1 << 20))
    async def receive():
        for i in range(1 << 30):
            await b.recv_exactly_into(bytearray(1 << 20))
            if i == 5:
                ready.set()
    a, b = pinwire.socketpair()
    await asyncio.gather(send(), receive())

async def wake():
    a, b = pinwire.socketpair()
    asyncio.get_running_loop().call_later(0.01, a.abort)
    await b.recv_into(bytearray(1))
    return b

async def wake_into_python():
    b = await wake()
    ready.set()
    while True:
        pass

class SlowLoop(asyncio.SelectorEventLoop):
    def remove_reader(self, fd):
        ready.set()
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            time.sleep(0)
        return super().remove_reader(fd)

async def close_slowly():
    b = await wake()
    await b.close()
"""

ENDS = {
    "main_ends": "run(start)",
    "main_exits": "run(start); sys.exit()",
    "daemon_sleeps": "run_in_daemon(sleep)",
    "daemon_moves": "run_in_daemon(move)",
    "daemon_runs_python": "run_in_daemon(wake_into_python)",
    "daemon_closes": "run_in_daemon(close_slowly, SlowLoop)",
    "closed_at_exit": """
atexit.register(lambda: [it.close() for it in (a, b, listener)])
run_in_daemon(sleep)""",
}

BLOCKING = """
import atexit, contextlib, sys, threading
import pinwire.blocking as pinwire
from pinwire import ClosedError

a, b = pinwire.socketpair()
listener = pinwire.listen("tcp://127.0.0.1:0")
moved = threading.Event()

def send():
    a.send_buffer(bytes(1 << 25))

def receive():
    a.recv_into(bytearray(1))

def accept():
    listener.accept()

def pump():
    while True:
        a.send_buffer(bytes(1 << 20))

def drain():
    for i in range(1 << 30):
        b.recv_exactly_into(bytearray(1 << 20))
        if i == 5:
            moved.set()

def run(call):
    with contextlib.suppress(ClosedError):
        call()

def start(*calls):
    for call in calls:
        threading.Thread(target=run, args=[call], daemon=True).start()

def start_and_wait(*calls):
    start(*calls)
    while a.stats().waits < 2:
        pass
"""

BLOCKING_ENDS = {
    "daemons_sleep": "start_and_wait(accept, send, receive)",
    "daemons_move": "start(pump, drain); moved.wait()",
    "closed_at_exit": """
atexit.register(lambda: [it.close() for it in (a, b, listener)])
start_and_wait(accept, send, receive)""",
    "exits": "start_and_wait(accept, send, receive); sys.exit()",
    "closed_meanwhile": """
start_and_wait(accept, send, receive)
for it in (a, b, listener):
    it.close()""",
}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ENDS)
def test_exit_when_a_loop_has_transfers_in_flight_then_it_is_clean(end, loop):
    assert program(ASYNCIO + ENDS[end], loop) == (0, "", "")


@pytest.mark.parametrize("end", BLOCKING_ENDS)
def test_exit_when_threads_are_in_a_call_then_it_is_clean(end):
    assert program(BLOCKING + BLOCKING_ENDS[end]) == (0, "", "")


def test_exit_when_an_earlier_handler_waits_for_a_loop_then_the_loop_still_ends():
    # Registered before pinwire is imported, the handler runs after pinwire's own.
    code = """
import atexit, threading

stop = threading.Event()

def finish():
    stop.set()
    thread.join(20)
    print("joined", not thread.is_alive())

atexit.register(finish)
import asyncio, pinwire

moving = threading.Event()

async def main():
    a, b = pinwire.socketpair()
    while not stop.is_set():
        await a.send_buffer(b"x")
        await b.recv_exactly_into(bytearray(1))
        moving.set()
    await a.close()
    await b.close()

thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
thread.start()
moving.wait()
"""
    assert program(code) == (0, "joined True\n", "")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sys_exit_when_raised_by_a_task_that_was_woken_then_the_program_exits(loop):
    code = """
async def main():
    await wake()
    sys.exit(3)

run(main)
print("not reached")
"""
    assert program(ASYNCIO + code, loop) == (3, "", "")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sys_exit_when_raised_by_a_task_that_timed_out_then_the_program_exits(loop):
    code = """
async def main():
    a, b = pinwire.socketpair()
    try:
        await b.recv_into(bytearray(1), timeout=0.01)
    except pinwire.TransferTimeoutError:
        sys.exit(3)

run(main)
print("not reached")
"""
    assert program(ASYNCIO + code, loop) == (3, "", "")
