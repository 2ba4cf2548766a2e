"""The two processes of a contestant, as the benchmark holds them."""

import contextlib
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from .contestant import Result, Workload
from .contestants import Entry
from .worker import work

# Importing the largest of the libraries takes seconds on a busy machine.
START_SECONDS = 60.0
# When one side has failed, how long the other may take to notice.
GRACE_SECONDS = 2.0


class PairError(Exception):
    """A contestant did not do it. The pair is gone; the text says why."""


class Pair:
    """Idle between commands. After a PairError the next command starts two new processes."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._sides: list[_Side] = []

    def launch(self) -> None:
        """Start both processes; `run` waits until they are ready."""
        if not self._sides:
            self._sides = [_Side(self.entry, "server"), _Side(self.entry, "client")]

    def settle(self) -> None:
        """Wait until both processes have imported what they need, before anything is timed."""
        self.launch()
        until = time.monotonic() + START_SECONDS
        for side in self._sides:
            if not side.started:
                self._expect(side, "started", until)
                side.started = True

    def run(self, workload: Workload, seconds: float) -> dict[str, Result]:
        """One round; bounded by `seconds`."""
        self.settle()
        server, client = self._sides
        until = time.monotonic() + seconds
        server.control.send(("serve", workload))
        address = self._expect(server, "ready", until)
        client.control.send(("drive", workload, address))
        results: dict[str, Result] = {}
        waiting, failures = [client, server], []
        while waiting:
            ready = wait([side.control for side in waiting], max(0.0, until - time.monotonic()))
            if not ready:
                names = " and ".join(side.name for side in waiting)
                failures.append(f"the {names} did not end in {seconds:.0f} s")
                break
            for side in [side for side in waiting if side.control in ready]:
                waiting.remove(side)
                kind, value = side.receive()
                if kind == "done":
                    results[side.name] = value
                else:
                    failures.append(f"the {side.name}: {value}")
                    until = min(until, time.monotonic() + GRACE_SECONDS)
        if failures:
            self.stop()
            raise PairError(failures[0])
        return results

    def stop(self) -> None:
        """End both processes, whatever they are doing."""
        for side in self._sides:
            side.stop()
        self._sides = []

    def _expect(self, side: "_Side", wanted: str, until: float) -> Any:
        if side.control.poll(max(0.0, until - time.monotonic())):
            kind, value = side.receive()
            if kind == wanted:
                return value
            reason = f"the {side.name}: {value}"
        else:
            reason = f"the {side.name} did not get {wanted} in time"
        self.stop()
        raise PairError(reason)


class _Side:
    def __init__(self, entry: Entry, name: str) -> None:
        self.name = name
        self.started = False
        # From a server that has imported only what all of them need, and has run nothing.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([work.__module__])
        self.control: Connection
        self.control, far_end = context.Pipe()
        arguments = (far_end, entry.module, entry.name)
        self._process = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        far_end.close()

    def receive(self) -> tuple[str, Any]:
        try:
            kind, value = self.control.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(GRACE_SECONDS)
            return "died", f"ended with status {self._process.exitcode}"
        return kind, value

    def stop(self) -> None:
        self.control.close()
        assert self._process.pid is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
