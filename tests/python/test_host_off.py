"""Where nothing goes past the socket, or from other sizes on: what was set, and forks."""

from __future__ import annotations

import asyncio
import os

import pytest
from channels import exchange
from exporters import noise_array
from host_pairs import LARGE
from support import PATIENCE, finish, start_program

import pinwire

PEER_OFF = "the peer has it off, or no /proc to know its host by"
REASONS = [
    ("off", "off", "off", "off"),
    ("off", "auto", "off", PEER_OFF),
    ("auto", "off", PEER_OFF, "off"),
]


@pytest.mark.parametrize(("mine", "theirs", "my_reason", "their_reason"), REASONS)
def test_message_when_an_end_has_it_off_then_it_goes_by_the_socket(
    mine, theirs, my_reason, their_reason, host
):
    async def main():
        options = {"same_host": mine}
        async with host.pair({"same_host": theirs}, **options) as (client, server):
            sent = noise_array((LARGE,), "u1")
            for sender, receiver in ((client, server), (server, client)) * 2:
                await sender.handshake()
                message = await exchange(sender, receiver, sent)
                assert message.parts[0].tobytes() == sent.tobytes()
            for channel, reason in ((client, my_reason), (server, their_reason)):
                stats = channel.stats()
                assert (stats.bytes_offered, stats.bytes_pulled) == (0, 0)
                assert stats.same_host == reason
                assert channel.transport == host.transport

    host.run(main())


def test_channel_when_nothing_large_was_sent_then_it_is_untried(host):
    async def main():
        async with host.pair() as (client, server):
            await exchange(client, server, b"small")
            for channel in (client, server):
                assert channel.stats().same_host == "untried"
                assert channel.transport == host.transport

    host.run(main())


def test_message_when_one_direction_has_offered_then_both_ends_say_same_host(host):
    async def main():
        async with host.pair() as (client, server):
            async with asyncio.timeout(PATIENCE):
                while client.stats().same_host != "in use":
                    await exchange(client, server, bytes(LARGE))
            assert client.transport == server.transport == "same-host"
            assert server.stats().same_host == "untried"

    host.run(main())


def test_send_when_the_peer_has_not_said_hello_then_it_goes_by_the_socket(host):
    async def main():
        stream, other = await host.streams()
        client = host.over(stream)
        sending = asyncio.ensure_future(client.send(bytes(LARGE)))
        out = bytearray(100)
        if host.is_blocking:
            count = await asyncio.to_thread(other.recv_into, out)
        else:
            count = await other.recv_into(out)
        assert out[:8] == b"\x89PWIRE\r\n"
        assert count > 0
        other.abort()
        with pytest.raises(OSError):
            await sending
        assert client.stats().bytes_offered == 0
        client.abort()

    host.run(main())


def test_send_when_it_may_not_wait_then_it_is_not_offered(aio_host):
    async def main():
        async with aio_host.warm() as (client, server):
            offered = client.stats().bytes_offered
            sending = asyncio.ensure_future(server.recv())
            with pytest.raises((pinwire.TransferTimeoutError, pinwire.TornStreamError)):
                for _ in range(100):
                    await client.send(bytes(64 * LARGE), timeout=0)
            assert client.stats().bytes_offered == offered
            sending.cancel()
            await asyncio.wait([sending])

    aio_host.run(main())


@pytest.mark.parametrize("call", ["bytes", "file"])
def test_file_when_sent_then_it_goes_by_the_socket(call, host, tmp_path):
    async def main():
        content = noise_array((2 * LARGE,), "u1").tobytes()
        path = tmp_path / "file"
        path.write_bytes(content)
        async with host.warm() as (client, server):
            offered = client.stats().bytes_offered
            with path.open("rb") as file:
                sent = client.send(content) if call == "bytes" else client.send_file(file)
                sending = asyncio.ensure_future(sent)
                message = await server.recv()
                await sending
            assert message.parts[0].tobytes() == content
            past = client.stats().bytes_offered - offered
            assert past == (len(content) if call == "bytes" else 0)

    host.run(main())


