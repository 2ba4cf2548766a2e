"""Reading results.json: figures of a round, and what the rounds give together."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

Results: TypeAlias = Mapping[str, Any]
Entry: TypeAlias = Mapping[str, Any]
"""One workload in one environment, with its rounds."""
Sides: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What a contestant's client and server gave in one round."""
Metric: TypeAlias = Callable[[Sides], float | None]


@dataclass(frozen=True)
class Spread:
    """Over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        known = [value for value in values if value is not None]
        return cls(median(known), min(known), max(known)) if known else None

    def inverse(self, of: float = 1.0) -> "Spread":
        """What comes of a speed when these are times, or the other way round."""
        return Spread(of / self.median, of / self.high, of / self.low)


def load(path: Path) -> Results:
    results: Results = json.loads(path.read_text())
    return results


def find(
    results: Results,
    name: str,
    transport: str,
    *,
    same_buffers: bool = False,
    outside: bool = False,
) -> Entry | None:
    """The workload measured in the namespace (or wherever all of it was), or `outside` of it."""
    entries = [
        entry
        for entry in results["workloads"]
        if (entry["workload"]["name"], entry["workload"]["transport"]) == (name, transport)
        and (entry["workload"]["sockbuf"] is not None) == same_buffers
    ]
    # The outer part is measured last, and only where there is an inner one.
    main = results["workloads"][0]["environment"] if results["workloads"] else None
    chosen = [entry for entry in entries if (entry["environment"] != main) == outside]
    return chosen[0] if chosen else None


def over_rounds(entry: Entry | None, contestant: str, metric: Metric) -> Spread | None:
    """The median of a figure, and its range."""
    return Spread.of(_figure(one, contestant, metric) for one in _rounds(entry))


def ratios(entry: Entry | None, above: str, below: str, metric: Metric) -> Spread | None:
    """Of `above` to `below`, each within one round."""
    return ratios_to_best(entry, above, [below], metric)


def ratios_to_best(
    entry: Entry | None, above: str, below: Iterable[str], metric: Metric
) -> Spread | None:
    """The same, to the smallest of several in each round."""
    names, found = list(below), []
    for one in _rounds(entry):
        figure = _figure(one, above, metric)
        others = [_figure(one, name, metric) for name in names]
        known = [other for other in others if other]
        found.append(figure / min(known) if figure is not None and known else None)
    return Spread.of(found)


def names_in(entry: Entry | None) -> list[str]:
    """Who took part."""
    return list(dict.fromkeys(name for one in _rounds(entry) for name in one))


def latency(sides: Sides) -> float | None:
    """Nanoseconds: the median round trip."""
    return _number(sides["client"]["latencies_ns"].get("median"))


def message_seconds(sides: Sides) -> float | None:
    """Of bulk or gather: the median message."""
    return median(sides["client"]["seconds"])


def transfer_seconds(sides: Sides) -> float | None:
    """Of an array between Dask's workers: the median by the receiver's own log."""
    return median(sides["client"]["transfer_seconds"])


def worker_peak(sides: Sides) -> float | None:
    """Bytes: the most that the larger of Dask's two workers had during a transfer."""
    return _number(max(map(max, sides["client"]["worker_peaks"]), default=None))


def total_seconds(sides: Sides) -> float | None:
    """Of many: all connections."""
    return _number(sides["client"]["seconds"])


def starvation(sides: Sides) -> float | None:
    """Of many: the slowest connection's time over the median one's."""
    times = sides["client"]["per_connection"]
    return _number(times["max"] / times["median"])


def cpu_seconds(sides: Sides) -> float | None:
    """Of both sides."""
    return _number(sides["client"]["cpu_seconds"] + sides["server"]["cpu_seconds"])


def peak_bytes(sides: Sides) -> float | None:
    """Of the side that has more of it."""
    peaks = [side["peak_bytes"] for side in sides.values()]
    return None if None in peaks else _number(max(peaks))


def echo_growth(sides: Sides) -> float | None:
    """Of beside: p99 of the echo beside bulk over its p99 when idle."""
    client = sides["client"]
    if not (client["echo_ns"]["n"] and client["idle_echo_ns"]["n"]):
        return None
    return _number(client["echo_ns"]["p99"] / client["idle_echo_ns"]["p99"])


def ticker_late_ns(side: str) -> Metric:
    """Of beside: p99 on one side."""
    return lambda sides: _number(sides[side]["ticker_late_ns"].get("p99"))


def _rounds(entry: Entry | None) -> list[Mapping[str, Sides]]:
    return [] if entry is None else list(entry["rounds"])


def _figure(one: Mapping[str, Sides], contestant: str, metric: Metric) -> float | None:
    return metric(one[contestant]) if contestant in one else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
