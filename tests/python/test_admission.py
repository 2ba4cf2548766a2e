"""Who may stay at a server of channels: floods and silence leave room for the others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import threading

import numpy as np
import pytest
from hostile import descriptors, hello, rest
from serving import collect, echo_of, serve
from support import until

import pinwire
from pinwire import _memory
from pinwire._admission import Admission, Greeting, default_max_channels
from pinwire._asyncio import accept_all


class Peer:
    """What an admission asks of a channel."""

    def __init__(self, traffic=0):
        self._traffic = traffic


async def is_served(serving):
    async with asyncio.timeout(20), await serving.connect() as channel:
        await channel.send(b"x")
        assert (await channel.recv()).parts[0].tobytes() == b"x"


def test_greeting_when_too_many_are_silent_then_the_first_gives_way():
    greeting = Greeting(2)
    peers = [Peer() for _ in range(4)]
    assert [greeting.arrive(peer) for peer in peers] == [None, None, *peers[:2]]
    greeting.greeted(peers[2])
    assert greeting.arrive(Peer()) is None
    assert (greeting.accepted, greeting.rejected) == (5, 2)


def test_admission_when_full_then_the_longest_silent_gives_way():
    admission = Admission(2, 5.0)
    first, second, third = peers = [Peer() for _ in range(3)]
    for peer in peers:
        admission.arrive(peer)
    assert admission.queue(first)
    assert admission.usher(0.0) == ([first], [])
    assert admission.queue(second)
    assert admission.usher(1.0) == ([second], [])
    assert admission.queue(third)
    assert admission.usher(4.9) == ([], [])
    first._traffic = 100
    assert admission.usher(5.5) == ([], [])
    assert admission.is_awaited
    assert admission.usher(6.0) == ([third], [second])
    assert not admission.is_awaited
    assert second not in admission
    assert admission.idle == 1


def test_admission_when_its_queue_is_full_then_the_last_is_turned_away():
    admission = Admission(1, 1.0)
    peers = [Peer() for _ in range(3)]
    for peer in peers:
        admission.arrive(peer)
    assert admission.queue(peers[0])
    assert admission.queue(peers[1])
    assert not admission.queue(peers[2])
    assert admission.rejected == 1
    assert admission.usher(0.0) == ([peers[0]], [])
    admission.leave(peers[0])
    assert admission.usher(0.0) == ([peers[1]], [])


def test_admission_when_nobody_waits_for_the_peer_then_the_channel_stays():
    admission = Admission(1, 1.0)
    busy, other = Peer(None), Peer()
    for peer in (busy, other):
        admission.arrive(peer)
    assert admission.queue(busy)
    assert admission.usher(0.0) == ([busy], [])
    assert admission.queue(other)
    assert admission.usher(100.0) == ([], [])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_channels": 0}, "max_channels must be positive: 0"),
        ({"idle_timeout": -1.0}, "idle_timeout must be a number of seconds"),
        ({"idle_timeout": float("nan")}, "idle_timeout must be a number of seconds"),
        ({"memory_budget": 0}, "a budget must be positive"),
    ],
)
def test_server_when_a_limit_is_wrong_then_the_call_says_so(options, match, face):
    module = pinwire.blocking if face.is_blocking else pinwire
    with pytest.raises(ValueError, match=match):
        module.serve_channels(print, "tcp://127.0.0.1:0", **options)


def test_server_when_many_are_silent_then_others_are_served(face):
    async def main():
        async with serve(face, echo_of(face), max_channels=40) as serving:
            threads = threading.active_count()
            with contextlib.ExitStack() as stack:
                for _ in range(200):
                    stack.enter_context(serving.raw())
                await until(lambda: serving.server.stats().accepted == 200)
                assert threading.active_count() <= threads + 1
                await is_served(serving)
                stats = serving.server.stats()
                assert stats.greeting <= 16
                assert stats.rejected >= 184

    face.run(main())


def test_server_when_full_then_whoever_is_silent_gives_way(face, reports):
    async def main():
        collect(reports)
        async with serve(face, echo_of(face), max_channels=3, idle_timeout=0.05) as serving:
            with contextlib.ExitStack() as stack:
                socks = [stack.enter_context(serving.raw()) for _ in range(3)]
                for sock in socks:
                    sock.sendall(hello())
                await until(lambda: serving.server.stats().channels == 3)
                await is_served(serving)
                await until(lambda: serving.server.stats().idle > 0)
                await asyncio.wait(
                    [asyncio.ensure_future(asyncio.to_thread(rest, sock)) for sock in socks],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                await serving.close()
        assert reports == []

    face.run(main())


def test_server_when_full_of_busy_channels_then_a_newcomer_waits(face):
    async def main():
        async with serve(face, echo_of(face), max_channels=1, idle_timeout=1000) as serving:
            async with await serving.connect() as first:
                await first.send(b"x")
                await first.recv()
                second = asyncio.ensure_future(is_served(serving))
                await until(lambda: serving.server.stats().waiting == 1)
                assert not second.done()
            await second

    face.run(main())


def test_server_when_no_thread_can_be_started_then_it_serves_once_one_can(reports, monkeypatch):
    start, failures = threading.Thread.start, [RuntimeError("can't start new thread")] * 3

    def failing(thread):
        if thread.name == "pinwire-channel" and failures:
            raise failures.pop()
        start(thread)

    def handler(channel):
        channel.send(channel.recv().parts)

    monkeypatch.setattr(threading.Thread, "start", failing)
    with (
        pinwire.blocking.serve_channels(handler, "tcp://127.0.0.1:0") as server,
        pinwire.blocking.connect_channel(server.address) as channel,
    ):
        channel.send(b"x")
        assert channel.recv().parts[0].tobytes() == b"x"
    assert failures == []
    assert [str(error) for error in reports] == ["can't start new thread"]


def test_server_when_descriptors_run_out_then_it_serves_once_there_are_some(face, reports):
    async def main():
        collect(reports)
        async with serve(face, echo_of(face)) as serving:
            sock, where = serving.unconnected()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            with sock:
                # Not one more than there are; a connection takes none of its client.
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors(), hard))
                try:
                    with contextlib.ExitStack() as stack:
                        with contextlib.suppress(OSError):
                            while True:
                                stack.callback(os.close, os.dup(0))
                        sock.connect(where)
                        sock.sendall(hello())
                        await until(lambda: reports)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                await until(lambda: serving.server.stats().accepted == 1)
                await is_served(serving)
                assert [error.errno for error in reports] == [errno.EMFILE]

    face.run(main())


def test_accepting_when_accept_fails_in_any_way_then_it_goes_on_and_says_so_once():
    class Listener:
        def __init__(self):
            self.said = [OSError(errno.EPERM, "a firewall"), OSError(errno.EPERM, "a firewall")]
            self.said += ["a stream", OSError(errno.EFAULT, "a fault"), "another"]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.said:
                raise StopAsyncIteration
            said = self.said.pop(0)
            if isinstance(said, OSError):
                raise said
            return said

    welcomed, reported = [], []
    asyncio.run(accept_all(Listener(), welcomed.append, lambda _, error: reported.append(error)))
    assert welcomed == ["a stream", "another"]
    assert [error.errno for error in reported] == [errno.EPERM, errno.EFAULT]


def test_stats_when_peers_come_and_go_then_they_are_counted(face):
    async def main():
        async with serve(face, echo_of(face), memory_budget=1 << 20) as serving:
            await is_served(serving)
            with serving.raw() as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                await asyncio.to_thread(rest, sock)
            await until(lambda: serving.server.stats().rejected == 1)
            await until(lambda: serving.server.stats().channels == 0)
            stats = serving.server.stats()
            assert isinstance(stats, pinwire.ServerStats)
            assert (stats.accepted, stats.greeting, stats.idle) == (2, 0, 0)
            assert stats.memory.nbytes == 1 << 20

    face.run(main())


def test_budget_when_none_is_given_then_it_is_a_quarter_of_the_memory(face):
    async def main():
        async with serve(face, echo_of(face)) as serving:
            assert serving.server.stats().memory.nbytes == _memory.available() // 4

    face.run(main())


def test_max_channels_when_none_is_given_then_it_follows_the_descriptors():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert default_max_channels() == min(16 * 1024, soft // 2)


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": "4096\n"}, 4096),
        ("0::/a/b\n", {"sys/fs/cgroup/a/b/memory.max": "max\n"}, None),
        ("0::/host/path\n", {"sys/fs/cgroup/memory.max": "8192\n"}, 8192),
        (
            "5:cpu,memory:/a\n",
            {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "12288\n"},
            12288,
        ),
        ("", {}, None),
    ],
    ids=["of a parent", "none", "of a container", "version 1", "no cgroups"],
)
def test_available_when_a_cgroup_has_a_limit_then_it_counts(tmp_path, cgroup, files, expected):
    usual = _memory.available(tmp_path / "nothing")
    files = files | {"proc/self/cgroup": cgroup}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert _memory.available(tmp_path) == (usual if expected is None else expected)


def test_shared_array_when_its_memory_was_used_before_then_the_gaps_are_clear():
    left, right = pinwire.blocking.socketpair()
    with pinwire.blocking.Channel(left) as client, pinwire.blocking.Channel(right) as server:

        def received(data, **options):
            sending = threading.Thread(target=client.send, args=(data,))
            sending.start()
            message = server.recv(**options)
            sending.join()
            return message

        size = 8 << 20
        received(np.full(size, 0xFF, "u1"))
        parts = received([np.zeros(3, "u1"), np.zeros(size // 8 - 2)], share=True).parts
        whole = np.frombuffer(parts[0].base, "u1")
        assert not whole.any()


def test_memory_when_it_is_dropped_then_the_next_message_has_it():
    left, right = pinwire.blocking.socketpair()
    with pinwire.blocking.Channel(left) as client, pinwire.blocking.Channel(right) as server:
        addresses = []
        for _ in range(2):
            sending = threading.Thread(target=client.send, args=(np.ones(8 << 20, "u1"),))
            sending.start()
            array = server.recv().parts[0]
            addresses.append(array.__array_interface__["data"][0])
            del array
            sending.join()
        assert addresses[0] == addresses[1]
