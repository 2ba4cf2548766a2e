"""The table between the markers in README.md, if it has them."""

from collections.abc import Sequence
from pathlib import Path

from ..row import Row
from .markdown import COMMAND, targets_table

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"

# Of rows that differ in transport, size or loop alone, the README shows one.
LEFT_OUT = (
    ", unix",
    "1 MiB",
    "4 MiB",
    "16 MiB",
    "64 MiB",
    "1 GiB",
    "1 GB",
    "by the worker's log",
    "lateness, sender",
    "idle: pinwire uvloop",
    "Channel uvloop",
    "Channel blocking",
)


def write(path: Path, targets: Sequence[Row], described: str) -> bool:
    """Whether there was a place for it."""
    if not path.exists():
        return False
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        return False
    shown = [
        row for row in targets if row.measured and not any(part in row.text for part in LEFT_OUT)
    ]
    judged = [row.met for row in targets if row.met is not None]
    block = (
        f"{targets_table(shown)}\n\nMeasured by `{COMMAND}`: {sum(judged)} of {len(judged)} targets"
        f" met, all of them with plots in [docs/benchmarks.md](docs/benchmarks.md). {described}"
    )
    path.write_text(f"{before}{BEGIN}\n{block.strip()}\n{END}{after}")
    return True
