"""Horizontal bars in panels side by side: a row a contestant, a panel a size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from .style import (
    PAPER,
    REFERENCE,
    SOFT,
    colour,
    ink,
    is_c,
    light,
    margin,
    name_rows,
    ours,
    side_by_side,
)

ROW, FOOT = 0.235, 0.3


@dataclass(frozen=True)
class Panel:
    title: str
    bars: Mapping[str, tuple[float, ...]]
    """By contestant, the parts that are stacked into its bar."""
    reference: Callable[[str], bool] = is_c
    """Whose bar's length all the others are held against, by a vertical line."""


def draw(
    path: Path,
    title: str,
    subtitle: str,
    names: Sequence[str],
    panels: Sequence[Panel],
) -> None:
    """`names` from top to bottom; a contestant that a panel has no bar for gets a dash there."""
    heading = title, subtitle
    with side_by_side(path, heading, names, len(panels), row=ROW, foot=FOOT, wspace=0.13) as places:
        for axes, panel in zip(places, panels, strict=True):
            _fill(axes, panel, names, (0.985 - margin(names)) / len(panels))


def _fill(axes: Axes, panel: Panel, names: Sequence[str], share: float) -> None:
    """`share` is the panel's part of the page's width."""
    name_rows(axes, list(names))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title(panel.title, loc="left", size=9, color=SOFT, pad=9)
    line = next((sum(parts) for name, parts in panel.bars.items() if panel.reference(name)), None)
    longest = max(_longest(panel), line or 0.0)
    # The figures stand right of the bars, in as much room as they take on paper.
    figures_width = longest * 0.048 / (share - 0.055)
    axes.set_xlim(0, longest + figures_width * 1.15)
    if line is not None:
        axes.plot([line, line], [-0.5, len(names) - 0.5], color=REFERENCE, lw=0.9, zorder=3)
    for row, name in enumerate(names):
        parts = panel.bars.get(name)
        if parts is None:
            axes.text(longest * 0.01, row, "-", va="center_baseline", size=8, color=SOFT)
            continue
        _bar(axes, row, name, parts, longest)
        gap, end = figures_width * 0.13, min(sum(parts), longest)
        # Never across the reference's line.
        if line is not None and end < line < end + figures_width:
            end = line
        _label(axes, end + gap, row, name, figures(sum(parts)))


def _longest(panel: Panel) -> float:
    """Of the bars as drawn: one that is out of all proportion is cut."""
    *others, second, first = [0.0, 0.0, *sorted(map(sum, panel.bars.values()))]
    return first if first < 2 * second or not any(others) else second * 1.25


def _bar(axes: Axes, row: int, name: str, parts: Sequence[float], longest: float) -> None:
    left, scale = 0.0, min(1.0, longest / sum(parts))
    for index, part in enumerate(parts):
        shade = light(name) if index else colour(name)
        axes.barh(row, part * scale, left=left, height=0.66, color=shade, zorder=2)
        left += part * scale
    if scale < 1:
        for shift in (0.90, 0.915):
            ends = [longest * shift, longest * (shift + 0.012)]
            axes.plot(ends, [row + 0.42, row - 0.42], color=PAPER, lw=2, zorder=3)


def _label(axes: Axes, at: float, row: int, name: str, words: str) -> None:
    weight = "bold" if ours(name) else "normal"
    axes.text(
        at, row, words, va="center_baseline", size=8, color=ink(name), weight=weight, zorder=5
    )


def figures(value: float) -> str:
    """Three of them, and all that stand before the point."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
