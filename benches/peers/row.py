"""One target: what is wanted, and what a run shows."""

from dataclasses import dataclass

from .results import Spread


@dataclass(frozen=True)
class Row:
    text: str
    limit: float
    at_most: bool
    measured: Spread | None
    unit: str = ""
    scale: float = 1.0
    """From what was measured to the unit."""

    @property
    def met(self) -> bool | None:
        """By the median; None if it was not measured."""
        if self.measured is None:
            return None
        figure = self.measured.median * self.scale
        return figure <= self.limit if self.at_most else figure >= self.limit

    @property
    def target(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {_figures(self.limit)}{self.unit}"

    @property
    def figure(self) -> str:
        if self.measured is None:
            return "not measured"
        return f"{_figures(self.measured.median * self.scale)}{self.unit}"

    @property
    def range(self) -> str:
        if self.measured is None:
            return ""
        low, high = (value * self.scale for value in (self.measured.low, self.measured.high))
        return f"{_figures(low)}-{_figures(high)}"


def _figures(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"
