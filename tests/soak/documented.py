"""Which errors the documentation names for what is done to a connection: a closed list."""

from __future__ import annotations

import errno

# What a call raises that was asked to be interrupted; by the way in which it was.
BY_INTERRUPTION = {
    "timeout": frozenset({"pinwire.TransferTimeoutError:ETIMEDOUT"}),
    "cancel": frozenset({"CancelledError"}),
    "asyncio.timeout": frozenset({"TimeoutError"}),
    "sigint": frozenset({"KeyboardInterrupt"}),
    "descriptors": frozenset({"OSError:EMFILE"}),
    "memory": frozenset({"MemoryError"}),
}

# The other end is gone, or has hung up, or the way to it was cut.
PEER_GONE = frozenset(
    {
        "BrokenPipeError:EPIPE",
        "ConnectionResetError:ECONNRESET",
        "pinwire.IncompleteTransferError",
    }
)
REFUSED = frozenset({"ConnectionRefusedError:ECONNREFUSED"})

# What shutdown(2) says of a connection that is gone.
NO_HALF_CLOSE = frozenset({"OSError:ENOTCONN"})

# This end was closed while a call was under way.
CLOSED = frozenset({"pinwire.ClosedError"})

# An earlier send was interrupted in the middle.
TORN = frozenset({"pinwire.TornStreamError:EPIPE"})

# Nothing is heard of the other end any more.
SILENCE = BY_INTERRUPTION["timeout"] | {"TimeoutError:ETIMEDOUT"}


def name(error: BaseException) -> str:
    """Its type, and its errno if it has one."""
    kind = type(error)
    ours = "pinwire." if kind.__module__.startswith("pinwire") else ""
    number = error.errno if isinstance(error, OSError) else None
    return ours + kind.__name__ + (f":{errno.errorcode.get(number, number)}" if number else "")
