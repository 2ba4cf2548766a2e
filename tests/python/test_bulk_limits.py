"""Bulk where the system has nothing to spare, the interpreter no time, or the peer odd habits."""

from __future__ import annotations

import array
import asyncio
import mmap
import os
import socket

import pytest
from support import BIG, PATIENCE, SMALL, aloft, pattern, program, received, until

import pinwire

SIZE = BIG * 2
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])

PRELUDE = """
import asyncio, mmap, os, resource, socket, sys, time, uvloop, pinwire

factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
SIZE = 1 << 21
SMALL = {"send_buffer_size": 4096, "recv_buffer_size": 4096}
payload = (bytes(range(251)) * (SIZE // 251 + 1))[:SIZE]

async def exchange(a, b):
    out = bytearray(SIZE)
    await asyncio.gather(a.send_buffer(payload), b.recv_exactly_into(out))
    assert out == payload
    return a.stats().bulk_transfers + b.stats().bulk_transfers

def leave_free(count):
    "Let the process open so many more descriptors."
    most = max(map(int, os.listdir("/proc/self/fd"))) + 10
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for fd in taken[:count]:
        os.close(fd)

def run(main):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
"""


@LOOPS
def test_bulk_when_there_are_too_few_descriptors_then_the_loop_moves_it(loop):
    # What the workers and the loop's doorbell are made of may be lacking as well.
    code = """
async def main(first, free):
    a, b = pinwire.socketpair(**SMALL)
    async with a, b:
        task = asyncio.ensure_future(b.recv_into(bytearray(1)))
        await asyncio.sleep(0)
        await a.send_buffer(b"x")
        await task
        if not first:
            assert await exchange(a, b) == 2
        leave_free(free)
        await exchange(a, b)
        assert pinwire.runtime_stats().bulk_in_flight == 0

for first in (True, False):
    for free in (0, 1, 2, 4):
        if not (child := os.fork()):
            run(lambda: main(first, free))
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0, (first, free)
"""
    assert program(PRELUDE + code, loop) == (0, "", "")


def test_blocking_calls_when_there_is_no_descriptor_then_they_wait_all_the_same():
    # The event that a thread sleeps with beside its socket is one.
    code = """
import threading, pinwire.blocking

def run(work):
    def call():
        try:
            results.append(work())
        except pinwire.Error as error:
            results.append(type(error).__name__)
    results = []
    thread = threading.Thread(target=call)
    thread.start()
    return thread, results

def asleep(stream):
    while stream.stats().waits == 0:
        time.sleep(0.001)

a, b = pinwire.blocking.socketpair(**SMALL)
leave_free(0)
out = bytearray(SIZE)
receiving = run(lambda: b.recv_exactly_into(out))
asleep(b)
sending = run(lambda: a.send_buffer(payload))
for thread, results in (receiving, sending):
    thread.join()
    print(results == [SIZE])
print(out == payload)
try:
    b.recv_into(out, timeout=0.02)
except pinwire.TransferTimeoutError:
    print("timed out")
waits = b.stats().waits
thread, results = run(lambda: b.recv_into(out))
while b.stats().waits == waits:
    time.sleep(0.001)
b.close()
thread.join()
print(results)
"""
    expected = "True\nTrue\nTrue\ntimed out\n['ClosedError']\n"
    assert program(PRELUDE + code, "asyncio") == (0, expected, "")


def test_blocking_sends_when_there_is_no_descriptor_then_they_wait_for_their_turn():
    code = """
import threading, pinwire.blocking

channel, peer = map(pinwire.blocking.Channel, pinwire.blocking.socketpair(**SMALL))
peer.send(b"hello comes with it")
channel.recv()
leave_free(0)
sent = []
threads = []
for number in range(3):
    send = lambda number=number: sent.append(channel.send(payload, meta={"n": number}))
    threads.append(threading.Thread(target=send))
    threads[-1].start()
print(sorted(peer.recv().meta["n"] for _ in threads))
for thread in threads:
    thread.join()
print(sent == [SIZE] * 3)
"""
    expected = "[0, 1, 2]\nTrue\n"
    assert program(PRELUDE + code, "asyncio") == (0, expected, "")


