"""Nanoseconds, as words and as marks of a logarithmic axis."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from .style import GRID


def duration(nanoseconds: float) -> str:
    """Two or three figures and the unit."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= scale:
            value = nanoseconds / scale
            return f"{value:.1f} {unit}" if value < 10 and value % 1 else f"{value:.0f} {unit}"
    return f"{nanoseconds:.0f} ns"


def mark(axes: Axes, low: float, high: float) -> None:
    """As many marks on the x axis as there is room for between `low` and `high`."""
    decades = math.log10(high / low)
    per_inch = decades / axes.get_window_extent().width * axes.figure.dpi
    within = (1, 2, 5) if per_inch < 0.4 else (1, 3) if per_inch < 0.7 else (1,)
    steps = [m * 10.0**e for e in range(2, 11) for m in within]
    axes.set_xticks([step for step in steps if low <= step <= high])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ns, _: duration(ns)))
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color=GRID, lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(False)
