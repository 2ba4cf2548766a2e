"""How both faces find addresses to connect to or to listen on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _core

if TYPE_CHECKING:
    from ._types import Address

Candidate: TypeAlias = tuple[Any, ...] | bytes
"""A socket address as `getaddrinfo` gives it, or the name of a unix socket."""

Answer: TypeAlias = list[tuple[Any, ...]]
"""What `getaddrinfo` gives."""


class Resolution:
    """From an address to candidates; only names that have to be looked up need a `query`."""

    known: list[Candidate] | None = None
    """The candidates, if nothing has to be looked up."""

    query: dict[str, Any]
    """The keyword arguments of `getaddrinfo` otherwise."""

    def __init__(self, address: Address, *, passive: bool) -> None:
        parsed = _core.parse_address(address)
        if isinstance(parsed, bytes):
            self.known = [parsed]
            return
        host, port = parsed
        self._passive = passive
        flags = socket.AI_PASSIVE if passive else 0
        self.query = {"host": host or None, "port": port, "type": socket.SOCK_STREAM}
        try:
            numeric = socket.getaddrinfo(**self.query, flags=flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            self.query["flags"] = flags
        else:
            self.known = self.candidates(numeric)

    def candidates(self, answer: Answer) -> list[Candidate]:
        """The candidates, given the answer to the query."""
        # As `socket.create_server` does, listen on IPv4 where a name has both.
        ordered = sorted(answer, key=_is_ipv6) if self._passive else answer
        return [info[4] for info in ordered]


def _is_ipv6(info: tuple[Any, ...]) -> bool:
    return bool(info[0] == socket.AF_INET6)
