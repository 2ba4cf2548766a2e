"""What a process has: descriptors, threads, memory, objects of pinwire; and whether it grows."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from . import content

BLOCKING_THREADS = 16
"""Threads that pinwire has beside its workers, at most: they end when they were idle for 10 s."""

SLACK = 16 << 10
"""KiB by which memory may differ between rounds that are alike."""


def own() -> dict[str, Any]:
    """What only the process itself can count, once it has tidied up."""
    import pinwire

    content.forget()
    for _ in range(3):
        gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    kinds = Counter(
        type(found).__name__
        for found in gc.get_objects()
        if str(type(found).__module__).startswith("pinwire")
    )
    stats = pinwire.runtime_stats()
    return {
        "objects": dict(kinds),
        "workers": stats.workers,
        "in_flight": stats.bulk_in_flight,
    }


def of(pid: int) -> dict[str, Any]:
    """What anybody can see of a process."""
    place = Path(f"/proc/{pid}")
    rollup = dict(
        line.split()[:2] for line in (place / "smaps_rollup").read_text().splitlines()[1:]
    )
    return {
        "fds": sorted(filter(None, map(_link, (place / "fd").iterdir()))),
        "threads": _names(place),
        "memory": int(rollup["Private_Dirty:"]),
    }


def _names(place: Path) -> list[str]:
    return sorted(filter(None, (_text(task / "comm") for task in (place / "task").iterdir())))


def _text(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return path.read_text().strip()
    return ""


def _link(path: Path) -> str:
    # Numbers of sockets and pipes differ.
    with contextlib.suppress(FileNotFoundError):  # closed meanwhile: our own look
        return re.sub(r"\d+", "", str(path.readlink()))
    return ""


LEAST = 24
"""Rounds of a third from which on its memory says anything: a heap rises by steps before."""


class Growth:
    """The counts of one process from round to round."""

    def __init__(self) -> None:
        self._least: dict[int, dict[str, Any]] = {}
        self._memory: list[int] = []

    def judge(self, counts: dict[str, Any], passing: int = BLOCKING_THREADS) -> list[str]:
        """What there is more of than after the first round with as many workers.

        So many threads more may be `passing`.
        """
        wrong = []
        if counts["in_flight"]:
            wrong.append(f"{counts['in_flight']} transfers in flight and nobody awaits them")
        first = self._least.setdefault(counts["workers"], counts)
        for what in ("fds", "threads", "objects"):
            more = Counter(counts[what]) - Counter(first[what])
            if what == "threads":
                more -= Counter({"pinwire": passing})
            if more:
                wrong.append(f"{what} left behind: {dict(more)}")
        return wrong

    def remember(self, counts: dict[str, Any]) -> None:
        self._memory.append(counts["memory"])

    def judge_memory(self) -> list[str]:
        """Whether the least of the last third is above what the first third needed."""
        third = len(self._memory) // 3
        if third < LEAST:
            return []
        before, after = max(self._memory[1 : third + 1]), min(self._memory[-third:])
        if after > before + SLACK:
            middle = statistics.median(self._memory[third:-third])
            return [f"memory grew from {before} by way of {middle} to {after} KiB"]
        return []
