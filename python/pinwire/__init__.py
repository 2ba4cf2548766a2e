"""Zero-copy sockets for asyncio; `pinwire.blocking` is the same for threads."""

from ._core import (
    BudgetStats,
    ChannelStats,
    Credentials,
    Header,
    Listener,
    MemoryBudget,
    Message,
    Part,
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
    MessageRefusedError,
    ProtocolError,
    QueueFullError,
    TornStreamError,
    TransferTimeoutError,
)

# typing.TYPE_CHECKING, for checkers; to import typing would take longer than all of this.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._admission import ServerStats
    from ._asyncio import connect, listen, socketpair
    from ._channel import Channel, connect_channel
    from ._server import ChannelServer, serve_channels

__version__ = "0.1.0"

__all__ = [
    "BudgetStats",
    "BusyError",
    "Channel",
    "ChannelServer",
    "ChannelStats",
    "ClosedError",
    "Credentials",
    "Error",
    "Header",
    "IncompleteTransferError",
    "Listener",
    "MemoryBudget",
    "Message",
    "MessageRefusedError",
    "Part",
    "ProtocolError",
    "QueueFullError",
    "RuntimeStats",
    "ServerStats",
    "Stream",
    "StreamStats",
    "TornStreamError",
    "Transfer",
    "TransferTimeoutError",
    "connect",
    "connect_channel",
    "listen",
    "runtime_stats",
    "serve_channels",
    "socketpair",
]

if not TYPE_CHECKING:  # checkers would take every name for one of ours
    # Modules that import asyncio, which takes far longer than everything of ours.
    _LATER = {
        "connect": "_asyncio",
        "listen": "_asyncio",
        "socketpair": "_asyncio",
        "Channel": "_channel",
        "connect_channel": "_channel",
        "ChannelServer": "_server",
        "ServerStats": "_admission",
        "serve_channels": "_server",
    }

    def __getattr__(name: str) -> object:
        """Import a module when one of its names is used (PEP 562)."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
