"""A process that plays its ends of flows: commands come in as lines of JSON, answers go out so."""

from __future__ import annotations

import asyncio
import faulthandler
import io
import json
import os
import queue
import random
import signal
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from . import census, pests
from .attempts import on_sigint
from .ends import End, Flow
from .faces import face

if TYPE_CHECKING:
    from collections.abc import Iterator


class Party:
    """What the process does, command by command."""

    def __init__(self) -> None:
        self._commands: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ends: list[End] = []
        self._call: Any = None
        self._loop: Any = None
        self._pid = os.getpid()

    def serve(self) -> None:
        threading.Thread(target=self._listen_to_the_driver, daemon=True).start()
        while True:
            command = self._commands.get()
            answer = getattr(self, command.pop("do"))(**command)
            self._say({"done": answer})

    def run(
        self,
        *,
        role: str,
        face_name: str,
        seed: str,
        flows: list[dict[str, Any]],
        forks: int = 0,
        signals: bool = False,
    ) -> dict[str, Any]:
        """Play one end of each flow."""
        chosen, chance = face(face_name), random.Random(f"{seed} {role}")
        wrong: list[str] = []

        async def main() -> None:
            self._ends = [End(chosen, Flow(**flow), role, seed) for flow in flows]
            self._call = chosen.caller()
            self._loop = None if chosen.is_blocking else asyncio.get_running_loop()
            if role == "listen":
                self._say({"listening": [await end.listen() for end in self._ends]})
            forking = pests.Forks(chosen, self._ends, chance)
            forking.start(forks)
            try:
                await chosen.all(*(end.play(self._say) for end in self._ends))
            finally:
                if os.getpid() == self._pid:
                    wrong.extend(forking.reap())

        with ExitStack() as stack:
            if signals:
                stack.enter_context(pests.signals(chance))
            chosen.run(main)
        accounts = [end.account.as_json() for end in self._ends]
        self._ends, self._call, self._loop = [], None, None
        return {"accounts": accounts, "wrong": wrong}

    def count(self) -> dict[str, Any]:
        return census.own()

    def _say(self, message: dict[str, Any]) -> None:
        if os.getpid() == self._pid:
            os.write(1, json.dumps(message).encode() + b"\n")

    def _listen_to_the_driver(self) -> None:
        # A child that is forked must not find this locked.
        with io.FileIO(0, closefd=False) as file:
            for line in file:
                command = json.loads(line)
                if command["do"] == "give_up":
                    self._give_up(command["flows"])
                elif command["do"] == "dump":
                    self._dump()
                else:
                    self._commands.put(command)
        os._exit(0)  # the driver has gone

    def _give_up(self, numbers: list[int]) -> None:
        if (call := self._call) is not None:
            for end in list(self._ends):
                if end.flow.number in numbers:
                    call(end.give_up)

    def _dump(self) -> None:
        faulthandler.dump_traceback(all_threads=True)
        for end in self._ends:
            stats = end.stream.stats() if end.stream is not None else None
            print(end.account, stats, sep="\n  ", file=sys.stderr)
        for task in asyncio.all_tasks(self._loop) if self._loop else ():
            print(task.get_name(), *_awaits(task.get_coro()), sep="\n  ", file=sys.stderr)


def _awaits(work: Any) -> Iterator[str]:
    """Where a coroutine is, and what it awaits there, down to the last."""
    while (frame := getattr(work, "cr_frame", None)) is not None:
        yield f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
        work = work.cr_await
    yield repr(work)


if __name__ == "__main__":
    faulthandler.enable()
    signal.signal(signal.SIGINT, on_sigint)
    Party().serve()
