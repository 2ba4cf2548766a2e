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
    "MessageRefusedError",
    "ProtocolError",
    "QueueFullError",
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
    """Another transfer is in flight in this direction, or the stream belongs to a channel. Nothing
    was moved."""


class TornStreamError(Error, ConnectionError):
    """An earlier send was interrupted in the middle (errno EPIPE); receiving still works.

    `transferred` and `nbytes` are those of the send that was interrupted.
    """


class IncompleteTransferError(Error, EOFError):
    """The peer ended the stream before all was received; `transferred` bytes have come."""


class TransferTimeoutError(Error, TimeoutError):
    """The timeout passed (errno ETIMEDOUT)."""


class MessageRefusedError(Error, ValueError):
    """A message does not fit what it was to become: memory of another dtype, shape or size, a
    payload over `max_message_bytes`, an object where arrays were asked for.

    Nothing of it is lost: it is the next message still, to be received otherwise or skipped. Also
    raised before a byte moves for a message that the peer has said it does not take.
    """


class QueueFullError(Error, BlockingIOError):
    """`post` found more bytes waiting than the high-water mark allows (errno EAGAIN)."""


class ProtocolError(Error, ValueError):
    """The peer sent what no well-behaved peer sends."""
