"""The program ends promptly and silently while workers move bulk, whichever way it ends."""

from __future__ import annotations

import signal

import pytest
from support import finish, program, start_program

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])

PRELUDE = """
import asyncio, atexit, os, signal, socket, sys, threading, time, uvloop, pinwire

factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
SIZE = 1 << 23
ready = threading.Event()

def run(main, *args):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(*args))

def in_thread(main, *args, daemon=True):
    thread = threading.Thread(target=run, args=(main, *args), daemon=daemon)
    thread.start()
    ready.wait()
    return thread

async def start():
    "Bulk both ways, over a connection whose peer does not move."
    global a, b, tasks
    a, b = pinwire.socketpair()
    tasks = [asyncio.ensure_future(a.send_buffer(bytes(SIZE)))]
    tasks.append(asyncio.ensure_future(a.recv_exactly_into(bytearray(SIZE))))
    while a.stats().bulk_transfers < 2:
        await asyncio.sleep(0)
    ready.set()

async def sleep():
    await start()
    await asyncio.gather(*tasks, return_exceptions=True)

async def move(finish=lambda: None):
    "Bulk that moves, until `finish` ends that."
    async def send():
        while True:
            await a.send_buffer(bytes(SIZE))
    a, b = pinwire.socketpair()
    task = asyncio.ensure_future(send())
    for i in range(1 << 30):
        await b.recv_exactly_into(bytearray(SIZE))
        if i == 3:
            ready.set()
            finish()

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
"""

ENDS = {
    "main_ends": "run(start)",
    "main_exits_inside": "async def main():\n    await start()\n    sys.exit()\nrun(main)",
    "main_exits_in_mid_bulk": "run(move, sys.exit)",
    "os_exit": "run(move, lambda: os._exit(0))",
    "daemon_sleeps": "in_thread(sleep)",
    "daemon_moves": "in_thread(move)",
    "many_daemons_move": "[in_thread(move) for _ in range(4)]",
    "loop_is_left": """
async def swallow():
    await start()
    for task in tasks:
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
loop = factory()
loop.run_until_complete(swallow())
a.abort(); b.abort()
loop.run_until_complete(asyncio.sleep(0.01))""",
    "closed_at_exit": """
atexit.register(lambda: [it.close() for it in (a, b)])
in_thread(sleep)""",
    "cancelled_at_exit": """
def cancel():
    loop = tasks[0].get_loop()
    for task in tasks:
        loop.call_soon_threadsafe(task.cancel)
atexit.register(cancel)
in_thread(sleep)""",
    "bulk_starts_at_exit": "atexit.register(lambda: run(start))\nrun(start)",
    "thread_waits_for_it": """
def finish():
    threading.main_thread().join()  # it is at its end, and waits for the other threads
    a.close()
async def main():
    await start()
    await asyncio.gather(*tasks, return_exceptions=True)
in_thread(main, daemon=False)
threading.Thread(target=finish).start()""",
}
ON_UVLOOP = ["main_ends", "main_exits_in_mid_bulk", "daemon_sleeps", "daemon_moves", "loop_is_left"]


@pytest.mark.parametrize(
    ("end", "loop"),
    [(end, "asyncio") for end in ENDS] + [(end, "uvloop") for end in ON_UVLOOP],
)
def test_exit_when_bulk_is_in_flight_then_it_is_clean(end, loop):
    assert program(PRELUDE + ENDS[end], loop) == (0, "", "")


@pytest.mark.parametrize(("loop", "where"), [("asyncio", "start"), ("uvloop", "move")])
def test_exit_when_an_exception_ends_the_program_in_mid_bulk_then_only_that_is_told(loop, where):
    code = """
def fail():
    raise ZeroDivisionError("told")

async def main():
    await start()
    fail()

run(main) if sys.argv[2] == "start" else run(move, fail)
"""
    returncode, out, err = program(PRELUDE + code, loop, where)
    assert (returncode, out) == (1, "")
    assert err.count("Traceback") == 1
    assert err.endswith("ZeroDivisionError: told\n")


@LOOPS
@pytest.mark.parametrize("where", ["start", "move"])
def test_sigint_when_it_comes_in_mid_bulk_then_the_program_ends_by_keyboard_interrupt(loop, where):
    code = """
async def main():
    await start()
    threading.Timer(0, interrupt).start()
    await asyncio.gather(*tasks)

run(main) if sys.argv[2] == "start" else run(move, interrupt)
"""
    returncode, out, err = program(PRELUDE + code, loop, where)
    assert (returncode, out) == (-signal.SIGINT, "")
    assert err.endswith("KeyboardInterrupt\n")
    assert "panic" not in err


@pytest.mark.parametrize("loop", ["asyncio"])
def test_exit_when_an_earlier_handler_waits_for_bulk_then_the_loop_moves_it(loop):
    # Registered before pinwire is imported, the handler runs after pinwire's own.
    code = f"""
import atexit

def finish():
    thread.join(20)
    print("joined", not thread.is_alive(), moved)

atexit.register(finish)
{PRELUDE}
moved, stop = [], threading.Event()

async def main():
    a, b = pinwire.socketpair()
    payload, memory = bytes(SIZE), bytearray(SIZE)
    async with a, b:
        while not stop.is_set():
            await asyncio.gather(a.send_buffer(payload), b.recv_exactly_into(memory))
            ready.set()
    moved.append(pinwire.runtime_stats().bulk_in_flight)

thread = in_thread(main)
atexit.register(stop.set)
"""
    assert program(code, loop) == (0, "joined True [0]\n", "")


@LOOPS
def test_exit_when_names_are_being_resolved_then_it_is_clean(loop):
    code = """
async def main():
    tasks = [asyncio.ensure_future(resolve(i)) for i in range(40)]
    await asyncio.sleep(0)
    ready.set()
    await asyncio.gather(*tasks)

async def resolve(i):
    async with pinwire.listen("tcp://localhost:0") as listener:
        while True:
            async with pinwire.connect(("localhost", int(listener.address.split(":")[-1]))):
                (await listener.accept()).abort()

in_thread(main)
"""
    # The end comes at any moment of what the threads that look up are doing.
    programs = [start_program(PRELUDE + code, loop) for _ in range(4)]
    assert [finish(it) for it in programs] == [(0, "", "")] * 4


@LOOPS
def test_threads_when_each_has_left_bulk_in_flight_then_the_program_still_ends(loop):
    code = """
def work():
    loop = factory()
    keep.append((loop, loop.run_until_complete(begin())))

async def begin():
    a, b = pinwire.socketpair()
    task = asyncio.ensure_future(a.send_buffer(bytes(SIZE)))
    while not a.stats().bulk_transfers:
        await asyncio.sleep(0)
    return a, b, task

keep = []
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(pinwire.runtime_stats().bulk_in_flight)
"""
    returncode, out, err = program(PRELUDE + code, loop)
    assert (returncode, out) == (0, "3\n")
    # asyncio itself may tell of tasks that nobody has ended.
    assert not {"panicked", "Fatal", "Exception ignored"} & set(err.replace(":", " ").split())
