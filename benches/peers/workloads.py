"""What is measured, and how much of it: for a full run, and for the quick one."""

from pathlib import Path

from . import dask_workloads, host_workloads
from .contestant import Workload
from .pattern import GATHER_BYTES, SMALL_TOTAL
from .plan import GIB, KIB, MIB, TRANSPORTS, Plan

# The same for everybody who can be told, large enough that a call moves as much as it likes.
WANTED_SOCKBUF = 1 * MIB

# Ten columns of ten million float64.
FRAME_BYTES = 800_000_000

# Those whose gigabyte takes a second: the others' 256 MiB say the same in a quarter of the time.
GIGABYTE = ("C loop", "socket", "asyncio sock_*", "pinwire asyncio", "pinwire blocking")
GIGABYTE_SAME_BUFFERS = ("C loop", "pinwire asyncio")


def full() -> list[Plan]:
    """At least five rounds, seven for round trips."""
    sockbuf = granted_sockbuf()
    plans = [
        Plan(Workload(f"ping-{label}", "ping", transport, size, count), 7)
        for label, size, count in (("64", 64, 2000), ("4K", 4 * KIB, 1500), ("64K", 64 * KIB, 500))
        for transport in TRANSPORTS
    ]
    for label, size, count in (("1M", MIB, 32), ("16M", 16 * MIB, 6), ("256M", 256 * MIB, 1)):
        plans += [
            Plan(Workload(f"bulk-{label}", "bulk", transport, size, count), 5)
            for transport in TRANSPORTS
        ]
    plans += [
        Plan(Workload("bulk-1G", "bulk", transport, GIB, 1), 5, GIGABYTE)
        for transport in TRANSPORTS
    ]
    for label, size, count in (("16M", 16 * MIB, 6), ("256M", 256 * MIB, 1), ("1G", GIB, 1)):
        plans += [
            Plan(
                Workload(f"bulk-{label}", "bulk", transport, size, count, sockbuf=sockbuf),
                5,
                GIGABYTE_SAME_BUFFERS if size == GIB else ("C loop", "pinwire"),
            )
            for transport in TRANSPORTS
        ]
    for transport in TRANSPORTS:
        plans += [
            Plan(Workload("gather", "gather", transport, GATHER_BYTES, 8), 5),
            Plan(Workload("many-64", "many", transport, 64 * KIB, 16, 64), 5),
            Plan(Workload("many-1000", "many", transport, 64 * KIB, 2, 1000), 5),
        ]
    return [
        *plans,
        Plan(Workload("beside", "beside", "tcp", 64 * MIB, 0), 5),
        *_messages(),
        *host_workloads.full(),
        *dask_workloads.full(),
    ]


def quick() -> list[Plan]:
    """Everything once and small: so that CI sees each line of it run."""
    plans = []
    for transport in TRANSPORTS:
        plans += [
            Plan(Workload("ping-64", "ping", transport, 64, 50), 1),
            Plan(Workload("bulk-1M", "bulk", transport, MIB, 2), 1),
            Plan(Workload("gather", "gather", transport, GATHER_BYTES, 1), 1),
        ]
    return [
        *plans,
        Plan(Workload("bulk-16M", "bulk", "tcp", 16 * MIB, 1), 1),
        Plan(
            Workload("bulk-16M", "bulk", "tcp", 16 * MIB, 1, sockbuf=granted_sockbuf()),
            1,
            ("C loop", "pinwire"),
        ),
        Plan(Workload("many-64", "many", "tcp", 64 * KIB, 2, 64), 1),
        Plan(Workload("many-100", "many", "unix", 64 * KIB, 2, 100), 1),
        Plan(Workload("beside", "beside", "tcp", MIB, 0), 1, ("pinwire asyncio", "asyncio sock")),
        *_quick_messages(),
        *host_workloads.quick(),
        *dask_workloads.quick(),
    ]


def outside() -> list[Plan]:
    """With the machine's own congestion control: the system's defaults against ours."""
    only = ("C loop", "pinwire")
    return [
        Plan(Workload("bulk-16M", "bulk", "tcp", 16 * MIB, 6), 5, only),
        Plan(Workload("bulk-256M", "bulk", "tcp", 256 * MIB, 1), 5, only),
    ]


def _messages() -> list[Plan]:
    """Channels, and others that say what is in a message."""
    plans = []
    for transport in TRANSPORTS:
        plans += [
            Plan(Workload("message-ping-64", "message-ping", transport, 64, 2000), 7),
            Plan(Workload("message-bulk-16M", "message-bulk", transport, 16 * MIB, 6), 5),
            Plan(Workload("message-bulk-64M", "message-bulk", transport, 64 * MIB, 3), 5),
            Plan(Workload("message-bulk-256M", "message-bulk", transport, 256 * MIB, 1), 5),
            Plan(Workload("message-parts", "message-parts", transport, SMALL_TOTAL, 16), 5),
            _memory(transport, 256 * MIB, 3),
            Plan(Workload("message-object", "message-object", transport, FRAME_BYTES, 1), 5),
        ]
    return plans


def _quick_messages() -> list[Plan]:
    plans = []
    for transport in TRANSPORTS:
        plans += [
            Plan(Workload("message-ping-64", "message-ping", transport, 64, 50), 1),
            Plan(Workload("message-parts", "message-parts", transport, SMALL_TOTAL, 1), 1),
            Plan(Workload("message-object", "message-object", transport, FRAME_BYTES // 100, 1), 1),
        ]
    return [
        *plans,
        Plan(Workload("message-bulk-16M", "message-bulk", "tcp", 16 * MIB, 1), 1),
        _memory("tcp", 16 * MIB, 1),
    ]


def _memory(transport: str, size: int, rounds: int) -> Plan:
    workload = Workload("message-memory", "message-memory", transport, size, 1)
    return Plan(workload, rounds, ("pinwire Channel asyncio",), anew=True)


def granted_sockbuf() -> int:
    """No more than the kernel grants to both directions (socket(7))."""
    folder = Path("/proc/sys/net/core")
    try:
        limits = [int((folder / name).read_text()) for name in ("wmem_max", "rmem_max")]
    except OSError:
        # A namespace of its own does not show them in every kernel; this is their usual value.
        limits = [212_992]
    return min(WANTED_SOCKBUF, *limits)
