"""The server of a siege: it echoes, with few descriptors, few threads and little memory."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import threading

import pinwire
import pinwire.blocking

from . import census
from .siege import BUDGET, CHANNELS, DESCRIPTORS, THREADS

OPTIONS = {"memory_budget": BUDGET, "max_channels": CHANNELS, "idle_timeout": 0.1}


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    logging.disable()
    threading.excepthook = _complain
    face = sys.argv[1]
    if face == "blocking":
        threading.Thread.start = _few(threading.Thread.start)
        with pinwire.blocking.serve_channels(_echo_in_thread, _address(), **OPTIONS) as server:
            _answer(server)
        return
    import uvloop

    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    with asyncio.Runner(loop_factory=loops[face]) as runner:
        runner.run(_serve())


def _complain(args: threading.ExceptHookArgs) -> None:
    """Handlers whose peers are hostile raise; nothing else may."""
    if args.thread is None or args.thread.name != "pinwire-channel":
        threading.__excepthook__(args)


async def _serve() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with pinwire.serve_channels(_echo, _address(), **OPTIONS) as server:
        await asyncio.to_thread(_answer, server)


def _address() -> str:
    return "tcp://127.0.0.1:0"


async def _echo(channel: pinwire.Channel) -> None:
    async for message in channel:
        await channel.send(message.parts)


def _echo_in_thread(channel: pinwire.blocking.Channel) -> None:
    for message in channel:
        channel.send(message.parts)


def _few(start):
    def start_if_there_are_few(thread: threading.Thread) -> None:
        if threading.active_count() > THREADS:
            raise RuntimeError("can't start new thread")
        start(thread)

    return start_if_there_are_few


def _answer(server: pinwire.ChannelServer) -> None:
    """Tell the driver what there is, whenever it asks."""
    _say({"address": server.address})
    for _ in sys.stdin:
        census.own()
        found, stats = census.of(os.getpid()), server.stats()
        _say(
            {
                "fds": len(found["fds"]),
                "threads": len(found["threads"]),
                "memory": found["memory"],
                "reserved": stats.memory.reserved,
                "stats": stats._replace(memory=tuple(stats.memory)),
            }
        )


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
