"""Forks, before and after the workers have started, and in the middle of what they do."""

from __future__ import annotations

import pytest
from support import PATIENCE, program

CHILD = PATIENCE // 2
"""Seconds after which a child that hangs is killed, so that its parent can tell."""

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])

# In programs of their own: pytest has threads that no child should inherit.
PRELUDE = f"""
import asyncio, gc, os, signal, socket, sys, threading, time, traceback, warnings
import uvloop
import pinwire, pinwire.blocking

warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from 3.12
factory = {{"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}}[sys.argv[1]]
SIZE = 1 << 21
SMALL = {{"send_buffer_size": 4096, "recv_buffer_size": 4096}}
payload = (bytes(range(251)) * (SIZE // 251 + 1))[:SIZE]

def run(main):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)

async def exchange(a, b):
    out = bytearray(SIZE)
    await asyncio.gather(a.send_buffer(payload), b.recv_exactly_into(out))
    assert out == payload

async def bulk():
    "Bulk over a connection of its own. How many transfers the workers took over."
    a, b = pinwire.socketpair(**SMALL)
    async with a, b:
        await exchange(a, b)
        assert pinwire.runtime_stats().bulk_in_flight == in_flight
        return a.stats().bulk_transfers + b.stats().bulk_transfers

async def start():
    "A send that the workers have; its streams and task."
    a, b = pinwire.socketpair(**SMALL)
    task = asyncio.ensure_future(a.send_buffer(payload))
    while not a.stats().bulk_transfers:
        await asyncio.sleep(0)
    return a, b, task

async def finish(a, b, task):
    "The rest of what `start` began arrives as it should."
    out = bytearray(SIZE)
    assert await asyncio.wait_for(b.recv_exactly_into(out), {PATIENCE}) == SIZE
    assert await asyncio.wait_for(task, {PATIENCE}) == SIZE
    assert out == payload
    await a.close()
    await b.close()

def fork(work):
    "Its exit status, in a child; one that hangs is killed by SIGALRM."
    sys.stdout.flush()
    if not (child := os.fork()):
        signal.alarm({CHILD})
        try:
            work()
        except Exception:
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

in_flight = 0
"""


@LOOPS
def test_fork_when_no_worker_has_started_then_parent_and_child_have_their_own(loop):
    code = """
def work():
    print("child", run(bulk()), pinwire.runtime_stats().workers > 0)

print(fork(work))
print("parent", run(bulk()), pinwire.runtime_stats().workers > 0)
print(fork(lambda: print(pinwire.runtime_stats().workers)))
"""
    expected = "child 2 True\n0\nparent 2 True\n0\n0\n"
    assert program(PRELUDE + code, loop) == (0, expected, "")


@LOOPS
def test_fork_when_workers_have_started_then_the_childs_loop_moves_bulk_itself(loop):
    code = """
def work():
    print("child", run(bulk()), pinwire.runtime_stats().workers)

print("parent", run(bulk()))
print(fork(work))
print("parent", run(bulk()))
"""
    expected = "parent 2\nchild 0 0\n0\nparent 2\n"
    assert program(PRELUDE + code, loop) == (0, expected, "")


@LOOPS
def test_fork_when_workers_have_started_then_the_blocking_face_works_in_the_child(loop):
    code = """
def work():
    with pinwire.blocking.listen("tcp://localhost:0") as listener:
        a = pinwire.blocking.connect(listener.address)
        b = listener.accept()
    with a, b:
        out = bytearray(SIZE)
        thread = threading.Thread(target=a.send_buffer, args=[payload])
        thread.start()
        b.recv_exactly_into(out)
        thread.join()
        assert out == payload
    try:
        pinwire.blocking.listen("tcp://127.0.0.1:0").accept(timeout=0.01)
    except pinwire.TransferTimeoutError:
        print("child")

run(bulk())
print(fork(work))
"""
    assert program(PRELUDE + code, loop) == (0, "child\n0\n", "")


@LOOPS
def test_fork_when_workers_have_started_then_the_child_resolves_names_and_connects(loop):
    code = """
async def connect():
    async with pinwire.listen("tcp://localhost:0") as listener:
        port = listener.address.rpartition(":")[2]
        async with pinwire.connect(f"tcp://localhost:{port}") as a:
            async with await listener.accept() as b:
                await exchange(a, b)
    closed = socket.create_server(("127.0.0.1", 0))
    address = closed.getsockname()
    closed.close()
    for wrong, error in ((address, ConnectionRefusedError), (("a..b", 1), OSError)):
        try:
            await pinwire.connect(wrong)
        except (error, UnicodeError):
            print("refused")

def work():
    run(connect())
    print("workers", pinwire.runtime_stats().workers)

run(bulk())
print(fork(work))
run(connect())
"""
    expected = "refused\nrefused\nworkers 0\n0\nrefused\nrefused\n"
    assert program(PRELUDE + code, loop) == (0, expected, "")


