"""How both faces find addresses to connect to or to listen on."""

from __future__ import annotations

import errno
import socket

from . import _core
from .errors import TransferTimeoutError

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from typing import Any

    from ._types import Address, Answer, Candidate


HANDSHAKE_TIMEOUT = 10.0
"""Seconds in which whoever connects to a server of channels has to say hello."""

LINGER = 1.0
"""Seconds that a channel waits for the peer's hello before it closes: one round trip, usually."""

PAUSE = 0.05
"""Seconds until a server tries again what it could not do: to accept, to start a thread, to find a
place for a peer."""

_OF_CHANNELS = frozenset(
    ("max_message_bytes", "allow_pickle", "same_host", "allocator", "high_water", "memory_budget")
)


def split(options: Any) -> tuple[Any, Any]:
    """The options that are a channel's, and those of its stream or listener."""
    for_channel = {name: options[name] for name in options if name in _OF_CHANNELS}
    return for_channel, {name: options[name] for name in options if name not in _OF_CHANNELS}


def timed_out(doing: str) -> TransferTimeoutError:
    """The time of what is being done is over."""
    return TransferTimeoutError(errno.ETIMEDOUT, f"{doing} timed out")


class Resolution:
    """From an address to candidates; only names that have to be looked up need a `query`."""

    known: list[Candidate] | None = None
    """The candidates, if nothing has to be looked up."""

    query: dict[str, Any]
    """The keyword arguments of `getaddrinfo` otherwise."""

    url: str
    """The address, for error messages."""

    def __init__(self, address: Address, *, passive: bool) -> None:
        parsed = _core.parse_address(address)
        self.url = str(address)
        if isinstance(parsed, bytes):
            self.known = [parsed]
            return
        host, port = parsed
        self.url = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        self.passive = passive
        flags = socket.AI_PASSIVE if passive else 0
        self.query = {"host": host or None, "port": port, "type": socket.SOCK_STREAM}
        try:
            numeric = socket.getaddrinfo(**self.query, flags=flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            self.query["flags"] = flags
        except UnicodeError as error:
            raise UnicodeError(f"bad address {self.url!r}: {error}") from None
        else:
            self.known = self.candidates(numeric)

    def failed(self, error: socket.gaierror) -> socket.gaierror:
        """The error of a look-up, with the address."""
        return socket.gaierror(error.errno, f"{error.strerror} ({self.url})")

    def candidates(self, answer: Answer) -> list[Candidate]:
        """The candidates, given the answer to the query."""
        addresses: list[tuple[Any, ...]] = [info[-1] for info in answer]
        # As `socket.create_server` does, listen on IPv4 where a name has both.
        return [*sorted(addresses, key=_is_ipv6)] if self.passive else [*addresses]


def _is_ipv6(address: tuple[Any, ...]) -> bool:
    return ":" in address[0]
