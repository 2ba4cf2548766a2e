"""Which plots there are, and what goes into each."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..summary import edge_ns
from . import bars, dots, ridges
from .lines import Line, Table
from .style import is_c, is_dask_tcp, is_memcpy

TRANSPORTS = {"tcp": "TCP", "unix": "unix sockets"}
MESSAGES = {
    "message-bulk": "one large array",
    "message-parts": "1,000 x 4 KiB",
    "message-object": "a DataFrame",
}


@dataclass(frozen=True)
class Plot:
    file: str
    words: str
    """For those who cannot see it."""


def draw(tables: Sequence[Table], folder: Path) -> list[Plot]:
    """Every plot that `tables`, all of one environment, have something for."""
    drawn: list[Plot | None] = []
    for transport, words in TRANSPORTS.items():
        own = [table for table in tables if table.transport == transport]
        drawn.append(_throughput(own, words, folder / f"throughput-{transport}.png"))
        drawn.append(_latency(own, words, folder / f"latency-{transport}.png"))
    drawn.append(_beside(tables, folder / "beside.png"))
    drawn.append(_cpu(tables, folder / "cpu.png"))
    drawn.append(_messages(tables, folder / "messages.png"))
    drawn.append(_same_host(tables, folder / "same-host.png"))
    drawn.append(_dask(tables, folder / "dask.png"))
    return [plot for plot in drawn if plot is not None]


def size_words(nbytes: int) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if nbytes >= scale:
            return f"{nbytes / scale:g} {unit}"
    return f"{nbytes} B"


def decimal_words(nbytes: int) -> str:
    """For what counts in thousands, as Dask does."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= scale:
            return f"{nbytes / scale:g} {unit}"
    return f"{nbytes} B"


def _throughput(tables: Sequence[Table], words: str, path: Path) -> Plot | None:
    sizes = sorted(_bulk(tables), key=lambda table: table.size)
    if not sizes:
        return None
    panels = [_speeds(table, size_words(table.size)) for table in sizes]
    bars.draw(
        path,
        f"Throughput over {words}",
        "GB/s, median; one message at a time, until the peer has said that it is in its memory."
        " Vertical line: C.",
        _ordered(panels, reverse=True),
        panels,
    )
    return Plot(path.name, f"Throughput over {words} by contestant and size")


def _latency(tables: Sequence[Table], words: str, path: Path) -> Plot | None:
    table = next((table for table in tables if table.kind == "ping" and table.size == 64), None)
    if table is None:
        return None
    found = [_ridge(table, line) for line in table.lines]
    known = [ridge for ridge in found if ridge is not None]
    if not known:
        return None
    ridges.draw(
        path,
        f"64 bytes there and back over {words}",
        "How long each round trip took; the tick ends at the 99th percentile."
        " Vertical line: C's median.",
        known,
    )
    return Plot(path.name, f"Distribution of 64 B round trips over {words} by contestant")


def _ridge(table: Table, line: Line) -> ridges.Ridge | None:
    stored = [both["client"]["latencies_ns"] for both in table.sides(line.name)]
    total: Counter[int] = Counter()
    for latencies in stored:
        total.update({int(bin_): n for bin_, n in latencies.get("histogram", {}).items()})
    if not total or line.tail is None:
        return None
    bins = range(min(total), max(total) + 1)
    # A bin of its own on either side, so that a ridge ends on the ground.
    edges = np.array([edge_ns(bin_) for bin_ in (bins[0] - 1, *bins, bins[-1] + 1, bins[-1] + 2)])
    counts = np.array([0, *(total[bin_] for bin_ in bins), 0], float)
    return ridges.Ridge(line.name, edges, counts, line.time.median, line.tail.median)


def _beside(tables: Sequence[Table], path: Path) -> Plot | None:
    table = next((table for table in tables if table.kind == "beside"), None)
    if table is None:
        return None
    ticker: dict[str, tuple[float, ...]] = {}
    echo: dict[str, tuple[float, ...]] = {}
    for name in (line.name for line in table.lines):
        late = [_p99(table, name, side, "ticker_late_ns") for side in ("client", "server")]
        ticker[name] = (max(late),)
        echo[name] = tuple(_p99(table, name, "client", k) for k in ("idle_echo_ns", "echo_ns"))
    dots.draw(
        path,
        "What else the loop gets done while it moves bulk",
        "99th percentiles. Left: how late a 1 ms ticker is, on the worse side. Right: a 64 B echo,"
        " hollow when idle, full beside bulk.",
        sorted(ticker, key=lambda name: ticker[name]),
        [dots.Panel("ticker late by", ticker), dots.Panel("echo", echo)],
    )
    return Plot(path.name, "Lateness of a ticker and an echo beside bulk, by contestant")


