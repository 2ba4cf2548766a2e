"""What is kept of a result: long lists of samples become their figures and a histogram."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .contestant import Result

# Bins a decade of the histograms, from 100 ns on; the report joins them for coarser ones.
BINS_A_DECADE = 60
LOWEST_NS = 100.0


def of(result: Result) -> Result:
    """`result` with its lists of nanoseconds, and of connections, summed up."""
    return {key: _summed_up(key, value) for key, value in result.items()}


def _summed_up(key: str, value: Any) -> Any:
    if key.endswith("_ns"):
        return samples(value)
    if key == "per_connection":
        return {
            "median": float(np.median(value)),
            "min": min(value),
            "max": max(value),
            "n": len(value),
        }
    return value


def samples(nanoseconds: Sequence[float]) -> Result:
    """Percentiles, and counts by bin: bin b ends where b + 1 begins, at `edge_ns(b + 1)`."""
    if not len(nanoseconds):
        return {"n": 0}
    p50, p90, p99, p999 = np.percentile(nanoseconds, [50, 90, 99, 99.9])
    bins = Counter(_bin(value) for value in nanoseconds)
    return {
        "n": len(nanoseconds),
        "min": float(min(nanoseconds)),
        "median": float(p50),
        "p50": float(p50),
        "p90": float(p90),
        "p99": float(p99),
        "p999": float(p999),
        "max": float(max(nanoseconds)),
        "histogram": {str(index): bins[index] for index in sorted(bins)},
    }


def edge_ns(index: int) -> float:
    """Where bin `index` begins."""
    return float(LOWEST_NS * 10 ** (index / BINS_A_DECADE))


def _bin(value: float) -> int:
    return max(0, math.floor(BINS_A_DECADE * math.log10(max(value, LOWEST_NS) / LOWEST_NS)))
