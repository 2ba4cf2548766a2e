"""The DataFrame that Dask's workers shuffle: its partitions, and what they have to add up to."""

from typing import Any

import pandas as pd

KEYS = 1_000
ROW_BYTES = 24

TALLIED = {"rows": "int64", "sum": "int64", "halves": "float64", "keys": "int64"}
"""The columns of a tally."""


def partition(index: int, rows: int) -> pd.DataFrame:
    """Its numbers are those from `index * rows` on, its keys are scattered."""
    numbers = pd.RangeIndex(index * rows, (index + 1) * rows).to_series(index=range(rows))
    return pd.DataFrame({"key": numbers % KEYS, "number": numbers, "half": numbers / 2})


def tally(part: pd.DataFrame) -> pd.DataFrame:
    """Of a partition: what the partitions have to add up to."""
    figures = {
        "rows": [len(part)],
        "sum": [int(part["number"].sum())],
        "halves": [float(part["half"].sum())],
        "keys": [part["key"].nunique()],
    }
    return pd.DataFrame(figures)


def totals(rows: int) -> dict[str, Any]:
    """What `tally` adds up to where each key is in one partition only."""
    numbers = rows * (rows - 1) // 2
    return {"rows": rows, "sum": numbers, "halves": numbers / 2, "keys": min(KEYS, rows)}
