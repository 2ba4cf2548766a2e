"""mpi4py as MPI's own launcher starts it: two processes that know each other from the beginning.

Only so do the libraries take their way through shared memory that is quickest; Open MPI lets
processes that were started apart not meet at all. The launcher's two processes live as long as the
worker that serves: it tells both of them what to do, and hands the client's result on.
"""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from ..contestant import Contestant, Result, Workload
from ..dying import end_with_parent

RANK_MODULE = f"{__package__}.mpi_rank"

# How soon a launcher that has failed is noticed.
LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class Library:
    name: str
    package: str
    """On PyPI: the wheel that has the library and its launcher."""
    shared_object: str
    launcher: Sequence[str]
    """In the environment's folder of programs, with arguments."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Launched:
    """A contestant; its state is that of the one worker that serves."""

    library: Library
    family: str = "messages"
    _ranks: list[Connection] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"mpi4py {self.library.name} (shared memory)"

    @property
    def settings(self) -> str:
        launcher, *_ = self.library.launcher
        return (
            f"{self.library.name} {version(self.library.package)}, both ranks started by"
            f" {launcher}, its own defaults; Send and Recv of the arrays themselves; waits by"
            " polling"
        )

    def takes(self, workload: Workload) -> bool:
        return workload.kind == "same-host"

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        if not self._ranks:
            self._ranks = _launch(self.library)
        name = _name()
        with Listener(f"\0{name}", "AF_UNIX") as listener:
            ready(name)
            with listener.accept() as driver:
                for rank in self._ranks:
                    rank.send(workload)
                result: Result = self._ranks[0].recv()
                driver.send(self._ranks[1].recv())
        return result

    def drive(self, workload: Workload, address: str) -> Result:
        with Client(f"\0{address}", "AF_UNIX") as server:
            result: Result = server.recv()
            return result


def launched(library: Library) -> tuple[Contestant, ...]:
    """Raises ImportError if it is not installed."""
    for package in ("mpi4py", library.package):
        version(package)
    return (Launched(library),)


def _launch(library: Library) -> list[Connection]:
    """Connections to the two ranks in their order."""
    prefix, name = Path(sys.prefix), _name()
    launcher, *arguments = library.launcher
    rank = [sys.executable, "-m", RANK_MODULE, name]
    # Both libraries may be installed, and mpi4py would take the first that it finds.
    chosen = {"MPI4PY_LIBMPI": str(prefix / "lib" / library.shared_object)}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        listener.settimeout(LOOK_AGAIN_SECONDS)
        process = subprocess.Popen(
            [str(prefix / "bin" / launcher), *arguments, "-n", "2", *rank],
            env=os.environ | library.environment | chosen,
            stdout=subprocess.DEVNULL,
            # Not killed with the worker, but asked to end, so that what the ranks share goes too.
            start_new_session=True,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),
        )
        ranks = [_accept(listener, process) for _ in range(2)]
    return sorted(ranks, key=lambda rank: rank.recv())


def _accept(listener: socket.socket, launcher: subprocess.Popen[bytes]) -> Connection:
    while True:
        try:
            return Connection(listener.accept()[0].detach())
        except TimeoutError:
            if launcher.poll() is not None:
                reason = f"the launcher ended with status {launcher.returncode}"
                raise RuntimeError(reason) from None


def _name() -> str:
    """Of an abstract unix socket, without the zero before it, which no argument can hold."""
    return f"pinwire-bench-{uuid.uuid4().hex}"
