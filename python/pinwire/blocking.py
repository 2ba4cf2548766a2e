"""The face for threads: the same names, arguments and errors, without `await`."""

from __future__ import annotations

from ._blocking import connect, listen, socketpair
from ._core import BlockingHeader as Header
from ._core import BlockingListener as Listener
from ._core import BlockingStream as Stream

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from ._blocking_channel import Channel, ChannelServer, connect_channel, serve_channels

__all__ = [
    "Channel",
    "ChannelServer",
    "Header",
    "Listener",
    "Stream",
    "connect",
    "connect_channel",
    "listen",
    "serve_channels",
    "socketpair",
]


if not TYPE_CHECKING:  # as in `pinwire`

    def __getattr__(name: str) -> object:
        """Import the channels when one of their names is used (PEP 562)."""
        if name not in ("Channel", "ChannelServer", "connect_channel", "serve_channels"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _blocking_channel

        value = globals()[name] = getattr(_blocking_channel, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
