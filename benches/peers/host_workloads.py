"""What one host has between two processes: arrays of every size, by whatever way is quickest."""

from .contestant import Workload
from .plan import GIB, MIB, TRANSPORTS, Plan

SIZES = {
    "1M": (MIB, 32),
    "4M": (4 * MIB, 16),
    "16M": (16 * MIB, 6),
    "64M": (64 * MIB, 2),
    "256M": (256 * MIB, 1),
}
"""By label, the bytes of an array, and how many of them a round sends."""

CHANNEL = "pinwire Channel asyncio"

# Those whose targets have it; a gigabyte in a shared segment as well is more than many machines
# have to give.
GIGABYTE = ("C loop", "memcpy", "mpi4py", "pinwire Channel")


def full() -> list[Plan]:
    """Fewer rounds than elsewhere for what is largest: it varies least, and takes the time."""
    return [
        *(_bulk(label, size, count, 5) for label, (size, count) in SIZES.items()),
        _bulk("1G", GIB, 1, 3, GIGABYTE),
        *(_small_pages(label, *SIZES[label], 5) for label in ("16M", "64M", "256M")),
        _memory(256 * MIB, 3),
        *(_round_trips(transport, 2000, 7) for transport in TRANSPORTS),
    ]


def quick() -> list[Plan]:
    return [
        _bulk("16M", 16 * MIB, 1, 1),
        _small_pages("16M", 16 * MIB, 1, 1),
        _memory(16 * MIB, 1),
        *(_round_trips(transport, 50, 1) for transport in TRANSPORTS),
    ]


def _bulk(
    label: str, size: int, count: int, rounds: int, only: tuple[str, ...] | None = None
) -> Plan:
    workload = Workload(f"same-host-{label}", "same-host", "tcp", size, count, warm_ups=1)
    return Plan(workload, rounds, only)


def _small_pages(label: str, size: int, count: int, rounds: int) -> Plan:
    name = f"same-host-pages-{label}"
    workload = Workload(name, "same-host-pages", "tcp", size, count, warm_ups=1)
    return Plan(workload, rounds, ("C loop", CHANNEL))


def _memory(size: int, rounds: int) -> Plan:
    workload = Workload("same-host-memory", "same-host-memory", "tcp", size, 1)
    return Plan(workload, rounds, (CHANNEL,), anew=True)


def _round_trips(transport: str, count: int, rounds: int) -> Plan:
    return Plan(Workload("same-host-ping-64", "same-host-ping", transport, 64, count), rounds)
