"""What happens to a whole process while its flows play: signals that rain, and forks."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from .ends import End
    from .faces import InThreads, OnLoop

CHILD_SECONDS = 20
_TGKILL = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def signals(chance: random.Random) -> Iterator[None]:
    """A rain of SIGUSR1 on all threads, those of pinwire included, and of SIGALRM."""
    over = threading.Event()

    def rain() -> None:
        while not over.wait(chance.random() * 0.005):
            for task in Path("/proc/self/task").iterdir():
                # The thread may have ended: then nothing is hit.
                _libc.syscall(_TGKILL, os.getpid(), int(task.name), signal.SIGUSR1)

    for number in (signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, lambda *_: None)
    thread = threading.Thread(target=rain, daemon=True)
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        over.set()
        thread.join()


class Forks:
    """Children that are forked in the middle of everything, and what became of them."""

    def __init__(self, face: OnLoop | InThreads, ends: list[End], chance: random.Random) -> None:
        self._face, self._ends, self._chance = face, ends, chance
        self._children: dict[int, str] = {}
        self._stops: list[Callable[[], None]] = []
        self._left = 0

    def start(self, count: int) -> None:
        self._left = count
        if count:
            self._stops = [self._face.later(self._chance.random() * 0.05, self._fork)]

    def _fork(self) -> None:
        way = self._chance.choice(["_exit", "exit", "close", "collect", "use"])
        with warnings.catch_warnings():
            # Python 3.12 warns of what is asked for here: a fork beside threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            self._be_a_child(way)
            return
        self._children[child] = way
        self.start(self._left - 1)

    def _be_a_child(self, way: str) -> None:
        for number in (signal.SIGALRM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL) if _in_main() else None
        signal.setitimer(signal.ITIMER_REAL, CHILD_SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            self._live(way)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)

    def _live(self, way: str) -> None:
        warnings.simplefilter("ignore")
        if way in ("close", "collect"):
            for end in self._ends:
                stream = getattr(end.stream, "inner", end.stream)
                if stream is not None and way == "close":
                    stream.close()
                end.stream = None
            gc.collect()
        elif way == "exit":
            # As far as a program ends that leaves its loop alone, which it has in common with its
            # parent (epoll(7)).
            atexit._run_exitfuncs()
        elif way == "use":
            import pinwire.blocking

            a, b = pinwire.blocking.socketpair()
            with a, b:
                a.send_buffer(b"of the child")
                b.recv_exactly_into(bytearray(12))

    def reap(self) -> list[str]:
        """Stop forking, and wait for the children. What went wrong with them."""
        for stop in self._stops:
            stop()
        wrong, deadline = [], time.monotonic() + CHILD_SECONDS + 5
        for child, way in self._children.items():
            while not (ended := os.waitpid(child, os.WNOHANG))[0]:
                if time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.001)
            if ended[1]:
                status = os.waitstatus_to_exitcode(ended[1])
                wrong.append(f"a forked child that went by {way!r} ended with {status}")
        self._children.clear()
        return wrong


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()
