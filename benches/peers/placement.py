"""Where the two processes of a round trip run: each on a CPU of its own.

Left to itself the scheduler puts both on one CPU in some rounds and not in others, and a round trip
without a wake-up across CPUs takes half the time: that would be measured instead of contestants.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .contestant import PINGS, Contestant, Workload

# Libraries with threads of their own need more than one CPU a process.
FREE = "messages"


@contextmanager
def placed(side: str, contestant: Contestant, workload: Workload) -> Iterator[None]:
    """For the time of one call, where that applies."""
    own = _cpus() if workload.kind in PINGS and contestant.family != FREE else None
    if own is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {own[0] if side == "serve" else own[1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def described() -> str:
    """A fact about the machine, for the results."""
    own = _cpus()
    if own is None:
        return "as the scheduler likes"
    return (
        f"round trips: server on CPU {own[0]}, client on CPU {own[1]}, but for libraries with"
        " threads of their own; all else as the scheduler likes"
    )


def _cpus() -> tuple[int, int] | None:
    """The first CPU and the first that is not a hyperthread of the same core."""
    first, *others = sorted(os.sched_getaffinity(0))
    siblings = _siblings(first)
    apart = [cpu for cpu in others if cpu not in siblings]
    return (first, apart[0]) if apart else None


def _siblings(cpu: int) -> set[int]:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        text = path.read_text().strip()
    except OSError:
        return {cpu}
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return found
