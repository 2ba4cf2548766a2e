"""What Dask gets out of its connections: arrays between workers, many small tasks, a shuffle."""

from dataclasses import replace

from .contestant import Workload
from .plan import Plan

# As decimal as Dask's own figures.
KB, MB, GB = 1_000, 1_000_000, 1_000_000_000

TASKS = 10_000
SMALL = 8 * KB

REHEARSED_TASKS = 20
REHEARSED_BYTES = 10 * MB


def full() -> list[Plan]:
    """Fewer rounds of the ten thousand tasks: one of them takes as long as all else in a round."""
    return [
        _transfer("10M", 10 * MB, 5, 5),
        _transfer("200M", 200 * MB, 2, 5),
        _transfer("1G", GB, 1, 5),
        *_small(200, 5),
        _no_ops(TASKS, 3),
        _shuffle("240M", 240 * MB, 8, 5),
    ]


def quick() -> list[Plan]:
    return [
        _transfer("10M", 10 * MB, 1, 1),
        *_small(20, 1),
        _no_ops(200, 1),
        _shuffle("4M", 4 * MB, 4, 1),
    ]


def _transfer(label: str, size: int, count: int, rounds: int) -> Plan:
    workload = Workload(f"dask-{label}", "dask-transfer", "tcp", size, count)
    return Plan(workload, rounds, rehearsal=replace(workload, count=1))


def _small(count: int, rounds: int) -> list[Plan]:
    """Arrays so small that a task's own cost counts: many tasks at once, and one by one."""
    return [
        _tasks(Workload("dask-8K-batch", "dask-batch", "tcp", SMALL, count), rounds),
        _tasks(Workload("dask-8K", "dask-ping", "tcp", SMALL, count // 2), rounds),
    ]


def _no_ops(count: int, rounds: int) -> Plan:
    return _tasks(Workload("dask-tasks", "dask-tasks", "tcp", 0, count), rounds)


def _tasks(workload: Workload, rounds: int) -> Plan:
    return Plan(workload, rounds, rehearsal=replace(workload, count=REHEARSED_TASKS))


def _shuffle(label: str, size: int, count: int, rounds: int) -> Plan:
    workload = Workload(f"dask-shuffle-{label}", "dask-shuffle", "tcp", size, count)
    rehearsal = replace(workload, size=min(size, REHEARSED_BYTES))
    return Plan(workload, rounds, rehearsal=rehearsal)
