"""Distributions above one another on one logarithmic axis, the reference on top."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from .durations import duration, mark
from .style import INK, PAPER, REFERENCE, SOFT, colour, ink, is_c, margin, name_rows, page

ROW = 0.31
HEADING, FOOT = 1.0, 0.45
TALL = 1.25
"""Of a ridge, in rows: the highest reaches a quarter into the row above."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ridge:
    name: str
    edges_ns: Floats
    counts: Floats
    p50_ns: float
    p99_ns: float


def draw(path: Path, title: str, subtitle: str, ridges: Sequence[Ridge]) -> None:
    ridges = sorted(ridges, key=lambda ridge: ridge.p50_ns)
    names = [ridge.name for ridge in ridges]
    height = HEADING + FOOT + ROW * len(ridges)
    with page(path, height, title, subtitle) as figure:
        left = margin(names)
        axes = figure.add_axes((left, FOOT / height, 0.83 - left, 1 - (HEADING + FOOT) / height))
        name_rows(axes, names)
        axes.set_ylim(len(names) - 0.35, -1.0)
        for row, ridge in enumerate(ridges):
            _ridge(axes, row, ridge)
        _axis(axes, ridges)
        _columns(axes, ridges)
        reference = next((ridge for ridge in ridges if is_c(ridge.name)), None)
        if reference is not None:
            bottom, top = axes.get_ylim()
            axes.vlines(reference.p50_ns, top, bottom, color=REFERENCE, lw=0.9, zorder=1)


def _ridge(axes: Axes, row: int, ridge: Ridge) -> None:
    centres, density = smooth(ridge.edges_ns, ridge.counts)
    line = row + 0.33 - density / density.max() * (TALL * 0.8)
    shown = density > density.max() * 0.012
    shade, order = colour(ridge.name), 10 + row
    ground = row + 0.33
    base = np.full_like(centres, ground)
    axes.fill_between(centres, base, line, where=shown, color=shade, lw=0, zorder=order)
    axes.plot(centres, np.where(shown, line, np.nan), color=PAPER, lw=0.8, zorder=order)
    # From where the ridge is too low to be seen.
    peak = int(density.argmax())
    end = centres[min(peak + int(np.argmin(shown[peak:])), len(centres) - 1)]
    axes.plot([end, ridge.p99_ns], [ground] * 2, color=shade, lw=0.9, zorder=order)
    axes.plot([ridge.p99_ns] * 2, [ground - 0.22, ground], color=shade, lw=1.4, zorder=order)


def smooth(edges: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Density per decade, of histogram bins that are narrow on a logarithmic axis."""
    logs = np.log10(edges)
    finer = np.linspace(logs[0], logs[-1], 900)
    total = np.concatenate([[0.0], np.cumsum(counts)])
    share = np.interp(finer, logs, total / total[-1])
    step = finer[1] - finer[0]
    width = 0.016 / step
    reach = np.arange(-int(4 * width), int(4 * width) + 1)
    kernel = np.exp(-((reach / width) ** 2) / 2)
    density = np.convolve(np.diff(share, prepend=0.0), kernel / kernel.sum(), mode="same")
    return 10**finer, density / step


def _axis(axes: Axes, ridges: Sequence[Ridge]) -> None:
    axes.set_xscale("log")
    low = min(ridge.p50_ns for ridge in ridges) * 0.6
    high = max(ridge.p99_ns for ridge in ridges) * 1.5
    axes.set_xlim(low, high)
    mark(axes, low, high)


def _columns(axes: Axes, ridges: Sequence[Ridge]) -> None:
    """The figures, right of the axes where no ridge can reach them."""
    assert axes.figure is not None
    at = blended_transform_factory(axes.figure.transFigure, axes.transData)
    for x, words in ((0.9, "median"), (0.975, "p99")):
        axes.text(x, -0.75, words, transform=at, ha="right", size=8.5, color=SOFT)
    for row, ridge in enumerate(ridges):
        shade = ink(ridge.name)
        weight = "bold" if shade != INK else "normal"
        for x, value in ((0.9, ridge.p50_ns), (0.975, ridge.p99_ns)):
            axes.text(
                x,
                row,
                duration(value),
                transform=at,
                ha="right",
                va="center_baseline",
                size=8,
                color=shade,
                weight=weight,
            )
