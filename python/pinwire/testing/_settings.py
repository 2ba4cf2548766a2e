"""What whoever runs the suite may choose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, TypedDict

from ..errors import (
    BusyError,
    ClosedError,
    IncompleteTransferError,
    TornStreamError,
    TransferTimeoutError,
)

Face: TypeAlias = Literal["asyncio", "blocking"]


class Errors(NamedTuple):
    """The exceptions that a stream raises; the defaults are pinwire's. Another library has its own,
    of which only that they are raised is checked, and not what they derive from."""

    busy: type[Exception] = BusyError
    closed: type[Exception] = ClosedError
    torn: type[Exception] = TornStreamError
    incomplete: type[Exception] = IncompleteTransferError
    timed_out: type[Exception] = TransferTimeoutError


class Options(TypedDict, total=False):
    """Keyword arguments of `check_streams` and of `Check.run`."""

    payload: int
    """Bytes of a large transfer, more than the sockets of a pair hold together. Default 384 KiB."""

    patience: float
    """Seconds after which a check that has not ended has failed. Default 10."""

    buffer_size: int
    """What the maker of pairs is asked for as `send_buffer_size` and `recv_buffer_size`, in bytes
    (SO_SNDBUF and SO_RCVBUF, socket(7)). Default 4096."""

    face: Face | None
    """Whether the calls are awaited or block. Default None: a stream with `__aenter__`, or whose
    `send_buffer` is a coroutine function, is awaited."""

    errors: Errors
    """The exceptions of the stream. Default: pinwire's."""


@dataclass(frozen=True)
class Settings:
    """See `Options`."""

    payload: int = 384 * 1024
    patience: float = 10
    buffer_size: int = 4096
    face: Face | None = None
    errors: Errors = field(default_factory=Errors)
