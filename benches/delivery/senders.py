"""The call each library documents for sending, given a connected socket and the object as it is.

Nothing is cast or copied beforehand: what happens to a float64 array is what is measured.
Libraries are imported when they are used, so that one that is missing costs only its own row.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

Send = Callable[[socket.socket, Any], Coroutine[Any, Any, None]]
Job = Callable[[], Coroutine[Any, Any, None]]
GiveUp = Callable[[], bool]
Run = Callable[[Job, GiveUp], None]

# How often a call under way is looked at: well below the second that makes it a hang.
TICK = 0.05


@dataclass(frozen=True)
class Sender:
    """One way to send: `run` drives `send` in its own event loop, until it ends or is given up."""

    library: str
    call: str
    send: Send
    run: Run


async def _sock_sendall(sock: socket.socket, payload: Any) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, payload)


async def _stream_writer(sock: socket.socket, payload: Any) -> None:
    _, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(payload)
        await writer.drain()
    except BaseException:
        # A close would wait for what will never be sent.
        writer.transport.abort()
        raise
    writer.close()
    await writer.wait_closed()


async def _trio_stream(sock: socket.socket, payload: Any) -> None:
    import trio

    async with trio.SocketStream(trio.socket.from_stdlib_socket(sock)) as stream:
        await stream.send_all(payload)


async def _anyio_stream(sock: socket.socket, payload: Any) -> None:
    import anyio.abc

    async with await anyio.abc.SocketStream.from_socket(sock) as stream:
        await stream.send(payload)


async def _pinwire_stream(sock: socket.socket, payload: Any) -> None:
    import pinwire

    async with pinwire.Stream.from_socket(sock) as stream:
        await stream.send_buffer(payload)


def _run_asyncio(
    job: Job,
    give_up: GiveUp,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(job())
        while not (await asyncio.wait({task}, timeout=TICK))[0]:
            if give_up():
                task.cancel()
        if not task.cancelled():
            task.result()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def _run_uvloop(job: Job, give_up: GiveUp) -> None:
    import uvloop

    _run_asyncio(job, give_up, uvloop.new_event_loop)


def _run_trio(job: Job, give_up: GiveUp) -> None:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when, give_up, nursery.cancel_scope.cancel, trio.sleep)
            await job()
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _cancel_when(
    give_up: GiveUp,
    cancel: Callable[[], None],
    sleep: Callable[[float], Coroutine[Any, Any, None]],
) -> None:
    while not give_up():
        await sleep(TICK)
    cancel()


OTHERS = (
    Sender("asyncio", "loop.sock_sendall", _sock_sendall, _run_asyncio),
    Sender("asyncio", "StreamWriter.write", _stream_writer, _run_asyncio),
    Sender("uvloop", "loop.sock_sendall", _sock_sendall, _run_uvloop),
    Sender("uvloop", "StreamWriter.write", _stream_writer, _run_uvloop),
    Sender("trio", "SocketStream.send_all", _trio_stream, _run_trio),
    Sender("anyio", "SocketStream.send", _anyio_stream, _run_asyncio),
)
PINWIRE = Sender("pinwire", "await sock.send_buffer", _pinwire_stream, _run_asyncio)
