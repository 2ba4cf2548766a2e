"""The command line: `pinwire recv`, `pinwire send`, `pinwire bench`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pinwire

from .defaults import MAX_FILES, TIMEOUT
from .errors import CommandError, complain, reason

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

INTERRUPTED = 130
"""What a shell gives for a command that SIGINT has ended: 128 + 2."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the result is for `sys.exit`."""
    try:
        arguments = _parser().parse_args(argv)
        return 0 if asyncio.run(_COMMANDS[arguments.command](arguments)) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CommandError, pinwire.Error, OSError) as error:
        complain(reason(error))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pinwire",
        description="Files between machines, without copying them in user space.",
        epilog="ADDRESS is tcp://host:port, unix:///path or unix:@name. Nothing is encrypted, and"
        " whoever reaches the address of a receiver may send to it.",
    )
    parser.add_argument("--version", action="version", version=f"pinwire {pinwire.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    recv = commands.add_parser("recv", help="receive files into a folder")
    recv.add_argument("folder", type=Path, metavar="DIR")
    recv.add_argument("address", type=_address, metavar="ADDRESS", help="port 0: any that is free")
    recv.add_argument(
        "--once",
        action="store_true",
        help="end when a sender has said that it has finished, and at least one of its files is"
        " here; those whose pieces come are waited for",
    )
    recv.add_argument("--overwrite", action="store_true", help="replace files that are different")
    recv.add_argument(
        "--max-bytes", type=_count, metavar="N", help="refuse what would make it more, in all"
    )

    recv.add_argument(
        "--max-files",
        type=_count,
        default=MAX_FILES,
        metavar="N",
        help=f"make no more files than that, empty ones too (default {MAX_FILES})",
    )
    _add_timeout(recv)

    send = commands.add_parser("send", help="send files, each from where an earlier attempt ended")
    send.add_argument("files", type=Path, nargs="+", metavar="FILE")
    send.add_argument("address", type=_address, metavar="ADDRESS")
    _add_timeout(send)

    bench = commands.add_parser("bench", help="measure the way to a peer")
    bench.add_argument("address", type=_address, metavar="ADDRESS")
    bench.add_argument("--serve", action="store_true", help="be the peer")
    bench.add_argument(
        "--seconds", type=_seconds, default=0.5, metavar="S", help="for each line (default 0.5)"
    )
    return parser


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="S",
        help=f"give up a peer that is silent for so many seconds (default {TIMEOUT:g})",
    )


def _address(text: str) -> str:
    from .. import _core

    try:
        _core.parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(reason(error)) from None
    return text


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = -1
    if count < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return count


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 3600 seconds")
    return seconds


# Each imports what it needs: `--help` needs none of it.


def _recv(arguments: argparse.Namespace) -> Coroutine[Any, Any, bool]:
    from .recv import Options, recv

    given = vars(arguments)
    return recv(Options(**{key: given[key] for key in Options.__dataclass_fields__}))


def _send(arguments: argparse.Namespace) -> Coroutine[Any, Any, bool]:
    from .send import send

    return send(arguments.files, arguments.address, arguments.timeout)


def _bench(arguments: argparse.Namespace) -> Coroutine[Any, Any, bool]:
    from .bench import measure
    from .bench_peer import serve

    if arguments.serve:
        return serve(arguments.address)
    return measure(arguments.address, arguments.seconds)


_COMMANDS = {"recv": _recv, "send": _send, "bench": _bench}
