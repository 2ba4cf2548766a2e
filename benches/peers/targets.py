"""What the project wants to reach, and whether a run shows it."""

from collections.abc import Callable, Iterator, Sequence

from . import dask_targets, host_targets, message_targets
from . import results as read
from .plan import MIB, TRANSPORTS
from .results import Results, Spread
from .row import Row

C, OURS, UVLOOP, BLOCKING = "C loop", "pinwire asyncio", "pinwire uvloop", "pinwire blocking"
BULK = {"16M": "16 MiB", "256M": "256 MiB", "1G": "1 GiB"}
# Two figures that differ by less are the same figure.
NOISE = 0.03


def rows(results: Results) -> list[Row]:
    """Every target in the order of the tables."""
    parts: Sequence[Callable[[Results], Iterator[Row]]] = (
        _round_trips,
        _ready,
        _bulk,
        _bulk_beside_peers,
        _gather,
        _many,
        _beside,
        _costs,
        _import_time,
        message_targets.rows,
        host_targets.rows,
        dask_targets.rows,
    )
    return [row for part in parts for row in part(results)]


def _round_trips(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "ping-64", transport)
        tcp = transport == "tcp"
        for ours, theirs, limit in (
            (OURS, "asyncio sock_*", 0.5),
            (OURS, "asyncio streams", 0.65),
            (UVLOOP, "uvloop streams", 0.85),
            (OURS, C, 1.6 if tcp else 2.0),
            (BLOCKING, C, 1.15 if tcp else 1.35),
            (f"{BLOCKING} busy_poll", C, 0.5),
        ):
            ratio = read.ratios(entry, ours, theirs, read.latency)
            yield Row(f"64 B round trip, {transport}: {ours} / {theirs}", limit, True, ratio)


def _ready(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        figures = results["micro"].get("ready_send_ns", {}).get(transport)
        extra = None
        if figures is not None:
            pairs = zip(figures["pinwire await"], figures["C send"], strict=True)
            extra = Spread.of(ours - bare for ours, bare in pairs)
        text = f"await of a ready send of 64 B over send(2) in C, {transport}"
        yield Row(text, 0.2, True, extra, " us", 1e-3)


def _bulk(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        for label, words in BULK.items():
            for same, what in ((True, "same socket buffers"), (False, "own defaults")):
                entry = read.find(results, f"bulk-{label}", transport, same_buffers=same)
                speed = read.ratios(entry, C, OURS, read.message_seconds)
                text = f"{words}, {transport}, {what}: {OURS}'s speed / C loop's"
                yield Row(text, 0.97, False, speed)
    for label in ("16M", "256M"):
        entry = read.find(results, f"bulk-{label}", "tcp", outside=True)
        if entry is not None and "bbr" in entry["environment"]:
            speed = read.ratios(entry, C, OURS, read.message_seconds)
            text = f"{BULK[label]}, tcp with bbr, own defaults: {OURS}'s speed / C loop's"
            yield Row(text, 1.3, False, speed)


def _bulk_beside_peers(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "bulk-256M", transport)
        for streams in ("asyncio streams", "asyncio streams readexactly"):
            speed = read.ratios(entry, streams, OURS, read.message_seconds)
            text = f"256 MiB, {transport}: {OURS}'s speed / that of {streams}"
            yield Row(text, 8.0, False, speed)
        for label, words in BULK.items():
            entry = read.find(results, f"bulk-{label}", transport)
            ahead = {
                name: ratio
                for name in read.names_in(entry)
                if name != C
                and not name.startswith("pinwire")
                and "shared memory" not in name  # listed, but no socket
                and (ratio := read.ratios(entry, OURS, name, read.message_seconds))
            }
            best = max(ahead, key=lambda name: ahead[name].median, default=None)
            text = f"{words}, {transport}: quickest peer's speed / {OURS}'s"
            if best is None:
                yield Row(text, 1 + NOISE, True, None)
            else:
                yield Row(f"{text} ({best})", 1 + NOISE, True, ahead[best])


def _gather(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "gather", transport)
        speed = read.ratios(entry, C, OURS, read.message_seconds)
        text = f"64 B and 100 x 64 KiB, {transport}: {OURS}'s speed / C sendmsg's"
        yield Row(text, 0.95, False, speed)


def _many(results: Results) -> Iterator[Row]:
    families = results.get("families", {})
    for transport in TRANSPORTS:
        entry = read.find(results, "many-64", transport)
        peers = [
            name
            for name in read.names_in(entry)
            if families.get(name) in {"asyncio", "uvloop"} and not name.startswith("pinwire")
        ]
        ratio = read.ratios_to_best(entry, OURS, peers, read.total_seconds)
        speed = ratio and ratio.inverse()
        text = f"64 connections, {transport}: {OURS}'s speed / the best asyncio or uvloop peer's"
        yield Row(text, 1.2, False, speed)
    for transport in TRANSPORTS:
        entry = read.find(results, "many-1000", transport)
        spread = read.over_rounds(entry, OURS, read.starvation)
        text = f"1,000 connections, {transport}: the slowest one's time / the median's"
        yield Row(text, 3.0, True, spread)


def _beside(results: Results) -> Iterator[Row]:
    entry = read.find(results, "beside", "tcp")
    for name in (OURS, UVLOOP):
        growth = read.over_rounds(entry, name, read.echo_growth)
        yield Row(f"64 B echo p99 beside bulk / idle: {name}", 3.0, True, growth)
        for side, word in (("client", "sender"), ("server", "receiver")):
            late = read.over_rounds(entry, name, read.ticker_late_ns(side))
            text = f"1 ms ticker beside bulk, p99 lateness, {word}: {name}"
            yield Row(text, 1.0, True, late, " ms", 1e-6)


def _costs(results: Results) -> Iterator[Row]:
    for transport in TRANSPORTS:
        entry = read.find(results, "bulk-256M", transport)
        cpu = read.ratios(entry, OURS, C, read.cpu_seconds)
        yield Row(f"CPU of both sides, 256 MiB, {transport}: {OURS} / C loop", 1.05, True, cpu)
    for transport in TRANSPORTS:
        entry = read.find(results, "bulk-1G", transport)
        peak = read.over_rounds(entry, OURS, read.peak_bytes)
        text = f"memory above the arrays, a side, 1 GiB, {transport}: {OURS}"
        yield Row(text, 2.0, True, peak, " MiB", 1 / MIB)


def _import_time(results: Results) -> Iterator[Row]:
    seconds = results["micro"].get("import_seconds")
    extra = None
    if seconds is not None:
        pairs = zip(seconds["pinwire"], seconds["bare"], strict=True)
        extra = Spread.of(ours - bare for ours, bare in pairs)
    yield Row("import pinwire over bare Python", 30.0, True, extra, " ms", 1e3)
