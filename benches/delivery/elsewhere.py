"""What goes wrong elsewhere: 8 MiB of float64 through a 64 KiB socket buffer, library by library.

    python -m benches.delivery.elsewhere [--runs 3] [--write README.md]

Every case is a fresh TCP connection over loopback to a thread that reads with blocking `recv`
and compares what came with what was sent. "right" counts bytes from the first one on.
"""

import argparse
import ctypes
import faulthandler
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..machine import describe
from .case import HUNG, POISON, RETURNED, Delivery, attempt, percent, receive
from .senders import OTHERS, PINWIRE, Sender

BEGIN, END = "<!-- elsewhere:begin -->", "<!-- elsewhere:end -->"
SIDE = 1024

# The last resort for a call that blocks its event loop: no case takes longer than LIMIT twice.
CASE_SECONDS = 30


def main() -> None:
    options = _options()
    table = measure(options.runs)
    print(table)
    if options.write is not None:
        write(options.write, table)


def measure(runs: int) -> str:
    """Run every case `runs` times; the Markdown table and the line about the machine."""
    array = np.random.default_rng(8).random(SIDE * SIDE)
    payloads: dict[str, Any] = {
        "1-D float64 array": array,
        "2-D float64 memoryview": memoryview(array.reshape(SIDE, SIDE)),
    }
    lines = [f"| call | {' | '.join(payloads)} |", "|---" * (1 + len(payloads)) + "|"]
    for sender in (*OTHERS, PINWIRE):
        cells = [
            phrase([deliver(sender, payload, array) for _ in range(runs)])
            for payload in payloads.values()
        ]
        lines.append(f"| {_title(sender)} | {' | '.join(cells)} |")
    libraries = dict.fromkeys(sender.library for sender in (*OTHERS, PINWIRE))
    del libraries["asyncio"]
    lines += ["", f"Runs of each case: {runs}. {describe(['numpy', *libraries])}"]
    return "\n".join(lines)


def deliver(sender: Sender, payload: Any, array: np.ndarray) -> Delivery:
    """Send `payload`, whose memory is that of `array`, to a thread that reads it."""
    expected = array.view(np.uint8)
    landing = np.full_like(expected, POISON)
    progress = ctypes.c_uint64()
    faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
            reader = pool.submit(receive, server, landing, expected, progress)
            tried = attempt(sender, server.getsockname(), payload, progress)
            return Delivery(expected.nbytes, tried, reader.result())
    finally:
        faulthandler.cancel_dump_traceback_later()


def phrase(deliveries: Sequence[Delivery]) -> str:
    """A cell of the table: each way the runs ended, with the range of what was measured."""
    return "; or ".join(_phrase_alike(group) for group in _alike(deliveries))


def write(path: Path, table: str) -> None:
    """Put `table` between the markers of `path`, or into a new file with markers."""
    text = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no {BEGIN} ... {END} to write between")
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def _alike(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    for key in dict.fromkeys((d.attempt.ended, d.exact) for d in deliveries):
        yield [d for d in deliveries if (d.attempt.ended, d.exact) == key]


def _phrase_alike(group: Sequence[Delivery]) -> str:
    if group[0].exact:
        return "every byte, in order"
    ended = group[0].attempt.ended
    how = {RETURNED: "returns normally", HUNG: "hangs"}.get(ended, ended)
    if not any(d.arrival.arrived for d in group):
        return how
    arrived = _range([d.arrival.arrived / d.nbytes for d in group])
    if all(d.arrival.right == d.arrival.arrived for d in group):
        return f"{how}, {arrived} delivered"
    right = _range([d.arrival.right / d.nbytes for d in group])
    return f"{how}, {arrived} delivered, wrong after {right}"


def _range(shares: Sequence[float]) -> str:
    low, high = percent(min(shares)), percent(max(shares))
    return f"{low} %" if low == high else f"{low}-{high} %"


def _title(sender: Sender) -> str:
    return f"`{sender.call}(arr)`" if sender is PINWIRE else f"{sender.library} `{sender.call}`"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what goes wrong elsewhere, measured")
    parser.add_argument("--runs", type=int, default=3, help="times each case is run (default 3)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="update PATH between markers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
