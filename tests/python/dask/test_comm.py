"""Messages between the two ends of a connection, and what an end tells about itself."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from comms import HERE, MESSAGE, OFFERED, connected, listening, passed, warm
from distributed.comm import CommClosedError, connect
from distributed.comm.utils import to_frames
from distributed.protocol import Serialized, deserialize, to_serialize
from distributed.utils import nbytes
from support import PATIENCE, pattern, until


def ramp(size: int, dtype: str = "u1") -> np.ndarray:
    return np.frombuffer(pattern(size), "u1").astype(dtype)


def not_loaded():
    raise ZeroDivisionError("not loaded")


def ends_early():
    raise EOFError("ends early")


class Loads:
    """Calls a function when it is loaded."""

    def __init__(self, call):
        self._call = call

    def __reduce__(self):
        return self._call, ()


def test_message_when_written_then_the_other_end_reads_it(same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            for sender, receiver in ((client, server), (server, client)):
                for message in (MESSAGE, None, "", (), (MESSAGE,) * 100, b"", bytes(100_000)):
                    assert await passed(sender, receiver, message) == message

    run(main())


@pytest.mark.parametrize("size", [0, 1, 1000, 20_000, 70_000, OFFERED, 12 * OFFERED])
def test_array_when_written_then_the_other_end_reads_it(size, same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            sent = [ramp(size), ramp(size // 4, "f4"), ramp(size // 4 * 4).reshape(2, -1).T]
            for sender, receiver in ((client, server), (server, client)) * 2:
                message = {"arrays": [to_serialize(each) for each in sent], "also": MESSAGE}
                got = await passed(sender, receiver, message)
                assert got["also"] == MESSAGE
                for ours, theirs in zip(sent, got["arrays"], strict=True):
                    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
                    assert (ours == theirs).all()
                    assert theirs.flags.writeable

    run(main())


def test_messages_when_many_are_written_at_once_then_they_arrive_in_order(same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            sizes = [0, 3000, OFFERED, 10, 90_000] * 10
            for number, size in enumerate(sizes):
                await client.write([number, to_serialize(np.full(size, number, "u1"))])
            for number, size in enumerate(sizes):
                got, array = await server.read()
                assert (got, array.size) == (number, size)
                assert (array == number).all()

    run(main())


def test_array_when_large_then_it_goes_past_the_socket(run):
    async def main():
        async with warm() as (client, server):
            offered, pulled = client.stats().bytes_offered, server.stats().bytes_pulled
            sent = ramp(OFFERED)
            got = await passed(client, server, to_serialize(sent))
            assert (got == sent).all()
            assert server.stats().bytes_pulled - pulled >= sent.nbytes
            await until(lambda: client.stats().bytes_offered - offered >= sent.nbytes)

    run(main())


def test_array_when_same_host_is_off_then_it_goes_by_the_socket(run):
    async def main():
        async with connected(same_host="off") as (client, server):
            for _ in range(3):
                await passed(client, server, to_serialize(ramp(OFFERED)))
            assert client.stats().same_host == "off"
            assert client.stats().bytes_offered == server.stats().bytes_pulled == 0

    run(main())


@pytest.mark.parametrize(
    "message", [MESSAGE, {"array": to_serialize(ramp(3 * OFFERED))}], ids=["small", "array"]
)
def test_write_when_it_returns_then_it_says_how_many_bytes_the_frames_are(message, same_host, run):
    async def main():
        async with connected(same_host=same_host) as (client, server):
            frames = await to_frames(message, context=client.handshake_options)
            assert await client.write(message) == sum(map(nbytes, frames))
            await server.read()

    run(main())


def test_message_when_it_is_not_deserialized_then_it_can_be_forwarded(same_host, run):
    async def main():
        sent = {"x": to_serialize(ramp(2 * OFFERED)), "small": to_serialize([1, 2])}
        async with (
            connected(same_host=same_host, deserialize=False) as (source, middle),
            connected(same_host=same_host) as (onward, end),
        ):
            got = await passed(source, middle, sent)
            assert type(got["x"]) is type(got["small"]) is Serialized
            assert (deserialize(got["x"].header, got["x"].frames) == sent["x"].data).all()
            arrived = await passed(onward, end, got)
            assert (arrived["x"] == sent["x"].data).all()
            assert arrived["small"] == [1, 2]

    run(main())


def test_message_when_it_cannot_be_written_then_the_next_can(run):
    async def main():
        async with connected() as (client, server):
            with pytest.raises(TypeError, match="Could not serialize"):
                await client.write({"x": to_serialize(threading.Lock())}, on_error="raise")
            assert await passed(client, server, MESSAGE) == MESSAGE

    run(main())


def test_message_when_it_cannot_be_loaded_then_the_next_is_read(run):
    async def main():
        async with connected() as (client, server):
            await client.write(to_serialize(Loads(not_loaded)))
            with pytest.raises(ZeroDivisionError, match="not loaded"):
                await server.read()
            assert await passed(client, server, MESSAGE) == MESSAGE

    run(main())


def test_message_when_it_ends_early_then_the_connection_is_lost(run):
    async def main():
        async with connected() as (client, server):
            await client.write(to_serialize(Loads(ends_early)))
            with pytest.raises(CommClosedError, match="ends early"):
                await server.read()
            assert server.closed()
            await until(client.closed)

    run(main())


def test_addresses_when_connected_then_each_end_has_those_of_both(run):
    async def main():
        async with connected() as (client, server):
            assert client.local_address == server.peer_address
            assert client.peer_address == server.local_address
            for comm in (client, server):
                assert comm.local_address.startswith(f"{HERE}:")
                assert comm.same_host
                assert comm.remote_info["address"] == comm.peer_address

    run(main())


def test_address_when_a_name_is_connected_to_then_the_peer_has_it(run):
    async def main():
        kept = []  # one that nobody keeps is closed
        async with listening(kept.append) as listener:
            address = f"pinwire://localhost:{listener.get_host_port()[1]}"
            comm = await connect(address, timeout=PATIENCE)
            assert comm.peer_address == address
            await comm.close()
            for each in kept:
                each.abort()

    run(main())


def test_repr_when_asked_for_then_it_has_the_addresses_and_whether_it_is_closed(run):
    async def main():
        async with connected() as (client, _):
            client.name = "name"
            where = f"name local={client.local_address} remote={client.peer_address}>"
            assert repr(client) == f"<Comm {where}"
            client.abort()
            assert repr(client) == f"<Comm (closed) {where}"

    run(main())


def test_threads_when_messages_pass_then_there_are_no_more(same_host, run):
    async def main():
        before = threading.active_count()
        async with connected(same_host=same_host) as (client, server):
            # Dask serializes large messages in a thread of its own.
            client.allow_offload = server.allow_offload = False
            for _ in range(4):
                await passed(client, server, to_serialize(ramp(8 * OFFERED)))
                assert threading.active_count() == before

    run(main())
