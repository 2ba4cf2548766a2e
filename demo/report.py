"""The table, and the one line that says what came of it."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benches.delivery.case import HUNG, RETURNED, Delivery, percent
from benches.machine import describe

GB = 1e9

# Rich takes 80 columns when it does not know better, and breaks lines for it.
PIPE_WIDTH = 124


@dataclass(frozen=True)
class Row:
    library: str
    call: str
    name: str
    delivery: Delivery
    copies: float | None
    """User-space copies of the object's bytes; None if not known."""


def show(rows: Sequence[Row], congestion: bytes) -> None:
    """Print the table, one section a call."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("object", no_wrap=True)
    table.add_column("bytes", justify="right")
    table.add_column("GB/s", justify="right")
    table.add_column("user-space copies")
    table.add_column("verdict")
    for title in dict.fromkeys(_title(row) for row in rows):
        table.add_row(Text(title, style="bold"))
        for row in rows:
            if _title(row) == title:
                table.add_row(*_cells(row))
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table)
    libraries = ["numpy", *(row.library for row in rows if row.library != "asyncio")]
    console.print(
        "GB/s: pinwire receives with recv_exactly_into, the others are read by a blocking"
        " recv_into. Copies: pinwire by its count of packed bytes, the others by growth of peak"
        " resident memory over the object's size."
        f" TCP congestion control of every sender: {congestion.decode()}.",
        style="dim",
    )
    console.print(describe(dict.fromkeys(libraries)), style="dim")


def verdict(ours: Sequence[Row], theirs: Sequence[Row], problem: str | None) -> str:
    """One plain line."""
    exact = [row.delivery for row in ours if row.delivery.exact]
    line = f"pinwire: {len(exact)} of {len(ours)} objects byte-exact"
    if exact:
        nbytes, seconds = sum(d.nbytes for d in exact), sum(d.seconds for d in exact)
        line += f", {nbytes / GB:.2f} GB in {seconds:.2f} s"
    if problem is not None:
        line += f" ({problem})"
    kinds = Counter(_kind(row.delivery) for row in theirs)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{line}. Others, {len(theirs)} sends: {counts}."


def _title(row: Row) -> str:
    return f"{row.library} {row.call}"


def _cells(row: Row) -> tuple[str | Text, ...]:
    delivery = row.delivery
    if not delivery.exact:
        return row.name, f"{delivery.nbytes:,}", "-", "-", Text(_outcome(delivery), style="red")
    speed = f"{delivery.nbytes / delivery.seconds / GB:.2f}"
    return row.name, f"{delivery.nbytes:,}", speed, _copies(row), Text("exact", style="green")


def _copies(row: Row) -> str:
    if row.copies is None:
        return "-"
    return f"{row.copies:.3g}" + (" (packed)" if row.library == "pinwire" and row.copies else "")


def _outcome(delivery: Delivery) -> str:
    arrival, nbytes = delivery.arrival, delivery.nbytes
    text = _kind(delivery)
    if delivery.attempt.ended not in {RETURNED, HUNG}:
        text = delivery.attempt.ended
    if arrival.arrived:
        text += f": {percent(arrival.arrived / nbytes)} % arrived"
    if arrival.right < arrival.arrived:
        text += f", wrong after {percent(arrival.right / nbytes)} %"
    return text


def _kind(delivery: Delivery) -> str:
    if delivery.exact:
        return "exact"
    if delivery.attempt.ended == HUNG:
        return "hung"
    if delivery.attempt.ended != RETURNED:
        return "refused" if not delivery.arrival.arrived else "failed"
    return "truncated" if delivery.arrival.arrived < delivery.nbytes else "corrupted"
