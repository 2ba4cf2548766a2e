"""Durations as dots on logarithmic axes: a row a contestant, panels side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from .durations import duration, mark
from .style import PAPER, REFERENCE, SOFT, colour, ink, is_c, name_rows, ours, side_by_side

ROW, FOOT = 0.26, 0.45
# Of a panel's width: room for the figure beside the last dot.
FIGURE = 0.26


@dataclass(frozen=True)
class Panel:
    title: str
    dots: Mapping[str, tuple[float, ...]]
    """By contestant, nanoseconds: one dot, or a hollow one for before and a full one for after."""


def draw(
    path: Path, title: str, subtitle: str, names: Sequence[str], panels: Sequence[Panel]
) -> None:
    heading = title, subtitle
    with side_by_side(path, heading, names, len(panels), row=ROW, foot=FOOT, wspace=0.09) as places:
        for axes, panel in zip(places, panels, strict=True):
            _fill(axes, panel, names)


def _fill(axes: Axes, panel: Panel, names: Sequence[str]) -> None:
    name_rows(axes, list(names))
    axes.set_title(panel.title, loc="left", size=9, color=SOFT, pad=9)
    known = [value for dots in panel.dots.values() for value in dots if value > 0]
    low, high = min(known) / 1.5, max(known) * 1.2
    axes.set_xscale("log")
    axes.set_xlim(low, high * (high / low) ** (FIGURE / (1 - FIGURE)))
    mark(axes, low, high)
    for row, name in enumerate(names):
        dots = panel.dots.get(name)
        if dots is None:
            continue
        if is_c(name):
            axes.axvline(dots[-1], color=REFERENCE, lw=0.9, zorder=1)
        _dots(axes, row, name, [max(dot, low) for dot in dots])


def _dots(axes: Axes, row: int, name: str, dots: Sequence[float]) -> None:
    shade = colour(name)
    axes.plot([dots[0], dots[-1]], [row, row], color=shade, lw=1.4, zorder=2)
    if len(dots) > 1:
        axes.scatter(dots[0], row, s=22, color=PAPER, edgecolor=shade, lw=1.2, zorder=3)
    axes.scatter(dots[-1], row, s=34, color=shade, lw=0, zorder=4)
    axes.annotate(
        duration(dots[-1]),
        (max(dots), row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center_baseline",
        size=8,
        color=ink(name),
        weight="bold" if ours(name) else "normal",
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
        zorder=5,
    )
