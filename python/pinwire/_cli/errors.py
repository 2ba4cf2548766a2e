"""What a command ends with, and how it is put to a person."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from pinwire import Channel

LONGEST = 300
"""Characters of a line with a reason in it, some of which a peer may have written."""

WORDS = 80
"""Characters of what a peer has chosen, as they are shown."""


class CommandError(Exception):
    """Ends a command; its text is the line on stderr."""


class RefusedError(CommandError):
    """Ends one file, not the connection; its text also goes to the peer."""


class RefusedByPeerError(RefusedError):
    """The peer ends the file, and knows it."""


class PeerError(CommandError):
    """The peer does not keep to the protocol; nothing it says from here on is believed."""


def printable(text: str, longest: int = WORDS) -> str:
    """On one line, short, and without what a terminal would obey: file names are a peer's words."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def origin(channel: Channel) -> str:
    """Where a channel's peer is."""
    return printable(channel.peer_address)


def reason(error: BaseException) -> str:
    """What went wrong, as the end of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename!r}" if error.filename is not None else ""
        return printable(error.strerror + name, LONGEST)
    return printable(str(error), LONGEST) or type(error).__name__


@contextlib.contextmanager
def refusing(name: str) -> Generator[None]:
    """What the file system refuses concerns this file, not the connection."""
    try:
        yield
    except OSError as error:
        raise RefusedError(f"{name}: {error.strerror or error}") from error


def complain(text: str) -> None:
    """One line on stderr."""
    print(f"pinwire: {text}", file=sys.stderr, flush=True)
