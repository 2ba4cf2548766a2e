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
    settings = DEFAULTS | dask.config.get("distributed.comm.pinwire", {})
    same_host = settings["same-host"]
    return {
        "same_host": "off" if same_host is False else same_host,  # what YAML makes of a bare off
        "high_water": parse_bytes(settings["high-water"]),
        "max_message_bytes": parse_bytes(settings["max-message"]),
    }
