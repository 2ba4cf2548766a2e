"""StopIteration of a user's own code is an error: no result, and no end of a loop (PEP 479)."""

import asyncio
import os
import signal
import sys
import threading

import numpy as np
import pytest
from channels import FACES, Channels
from support import PATIENCE

import pinwire
import pinwire.blocking

ENDS = [StopIteration, StopAsyncIteration]


@pytest.fixture(params=FACES)
def face(request):
    return Channels(request.param, "unix")


@pytest.fixture(params=ENDS, ids=lambda end: end.__name__)
def end(request):
    return request.param


def raising(error):
    """An allocator."""

    def allocate(shape, dtype, order):
        raise error("there is no room")

    return allocate


class Raising:
    """An exporter whose memory cannot be had."""

    def __init__(self, error):
        self.error = error

    def __buffer__(self, flags):
        raise self.error("there is none")


class Loading:
    """An object that raises where its pickle is loaded."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return fail, (self.error,)


class Dumping(Loading):
    """One that raises where it is pickled."""

    def __reduce__(self):
        raise self.error("there is no pickle")


def fail(error):
    raise error("it does not load")


def test_allocator_when_it_raises_an_end_then_recv_raises_and_the_message_stays(face, end):
    async def main():
        async with face.pair() as (client, server):
            await client.send(np.arange(10))
            with pytest.raises(RuntimeError, match=f"raised {end.__name__}") as failed:
                await server.recv(allocator=raising(end))
            assert isinstance(failed.value.__cause__, end)
            assert (await server.recv()).parts[0].tolist() == list(range(10))

    face.run(main())


def test_allocator_when_it_raises_an_end_then_a_loop_over_messages_raises(face, end):
    async def main():
        async with face.pair(theirs={"allocator": raising(end)}) as (client, server):
            await client.send(np.arange(10))
            with pytest.raises(RuntimeError, match=f"raised {end.__name__}"):
                async for _ in server:
                    pytest.fail("the message had no memory to be in")
            assert (await server.recv(allocator=np.empty)).parts[0].tolist() == list(range(10))

    face.run(main())


def test_allocator_when_it_raises_an_end_then_a_task_ends_with_an_error(end):
    face = Channels("asyncio", "unix")

    async def main():
        async with face.pair() as (client, server):
            await client.send(np.arange(10))
            task = asyncio.create_task(server.recv(allocator=raising(end)))
            with pytest.raises(RuntimeError, match=f"raised {end.__name__}"):
                await task

    face.run(main())


def test_loop_over_messages_when_the_peer_has_closed_then_it_ends_still(face):
    async def main():
        async with face.pair() as (client, server):
            await client.send(np.arange(10))
            await client.close()
            assert [message.nbytes async for message in server] == [80]

    face.run(main())


def test_pickle_when_it_raises_an_end_then_recv_object_raises(face, end):
    async def main():
        async with face.pair(allow_pickle=True) as (client, server):
            await client.send_object(Loading(end))
            with pytest.raises(RuntimeError, match=f"raised {end.__name__}"):
                await server.recv_object()

    face.run(main())


PEP_688 = pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688 is of Python 3.12")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("send", marks=PEP_688),
        pytest.param("recv_into", marks=PEP_688),
        "meta",
        "send_object",
    ],
)
def test_argument_when_it_raises_an_end_then_the_call_raises(face, end, call):
    """In the call itself: where it is made from, as in `map`, may take it for an end."""

    async def main():
        async with face.pair(allow_pickle=True) as (client, _):
            calls = {
                "send": lambda channel: channel.send(Raising(end)),
                "meta": lambda channel: channel.send(b"", meta=Mapping(end)),
                "recv_into": lambda channel: channel.recv_into(Raising(end)),
                "send_object": lambda channel: channel.send_object(Dumping(end)),
            }
            channel = getattr(client, "inner", client)
            with pytest.raises(RuntimeError, match=f"raised {end.__name__}"):
                calls[call](channel)

    face.run(main())


class Mapping(dict):
    """A mapping without items."""

    def __init__(self, error):
        super().__init__(a=1)
        self.error = error

    def items(self):
        raise self.error("there are none")


@pytest.mark.parametrize("what", ["messages", "connections"])
def test_signal_handler_when_it_raises_an_end_then_the_loop_raises(what):
    def stop(*_):
        raise StopIteration

    before = signal.signal(signal.SIGUSR1, stop)
    left, right = pinwire.blocking.socketpair()
    listener = pinwire.blocking.listen(f"unix:@pinwire-no-end-{os.getpid()}")
    channel = pinwire.blocking.Channel(right)
    try:
        waited_for = {"messages": channel, "connections": listener}[what]
        timer = threading.Timer(0.05, signal.pthread_kill, [threading.get_ident(), signal.SIGUSR1])
        timer.start()
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            next(iter(waited_for))
        timer.join(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)
        listener.close()
        channel.stream.close()
        left.close()
