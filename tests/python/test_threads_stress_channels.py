"""Blocking channels and their servers that threads share without asking one another."""

from __future__ import annotations

import contextlib
import itertools
import threading

import numpy as np
import pytest
from restless import LONG, chance, content, observed, persist
from support import SMALL, Call, wait_until

import pinwire
from pinwire import blocking

SENDERS = 4
MESSAGES = 25 * LONG

pytestmark = [pytest.mark.timeout(60 * LONG), pytest.mark.usefixtures("restless")]


@contextlib.contextmanager
def pair(same_host, **options):
    left, right = blocking.socketpair(**SMALL)
    with (
        blocking.Channel(left, same_host=same_host, **options) as client,
        blocking.Channel(right, same_host=same_host, **options) as server,
    ):
        yield client, server


def meta(by, number):
    return {"by": by, "number": number}


def send_all(channel, by, sizes):
    """Send messages in two parts, by any call."""
    for number, size in enumerate(sizes):
        data = content(by, number, size)
        parts = [bytearray(data[: size // 3]), np.frombuffer(data[size // 3 :], "u1")]
        if number % 3 == 0:
            channel.post(parts, meta=meta(by, number), wait=True)
        else:
            assert channel.send(parts, meta=meta(by, number)) == size


def check(message):
    by, number = message.meta["by"], message.meta["number"]
    joined = b"".join(part.tobytes() for part in message.parts)
    assert joined == content(by, number, message.nbytes)
    return by, number


def receive_all(channel, way):
    """Whatever comes until the end, by one of the calls."""
    found = []
    while True:
        try:
            if way == 0:
                found.append(check(persist(channel.recv)))
                continue
            header = persist(channel.recv_header)
            into = [bytearray(part.nbytes) for part in header.parts]
            persist(header.read_into, into)
            number = header.meta["number"]
            assert b"".join(into) == content(header.meta["by"], number, header.nbytes)
            found.append((header.meta["by"], number))
        except pinwire.MessageRefusedError:
            continue  # another thread had it in between
        except pinwire.IncompleteTransferError:
            return found


@pytest.mark.parametrize("same_host", ["off", "auto"])
def test_channel_when_threads_send_and_receive_then_messages_are_whole_and_in_order(same_host):
    random = chance(same_host)
    choices = [0, 10, 5_000, 60_000, 2_000_000]  # of the last, parts go past the socket
    sizes = [[random.choice(choices) for _ in range(MESSAGES)] for _ in range(SENDERS)]
    with pair(same_host, high_water=3_000_000) as (client, server):
        with observed(client.stream, server.stream):
            receivers = [Call(receive_all, server, way) for way in (0, 0, 1)]
            for sender in [Call(send_all, client, by, sizes[by]) for by in range(SENDERS)]:
                sender.result()
            client.drain()
            client.stream.send_eof()
            found = [receiver.result() for receiver in receivers]
        sent, received = client.stats(), server.stats()
    assert sorted(itertools.chain(*found)) == [*itertools.product(range(SENDERS), range(MESSAGES))]
    for messages in found:
        for sender in range(SENDERS):
            numbers = [number for by, number in messages if by == sender]
            assert numbers == sorted(numbers)
    assert sent.messages_sent == received.messages_received == SENDERS * MESSAGES
    assert sent.bytes_sent == received.bytes_received == sum(map(sum, sizes))
    if same_host == "auto" and sent.same_host == "in use":
        assert received.bytes_pulled == sent.bytes_offered > 0


def test_header_when_threads_ask_for_its_message_then_one_gets_it_and_the_others_are_refused():
    with pair("off") as (client, server):
        for number in range(20 * LONG):
            size = 50_000
            sending = Call(client.send, content(1, number, size), meta=meta(1, number))
            header = server.recv_header()

            def read(header=header, size=size):
                out = bytearray(size)
                try:
                    persist(header.read_into, out)
                except pinwire.MessageRefusedError:
                    assert out == bytes(size)
                    return None
                return out

            outs = [call.result() for call in [Call(read) for _ in range(3)]]
            assert [out for out in outs if out] == [content(1, number, size)]
            assert sending.result() == size


def test_channel_when_another_thread_closes_it_then_every_message_that_came_is_whole():
    random = chance("close")
    for _ in range(15 * LONG):
        with pair("off") as (client, server):
            enough = random.choice([0, 10_000, 100_000])

            def send(by, client=client):
                number = 0
                with contextlib.suppress(pinwire.ClosedError, ConnectionError):
                    while True:
                        client.send(content(by, number, 20_000), meta=meta(by, number))
                        number += 1
                return number

            def receive(server=server):
                found = []
                with contextlib.suppress(pinwire.Error, ConnectionError):
                    while True:
                        found.append(check(persist(server.recv)))
                return found

            receiver = Call(receive)
            senders = [Call(send, by) for by in range(3)]
            wait_until(lambda client=client, enough=enough: client.stats().bytes_sent >= enough)
            for closer in [Call(it) for it in (client.close, client.abort)]:
                closer.result()
            counts = [sender.result() for sender in senders]
            found = receiver.result()
            for by, count in enumerate(counts):
                numbers = [number for who, number in found if who == by]
                assert numbers == [*range(len(numbers))]
                assert len(numbers) <= count + 1  # what is cut may have gone as a whole


def test_server_when_closed_among_clients_then_answers_are_whole_and_no_thread_stays():
    before = {*threading.enumerate()}

    def echo(channel):
        for message in channel:
            channel.send(message.parts, meta=message.meta)

    def ask(address, by):
        answers = 0
        with contextlib.suppress(OSError, pinwire.Error):
            while True:
                with blocking.connect_channel(address) as channel:
                    for number in range(5):
                        channel.send(content(by, number, 30_000), meta=meta(by, number))
                        assert check(channel.recv()) == (by, number)
                        answers += 1
                        asked.release()
        return answers

    for _ in range(3 * LONG):
        asked = threading.Semaphore(0)
        with blocking.serve_channels(echo, "tcp://127.0.0.1:0") as server:
            clients = [Call(ask, server.address, by) for by in range(3)]
            for _ in range(60):
                assert asked.acquire(timeout=10)
            for closer in [Call(server.close) for _ in range(2)]:
                closer.result()
        assert sum(client.result() for client in clients) >= 60
    wait_until(lambda: {*threading.enumerate()} <= before)