@LOOPS
def test_bulk_when_there_is_no_thread_to_be_had_then_the_loop_moves_it(loop):
    code = """
async def main():
    a, b = pinwire.socketpair(**SMALL)
    out = bytearray(SIZE)
    async with a, b:
        # Room for a little, but not for the stack of a thread, which is 2 MiB.
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + (3 << 19)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        await asyncio.gather(a.send_buffer(payload), b.recv_exactly_into(out))
        print(out == payload, a.stats().bulk_transfers, pinwire.runtime_stats().workers)

run(main)
"""
    assert program(PRELUDE + code, loop) == (0, "True 0 0\n", "")


HOG = """
shared = mmap.mmap(-1, 2)
ours, theirs = socket.socketpair()
if not (child := os.fork()):
    ours.close()
    memory, got = bytearray(SIZE), 0
    if sys.argv[2] == "send":
        got = theirs.recv_into(memory, 4096)
    while not shared[0]:  # all that the other process can do, which never leaves its loop
        time.sleep(0.001)
    if sys.argv[2] == "send":
        while got < SIZE:
            got += theirs.recv_into(memoryview(memory)[got:])
        shared[1] = 1 + (memory == payload)
    else:
        theirs.sendall(payload)
    os._exit(0)
theirs.close()

def hog(condition):
    "Python code that never lets go of the GIL. Whether the condition came true."
    end = time.monotonic() + 5
    shared[0] = 1
    while not condition():
        if time.monotonic() > end:
            return False
    return True

async def main():
    async with pinwire.Stream.from_socket(ours, **SMALL) as stream:
        memory = bytearray(SIZE)
        if sys.argv[2] == "send":
            task = asyncio.ensure_future(stream.send_buffer(payload))
            condition = lambda: shared[1] == 2
        else:
            task = asyncio.ensure_future(stream.recv_exactly_into(memory))
            condition = lambda: memory[-1] == payload[-1]
        while not stream.stats().bulk_transfers:
            await asyncio.sleep(0)
        sys.setswitchinterval(1000)
        print(hog(condition), await task == SIZE, sys.argv[2] == "send" or memory == payload)

run(main)
os.waitpid(child, 0)
"""


@LOOPS
@pytest.mark.parametrize("way", ["send", "receive"])
def test_bulk_when_the_loops_own_thread_hogs_the_gil_then_it_goes_on(loop, way):
    assert program(PRELUDE + HOG, loop, way) == (0, "True True True\n", "")


def test_bulk_receive_when_the_peer_passes_descriptors_then_none_of_the_bytes_waits(run):
    async def main():
        ours, theirs = socket.socketpair()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))]
        memory, sent = bytearray(SIZE), 0
        theirs.setblocking(False)
        async with pinwire.Stream.from_socket(ours) as stream:
            task = await aloft(stream, stream.recv_exactly_into(memory))
            # A read ends at each of the descriptors, though more bytes are there.
            while sent < SIZE:
                try:
                    piece = pattern(min(20_000, SIZE - sent), sent)
                    sent += theirs.sendmsg([piece], rights)
                except BlockingIOError:
                    await asyncio.sleep(0)
            assert await asyncio.wait_for(task, 5) == SIZE
            assert memory == pattern(SIZE)
        theirs.close()

    run(main())


