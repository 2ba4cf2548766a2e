"""Dask's clusters, over its own TCP and over pinwire; kept as long as the worker that serves."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import dask
from distributed import Client, wait

from ..contestant import Contestant, Result, Workload
from ..meter import forget_peak, peak
from . import dask_tasks as tasks
from .dask_local import WORKERS, settings

SETTINGS = (
    f"LocalCluster of {WORKERS} worker processes of one thread each, no dashboard, the client in a"
    " process of its own; Dask's defaults"
)


@dataclass
class Cluster:
    """A contestant; its state is that of the two workers of the benchmark."""

    name: str
    protocol: str
    same_host: str = "auto"
    settings: str = SETTINGS
    family: str = "messages"
    _programs: list[tuple[subprocess.Popen[str], str]] = field(default_factory=list)
    """The program that has the cluster, and the scheduler's address."""

    def takes(self, workload: Workload) -> bool:
        # Without large arrays there is nothing that could go another way.
        return workload.kind in (KINDS if self.same_host == "auto" else LARGE)

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        if not self._programs:
            self._programs.append(_launch(self.protocol, self.same_host))
        program, address = self._programs[0]
        if program.poll() is not None:
            raise RuntimeError(f"the cluster ended with status {program.returncode}")
        ready(address)
        # What the cluster does is the client's to say.
        return NOT_COUNTED

    def drive(self, workload: Workload, address: str) -> Result:
        result = KINDS[workload.kind](self._session(address), workload)
        return NOT_COUNTED | result

    def _session(self, address: str) -> "Session":
        if self._sessions.get(address) is None:
            dask.config.set(settings(self.same_host))
            self._sessions[address] = Session(Client(address))
        return self._sessions[address]

    @cached_property
    def _sessions(self) -> dict[str, "Session"]:
        return {}


# It would be that of the processes that only wait.
NOT_COUNTED: Result = {"cpu_seconds": None, "peak_bytes": None}