THRESHOLD = """
import threading, sys, numpy as np, pinwire.blocking

left, right = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())

def exchange(*parts):
    "How many of the bytes go past the socket."
    before = left.stats().bytes_offered
    thread = threading.Thread(target=left.send, args=[parts])
    thread.start()
    message = right.recv()
    thread.join()
    assert [part.tobytes() for part in message.parts] == [bytes(part) for part in parts]
    return left.stats().bytes_offered - before

while left.stats().same_host != "in use":
    exchange(bytes(4 << 20))
for size in map(int, sys.argv[1:]):
    print(exchange(np.arange(size).astype("u1")))
print(exchange(*[b"%d" % (i % 10) for i in range(3000)]))
left.close()
right.close()
"""


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        ("1", "1 1000 1048576 3000"),
        ("1000", "0 1000 1048576 0"),
        ("1048577", "0 0 0 0"),
        ("0", "1 1000 1048576 3000"),
        ("nonsense", "0 0 1048576 0"),
    ],
)
def test_threshold_when_the_environment_has_one_then_it_holds(threshold, told):
    environment = os.environ | {"PINWIRE_OFFER_THRESHOLD": threshold}
    process = start_program(THRESHOLD, 1, 1000, LARGE, env=environment)
    assert finish(process) == (0, told.replace(" ", "\n") + "\n", "")


FORKED = """
import os, signal, threading, traceback, warnings, numpy as np, pinwire.blocking

warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from 3.12
left, right = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
content = np.arange(3 << 20).astype("u1")

def exchange(sender, receiver):
    thread = threading.Thread(target=sender.send, args=[content])
    thread.start()
    assert (receiver.recv(timeout=9).parts[0] == content).all()
    thread.join()

def fork(work):
    if not (child := os.fork()):
        signal.alarm(8)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child

def ended(child):
    assert os.waitpid(child, 0)[1] == 0

while left.stats().same_host != "in use":
    exchange(left, right)
"""


def test_fork_when_a_child_sends_on_a_channel_in_use_then_by_the_socket_and_the_parent_by_offers():
    code = """
def work():
    assert left.send(content, timeout=7) == content.nbytes
    stats = left.stats()
    assert stats.bytes_offered == offered
    print(stats.same_host, flush=True)

offered = left.stats().bytes_offered
child = fork(work)
assert (right.recv(timeout=9).parts[0] == content).all()
ended(child)
exchange(left, right)
print(left.stats().bytes_offered - offered, left.stats().same_host)
left.close()
right.close()
"""
    expected = f"this process was forked, or got another user, meanwhile\n{3 * LARGE} in use\n"
    assert finish(start_program(FORKED + code)) == (0, expected, "")


def test_fork_when_a_child_receives_on_a_channel_in_use_then_by_the_socket():
    code = """
def work():
    pulled = right.stats().bytes_pulled
    assert (right.recv(timeout=7).parts[0] == content).all()
    print(right.stats().bytes_pulled - pulled, flush=True)

child = fork(work)
assert left.send(content, timeout=9) == content.nbytes
ended(child)
print(left.stats().same_host)
left.close()
right.close()
"""
    expected = "0\nthe peer cannot read this process: Operation not permitted (os error 1)\n"
    assert finish(start_program(FORKED + code)) == (0, expected, "")


def test_fork_when_a_child_opens_channels_of_its_own_then_they_go_past_the_socket():
    code = """
def work():
    global left, right
    left, right = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
    while left.stats().same_host != "in use":
        exchange(left, right)
    print(right.transport, flush=True)
    left.close()
    right.close()

ended(fork(work))
exchange(left, right)
left.close()
right.close()
"""
    assert finish(start_program(FORKED + code)) == (0, "same-host\n", "")
