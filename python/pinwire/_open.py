"""How both faces find addresses to connect to or to listen on."""

from __future__ import annotations

import socket

from . import _core

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from typing import Any

    from ._types import Address, Answer, Candidate


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
        self.passive = passive
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
        addresses: list[tuple[Any, ...]] = [info[-1] for info in answer]
        # As `socket.create_server` does, listen on IPv4 where a name has both.
        return [*sorted(addresses, key=_is_ipv6)] if self.passive else [*addresses]


def _is_ipv6(address: tuple[Any, ...]) -> bool:
    return ":" in address[0]
