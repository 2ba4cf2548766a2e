"""The face for threads: the same names, arguments and errors, without `await`."""

from __future__ import annotations

from ._blocking import connect, listen, socketpair
from ._core import BlockingHeader as Header
from ._core import BlockingListener as Listener
from ._core import BlockingStream as Stream

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from ._blocking_channel import Channel, connect_channel
    from ._blocking_server import ChannelServer, serve_channels

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
    _LATER = {
        "Channel": "_blocking_channel",
        "connect_channel": "_blocking_channel",
        "ChannelServer": "_blocking_server",
        "serve_channels": "_blocking_server",
    }

    def __getattr__(name: str) -> object:
        """Import the channels when one of their names is used (PEP 562)."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f".{_LATER[name]}", __package__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
