"""The targets, on the terminal."""

import sys
from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..row import Row

# Rich takes 80 columns when it does not know better, and breaks lines for it.
PIPE_WIDTH = 140
VERDICTS = {True: ("met", "green"), False: ("missed", "red"), None: ("", "dim")}


def show(targets: Sequence[Row], written: Sequence[str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for name in ("target", "measured", "range"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in targets:
        verdict = Text(*VERDICTS[row.met])
        table.add_row(Text(row.text), row.target, row.figure, row.range, verdict)
    console.print(table)
    counts = Counter(row.met for row in targets)
    console.print(
        f"{counts[True]} of {len(targets)} targets met, {counts[False]} missed,"
        f" {counts[None]} not measured."
    )
    console.print(f"Written: {', '.join(written)}", style="dim")
