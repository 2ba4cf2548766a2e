"""Tables between markers in other pages, if they have them."""

from collections.abc import Sequence
from pathlib import Path

from ..row import Row
from .markdown import COMMAND, targets_table

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


def write(root: Path, targets: Sequence[Row], described: str) -> list[str]:
    """The pages that had a place for one."""
    judged = [row.met for row in targets if row.met is not None]
    measured = [row for row in targets if row.measured]
    shown = [row for row in measured if not any(part in row.text for part in LEFT_OUT)]
    summary = (
        f"Measured by `{COMMAND}`: {sum(judged)} of {len(judged)} targets met, all of them with "
        f"plots in [docs/benchmarks.md](docs/benchmarks.md). {described}"
    )
    of_dask = [row for row in measured if "Dask" in row.text]
    excerpts = {
        "README.md": ("speed", f"{targets_table(shown)}\n\n{summary}"),
        "docs/dask.md": ("dask", f"{targets_table(of_dask)}\n\n{described}"),
    }
    return [page for page, (name, block) in excerpts.items() if _fill(root / page, name, block)]


def _fill(path: Path, name: str, block: str) -> bool:
    if not path.exists():
        return False
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = path.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        return False
    path.write_text(f"{before}{begin}\n{block.strip()}\n{end}{after}")
    return True