def _p99(table: Table, name: str, side: str, key: str) -> float:
    """The median over the rounds; 0 where nothing was counted."""
    return float(np.median([both[side][key].get("p99", 0.0) for both in table.sides(name)]))


def _cpu(tables: Sequence[Table], path: Path) -> Plot | None:
    over_tcp = _bulk(table for table in tables if table.transport == "tcp")
    # Large enough to drown what a call costs, small enough for the caches to play no part.
    for table in sorted(over_tcp, key=lambda table: abs(table.size - 16 * 2**20)):
        costs = {line.name: line.cpu for line in table.lines if line.cpu is not None}
        if not costs:
            continue
        panel = bars.Panel(f"{size_words(table.size)} messages over TCP", costs)
        bars.draw(
            path,
            "What a gigabyte costs",
            "CPU seconds per GB, user and system: the sender's dark, the receiver's light."
            " Vertical line: C.",
            _ordered([panel], reverse=False),
            [panel],
        )
        return Plot(path.name, "CPU seconds per GB by contestant")
    return None


def _messages(tables: Sequence[Table], path: Path) -> Plot | None:
    over_tcp = [table for table in tables if table.transport == "tcp"]
    # Of several sizes, the largest.
    by_kind = {table.kind: table for table in sorted(over_tcp, key=lambda table: table.size)}
    return _bars(
        path,
        "Messages that say what they hold, over TCP",
        "GB/s, median, until the peer has said that it has the arrays or the object. Bare streams"
        " for comparison.",
        [_speeds(by_kind[kind], words) for kind, words in MESSAGES.items() if kind in by_kind],
        "Throughput of messages over TCP by contestant and what they hold",
    )


def _same_host(tables: Sequence[Table], path: Path) -> Plot | None:
    sizes = sorted((t for t in tables if t.kind == "same-host"), key=lambda table: table.size)
    return _bars(
        path,
        "From an array of one process into an array of another",
        "GB/s on one host, median, until the peer has said that it is there. Vertical line: memcpy"
        " within one process.",
        [_speeds(table, size_words(table.size), is_memcpy) for table in sizes],
        "Throughput on one host by contestant and size, beside memcpy",
    )


def _dask(tables: Sequence[Table], path: Path) -> Plot | None:
    by_size = sorted(tables, key=lambda table: table.size)
    return _bars(
        path,
        "Arrays and a P2P shuffle between two of Dask's workers on one host",
        "Time, median: shorter is quicker. From a task's submission until the client has its"
        " result. Vertical line: tcp://.",
        [
            _times(table, f"{words}{decimal_words(table.size)}")
            for kind, words in (("dask-transfer", ""), ("dask-shuffle", "shuffle of "))
            for table in by_size
            if table.kind == kind
        ],
        "Time of arrays and a shuffle between Dask's workers by protocol",
        more_is_better=False,
    )


def _bars(
    path: Path,
    title: str,
    note: str,
    panels: Sequence[bars.Panel],
    alternative: str,
    *,
    more_is_better: bool = True,
) -> Plot | None:
    if not panels:
        return None
    bars.draw(path, title, note, _ordered(panels, reverse=more_is_better), panels)
    return Plot(path.name, alternative)


def _times(table: Table, title: str) -> bars.Panel:
    """In seconds from one on, for the quickest."""
    quickest = table.lines[0].time.median
    unit, scale = ("s", 1e9) if quickest >= 1e9 else ("ms", 1e6)
    times = {line.name: (line.time.median / scale,) for line in table.lines}
    return bars.Panel(f"{title}, {unit}", times, is_dask_tcp)


def _speeds(table: Table, title: str, reference: Callable[[str], bool] = is_c) -> bars.Panel:
    speeds = {line.name: (line.speed.median,) for line in table.lines if line.speed is not None}
    return bars.Panel(title, speeds, reference)


def _bulk(tables: Iterable[Table]) -> list[Table]:
    return [table for table in tables if table.kind == "bulk" and table.workload["sockbuf"] is None]


def _ordered(panels: Sequence[bars.Panel], *, reverse: bool) -> list[str]:
    """By the mean of each one's rank in the panels it is in."""
    names = dict.fromkeys(name for panel in panels for name in panel.bars)

    orders = [sorted(map(sum, panel.bars.values()), reverse=reverse) for panel in panels]

    def rank(name: str) -> float:
        both = zip(panels, orders, strict=True)
        return float(np.mean([o.index(sum(p.bars[name])) for p, o in both if name in p.bars]))

    return sorted(names, key=rank)
