"""What a check can come to, other than that the clause holds."""

from __future__ import annotations

from unittest import SkipTest


class ClauseError(AssertionError):
    """The stream does something else than the clause says."""


class UnsuitableError(Exception):
    """A transfer that should wait for the peer did not, so nothing can be said of it.

    The sockets hold more than `payload`: give them smaller buffers (`send_buffer_size` and
    `recv_buffer_size` are passed to the maker), or raise `payload`. Or the stream takes bytes in
    without limit before they are sent, and then its sends end before they have been made.
    """


class NotChecked(SkipTest):
    """The clause was not looked at, and why. unittest and pytest show it as a skip."""


def expect(holds: object, otherwise: str) -> None:
    """As `assert`, also under `python -O`."""
    if not holds:
        raise ClauseError(otherwise)


def expect_equal(got: object, expected: object, what: str) -> None:
    """`what` is named in the message, with both values."""
    if got != expected:
        raise ClauseError(f"{what}: {got!r} instead of {expected!r}")


def expect_bytes(got: bytes | bytearray, expected: bytes, what: str) -> None:
    """The message says where they part, and not what megabytes of them are."""
    if got == expected:
        return
    same = next(
        (i for i, (mine, right) in enumerate(zip(got, expected, strict=False)) if mine != right),
        min(len(got), len(expected)),
    )
    raise ClauseError(f"{what}: {len(got)} bytes for {len(expected)}, right up to byte {same}")
