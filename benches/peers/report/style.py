"""What all plots share: size, ink, and who gets which colour."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PAPER = "#fcfcfa"
INK = "#22272e"
SOFT = "#6b7480"
GRID = "#e4e6e3"
OTHER, OTHER_LIGHT = "#b4bdc6", "#dbe0e4"
PINWIRE, PINWIRE_LIGHT = "#e8502d", "#f6b8a4"
REFERENCE = "#3a414a"

# Shown 800 pixels wide, stored at twice that for dense screens.
WIDTH = 8.0
DPI = 200
# Above the panels: two lines of heading, and the panels' own.
HEADING = 1.15

_SETTINGS: dict[Any, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
}


def ours(name: str) -> bool:
    return name.startswith("pinwire")


def is_c(name: str) -> bool:
    return name == "C" or name.startswith("C ")


def is_memcpy(name: str) -> bool:
    return name == "memcpy"


def is_dask_tcp(name: str) -> bool:
    return name == "tcp://"


def colour(name: str) -> str:
    if is_c(name) or is_memcpy(name):
        return REFERENCE
    return PINWIRE if ours(name) else OTHER


def light(name: str) -> str:
    """For the second part of a stacked bar."""
    return PINWIRE_LIGHT if ours(name) else OTHER_LIGHT


def ink(name: str) -> str:
    """For words and figures that belong to `name`."""
    return PINWIRE if ours(name) else INK


@contextmanager
def page(path: Path, height: float, title: str, subtitle: str) -> Iterator[Figure]:
    """A figure with its two lines of heading, written to `path` at the end."""
    with mpl.rc_context(_SETTINGS):
        figure = plt.figure(figsize=(WIDTH, height))
        try:
            above = 1 - 0.3 / height
            figure.text(0.025, above, title, size=12.5, weight="bold", va="center")
            below = 1 - 0.56 / height
            figure.text(0.025, below, subtitle, size=8.5, color=SOFT, va="center")
            yield figure
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without the date of the run in its metadata, the same results give the same file.
            figure.savefig(path, dpi=DPI, metadata={"Software": None})
        finally:
            plt.close(figure)


@contextmanager
def side_by_side(
    path: Path,
    heading: tuple[str, str],
    names: Sequence[str],
    panels: int,
    *,
    row: float,
    foot: float,
    wspace: float,
) -> Iterator[list[Axes]]:
    """A page with panels beside each other, all with the same rows; lengths are in inches."""
    height = HEADING + foot + row * len(names)
    with page(path, height, *heading) as figure:
        grid = figure.add_gridspec(
            1,
            panels,
            left=margin(names),
            right=0.985,
            top=1 - HEADING / height,
            bottom=foot / height,
            wspace=wspace,
        )
        places = [figure.add_subplot(place) for place in grid]
        yield places
        for axes in places[1:]:
            axes.set_yticklabels([])


def margin(names: Iterable[str]) -> float:
    """The share of the width that row labels take."""
    # Bold letters are wider.
    letters = (len(name) * (1.14 if ours(name) else 1.0) for name in names)
    return 0.028 + 0.0083 * max(letters, default=0)


def name_rows(axes: Axes, names: list[str]) -> None:
    """One row a name, the first on top."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(ink(name))
        label.set_fontweight("bold" if ours(name) or is_c(name) else "normal")
