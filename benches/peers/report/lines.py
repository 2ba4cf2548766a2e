"""What the tables and plots show of one workload: a line a contestant, over all rounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from .. import results as read
from ..contestant import HOST_BULK
from ..results import Entry, Metric, Results, Sides, Spread
from .style import is_c, is_memcpy, ours

GB = 1e9
# Kinds with a speed: one message at a time, timed until it is there.
BULK = HOST_BULK | {
    "bulk",
    "gather",
    "message-bulk",
    "message-parts",
    "message-object",
    "dask-transfer",
    "dask-shuffle",
}


@dataclass(frozen=True)
class Line:
    name: str
    time: Spread
    """Nanoseconds of one message, one echo or all connections: what contestants compare by."""
    tail: Spread | None
    """The 99th percentile, where one was taken."""
    speed: Spread | None
    """Bytes per nanosecond, which is GB/s."""
    of_c: Spread | None
    """The C loop's time over this one's: its share of the C loop's speed."""
    of_pinwire: Spread | None
    """The same with the quickest of pinwire."""
    of_memcpy: Spread | None
    """The same with a copy inside one process."""
    cpu: tuple[float, float] | None
    """CPU seconds per GB, client and server."""
    memory: tuple[float, float] | None
    """Peak bytes above the arrays, client and server."""
    transfer: Spread | None
    """Nanoseconds of the transfer alone, by the log of Dask's worker."""
    worker_peaks: tuple[float, float] | None
    """Peak bytes of all that Dask's workers have, sender and receiver."""
    carrier: str | None
    """What the payload went by, for those who choose."""
    correct: bool
    """Whether both sides found in every round what was sent."""


@dataclass(frozen=True)
class Table:
    entry: Entry

    @property
    def workload(self) -> Mapping[str, Any]:
        workload: Mapping[str, Any] = self.entry["workload"]
        return workload

    @property
    def environment(self) -> str:
        return str(self.entry["environment"])

    @property
    def kind(self) -> str:
        return str(self.workload["kind"])

    @property
    def transport(self) -> str:
        return str(self.workload["transport"])

    @property
    def size(self) -> int:
        return int(self.workload["size"])

    @cached_property
    def lines(self) -> list[Line]:
        """The quickest first."""
        lines = [self._line(name) for name in read.names_in(self.entry)]
        return sorted((line for line in lines if line is not None), key=lambda x: x.time.median)

    def sides(self, name: str) -> list[Sides]:
        """Of the rounds that `name` finished."""
        return [one[name] for one in self.entry["rounds"] if name in one]

    def _line(self, name: str) -> Line | None:
        metric = TIMES[self.kind]
        time = read.over_rounds(self.entry, name, metric)
        if time is None:
            return None
        bulk = self.kind in BULK
        tail = TAILS.get(self.kind)
        gigabytes = self.size * int(self.workload["count"]) / GB
        return Line(
            name=name,
            time=time,
            tail=read.over_rounds(self.entry, name, tail) if tail else None,
            speed=time.inverse(self.size) if bulk else None,
            of_c=self._share(name, is_c),
            of_pinwire=self._share(name, ours),
            of_memcpy=self._share(name, is_memcpy),
            cpu=self._both(name, "cpu_seconds", gigabytes) if bulk else None,
            memory=self._both(name, "peak_bytes", 1.0),
            transfer=read.over_rounds(self.entry, name, _seconds(read.transfer_seconds))
            if self.kind == "dask-transfer"
            else None,
            worker_peaks=self._worker_peaks(name),
            carrier=self._carrier(name),
            correct=all(
                side.get("verified", True) for both in self.sides(name) for side in both.values()
            ),
        )

    def _share(self, name: str, reference: Callable[[str], bool]) -> Spread | None:
        """Of the speed of the quickest that `reference` says yes to."""
        others = [other for other in read.names_in(self.entry) if reference(other)]
        time = read.ratios_to_best(self.entry, name, others, TIMES[self.kind])
        return time and time.inverse()

    def _carrier(self, name: str) -> str | None:
        known = [both["client"].get("carrier") for both in self.sides(name)]
        return " or ".join(sorted({carrier for carrier in known if carrier})) or None

    def _worker_peaks(self, name: str) -> tuple[float, float] | None:
        found = [
            pair for both in self.sides(name) for pair in both["client"].get("worker_peaks", [])
        ]
        if not found:
            return None
        sender, receiver = (median(peaks) for peaks in zip(*found, strict=True))
        return sender, receiver

    def _both(self, name: str, key: str, unit: float) -> tuple[float, float] | None:
        values = []
        for side in ("client", "server"):
            known = [both[side][key] for both in self.sides(name) if both[side][key] is not None]
            if not known:
                return None
            values.append(median(known) / unit)
        return values[0], values[1]


def tables(results: Results) -> list[Table]:
    return [Table(entry) for entry in results["workloads"]]


def _seconds(metric: Metric) -> Metric:
    def nanoseconds(sides: Sides) -> float | None:
        seconds = metric(sides)
        return None if seconds is None else seconds * 1e9

    return nanoseconds


def _client(key: str, which: str) -> Metric:
    def figure(sides: Sides) -> float | None:
        value = sides["client"][key].get(which)
        return None if value is None else float(value)

    return figure


TIMES: dict[str, Metric] = {
    "ping": read.latency,
    "bulk": _seconds(read.message_seconds),
    "gather": _seconds(read.message_seconds),
    "many": _seconds(read.total_seconds),
    "beside": _client("echo_ns", "median"),
    "message-ping": read.latency,
    "same-host-ping": read.latency,
    **dict.fromkeys(
        ("message-bulk", "message-parts", "message-memory", "message-object"),
        _seconds(read.message_seconds),
    ),
    "dask-ping": read.latency,
    **dict.fromkeys(
        ("dask-transfer", "dask-shuffle", "dask-batch", "dask-tasks"),
        _seconds(read.message_seconds),
    ),
    **dict.fromkeys((*HOST_BULK, "same-host-memory"), _seconds(read.message_seconds)),
}
TAILS: dict[str, Metric] = {
    "ping": _client("latencies_ns", "p99"),
    "beside": _client("echo_ns", "p99"),
    "message-ping": _client("latencies_ns", "p99"),
    "same-host-ping": _client("latencies_ns", "p99"),
    "dask-ping": _client("latencies_ns", "p99"),
}