class Session:
    """A client, and the two workers between which arrays move."""

    def __init__(self, client: Client) -> None:
        self.client = client
        client.wait_for_workers(WORKERS)
        self.sender, self.receiver = sorted(client.scheduler_info()["workers"])
        self.submit = partial(client.submit, pure=False)

    def at(self, worker: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What `function` says, called in a worker's process beside its tasks."""
        return self.client.run(function, *arguments, workers=[worker], **named)[worker]

    def everywhere(self, function: Callable[..., Any]) -> list[Any]:
        """The same of both: the sender first."""
        return [self.at(worker, function) for worker in (self.sender, self.receiver)]

    def made(self, nbytes: int, numbers: Sequence[int]) -> list[Any]:
        """Arrays in the sender's memory, and nowhere else."""
        arrays = [self.submit(tasks.make, nbytes, n, workers=[self.sender]) for n in numbers]
        wait(arrays)
        return arrays

    def settle(self) -> None:
        """Wait until the workers hold nothing more of what has been let go."""
        while any(self.everywhere(tasks.held)):
            pass


def _transfer(session: Session, workload: Workload) -> Result:
    result: Result = {"seconds": [], "transfer_seconds": [], "worker_peaks": [], "verified": True}
    for number in workload.counted:
        (array,) = session.made(workload.size, [number])
        known = all(session.everywhere(forget_peak))
        begin = time.perf_counter()
        verified = session.submit(
            tasks.arrived, array, workload.size, number, workers=[session.receiver]
        ).result()
        result["seconds"].append(time.perf_counter() - begin)
        if known:
            result["worker_peaks"].append(session.everywhere(peak))
        result["transfer_seconds"].append(session.at(session.receiver, tasks.last_transfer))
        result["verified"] &= verified and _equal(session, [array], workload.size, [number])
        del array
        session.settle()
    carrier = session.at(session.receiver, tasks.carrier, session.sender)
    return result | {"carrier": carrier or "tcp"}


def _equal(session: Session, arrays: Sequence[Any], nbytes: int, numbers: Sequence[int]) -> bool:
    """Whether the receiver's copies are the same, byte by byte."""
    checks = [
        session.submit(tasks.equals, array, nbytes, number, workers=[session.receiver])
        for array, number in zip(arrays, numbers, strict=True)
    ]
    return all(session.client.gather(checks))


def _batch(session: Session, workload: Workload) -> Result:
    """Tasks that need an array each, all submitted at once."""
    numbers = list(workload.counted)
    arrays = session.made(workload.size, numbers)
    begin = time.perf_counter()
    arrived = session.client.map(
        tasks.arrived,
        arrays,
        [workload.size] * len(numbers),
        numbers,
        workers=[session.receiver],
        pure=False,
    )
    results = session.client.gather(arrived)
    seconds = (time.perf_counter() - begin) / len(numbers)
    verified = all(results) and _equal(session, arrays, workload.size, numbers)
    del arrays, arrived
    session.settle()
    return {"seconds": [seconds], "verified": verified}


def _one_by_one(session: Session, workload: Workload) -> Result:
    """The same, each submitted when the one before has been done."""
    numbers, latencies = list(workload.counted), []
    arrays, verified = session.made(workload.size, numbers), True
    for array, number in zip(arrays, numbers, strict=True):
        begin = time.perf_counter_ns()
        verified &= session.submit(
            tasks.arrived, array, workload.size, number, workers=[session.receiver]
        ).result()
        latencies.append(time.perf_counter_ns() - begin)
    verified &= _equal(session, arrays, workload.size, numbers)
    del array, arrays
    session.settle()
    return {"latencies_ns": latencies, "verified": verified}


def _no_ops(session: Session, workload: Workload) -> Result:
    begin = time.perf_counter()
    futures = session.client.map(tasks.unchanged, range(workload.count), pure=False)
    results = session.client.gather(futures)
    seconds = time.perf_counter() - begin
    del futures
    session.settle()
    return {"seconds": [seconds], "verified": results == list(range(workload.count))}


def _shuffle(session: Session, workload: Workload) -> Result:
    # Takes seconds to import, in every process of every contestant.
    import dask.dataframe as dd

    from . import dask_frames as frames

    rows = workload.size // frames.ROW_BYTES // workload.count
    with dask.config.set({"dataframe.convert-string": False}):
        made = dd.from_map(frames.partition, range(workload.count), rows=rows).persist()
        wait(made)
        begin = time.perf_counter()
        shuffled = made.shuffle("key", shuffle_method="p2p")
        tallies = shuffled.map_partitions(frames.tally, meta=frames.TALLIED).compute()
        seconds = time.perf_counter() - begin
    del made, shuffled
    session.settle()
    verified = tallies.sum().to_dict() == frames.totals(rows * workload.count)
    return {"seconds": [seconds], "verified": verified}


KINDS: dict[str, Callable[[Session, Workload], Result]] = {
    "dask-transfer": _transfer,
    "dask-batch": _batch,
    "dask-ping": _one_by_one,
    "dask-tasks": _no_ops,
    "dask-shuffle": _shuffle,
}


LARGE = frozenset({"dask-transfer", "dask-shuffle"})


def _launch(protocol: str, same_host: str) -> tuple[subprocess.Popen[str], str]:
    program = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.dask_local", protocol, same_host],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    address = program.stdout.readline().strip()
    if not address:
        raise RuntimeError(f"the cluster ended with status {program.wait()}")
    return program, address


CONTESTANTS: tuple[Contestant, ...] = (
    Cluster("tcp://", "tcp://"),
    Cluster("pinwire://", "pinwire://"),
    Cluster(
        "pinwire://, socket",
        "pinwire://",
        "off",
        f'{SETTINGS} but distributed.comm.pinwire.same-host "off"',
    ),
)
