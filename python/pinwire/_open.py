"""How both faces find addresses to connect to or to listen on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _core

if TYPE_CHECKING:
    from ._types import Address

Candidate: TypeAlias = tuple[Any, ...] | bytes
"""A socket address as `getaddrinfo` gives it, or the name of a unix socket."""


class Resolution:
    """What an address needs to become candidates: nothing, or the arguments of `getaddrinfo`."""

    def __init__(self, address: Address, *, passive: bool) -> None:
        self._parsed = _core.parse_address(address)
        self._passive = passive

    @property
    def query(self) -> dict[str, Any] | None:
        """Keyword arguments of `getaddrinfo`; None for a unix socket."""
        if isinstance(self._parsed, bytes):
            return None
        host, port = self._parsed
        flags = socket.AI_PASSIVE if self._passive else 0
        return {"host": host or None, "port": port, "type": socket.SOCK_STREAM, "flags": flags}

    def candidates(self, answer: list[tuple[Any, ...]] | None) -> list[Candidate]:
        """The candidates, given the answer to the query."""
        if isinstance(self._parsed, bytes):
            return [self._parsed]
        # As `socket.create_server` does, listen on IPv4 where a name has both.
        ordered = sorted(answer or [], key=_is_ipv6) if self._passive else (answer or [])
        return [info[4] for info in ordered]


def _is_ipv6(info: tuple[Any, ...]) -> bool:
    return bool(info[0] == socket.AF_INET6)
