"""The driver's hold on another process that takes commands."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from . import census

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUND_SECONDS = 90
"""After which nothing in a round can still be under way: it hangs."""


class LostError(Exception):
    """Somebody does not answer as he should; the text has what there is to know of it."""


class Remote:
    """A program of this package, in a host or on this machine as it is."""

    def __init__(self, name: str, module: str = "party", inside: Sequence[str] = ()) -> None:
        self.name = name
        self.growth = census.Growth()
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-W", "error", "-m", f"soak.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is the driver's
            # Fewer places where malloc(3) keeps what was freed: a leak shows sooner.
            env=os.environ | {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"},
        )
        self.pid = self._process.pid
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.errors: deque[str] = deque(maxlen=400)
        self._readers = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def tell(self, do: str, **arguments: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do} | arguments).encode() + b"\n")
            self._process.stdin.flush()

    def heard(self, key: str, deadline: float) -> Any:
        """What it says next, which has to be an answer of that kind."""
        message = self.next(deadline)
        if key not in message:
            said = "".join(self.errors)
            raise LostError(f"{self.name} says {message} instead of {key!r}\n{said}")
        return message[key]

    def next(self, deadline: float) -> dict[str, Any]:
        try:
            return self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise LostError(f"{self.name} does not answer") from None

    def pending(self) -> dict[str, Any] | None:
        with contextlib.suppress(queue.Empty):
            return self._answers.get(timeout=0.002)
        return None

    def ask(self, do: str, **arguments: Any) -> Any:
        self.tell(do, **arguments)
        return self.heard("done", time.monotonic() + ROUND_SECONDS)

    def count(self) -> dict[str, Any]:
        return self.ask("count") | census.of(self.pid)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def stacks(self) -> str:
        """Where all of its threads and tasks are."""
        before = len(self.errors)
        self.tell("dump")
        time.sleep(1)  # nobody says when the dump is whole, least of all a process that hangs
        return f"{self.name}:\n" + "".join(list(self.errors)[before:])

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        for reader in self._readers:
            reader.join()
        self._process.stdout.close()
        self._process.stderr.close()

    def _read_answers(self) -> None:
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({"ended": self._process.wait()})

    def _read_errors(self) -> None:
        for line in self._process.stderr:
            self.errors.append(line.decode(errors="replace"))
