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
    return [
        _transfer("10M", 10 * MB, 5, 5),
        _transfer("200M", 200 * MB, 2, 5),
        _transfer("1G", GB, 1, 5),
        *_tasks(TASKS, 200, 5),
        _shuffle("240M", 240 * MB, 16, 5),
    ]


def quick() -> list[Plan]:
    return [
        _transfer("10M", 10 * MB, 1, 1),
        *_tasks(200, 20, 1),
        _shuffle("4M", 4 * MB, 4, 1),
    ]


def _transfer(label: str, size: int, count: int, rounds: int) -> Plan:
    workload = Workload(f"dask-{label}", "dask-transfer", "tcp", size, count)
    return Plan(workload, rounds, rehearsal=replace(workload, count=1))


def _tasks(no_ops: int, fetching: int, rounds: int) -> list[Plan]:
    plans = [
        Plan(Workload("dask-tasks", "dask-tasks", "tcp", 0, no_ops), rounds),
        Plan(Workload("dask-8K-batch", "dask-batch", "tcp", SMALL, fetching), rounds),
        Plan(Workload("dask-8K", "dask-ping", "tcp", SMALL, fetching // 2), rounds),
    ]
    return [
        replace(plan, rehearsal=replace(plan.workload, count=REHEARSED_TASKS)) for plan in plans
    ]


def _shuffle(label: str, size: int, count: int, rounds: int) -> Plan:
    workload = Workload(f"dask-shuffle-{label}", "dask-shuffle", "tcp", size, count)
    rehearsal = replace(workload, size=min(size, REHEARSED_BYTES))
    return Plan(workload, rounds, rehearsal=rehearsal)
