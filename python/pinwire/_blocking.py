"""Opening streams and listeners for threads."""

from __future__ import annotations

import socket

from . import _core
from ._core import BlockingListener as Listener
from ._core import BlockingStream as Stream
from ._open import Resolution, timed_out
from .errors import TransferTimeoutError

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._types import Address, Candidate, ListenOptions, StreamOptions


def connect(
    address: Address, *, timeout: float | None = None, **options: Unpack[StreamOptions]
) -> Stream:
    """Connect to a listener; see `pinwire.connect`.

    Resolving a name is `socket.getaddrinfo`, which `timeout` cannot interrupt.
    """
    resolution = Resolution(address, passive=False)
    connector = _core.Connector(_resolve(resolution), **options)
    try:
        connector.run(timeout)
    except TransferTimeoutError:
        raise timed_out(f"connecting to {resolution.url}") from None
    return connector.stream(Stream)


def listen(
    address: Address, *, timeout: float | None = None, **options: Unpack[ListenOptions]
) -> Listener:
    """Listen on an address; see `pinwire.listen`. Nothing here waits for `timeout`."""
    del timeout  # accepted so that both faces take the same arguments
    return _core.listen(Listener, _resolve(Resolution(address, passive=True)), **options)


def socketpair(**options: Unpack[StreamOptions]) -> tuple[Stream, Stream]:
    """Two streams that are connected to each other, over unnamed unix sockets."""
    return _core.socketpair(Stream, **options)


def _resolve(resolution: Resolution) -> list[Candidate]:
    if resolution.known is not None:
        return resolution.known
    try:
        return resolution.candidates(socket.getaddrinfo(**resolution.query))
    except socket.gaierror as error:
        raise resolution.failed(error) from None
