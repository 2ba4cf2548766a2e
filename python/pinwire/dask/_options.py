"""What Dask's configuration says about channels."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import dask.config
from dask.utils import parse_bytes
from distributed.system import MEMORY_LIMIT

from .._core import MemoryBudget

if TYPE_CHECKING:
    from .._types import ChannelOptions


def channel_options() -> ChannelOptions:
    """The options of a channel, as they are configured now."""
    same_host = _setting("same-host", "auto")
    return {
        "same_host": "off" if same_host is False else same_host,  # what YAML makes of a bare off
        "high_water": parse_bytes(_setting("high-water", "512 MiB")),
        "max_message_bytes": parse_bytes(_setting("max-message", MEMORY_LIMIT)),
        "memory_budget": _budget(parse_bytes(_setting("memory-budget", MEMORY_LIMIT // 2))),
    }


@cache
def _budget(nbytes: int) -> MemoryBudget:
    """The one of all connections of this process."""
    return MemoryBudget(nbytes)


def _setting(name: str, default: Any) -> Any:
    # Not `dask.config.update_defaults`: whoever resets the configuration would take them away.
    value = dask.config.get(f"distributed.comm.pinwire.{name}", None)
    return default if value is None else value
