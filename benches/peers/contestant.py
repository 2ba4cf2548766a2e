"""What a contestant is: two calls, in two processes, and plain values that come back.

`drive` returns, by kind of workload:

- kinds of ping: {"latencies_ns": [one of each round trip]}
- bulk, gather, other kinds of message, same-host: {"seconds": [one of each message]}, from before
  the send until the answer came by which the server says that the whole message is in its memory
- many: {"seconds": in all, "per_connection": [seconds]}
- dask: as bulk or a round trip, from the first task submitted to the last result; of arrays
  between workers also {"transfer_seconds": [by the worker's own log], "worker_peaks": [[bytes of
  the sender, of the receiver]]}, where the system says what a process's peak is
- beside: {"idle_echo_ns": [], "echo_ns": [], "ticker_late_ns": [], "bytes": sent in bulk}, and
  the server's result has a "ticker_late_ns" of its own

Either side may add {"carrier": what the payload went by}, where that is not given beforehand.

`serve` returns {"verified": bool}. Content is checked outside of what is timed: before each message
that is no round trip the server poisons the memory it has for it, and says "go". What `pattern`
does to memory is not counted as the contestant's CPU time; `meter.measured` narrows down what is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from .meter import measured
from .pattern import fill, gather_buffers, landing, matches, poison, small_arrays

__all__ = [
    "Contestant",
    "Result",
    "Workload",
    "fill",
    "gather_buffers",
    "landing",
    "matches",
    "measured",
    "poison",
    "small_arrays",
]

Result: TypeAlias = dict[str, Any]
"""Plain JSON values."""

PINGS = frozenset({"ping", "message-ping", "same-host-ping"})
"""Kinds of round trips."""

HOST_BULK = frozenset({"same-host", "same-host-pages"})
"""Kinds of large arrays between processes of one host, by whatever way there is."""


@dataclass(frozen=True)
class Workload:
    name: str
    """As in "ping-64", "bulk-16M", "gather", "many-1000", "beside", "message-bulk-16M"."""

    kind: str
    """ "ping", "bulk", "gather", "many", "beside"; for messages that say what they hold
    "message-ping", "message-bulk", "message-parts", "message-memory" or "message-object"; for
    what one host has "same-host", "same-host-pages" (of 4 KiB, all of them), "same-host-memory"
    or "same-host-ping"; for Dask's clusters "dask-transfer", "dask-shuffle", "dask-batch",
    "dask-ping" or "dask-tasks"."""

    transport: str
    """ "tcp" or "unix"."""

    size: int
    """Bytes of one message."""

    count: int
    """Messages per round; per connection, for "many"."""

    connections: int = 1

    sockbuf: int | None = None
    """SO_SNDBUF and SO_RCVBUF of both ends; None: the system's own."""

    warm_ups: int = 0
    """Messages that are moved and checked before the first one that is measured."""

    @property
    def warming(self) -> range:
        """The numbers of the messages that warm up."""
        return range(self.warm_ups)

    @property
    def counted(self) -> range:
        """The numbers of those that are measured."""
        return range(self.warm_ups, self.warm_ups + self.count)


class Contestant(Protocol):
    name: str
    """Unique, as printed in tables."""

    family: str
    """ "C", "blocking", "asyncio", "uvloop", "trio", "messages" or "memory"."""

    settings: str
    """Its best reasonable settings, in one line."""

    def takes(self, workload: Workload) -> bool:
        """Whether it can do that."""

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        """In the server process: `ready(address)` once a client may connect; until it is done."""

    def drive(self, workload: Workload, address: str) -> Result:
        """In the client process."""