WAYS = """
async def os_exit():
    os._exit(7)

async def sys_exit():
    sys.exit(7)

async def use_a_loop_of_its_own():
    assert run(bulk()) == 0

async def use_the_blocking_face():
    a, b = pinwire.blocking.socketpair()
    a.send_buffer(b"data")
    assert b.recv_exactly_into(bytearray(4)) == 4

async def close():
    both[0].close(); both[1].close()
    assert (both[0].fileno(), both[1].fileno()) == (-1, -1)

async def abort():
    both[0].abort(); both[1].abort()

async def cancel():
    assert both[2].cancel()
    try:
        await both[2]
    except asyncio.CancelledError as error:
        assert error.nbytes == SIZE

async def close_and_wait():
    both[0].close()
    try:
        await both[2]
    except pinwire.ClosedError as error:
        assert error.nbytes == SIZE

async def collect():
    global both
    warnings.simplefilter("ignore", ResourceWarning)
    both = None
    gc.collect()
"""


@LOOPS
def test_fork_when_bulk_is_in_flight_then_the_child_goes_its_way_and_the_parent_completes(loop):
    code = f"""
async def main(way):
    global both, in_flight
    both = await start()
    if not (child := os.fork()):
        in_flight = pinwire.runtime_stats().bulk_in_flight
        signal.alarm({CHILD})
        await way()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7, way
    await finish(*both)
    assert await bulk() == 2

ways = [os_exit, sys_exit, use_a_loop_of_its_own, use_the_blocking_face]
for way in [*ways, close, abort, cancel, close_and_wait, collect]:
    run(main(way))
"""
    assert program(PRELUDE + WAYS + code, loop) == (0, "", "")


@LOOPS
def test_fork_when_bulk_is_being_received_then_the_parent_gets_every_byte(loop):
    code = """
async def main():
    a, b = pinwire.socketpair(**SMALL)
    out = bytearray(SIZE)
    task = asyncio.ensure_future(b.recv_exactly_into(out))
    while not b.stats().bulk_transfers:
        await asyncio.sleep(0)
    sender = asyncio.ensure_future(a.send_buffer(payload))
    children = []
    while not task.done():
        if len(children) < 20:
            if not (child := os.fork()):
                os._exit(0)
            children.append(child)
        await asyncio.sleep(0)
    assert (await task, await sender, out) == (SIZE, SIZE, payload)
    print([status for child in children if (status := os.waitpid(child, 0)[1])])
    await a.close()
    await b.close()

run(main())
"""
    assert program(PRELUDE + code, loop) == (0, "[]\n", "")


@LOOPS
def test_fork_when_bulk_has_just_ended_then_the_parents_loop_hears_of_it(loop):
    code = f"""
async def main():
    a, b, task = await start()
    with socket.socket(fileno=os.dup(b.fileno())) as sock:
        sock.settimeout({PATIENCE})
        left = SIZE
        while left:
            left -= len(sock.recv(left))
    while pinwire.runtime_stats().bulk_in_flight:  # without a turn of the loop
        time.sleep(0.001)
    if not (child := os.fork()):
        signal.alarm({CHILD})
        sys.exit(7)  # which ends the tasks of the inherited loop by running it
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    asyncio.get_running_loop().call_later({PATIENCE}, os._exit, 8)
    assert await task == SIZE
    await a.close()
    await b.close()

run(main())
"""
    assert program(PRELUDE + code, loop) == (0, "7\n", "")


@LOOPS
def test_multiprocessing_when_it_forks_then_parent_and_child_exchange_bulk(loop):
    code = """
import multiprocessing

def serve(sock):
    async def echo():
        async with pinwire.Stream.from_socket(sock, **SMALL) as stream:
            memory = bytearray(SIZE)
            await stream.recv_exactly_into(memory)
            await stream.send_buffer(memory)
    run(echo())

async def main(sock):
    async with pinwire.Stream.from_socket(sock, **SMALL) as stream:
        await stream.send_buffer(payload)
        out = bytearray(SIZE)
        await stream.recv_exactly_into(out)
        print(out == payload)

run(bulk())
ours, theirs = socket.socketpair()
context = multiprocessing.get_context("fork")
process = context.Process(target=serve, args=[theirs])
process.start()
theirs.close()
run(main(ours))
process.join()
print(process.exitcode)
"""
    assert program(PRELUDE + code, loop) == (0, "True\n0\n", "")


@LOOPS
def test_exit_when_a_child_was_forked_before_the_workers_then_it_is_clean_with_bulk_in_flight(
    loop,
):
    code = """
async def sleep():
    global both
    both = await start()
    ready.set()
    await both[2]

async def move():
    async def send():
        while True:
            await a.send_buffer(payload)
    async def receive():
        while True:
            await b.recv_exactly_into(bytearray(SIZE))
            ready.set()
    a, b = pinwire.socketpair()
    await asyncio.gather(send(), receive())

ready = threading.Event()
for main in (sleep, move):
    if not (child := os.fork()):
        signal.alarm(5)
        threading.Thread(target=lambda: run(main()), daemon=True).start()
        ready.wait()
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert program(PRELUDE + code, loop) == (0, "7\n7\n", "")