def test_bulk_receive_when_the_peer_sends_an_urgent_byte_then_none_of_the_others_waits(run):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        memory = bytearray(SIZE)
        async with pinwire.Stream.from_socket(ours) as stream:
            task = await aloft(stream, transfer := stream.recv_exactly_into(memory))
            for end in range(SIZE // 16, SIZE + 1, SIZE // 16):
                piece = pattern(SIZE // 16, end - SIZE // 16)
                await asyncio.to_thread(theirs.sendall, piece[:-1000])
                # A read ends where it is, though more bytes are there.
                theirs.send(b"!", socket.MSG_OOB)
                await asyncio.to_thread(theirs.sendall, piece[-1000:])
                async with asyncio.timeout(5):
                    await until(lambda end=end: transfer.transferred == end)
            assert (await task, memory) == (SIZE, pattern(SIZE))
        theirs.close()

    run(main())


def test_bulk_send_when_the_file_is_truncated_meanwhile_then_it_ends_there(run, pair, tmp_path):
    (tmp_path / "file").write_bytes(pattern(SIZE))

    async def main():
        async with pair() as (client, server):
            with (tmp_path / "file").open("r+b") as opened:
                task = await aloft(client, client.send_file(opened))
                opened.truncate(SIZE // 2 + 1)
                reader = asyncio.ensure_future(read_all(server))
                sent = await asyncio.wait_for(task, 5)
                await client.send_eof()
                assert (await reader, sent) == (pattern(sent), SIZE // 2 + 1)

    run(main())


async def read_all(stream):
    got, memory = bytearray(), bytearray(BIG)
    while n := await stream.recv_into(memory):
        got += memory[:n]
    return got


@pytest.mark.parametrize("way", ["send", "receive"])
def test_bulk_when_its_memory_goes_away_then_it_fails_with_efault(run, pair, tmp_path, way):
    path = tmp_path / "file"
    path.write_bytes(pattern(SIZE))

    async def main():
        async with pair() as (client, server):
            with path.open("r+b") as opened:
                memory = mmap.mmap(opened.fileno(), SIZE)
            if way == "send":
                task = await aloft(client, client.send_buffer(memory))
                os.truncate(path, SIZE // 2)
                other = asyncio.ensure_future(read_all(server))
            else:
                task = await aloft(server, server.recv_exactly_into(memory))
                os.truncate(path, SIZE // 2)
                other = asyncio.ensure_future(client.send_buffer(pattern(SIZE)))
            with pytest.raises(OSError, match="Bad address") as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.transferred <= SIZE // 2
            await client.close()
            await server.close()
            await asyncio.wait([other])
            other.exception()
            memory.close()

    run(main())


def test_bulk_when_the_socket_is_in_blocking_mode_then_no_worker_blocks(run):
    async def main():
        pairs = [socket.socketpair() for _ in range(10)]
        streams = [[pinwire.Stream.from_socket(it, **SMALL) for it in both] for both in pairs]
        memories = [bytearray(SIZE) for _ in streams]
        waiting = [
            await aloft(b, b.recv_exactly_into(memory))
            for (_, b), memory in zip(streams, memories, strict=True)
        ]
        sending = [
            await aloft(a, a.send_buffer(pattern(SIZE, i))) for i, (a, _) in enumerate(streams)
        ]
        await asyncio.gather(*waiting, *sending)
        assert [bytes(it) for it in memories] == [pattern(SIZE, i) for i in range(10)]
        for both in streams:
            for stream in both:
                assert os.get_blocking(stream.fileno())
                await stream.close()

    run(main())


def test_bulk_when_the_kernel_reports_errors_aside_then_it_goes_on():
    timestamping, software = 37, 2 | 16  # SO_TIMESTAMPING: of what was sent, by software

    async def main():
        async with pinwire.listen("tcp://127.0.0.1:0", **SMALL) as listener:
            client = await pinwire.connect(listener.address, **SMALL)
            server = await listener.accept()
        async with client, server:
            client.setsockopt(socket.SOL_SOCKET, timestamping, software)
            task = await aloft(client, client.send_buffer(pattern(BIG)))
            assert await received(server, BIG) == pattern(BIG)
            assert await task == BIG

    # To libuv, and so to uvloop, such a descriptor is broken.
    asyncio.run(asyncio.wait_for(main(), PATIENCE))
