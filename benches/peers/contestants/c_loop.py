"""Blocking loops in C: as fast as these system calls go."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from ..contestant import HOST_BULK, Contestant, Result, Workload
from .over_unix import OverUnix

SOURCES = Path(__file__).parent.parent / "c"

# Where the compiled program is: set by the benchmark before it starts anybody.
PROGRAM = "PINWIRE_BENCH_C_LOOP"

# Within one host: what lets sockets move as much at a time as they can.
HOST_SOCKBUF = 4 * 1024 * 1024


def build(folder: Path) -> str | None:
    """Compile it into `folder`; the reason if that fails."""
    program = folder / "c-loop"
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    command = [os.environ.get("CC", "cc"), "-O2", "-o", str(program), *sources, "-pthread"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        return f"no C compiler: {command[0]}"
    except subprocess.CalledProcessError as error:
        return error.stderr.strip().splitlines()[0]
    os.environ[PROGRAM] = str(program.resolve())
    return None


def ready_sends(transport: str, size: int, batch: int, batches: int) -> list[float]:
    """Nanoseconds of a send(2) that never waits, one of each batch."""
    command = [os.environ[PROGRAM], "ready", transport, str(size), str(batch), str(batches)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [float(value) for value in json.loads(output)]


class CLoop:
    name = "C loop"
    family = "C"
    settings = (
        "blocking send and recv of all that is left, sendmsg and recvmsg for gather, a thread for"
        " each of many connections; TCP_NODELAY; cc -O2; on one host socket buffers of 4 MiB (or"
        " what the system grants), memory in huge pages from 4 MiB on as NumPy's"
    )

    def takes(self, workload: Workload) -> bool:
        return workload.kind in {"ping", "bulk", "gather", "many"} | HOST_BULK

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with _start("serve", workload) as program:
            assert program.stdout is not None
            ready(program.stdout.readline().strip())
            return _result(program)

    def drive(self, workload: Workload, address: str) -> Result:
        with _start("drive", workload, address) as program:
            return _result(program)


def _start(side: str, workload: Workload, *address: str) -> subprocess.Popen[str]:
    sockbuf = HOST_SOCKBUF if workload.kind in HOST_BULK else workload.sockbuf or 0
    numbers = [workload.size, workload.count, workload.connections, sockbuf, workload.warm_ups]
    command = [os.environ[PROGRAM], side, workload.kind, workload.transport, *map(str, numbers)]
    return subprocess.Popen(
        [*command, *address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _result(program: subprocess.Popen[str]) -> Result:
    output, error = program.communicate()
    if program.returncode:
        raise RuntimeError(error.strip() or f"exit status {program.returncode}")
    result: Result = json.loads(output)
    return result


CONTESTANTS: tuple[Contestant, ...] = (CLoop(), OverUnix("C loop, unix", CLoop()))
