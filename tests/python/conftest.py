"""Fixtures: event loops, and pairs of connected streams with small buffers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import uvloop
from channels import FACES, Channels
from host_pairs import Echo, EchoServer, Hosted
from restless import much_switching
from support import LISTEN_ON, PATIENCE, SMALL

import pinwire
import pinwire.blocking
from pinwire import _blocking_channel, _channel

if TYPE_CHECKING:
    from pathlib import Path

Run: TypeAlias = Callable[[Awaitable[Any]], Any]
AsyncPair: TypeAlias = Callable[[], contextlib.AbstractAsyncContextManager[tuple[Any, Any]]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on a fresh loop, in debug mode on asyncio, and close the loop."""
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]

    def run_coroutine(main: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(3 * PATIENCE):
                return await main

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(bounded())

    return run_coroutine


@pytest.fixture(params=["tcp", "unix", "socketpair"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(transport: str, request: pytest.FixtureRequest) -> AsyncPair:
    """`async with pair() as (client, server)`: two connected asyncio streams, small buffers."""

    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[tuple[Any, Any]]:
        if transport == "socketpair":
            client, server = pinwire.socketpair(**SMALL)
        else:
            address = LISTEN_ON[transport].format(name=abs(hash(request.node.nodeid)))
            async with pinwire.listen(address, **SMALL) as listener:
                client = await pinwire.connect(listener.address, **SMALL)
                server = await listener.accept()
        async with client, server:
            yield client, server

    return make


@pytest.fixture
def blocking_pair(transport: str, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Two connected blocking streams with small buffers."""
    if transport == "socketpair":
        client, server = pinwire.blocking.socketpair(**SMALL)
    else:
        address = LISTEN_ON[transport].format(name=abs(hash(request.node.nodeid)))
        with pinwire.blocking.listen(address, **SMALL) as listener:
            client = pinwire.blocking.connect(listener.address, **SMALL)
            server = listener.accept()
    with client, server:
        yield client, server


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns all the time."""
    with much_switching():
        yield


@pytest.fixture(autouse=True)
def brief_linger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that never say hello are many here; channels need not wait a second for each."""
    if request.module.__name__.startswith("test_channel"):
        monkeypatch.setattr(_channel, "LINGER", 0.02)
        monkeypatch.setattr(_blocking_channel, "LINGER", 0.02)


# Every face and every transport; what they have to do with one another is tested on streams.
COMBINATIONS = ["asyncio-tcp", "uvloop-unix", "blocking-unix"]


@pytest.fixture(params=COMBINATIONS)
def channels(request: pytest.FixtureRequest) -> Channels:
    """Pairs of channels on every face."""
    return Channels(*request.param.split("-"))


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Channels:
    """Every face, where the transport does not matter."""
    return Channels(request.param, "unix")


@pytest.fixture(params=COMBINATIONS[:2])
def aio(request: pytest.FixtureRequest) -> Channels:
    """The faces whose calls can be cancelled."""
    return Channels(*request.param.split("-"))


@pytest.fixture(params=COMBINATIONS)
def host(request: pytest.FixtureRequest) -> Hosted:
    """Pairs of channels on every face that go past the socket."""
    return Hosted(*request.param.split("-"))


@pytest.fixture(params=COMBINATIONS[:2])
def aio_host(request: pytest.FixtureRequest) -> Hosted:
    """Those whose calls can be cancelled."""
    return Hosted(*request.param.split("-"))


@pytest.fixture(scope="session")
def echo_server() -> Iterator[EchoServer]:
    """A program that sends back what it gets."""
    server = EchoServer()
    yield server
    server.stop()


# A face and a transport, and the face of the other process if there is one.
ECHOES = ["asyncio-tcp-blocking", "uvloop-unix-uvloop", "blocking-tcp-uvloop"]
ECHOES += ["asyncio-unix-here", "uvloop-tcp-here", "blocking-unix-here"]


@pytest.fixture(params=ECHOES)
def echo(request: pytest.FixtureRequest) -> Echo:
    """Somebody who sends back what a channel sends, in this process or another."""
    face, transport, theirs = request.param.split("-")
    hosted = Hosted(face, transport)
    if theirs == "here":
        return Echo(hosted)
    return Echo(hosted, request.getfixturevalue("echo_server"), theirs)


@pytest.fixture
def other_process(echo_server: EchoServer) -> Echo:
    """The same in another process, where the face does not matter."""
    return Echo(Hosted("asyncio", "unix"), echo_server, "blocking")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where files are, and where they are to go."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    return here, there


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What handlers of servers raised, in threads; `serving.collect` adds those of a loop."""
    found: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_value))
    return found
