"""Exceptions of pinwire, beside the `OSError` subclasses that the kernel's errors become.

Every exception that interrupts a transfer, also an `OSError`, `asyncio.CancelledError` or
`KeyboardInterrupt`, carries `transferred` and `nbytes`: the bytes that were moved, and those
there were to move.
"""

__all__ = [
    "BusyError",
    "ClosedError",
    "Error",
    "IncompleteTransferError",
    "ProtocolError",
    "TornStreamError",
    "TransferTimeoutError",
]


class Error(Exception):
    """What all exceptions of pinwire's own have in common."""

    transferred: int = 0
    """Bytes that the interrupted transfer had moved."""

    nbytes: int = 0
    """Bytes that it had to move."""


class ClosedError(Error):
    """The stream or listener is closed, or was closed under the operation."""


class BusyError(Error, RuntimeError):
    """Another transfer is in flight in this direction. Nothing was moved."""


class TornStreamError(Error, ConnectionError):
    """An earlier send was interrupted in the middle (errno EPIPE); receiving still works.

    `transferred` and `nbytes` are those of the send that was interrupted.
    """


class IncompleteTransferError(Error, EOFError):
    """The peer ended the stream before all was received; `transferred` bytes have come."""


class TransferTimeoutError(Error, TimeoutError):
    """The timeout passed (errno ETIMEDOUT)."""


class ProtocolError(Error, ValueError):
    """The peer sent what no well-behaved peer sends."""
