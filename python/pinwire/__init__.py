"""Zero-copy sockets for asyncio; `pinwire.blocking` is the same for threads."""

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

# typing.TYPE_CHECKING, for checkers; to import typing would take longer than all of this.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._asyncio import connect, listen, socketpair

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

if not TYPE_CHECKING:  # checkers would take every name for one of ours

    def __getattr__(name: str) -> object:
        """Import asyncio when it is used: it takes far longer than everything of ours (PEP 562)."""
        if name not in ("connect", "listen", "socketpair"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _asyncio

        value = globals()[name] = getattr(_asyncio, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
