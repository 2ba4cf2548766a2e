"""What one call of a contestant costs its process: CPU seconds, and memory above its arrays."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class _Meter:
    """Of this process; one call at a time."""

    own_seconds = 0.0
    """CPU time of the benchmark's own work on memory, which is nobody's achievement."""

    cpu_seconds: float | None = None
    peak_bytes: int | None = None


_meter = _Meter()


@contextmanager
def measured(fresh_bytes: int = 0) -> Iterator[None]:
    """Around what is the contestant's own: connected, arrays touched, nothing sent yet.

    `fresh_bytes` is what those arrays take that come into being meanwhile, one message's at a time.
    """
    peak = _Peak()
    cpu, own = _cpu_seconds(), _meter.own_seconds
    yield
    _meter.cpu_seconds = _cpu_seconds() - cpu - (_meter.own_seconds - own)
    growth = peak.growth()
    _meter.peak_bytes = None if growth is None else max(0, growth - fresh_bytes)


@contextmanager
def not_counted() -> Iterator[None]:
    """Around work of the benchmark itself, on this thread, inside `measured`."""
    before = time.thread_time()
    yield
    _meter.own_seconds += time.thread_time() - before


class Call:
    """Measures a whole call, for a contestant that does not say which part of it counts."""

    def __init__(self) -> None:
        _meter.cpu_seconds = _meter.peak_bytes = None
        self._peak = _Peak()
        self._cpu, self._own = _cpu_seconds(), _meter.own_seconds

    def cost(self, array_bytes: int) -> dict[str, float | int | None]:
        """`array_bytes` is what either side has to hold in any case."""
        if _meter.cpu_seconds is not None:
            return {"cpu_seconds": _meter.cpu_seconds, "peak_bytes": _meter.peak_bytes}
        cpu = _cpu_seconds() - self._cpu - (_meter.own_seconds - self._own)
        peak = self._peak.growth()
        return {
            "cpu_seconds": cpu,
            "peak_bytes": None if peak is None else max(0, peak - array_bytes),
        }


def forget_peak() -> bool:
    """Whether the system lets this process's peak of memory start again from what it has now."""
    try:
        _CLEAR_REFS.write_text("5")  # proc_pid_clear_refs(5)
    except OSError:
        return False
    return True


def peak() -> int | None:
    """Bytes: the most that this process has had at once."""
    return _status_bytes("VmHWM")


class _Peak:
    def __init__(self) -> None:
        self._resident = _status_bytes("VmRSS") if forget_peak() else None

    def growth(self) -> int | None:
        high = None if self._resident is None else peak()
        return None if high is None or self._resident is None else high - self._resident


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _status_bytes(field: str) -> int | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
