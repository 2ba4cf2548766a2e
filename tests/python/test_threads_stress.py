"""Blocking streams that threads share without asking one another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from restless import (
    HEAD_SIZE,
    LONG,
    chance,
    content,
    frame,
    observed,
    persist,
    taken_apart,
)
from support import SMALL, Call, pattern, wait_until

import pinwire
import pinwire.blocking

SENDERS = 4
FRAMES = 40 * LONG

pytestmark = [pytest.mark.timeout(60 * LONG), pytest.mark.usefixtures("restless")]


def send_all(stream, sender, sizes):
    """Send frames, by either call."""
    for number, size in enumerate(sizes):
        data = frame(sender, number, size)
        if number % 2:
            assert persist(stream.send_buffer, data) == len(data)
        else:
            pieces = [data[:5], bytearray(data[5:])]
            assert persist(stream.send_buffers, pieces) == len(data)


def expected(frames=FRAMES):
    return sorted(itertools.product(range(SENDERS), range(frames)))


def test_stream_when_threads_send_at_random_sizes_then_what_arrives_are_whole_frames(
    blocking_pair,
):
    client, server = blocking_pair
    random = chance("sizes")
    sizes = [[random.choice([0, 90, 9_000, 70_000]) for _ in range(FRAMES)] for _ in range(SENDERS)]
    nbytes = sum(map(sum, sizes)) + SENDERS * FRAMES * HEAD_SIZE

    def receive():
        got = bytearray()
        while len(got) < nbytes:
            memory = bytearray(random.choice([1, 500, 20_000, 200_000]))
            got += memory[: server.recv_into(memory)]
        return got

    with observed(client, server):
        reader = Call(receive)
        senders = [Call(send_all, client, sender, sizes[sender]) for sender in range(SENDERS)]
        for sender in senders:
            sender.result()
        frames = [*taken_apart(reader.result())]
    assert sorted(frames) == expected()
    for sender in range(SENDERS):
        assert [number for by, number in frames if by == sender] == [*range(FRAMES)]
    assert client.stats().bytes_sent == server.stats().bytes_received == nbytes


def test_stream_when_threads_receive_exactly_then_each_gets_whole_frames(blocking_pair):
    client, server = blocking_pair
    size = 5_000

    def receive(way):
        got = []
        while True:
            memory = bytearray(HEAD_SIZE + size)
            view = memoryview(memory)
            pieces = [view[:3], view[3:4_000], view[4_000:]]
            call, into = (
                (server.recv_buffers_into, pieces)
                if way % 2
                else (server.recv_exactly_into, memory)
            )
            try:
                assert persist(call, into) == len(memory)
            except pinwire.IncompleteTransferError as end:
                assert end.transferred == 0
                return got
            got += taken_apart(memory)

    with observed(client, server):
        receivers = [Call(receive, way) for way in range(3)]
        senders = [Call(send_all, client, n, [size] * FRAMES) for n in range(SENDERS)]
        for sender in senders:
            sender.result()
        client.send_eof()
        found = [receiver.result() for receiver in receivers]
    assert sorted(itertools.chain(*found)) == expected()
    for frames in found:
        for sender in range(SENDERS):
            numbers = [number for by, number in frames if by == sender]
            assert numbers == sorted(numbers)


def count_of(call, memory):
    """The bytes that a call says it has moved, however it ends."""
    try:
        return call(memory)
    except (pinwire.ClosedError, pinwire.IncompleteTransferError, ConnectionError) as error:
        return getattr(error, "transferred", 0)  # none, if it was closed before


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("whose", ["sender", "receiver"])
def test_stream_when_another_thread_closes_it_then_counts_are_true_and_memory_is_free(how, whose):
    random, size = chance(how, whose), 300_000
    for _ in range(25 * LONG):
        client, server = pinwire.blocking.socketpair(**SMALL)
        source, target = bytearray(pattern(size)), bytearray(size)
        closed = client if whose == "sender" else server
        enough = random.choice([0, 1, 5_000, random.randrange(size), size])
        calls = [
            Call(count_of, client.send_buffer, source),
            Call(count_of, server.recv_exactly_into, target),
        ]

        def end(client=client, closed=closed, enough=enough):
            wait_until(lambda: client.stats().bytes_sent >= enough)
            getattr(closed, how)()

        closers = [Call(end) for _ in range(2)]
        counts = [call.result() for call in calls]
        for closer in closers:
            closer.result()
        assert counts == [client.stats().bytes_sent, server.stats().bytes_received]
        assert counts[1] <= counts[0] <= size
        assert target[: counts[1]] == source[: counts[1]]
        assert target[counts[1] :] == bytes(size - counts[1])
        assert closed.fileno() == -1
        for memory in (source, target):
            memory.append(0)  # nobody has it pinned
        for stream in (client, server):
            stream.close()


def test_memory_when_several_threads_send_it_at_once_then_each_peer_gets_all_of_it():
    payload = bytearray(content(1, 2, 400_000))
    array = np.frombuffer(payload, "f8").reshape(50, -1)
    pairs = [pinwire.blocking.socketpair(**SMALL) for _ in range(4)]
    for _ in range(5 * LONG):
        outs = [bytearray(len(payload)) for _ in pairs]
        sends = [
            Call(client.send_buffer, memory)
            for (client, _), memory in zip(pairs, [payload, array, array.T, payload], strict=True)
        ]
        receives = [
            Call(server.recv_exactly_into, out)
            for (_, server), out in zip(pairs, outs, strict=True)
        ]
        for call in sends + receives:
            assert call.result() == len(payload)
        assert outs == [payload, payload, array.T.tobytes(), payload]
    del array
    payload.append(0)
    for stream in itertools.chain(*pairs):
        stream.close()


def test_memory_when_two_streams_receive_into_it_at_once_then_it_has_bytes_of_both_and_no_others():
    target = np.zeros((300, 1_000), "u1")
    pairs = [pinwire.blocking.socketpair(**SMALL) for _ in range(2)]
    for _ in range(5 * LONG):
        target[:] = 0
        views = [target, target.T]
        calls = [Call(pairs[i][0].send_buffer, bytes([i + 1]) * target.size) for i in range(2)]
        calls += [Call(pairs[i][1].recv_exactly_into, views[i]) for i in range(2)]
        for call in calls:
            assert call.result() == target.size
        assert {*np.unique(target).tolist()} <= {1, 2}
    for stream in itertools.chain(*pairs):
        stream.close()


def test_listener_when_threads_accept_and_one_closes_it_then_no_connection_is_lost_or_doubled():
    clients_each = 10 * LONG
    with pinwire.blocking.listen("tcp://127.0.0.1:0") as listener:

        def accept():
            numbers = []
            for stream in listener:  # until it is closed
                with stream:
                    stream.recv_exactly_into(number := bytearray(4))
                    stream.send_buffer(number)
                    numbers.append(int.from_bytes(number, "big"))
            return numbers

        def connect(by):
            for i in range(clients_each):
                number = (by * clients_each + i).to_bytes(4, "big")
                with pinwire.blocking.connect(listener.address) as stream:
                    stream.send_buffer(number)
                    stream.recv_exactly_into(answer := bytearray(4))
                assert answer == number

        servers = [Call(accept) for _ in range(3)]
        for client in [Call(connect, by) for by in range(3)]:
            client.result()
        for closer in [Call(listener.close) for _ in range(3)]:
            closer.result()
        served = itertools.chain(*[server.result() for server in servers])
        assert sorted(served) == [*range(3 * clients_each)]
