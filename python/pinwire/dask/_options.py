"""What Dask's configuration says about channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.config
from dask.utils import parse_bytes
from distributed.system import MEMORY_LIMIT

if TYPE_CHECKING:
    from .._types import ChannelOptions

# Not `dask.config.update_defaults`: whoever resets the configuration would take them away.
DEFAULTS: dict[str, Any] = {
    "same-host": "auto",
    "high-water": "512 MiB",
    "max-message": MEMORY_LIMIT,
}


def channel_options() -> ChannelOptions:
    """The options of a channel, as they are configured now."""
    return {
        # "off" is False in YAML.
        "same_host": _setting("same-host") or "off",
        "high_water": parse_bytes(_setting("high-water")),
        "max_message_bytes": parse_bytes(_setting("max-message")),
    }


def _setting(name: str) -> Any:
    # One by one: from the environment they come with an underscore, which only this overlooks.
    return dask.config.get(f"distributed.comm.pinwire.{name}", DEFAULTS[name])
