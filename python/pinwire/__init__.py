"""Zero-copy sockets for asyncio; `pinwire.blocking` is the same for threads."""

from ._asyncio import connect, listen, socketpair
from ._core import (
    Credentials,
    Listener,
    RuntimeStats,
    Stream,
    StreamStats,
    Transfer,
    runtime_stats,
)
from .errors import (
    BusyError,
    ClosedError,
    Error,
    IncompleteTransferError,
    ProtocolError,
    TornStreamError,
    TransferTimeoutError,
)

__version__ = "0.1.0"

__all__ = [
    "BusyError",
    "ClosedError",
    "Credentials",
    "Error",
    "IncompleteTransferError",
    "Listener",
    "ProtocolError",
    "RuntimeStats",
    "Stream",
    "StreamStats",
    "TornStreamError",
    "Transfer",
    "TransferTimeoutError",
    "connect",
    "listen",
    "runtime_stats",
    "socketpair",
]
