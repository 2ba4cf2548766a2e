"""What a contestant is: two calls, in two processes, and plain values that come back.

`drive` returns, by kind of workload:

- ping, message-ping: {"latencies_ns": [one of each round trip]}
- bulk, gather, other kinds of message: {"seconds": [one of each message]}, from before the send
  until the answer came by which the server says that the whole message is in its memory
- many: {"seconds": in all, "per_connection": [seconds]}
- beside: {"idle_echo_ns": [], "echo_ns": [], "ticker_late_ns": [], "bytes": sent in bulk}, and
  the server's result has a "ticker_late_ns" of its own

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

PINGS = frozenset({"ping", "message-ping"})
"""Kinds of round trips."""


@dataclass(frozen=True)
class Workload:
    name: str
    """As in "ping-64", "bulk-16M", "gather", "many-1000", "beside", "message-bulk-16M"."""

    kind: str
    """ "ping", "bulk", "gather", "many", "beside"; for messages that say what they hold
    "message-ping", "message-bulk", "message-parts", "message-memory" or "message-object"."""

    transport: str
    """ "tcp" or "unix"."""

    size: int
    """Bytes of one message."""

    count: int
    """Messages per round; per connection, for "many"."""

    connections: int = 1

    sockbuf: int | None = None
    """SO_SNDBUF and SO_RCVBUF of both ends; None: the system's own."""


class Contestant(Protocol):
    name: str
    """Unique, as printed in tables."""

    family: str
    """ "C", "blocking", "asyncio", "uvloop", "trio" or "messages"."""

    settings: str
    """Its best reasonable settings, in one line."""

    def takes(self, workload: Workload) -> bool:
        """Whether it can do that."""

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        """In the server process: `ready(address)` once a client may connect; until it is done."""

    def drive(self, workload: Workload, address: str) -> Result:
        """In the client process."""
