"""Turn results into what people read.

    python -m benches.peers.report [RESULTS_DIR] [--root .]

Writes docs/benchmarks.md with its plots and the tables of the README and of docs/dask.md, and
prints the targets.
"""

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

from ..options import FILE, RESULTS
from ..results import load
from ..targets import rows
from . import excerpts, markdown, plots, terminal
from .lines import Table, tables


def main() -> None:
    options = _options()
    path = options.results / FILE if options.results.is_dir() else options.results
    if not path.exists():
        raise SystemExit(f"{path} is not there: run {markdown.COMMAND} first")
    results = load(path)
    everything, targets = tables(results), rows(results)
    docs = options.root / "docs"
    drawn = plots.draw(_main_environment(everything), docs / "benchmarks")
    when = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    docs.mkdir(parents=True, exist_ok=True)
    page = markdown.page(results, targets, everything, drawn, f"{when:%Y-%m-%d %H:%M} UTC")
    (docs / "benchmarks.md").write_text(page)
    written = ["docs/benchmarks.md", *(f"docs/benchmarks/{plot.file}" for plot in drawn)]
    described = results["machine"].get("described", "")
    # A quick run is no measurement.
    if not results["quick"]:
        written += excerpts.write(options.root, targets, described)
    terminal.show(targets, written)


def _main_environment(everything: Sequence[Table]) -> list[Table]:
    """Plots show one environment: cubic's, where there is one, since bbr paces loopback."""
    names = list(dict.fromkeys(table.environment for table in everything))
    chosen = next((name for name in names if "cubic" in name), names[0] if names else "")
    return [table for table in everything if table.environment == chosen]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="turn results into a page, plots and tables")
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--root", type=Path, default=Path(), help="of the repository")
    return parser.parse_args()


if __name__ == "__main__":
    main()
